"""Erase: one person's data goes on request, from every campaign and from the register.

They are found by an address of theirs, or by who they are as a member of the lists (`user:31`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.domain.campaign import ENDED, LETTERS, Campaign
from shared.domain.delivery import Delivery, Outcome, Reason, Status
from shared.domain.letter_job import receipts_of
from shared.domain.recipient import person_key
from shared.domain.recipient_ticket import RecipientTicket, ticket_of
from shared.ledger import Ledger
from shared.ledger.erasure import is_member
from shared.ports import Clock, Files

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """What one campaign knows of the person."""

    campaign: Campaign
    deliveries: Sequence[Delivery]
    left_out: Sequence[str]  #: keys of their memberships that were left out
    own_tickets: Sequence[int]  #: the numbers of those that they have got
    in_flight: int = 0  #: how many of these rows could not be erased: ask again

    @property
    def rows(self) -> int:
        return len(self.deliveries) + len(self.left_out)


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that is known of the person."""

    campaigns: Sequence[Known]
    register: Sequence[str]  #: who they are there; the register knows no addresses
    asking: bool = (
        False  #: when erased: Digipost is being asked, and its answer may bring them back
    )


async def find(who: str, *, ledger: Ledger) -> Found:
    """Where an address is known, however its case is spelt, or a member. Changes nothing."""
    person = who if is_member(who) else person_key(who)
    found = []
    members = {who} if is_member(who) else set()
    for campaign_id in await ledger.erasure.remembered():
        traces = await ledger.erasure.traces(campaign_id, person)
        members |= traces.members
        # read after its rows: if it has begun now, nobody plans them anew
        campaign = await ledger.campaigns.get(campaign_id) if any(traces) else None
        if campaign:
            numbers = [await _own_ticket(delivery, ledger) for delivery in traces.deliveries]
            own_tickets = [number for number in numbers if number]
            found.append(Known(campaign, traces.deliveries, traces.left_out, own_tickets))
    return Found(found, sorted(await ledger.register.entries(sorted(members))))


async def erase(who: str, *, ledger: Ledger, files: Files, clock: Clock) -> Found:
    """The same, with the person gone from every row that is not in flight.

    Who still waits for their turn is skipped. What is claimed or submitted is left alone, and so
    is a campaign whose recipients are not fixed yet. Asking again does what is left. The register
    comes first: by an address they are found there only as long as a campaign knows it. With a
    campaign of letters that is over go its receipts, which have everybody's Digipost address.
    """
    known_of = await find(who, ledger=ledger)
    await ledger.register.forget(known_of.register)
    found = []
    for known in known_of.campaigns:
        campaign = known.campaign
        in_flight = known.rows
        if campaign.has_begun or not campaign.active:
            gone = [await _erase(delivery, ledger, clock) for delivery in known.deliveries]
            in_flight = gone.count(False)
            for key in known.left_out:
                await ledger.erasure.erase_left_out(campaign.id, key)
            if campaign.channel == LETTERS and campaign.phase in ENDED:
                await files.remove_all(receipts_of(campaign.id))
        log.info(
            "erase.done campaign_id=%s rows=%s in_flight=%s",
            campaign.id,
            known.rows - in_flight,
            in_flight,
        )
        found.append(replace(known, in_flight=in_flight))
    survey = await ledger.register.survey()
    asking = survey is not None and not survey.over
    return replace(known_of, campaigns=found, asking=asking)


async def _erase(delivery: Delivery, ledger: Ledger, clock: Clock) -> bool:
    """False when somebody has it, or takes it just now."""
    opened = await ledger.deliveries.get_open(delivery.campaign, delivery.id)
    if opened and not (opened.claim or opened.submitted):
        skipped = Outcome(Status.SKIPPED, Reason.ERASED, opened.note)
        await ledger.deliveries.settle(opened, skipped, clock())
        opened = await ledger.deliveries.get_open(delivery.campaign, delivery.id)
    return opened is None and await ledger.erasure.erase(delivery.campaign, delivery.id)


async def _own_ticket(delivery: Delivery, ledger: Ledger) -> int | None:
    """The number of the ticket that this delivery has made; while it is open, by its note."""
    if delivery.channel != "ticket":
        return None
    if ticket := ticket_of(delivery):
        return ticket.number
    opened = await ledger.deliveries.get_open(delivery.campaign, delivery.id)
    return RecipientTicket.of(opened.note).number if opened and opened.note else None
