"""Answered: what Digipost's result means to each delivery of a job.

Who is in Digipost gets a letter; whoever a letter does not reach goes on by the next way, if there
is one. Only by a final answer, and joined by our own ids alone. Doing it again changes nothing.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.addressee import asked_by, fingerprint
from shared.domain.campaign import LETTERS, Campaign
from shared.domain.delivery import OpenDelivery, Outcome, Reason, Status
from shared.domain.job_receipt import (
    JobReceipt,
    LetterFault,
    LetterResult,
    RecipientAnswer,
    RecipientResult,
    SentBy,
)
from shared.domain.letter_job import Job, JobKind, document_uuid
from shared.domain.register import Answer, Entry, Standing, learnt, standing_of
from shared.flow.build_job import Builder
from shared.flow.not_reached import PRINT, Ways
from shared.ledger import Ledger
from shared.ledger.jobs import Ends, GoesOn, lost
from shared.ports import Clock
from shared.settings import Settings

log = logging.getLogger(__name__)

#: So many deliveries are settled at a time.
_PAGE = 960
#: The channel that a letter went by in the end, whichever it was on.
_BY = {SentBy.DIGIPOST: LETTERS, SentBy.PRINT: PRINT}
_NOT_BY_HAND = (Status.FAILED, Reason.SETTLED_BY_HAND)


@dataclass(frozen=True, slots=True)
class Answers:
    """Brings results into the ledger, for one campaign."""

    campaign: Campaign
    builder: Builder
    ledger: Ledger
    settings: Settings
    clock: Clock

    async def apply(self, job: Job, receipt: JobReceipt) -> None:
        """What the receipt says of each of the job's deliveries."""
        if job.kind is JobKind.SPLIT:
            await self._who_is_there(job, receipt)
        else:
            await self._what_was_sent(job, receipt)

    async def _who_is_there(self, job: Job, receipt: JobReceipt) -> None:
        results, before = receipt.by_recipient, await self.builder.register_of(job)
        async for some in self.ledger.jobs.owned(job, _PAGE):
            found = {o.id: results[o.id] for o in some if o.id in results}
            answers = [(o, found[o.id]) for o in some if o.id in found]
            entries = await self._learn(job, receipt, answers, before)
            known = [(o, e) for o in some if (e := entries.get(o.id))]
            await self.known(known)
            silent = [o for o in some if o.id not in entries]
            if silent:  # a letter will tell: it comes to who is a user, and to nobody else
                log.warning("letters.unanswered job_id=%s deliveries=%s", job.id, len(silent))
                unknown = [(o, Answer(Standing.UNKNOWN)) for o in silent]
                await self.ledger.jobs.note_answers(self.campaign.id, unknown)

    async def known(self, known: Sequence[tuple[OpenDelivery, Entry]]) -> None:
        """Users get letters, and so does who is printed in the same job; the others go on."""
        ways = Ways.of(self.settings, await self.ledger.suppressions.live(self.clock()))
        stay, leave = [], []
        for opened, entry in known:
            is_user = entry.standing is Standing.USER
            printed = ways.prints(opened.recipient) and entry.standing is not Standing.BAD_DATA
            if is_user or printed:
                stay.append((opened, entry.answer))
            else:
                leave.append(Ends(opened, not_in_digipost(entry)))
        await self.ledger.jobs.note_answers(self.campaign.id, stay)
        await self.put_out(leave, ways)

    async def _learn(
        self,
        job: Job,
        receipt: JobReceipt,
        answers: Sequence[tuple[OpenDelivery, RecipientResult]],
        before: Mapping[str, Entry],
    ) -> dict[str, Entry]:
        """What is known of each by now, by delivery; kept in the register, where there is one."""
        entries: dict[str, Entry] = {}
        now = self.clock()
        for opened, result in answers:
            member, addressee = opened.recipient.member, opened.recipient.addressee
            known = self.builder.known(job, opened, before)
            asked = Entry(
                member,
                standing_of(result) or Standing.UNKNOWN,
                by=asked_by(addressee, known) if addressee else None,
                asked_at=min(receipt.ended_at or now, now),
                job=job.id,
                fingerprint=fingerprint(addressee) if addressee else "",
            )
            if entry := learnt(before.get(member), asked, result):
                entries[opened.id] = entry
        if self.settings.DIGIPOST_REGISTER == "on":
            await self.ledger.register.keep(entries.values())
        return entries

    async def _what_was_sent(self, job: Job, receipt: JobReceipt) -> None:
        """Joined by our ids alone: the order of the rows says nothing."""
        rows, people = _Rows.of(job, receipt), receipt.by_recipient
        before = await self.builder.register_of(job)
        ways = Ways.of(self.settings, await self.ledger.suppressions.live(self.clock()))
        async for some in self.ledger.jobs.owned(job, _PAGE):
            answers = [(o, people[o.id]) for o in some if o.id in people]
            await self._learn(job, receipt, answers, before)
            ended: list[Ends | GoesOn] = []
            for opened in some:
                uuid, result = rows.about(opened.id)
                ended.append(finished(opened, result, people.get(opened.id), uuid, ways))
            await self.ledger.jobs.finish(self.campaign.id, ended, self.clock())
        # whoever was put out of a later upload of it was uncertain
        await settle_late(job, receipt, self.ledger, self.clock())

    async def put_out(self, ends: Sequence[Ends], ways: Ways | None = None) -> None:
        """These have come to the end of Digipost, and go on by the next way, if there is one.

        But for those of whom nobody knows: they may have got their letter.
        """
        if not ends:
            return
        ways = ways or Ways.of(self.settings, await self.ledger.suppressions.live(self.clock()))
        # whoever is not found by what we know of them is not printed by it either
        ended = [
            _onwards(end, ways, printed=end.outcome.reason is Reason.BAD_IDENTITY) for end in ends
        ]
        await self.ledger.jobs.finish(self.campaign.id, ended, self.clock())


@dataclass(frozen=True, slots=True)
class _Rows:
    """A job's letters as its receipt tells of them."""

    job: str
    by_id: Mapping[str, LetterResult]
    by_uuid: Mapping[str, LetterResult]
    contradicting: Collection[str]

    @classmethod
    def of(cls, job: Job, receipt: JobReceipt) -> "_Rows":
        by_id = {result.id: result for result in receipt.letters if result.id}
        by_uuid = {result.main: result for result in receipt.letters}
        contradicting = {one.main for one in receipt.letters if by_uuid[one.main].sent != one.sent}
        return cls(job.id, by_id, by_uuid, contradicting)

    def about(self, delivery: str) -> tuple[str, LetterResult | None]:
        """The letter's uuid in this job, and its row. Ids, or rows, that contradict each other
        prove nothing.
        """
        uuid = document_uuid(self.job, delivery, 0)
        result = self.by_id.get(delivery) or self.by_uuid.get(uuid)
        certain = result and result.main == uuid and uuid not in self.contradicting
        return uuid, result if certain else None


async def settle_late(job: Job, receipt: JobReceipt, ledger: Ledger, now: datetime) -> None:
    """What became of a job's letters that had been given up. Late truth wins, also over a person
    who has said that one was not sent.
    """
    rows, people = _Rows.of(job, receipt), receipt.by_recipient
    async for doubt in ledger.verdicts.doubts(job.partition):
        uuid, result = rows.about(doubt.delivery)
        if result is None or result.sent is None:
            continue
        delivery = await ledger.verdicts.get(job.partition, doubt.delivery)
        if delivery is None or delivery.round != job.round:
            continue
        said = (delivery.status, delivery.reason)
        if said == (Status.UNCERTAIN, Reason.NO_RESULT) or (result.sent and said == _NOT_BY_HAND):
            outcome = Outcome(Status.SENT, reference=uuid)
            if not result.sent:
                outcome = _not_sent(result, people.get(delivery.id), uuid)
            by = _BY.get(result.by, delivery.channel) if result.sent else delivery.channel
            await ledger.verdicts.find_out(delivery, outcome, by, now)


def finished(
    opened: OpenDelivery,
    result: LetterResult | None,
    person: RecipientResult | None,
    uuid: str,
    ways: Ways,
) -> Ends | GoesOn:
    """What the letter's row means for its delivery. Without one, nobody knows."""
    if result is None or result.sent is None:
        return lost(opened, uuid)
    if result.sent:
        return Ends(opened, Outcome(Status.SENT, reference=uuid), _BY.get(result.by, ""))
    return _onwards(Ends(opened, _not_sent(result, person, uuid)), ways, printed=True)


def _not_sent(result: LetterResult, person: RecipientResult | None, uuid: str) -> Outcome:
    words = "; ".join(result.words)
    if LetterFault.NOT_FOR_PRINT in result.faults:
        return Outcome(Status.FAILED, Reason.NOT_PRINTED, uuid, words)
    if LetterFault.DOCUMENT in result.faults:
        return Outcome(Status.FAILED, Reason.BAD_DOCUMENT, uuid, words)
    invalid = person is not None and person.answer is RecipientAnswer.INVALID
    if LetterFault.RECIPIENT in result.faults or (invalid and person):
        said = ", ".join(person.reasons) if person else ""
        return Outcome(Status.FAILED, Reason.BAD_IDENTITY, uuid, words or said)
    if result.faults:
        return Outcome(Status.FAILED, Reason.REFUSED, uuid, words)
    return Outcome(Status.SKIPPED, Reason.NOT_IN_DIGIPOST, uuid, words)


def not_in_digipost(entry: Entry) -> Outcome:
    """Why somebody gets no letter, as Digipost has told before there was any."""
    said = ", ".join(entry.reasons)
    if entry.standing is Standing.BAD_DATA:
        return Outcome(Status.FAILED, Reason.BAD_IDENTITY, detail=said)
    return Outcome(Status.SKIPPED, Reason.NOT_IN_DIGIPOST, detail=said)


def _onwards(end: Ends, ways: Ways, *, printed: bool) -> Ends | GoesOn:
    opened = end.opened
    if end.outcome.status is Status.UNCERTAIN:
        return end
    way = ways.after(opened.channel or LETTERS, opened.recipient, printed=printed)
    return GoesOn(opened, way, end.outcome) if way else end
