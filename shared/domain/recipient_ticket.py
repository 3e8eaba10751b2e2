"""A recipient's own ticket: which it is, how far we have come, and how it is found again."""

import re
from dataclasses import dataclass, replace
from typing import Self

from shared.domain.delivery import Delivery

_NOTE = re.compile(r"([0-9]+)/([0-9]+)(?:/([0-9]+)-([0-9]+))?(/mailing)?")


@dataclass(frozen=True, slots=True)
class RecipientTicket:
    """Which ticket is a recipient's, and how far we have come with it.

    `mailing` says that we have begun to send the message ourselves: from then on the helpdesk
    alone cannot tell what became of it. In a later round on the same ticket, `said` and `mailed`
    are the last message and the last mail that stood on it before: they are not of this round.

    >>> str(RecipientTicket(5012, 20418, said=731, mailed=88))
    '5012/20418/731-88'
    """

    id: int
    number: int
    mailing: bool = False
    said: int = 0
    mailed: int = 0

    def __str__(self) -> str:
        before = f"/{self.said}-{self.mailed}" if self.said or self.mailed else ""
        return f"{self.id}/{self.number}{before}{'/mailing' if self.mailing else ''}"

    @classmethod
    def of(cls, text: str) -> Self:
        """Read what `str` wrote. Raises ValueError for anything else."""
        found = _NOTE.fullmatch(text)
        if found:
            id_, number, said, mailed = (int(part or 0) for part in found.groups()[:4])
            ticket = cls(id_, number, bool(found[5]), said, mailed)
            if str(ticket) == text:
                return ticket
        raise ValueError(f"not a recipient's ticket: {text!r}")

    def begun(self) -> Self:
        return replace(self, mailing=True)


def ticket_of(delivery: Delivery) -> RecipientTicket | None:
    """The recipient's ticket; None when there is none, or the channel makes none."""
    made = delivery.channel == "ticket" and delivery.reference
    return RecipientTicket.of(delivery.reference) if made else None


def ticket_key(campaign: str, delivery: str, round_: int = 1) -> str:
    """What the ticket is found again by, in a field that case workers see.

    A ticket that is made in a later round has a key of its own, or an earlier one that is of no
    use any more would be taken for it.

    >>> ticket_key("20417-1", "3f2a"), ticket_key("20417-1", "3f2a", 2)
    ('20417-1 3f2a', '20417-1 3f2a.2')
    """
    return f"{campaign} {delivery}" if round_ == 1 else f"{campaign} {delivery}.{round_}"
