"""A recipient's own ticket: which it is, how far we have come, and how it is found again."""

from dataclasses import dataclass, replace
from typing import Self

from shared.domain.delivery import Delivery


@dataclass(frozen=True, slots=True)
class RecipientTicket:
    """Which ticket is a recipient's, and how far we have come with it.

    `mailing` says that we have begun to send the message ourselves: from then on the helpdesk
    alone cannot tell what became of it.
    """

    id: int
    number: int
    mailing: bool = False

    def __str__(self) -> str:
        return f"{self.id}/{self.number}{'/mailing' if self.mailing else ''}"

    @classmethod
    def of(cls, text: str) -> Self:
        """Read what `str` wrote. Raises ValueError for anything else."""
        id_, number, *rest = text.split("/")
        ticket = cls(int(id_), int(number), bool(rest))
        if str(ticket) != text:
            raise ValueError(f"not a recipient's ticket: {text!r}")
        return ticket

    def begun(self) -> Self:
        return replace(self, mailing=True)


def ticket_of(delivery: Delivery) -> RecipientTicket | None:
    """The recipient's ticket; None when there is none, or the channel makes none."""
    made = delivery.channel == "ticket" and delivery.reference
    return RecipientTicket.of(delivery.reference) if made else None


def ticket_key(campaign: str, delivery: str) -> str:
    """What the ticket is found again by, in a field that case workers see.

    >>> ticket_key("20417-1", "3f2a")
    '20417-1 3f2a'
    """
    return f"{campaign} {delivery}"
