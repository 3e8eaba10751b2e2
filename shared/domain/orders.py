"""What a case worker asks for in an internal note: a line such as `start: 2026-12-01 08:00`.

start: 2026-12-01 08:00    not before then; also 01.12.2026 kl. 08.00, and `start: nå` undoes it
mottakere: nye             going again also reaches those who are new on the lists
mottakere: de samme        a new message goes to those who got the last one, and nobody else
usikre: ikke sendt         what became of the uncertain: of all of them, or of one by address
usikker kari@example.no: sendt
prøve: kari@example.no     the test message of a preview is the one that she would get
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from shared.domain.delivery import NEVER
from shared.domain.html import plain_text
from shared.domain.recipient import address_key, normalise_address

OSLO = ZoneInfo("Europe/Oslo")


class Whom(StrEnum):
    NOT_REACHED = ""  #: going again reaches those who were not reached
    NEW_TOO = "new"  #: and those who have come to the lists since
    THE_SAME = "same"  #: those who got the last message


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person has found out of uncertain deliveries, up to when the note was written."""

    address: str  #: as `address_key` has it; "" for all of them
    sent: bool
    written: datetime


@dataclass(frozen=True, slots=True)
class Orders:
    """The last word of each kind, and every verdict in the order they were given."""

    start: datetime = NEVER
    unclear: str = ""  #: a line that was meant for us, and that we do not understand
    whom: Whom = Whom.NOT_REACHED
    verdicts: tuple[Verdict, ...] = ()
    trial: str = ""  #: whose message is tried out, as `address_key` has it; "" for anybody's


_LINE = re.compile(r"^\W*(start|mottakere|usikre|usikker|prøve)\b(.*)$", re.IGNORECASE)
_TIME = re.compile(
    r"(?:(\d{4})-(\d\d?)-(\d\d?)|(\d\d?)\.(\d\d?)\.(\d{4}))[T ]*(?:kl\.?)? *(\d\d?)[:.](\d\d)"
)
_WHOM = {
    "nye": Whom.NEW_TOO,
    "nye også": Whom.NEW_TOO,
    "samme": Whom.THE_SAME,
    "de samme": Whom.THE_SAME,
}
_VERDICT = {"sendt": True, "ikke sendt": False}


def orders_in(notes: Iterable[tuple[str, datetime]]) -> Orders:
    """What these notes ask for: the HTML of each, and when it was written, oldest first.

    A line counts only with its colon: who writes «start i morgen» to a colleague asks us nothing.
    """
    orders = Orders()
    for html, written in notes:
        for line in plain_text(html).splitlines():
            found = _LINE.match(line.strip())
            head, colon, said = (found[2] if found else "").partition(":")
            if found and colon:
                said = " ".join(said.casefold().split()).strip(" .!")
                orders = _with(orders, found[1].casefold(), head.strip(), said, written, line)
    return orders


def _with(orders: Orders, kind: str, head: str, said: str, written: datetime, line: str) -> Orders:
    unclear = replace(orders, unclear=" ".join(line.split())[:200])
    if kind == "start" and not head:
        if said in {"nå", "straks"}:
            return replace(orders, start=NEVER, unclear="")
        start = _time(said)
        return unclear if start is None else replace(orders, start=start, unclear="")
    if kind == "mottakere" and not head:
        return replace(orders, whom=_WHOM[said]) if said in _WHOM else unclear
    if kind in {"usikre", "usikker"} and said in _VERDICT and bool(head) == (kind == "usikker"):
        verdict = Verdict(address_key(head), _VERDICT[said], written)
        return replace(orders, verdicts=(*orders.verdicts, verdict))
    if kind == "prøve" and not head:
        if said in {"tilfeldig", "hvem som helst"}:
            return replace(orders, trial="")
        if address := normalise_address(said):
            return replace(orders, trial=address_key(address))
    return unclear


def _time(said: str) -> datetime | None:
    """The time in Norway; None when it is not one. In the hour that comes twice, the first."""
    found = _TIME.fullmatch(said)
    if not found:
        return None
    year, month, day = found[1] or found[6], found[2] or found[5], found[3] or found[4]
    try:
        return datetime(int(year), int(month), int(day), int(found[7]), int(found[8]), tzinfo=OSLO)
    except ValueError:
        return None
