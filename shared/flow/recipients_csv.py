"""The list of everybody, as a file that opens in Norwegian Excel with a double click."""

import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime

from shared.domain.addressee import without_national_ids
from shared.domain.campaign import LETTERS, Campaign
from shared.domain.countries import country_name
from shared.domain.delivery import NEVER, Delivery
from shared.domain.helpdesk import TicketState
from shared.domain.recipient import LeftOut, MemberKind
from shared.domain.recipient_ticket import ticket_of
from shared.flow.wording import (
    OSLO,
    STATUS,
    WAYS,
    left_out_detail,
    left_out_words,
    reasons,
    said_of,
)
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
)
#: What follows these, by channel.
_MORE = {
    "email": ("Svar fra e-postserveren", "Forsendelse"),
    "ticket": ("Sak", "Lenke", "Svar fra Pureservice", "Forsendelse"),
    LETTERS: ("Kanal", "Sak", "Lenke", "Svar", "Forsendelse"),
}
#: And last where there has been more than one round.
_ROUND = ("Runde",)
_REVIEW = ("Mottaker", "E-postadresse", "Sak", "Status på saken", "Sist endret", "Lenke")
_PAPER = (
    "Mottaker",
    *("Adresselinje 1", "Adresselinje 2", "Adresselinje 3", "Adresselinje 4"),
    *("Postnummer", "Poststed", "Land"),
    *("E-postadresse", "Årsak", "Svar", "Merknad", "Utskriftsfil", "Forsendelse"),
)
_KIND = {MemberKind.USER: "Bruker", MemberKind.COMPANY: "Firma"}


Link = Callable[[int], str]  #: where the ticket with this number is opened


async def recipients_csv(
    campaign: Campaign, deliveries: Deliveries, rows: int, link: Link
) -> AsyncIterator[bytes]:
    """One file per so many rows: first the deliveries, then the memberships left out."""
    headings = _headings(campaign)
    part = Part(headings)
    async for cells in _all(campaign, deliveries, link):
        if part.rows == rows:
            yield part.encoded()
            part = Part(headings)
        part.add(cells)
    yield part.encoded()


def review_csv(
    rows: Iterable[tuple[Delivery, TicketState | None]], statuses: Mapping[int, str], link: Link
) -> bytes:
    """How it stands with each recipient's ticket; one that is not found stands there without."""
    part = Part(_REVIEW)
    for delivery, ticket in rows:
        recipient = delivery.recipient
        known: Sequence[str] = ("",) * 4
        if ticket:
            status = statuses.get(ticket.status_id, "")
            known = (str(ticket.number), status, _time(ticket.modified), link(ticket.number))
        part.add((recipient.name, recipient.address, *known))
    return part.encoded()


async def paper_csv(
    rows: AsyncIterator[tuple[Delivery, str, str]], most: int
) -> AsyncIterator[bytes]:
    """Whom nobody has reached, to be written to on paper: a remark, and in which file their letter
    is. One file per so many rows.
    """
    part = Part(_PAPER)
    async for delivery, remark, file in rows:
        if part.rows == most:
            yield part.encoded()
            part = Part(_PAPER)
        part.add(_paper_cells(delivery, remark, file))
    yield part.encoded()


def _paper_cells(delivery: Delivery, remark: str, file: str) -> Sequence[str]:
    recipient = delivery.recipient
    postal = recipient.addressee.postal if recipient.addressee else None
    where: Sequence[str] = ("",) * 7
    if postal:
        lines = (*postal.lines, "", "", "", "")[:4]
        # abroad they are among the lines
        city = (postal.postal_code, postal.city) if postal.in_norway else ("", "")
        where = (*lines, *city, country_name(postal.country))
    return (
        without_national_ids(recipient.name),
        *where,
        recipient.address,
        reasons(delivery.channel)[delivery.reason],
        without_national_ids(said_of(delivery)),
        remark,
        file,
        delivery.id,
    )


def _headings(campaign: Campaign) -> Sequence[str]:
    rounds = _ROUND if campaign.round > 1 else ()
    return (*_HEADINGS, *_MORE[campaign.channel], *rounds)


async def _all(
    campaign: Campaign, deliveries: Deliveries, link: Link
) -> AsyncIterator[Sequence[str]]:
    async for delivery in deliveries.all(campaign.id):
        rounds = (str(delivery.round),) if campaign.round > 1 else ()
        yield (*_delivery_cells(delivery, campaign.channel, link), *rounds)
    lists = {one.id: one.name for one in campaign.lists}
    nothing = ("",) * (len(_headings(campaign)) - len(_HEADINGS))
    async for left_out in deliveries.left_out(campaign.id):
        why = left_out_words(campaign.channel)[left_out.reason]
        detail = left_out_detail(left_out)
        why += f": {detail}" if detail else ""
        yield (*_left_out_cells(left_out, why, lists.get(left_out.list_id, "")), *nothing)


def _delivery_cells(delivery: Delivery, campaigns: str, link: Link) -> Sequence[str]:
    """`campaigns`: the campaign's channel, whatever way the delivery has gone on to."""
    recipient = delivery.recipient
    ticket = ticket_of(delivery)
    own_ticket = (str(ticket.number), link(ticket.number)) if ticket else ("", "")
    return (
        without_national_ids(recipient.name),
        recipient.address,
        "erstattet" if delivery.replaced else STATUS[delivery.status],
        reasons(delivery.channel)[delivery.reason],
        _time(delivery.settled_at),
        str(delivery.earlier_attempts + delivery.attempts),
        _KIND[recipient.kind],
        "",
        *((WAYS.get(delivery.channel, ""),) if campaigns == LETTERS else ()),
        *(own_ticket if campaigns in {"ticket", LETTERS} else ()),
        without_national_ids(said_of(delivery)) if campaigns == LETTERS else delivery.detail,
        delivery.id,
    )


def _time(moment: datetime) -> str:
    return "" if moment == NEVER else f"{moment.astimezone(OSLO):%d.%m.%Y %H:%M:%S}"


def _left_out_cells(left_out: LeftOut, why: str, list_name: str) -> Sequence[str]:
    member = left_out.member
    return (
        without_national_ids(member.name),
        member.address or "",
        "utelatt",
        why,
        "",
        "",
        _KIND[member.kind],
        list_name,
    )


class Part:
    """One file in the making. The byte order mark tells Excel that it is UTF-8."""

    def __init__(self, headings: Sequence[str]) -> None:
        self.rows = 0
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text, delimiter=";")
        self._writer.writerow(headings)

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
