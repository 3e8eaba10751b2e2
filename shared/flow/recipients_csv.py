"""The list of everybody, as a file that opens in Norwegian Excel with a double click."""

import csv
import io
import re
from collections.abc import AsyncIterator, Sequence

from shared.domain.campaign import Campaign
from shared.domain.delivery import NEVER, Delivery
from shared.domain.recipient import LeftOut, MemberKind
from shared.flow.wording import LEFT_OUT, OSLO, REASON, STATUS
from shared.ledger.deliveries import Deliveries

_HEADINGS = (
    "Mottaker",
    "E-postadresse",
    "Status",
    "Årsak",
    "Tidspunkt",
    "Forsøk",
    "Type",
    "Utelatt fra liste",
    "Svar fra e-postserveren",
    "Forsendelse",
)
_KIND = {MemberKind.USER: "Bruker", MemberKind.COMPANY: "Firma"}


async def recipients_csv(
    campaign: Campaign, deliveries: Deliveries, rows: int
) -> AsyncIterator[bytes]:
    """One file per so many rows: first the deliveries, then the memberships left out."""
    part = _Part()
    async for cells in _all(campaign, deliveries):
        if part.rows == rows:
            yield part.encoded()
            part = _Part()
        part.add(cells)
    yield part.encoded()


async def _all(campaign: Campaign, deliveries: Deliveries) -> AsyncIterator[Sequence[str]]:
    async for delivery in deliveries.all(campaign.id):
        yield _delivery_cells(delivery)
    lists = {one.id: one.name for one in campaign.lists}
    async for left_out in deliveries.left_out(campaign.id):
        yield _left_out_cells(left_out, lists.get(left_out.list_id, ""))


def _delivery_cells(delivery: Delivery) -> Sequence[str]:
    settled = delivery.settled_at
    return (
        delivery.recipient.name,
        delivery.recipient.address,
        STATUS[delivery.status],
        REASON[delivery.reason],
        "" if settled == NEVER else f"{settled.astimezone(OSLO):%d.%m.%Y %H:%M:%S}",
        str(delivery.attempts),
        _KIND[MemberKind(delivery.recipient.member.partition(":")[0])],
        "",
        delivery.detail,
        delivery.id,
    )


def _left_out_cells(left_out: LeftOut, list_name: str) -> Sequence[str]:
    member = left_out.member
    return (
        member.name,
        member.address or "",
        "utelatt",
        LEFT_OUT[left_out.reason],
        "",
        "",
        _KIND[member.kind],
        list_name,
        "",
        "",
    )


class _Part:
    """One file in the making. The byte order mark tells Excel that it is UTF-8."""

    def __init__(self) -> None:
        self.rows = 0
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text, delimiter=";")
        self._writer.writerow(_HEADINGS)

    def add(self, cells: Sequence[str]) -> None:
        self._writer.writerow([_harmless(cell) for cell in cells])
        self.rows += 1

    def encoded(self) -> bytes:
        return self._text.getvalue().encode("utf-8-sig")


#: Also in full width, which some editions of Excel take for the same, and a tab or carriage
#: return, which may be gone by the time the cell is looked at.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r]")


def _harmless(cell: str) -> str:
    """Excel runs a cell that begins like a formula; an apostrophe makes it text."""
    return f"'{cell}" if _FORMULA.match(cell) else cell
