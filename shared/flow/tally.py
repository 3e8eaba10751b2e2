"""Tally: how many of each, counted from the ledger for the report."""

from collections import Counter
from dataclasses import dataclass, field

from shared.domain.campaign import LETTERS, Campaign
from shared.domain.delivery import Delivery, Reason, Status
from shared.domain.letter_job import Job, JobKind, JobState
from shared.domain.recipient import LeftOutReason
from shared.domain.recipient_ticket import ticket_of
from shared.flow.on_paper import belongs_on_paper, can_be_posted
from shared.ledger import Ledger

#: So many letter jobs are named in a note.
JOBS = 30
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
    ways: Counter[str] = field(default_factory=Counter)  #: of those sent, by channel
    reasons: Counter[tuple[str, Reason]] = field(default_factory=Counter)  #: of failed and skipped
    without_result: int = 0  #: of the uncertain, those of whom a job's result says nothing
    on_paper: int = 0  #: how many are on the list of those to be written to by hand
    without_address: int = 0  #: how many of them have no postal address
    jobs: list[Job] = field(default_factory=list)  #: with letters, in their order; no empty ones

    @property
    def total(self) -> int:
        return self.statuses.total()

    @property
    def unnamed(self) -> int:
        """How many more were not reached than `not_reached` names."""
        reached = self.statuses[Status.SENT]
        return self.total - reached - len(self.not_reached)

    @property
    def shown_jobs(self) -> list[Job]:
        """The last of them, where there are very many."""
        return self.jobs[-JOBS:]

    @property
    def beyond_recall(self) -> list[Job]:
        """Jobs that Digipost has, or may have, and that nobody can stop here."""
        return [job for job in self.jobs if job.may_be_with_digipost]


async def tally(campaign: Campaign, ledger: Ledger) -> Tally:
    counted = Tally()
    async for delivery in ledger.deliveries.all(campaign.id):
        if delivery.replaced:
            continue
        counted.statuses[delivery.status] += 1
        in_round = delivery.round == campaign.round
        counted.sent_in_round += in_round and delivery.status is Status.SENT
        if delivery.status is Status.SENT:
            counted.ways[delivery.channel] += 1
        elif delivery.status in {Status.FAILED, Status.SKIPPED}:
            counted.reasons[delivery.channel, delivery.reason] += 1
        elif delivery.status is Status.UNCERTAIN:
            counted.without_result += delivery.reason is Reason.NO_RESULT
        if campaign.channel == LETTERS and belongs_on_paper(delivery, campaign):
            counted.on_paper += 1
            counted.without_address += not can_be_posted(delivery.recipient)
        if ticket := ticket_of(delivery):
            counted.made += 1
            if len(counted.first_tickets) < NAMED:
                counted.first_tickets.append((delivery, ticket.number))
        if delivery.status is not Status.SENT and len(counted.not_reached) < NAMED:
            counted.not_reached.append(delivery)
    async for left_out in ledger.deliveries.left_out(campaign.id):
        counted.left_out[left_out.reason] += 1
    if campaign.channel == LETTERS:
        counted.jobs = [
            job
            for job in await ledger.jobs.of(campaign.id)
            if job.kind is JobKind.SEND and (job.uploads or job.state is not JobState.ABANDONED)
        ]
    return counted
