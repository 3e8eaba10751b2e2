"""Tally: how many of each, counted from the ledger for the report."""

from collections import Counter
from dataclasses import dataclass, field

from shared.domain.campaign import Campaign
from shared.domain.delivery import Delivery, Status
from shared.domain.recipient import LeftOutReason
from shared.domain.recipient_ticket import ticket_of
from shared.ledger import Ledger

#: The report names this many of those not reached, and of the tickets; the CSV names them all.
NAMED = 100


@dataclass(slots=True)
class Tally:
    """How many of each, the first of those who were not reached, and of the tickets made.

    Those that were replaced stand in the list of everybody, and are not counted anywhere.
    """

    statuses: Counter[Status] = field(default_factory=Counter)
    sent_in_round: int = 0  #: of those sent, how many were sent in the campaign's last round
    left_out: Counter[LeftOutReason] = field(default_factory=Counter)
    not_reached: list[Delivery] = field(default_factory=list)
    made: int = 0  #: how many tickets recipients have got
    first_tickets: list[tuple[Delivery, int]] = field(default_factory=list)  #: and their numbers

    @property
    def total(self) -> int:
        return self.statuses.total()

    @property
    def unnamed(self) -> int:
        """How many more were not reached than `not_reached` names."""
        reached = self.statuses[Status.SENT]
        return self.total - reached - len(self.not_reached)


async def tally(campaign: Campaign, ledger: Ledger) -> Tally:
    counted = Tally()
    async for delivery in ledger.deliveries.all(campaign.id):
        if delivery.replaced:
            continue
        counted.statuses[delivery.status] += 1
        in_round = delivery.round == campaign.round
        counted.sent_in_round += in_round and delivery.status is Status.SENT
        if ticket := ticket_of(delivery):
            counted.made += 1
            if len(counted.first_tickets) < NAMED:
                counted.first_tickets.append((delivery, ticket.number))
        if delivery.status is not Status.SENT and len(counted.not_reached) < NAMED:
            counted.not_reached.append(delivery)
    async for left_out in ledger.deliveries.left_out(campaign.id):
        counted.left_out[left_out.reason] += 1
    return counted
