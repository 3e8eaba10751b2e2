"""Letters: move a campaign's jobs from gathered to answered, and each delivery with its job.

    who is in Digipost? ─ split job ─▶ answered ─▶ letters ─ send job ─▶ answered ─▶ settled,
                                           └─▶ the next way              or the next way

What is about to be done is stored first. Stopping between any two lines here leaves a job that the
next round takes up where it was; a job that may be with Digipost is looked for, never sent again
blindly. Only one host at a time moves a campaign's jobs.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import BinaryIO

from shared.domain.alert import Alert
from shared.domain.campaign import LETTERS, Campaign, Phase
from shared.domain.delivery import OpenDelivery
from shared.domain.letter_job import (
    CONTRADICTED,
    GIVEN_UP,
    HELD,
    LET_GO,
    LETTING_GO,
    MAY_BE_THERE,
    NOT_UPLOADED,
    REFUSED_ONCE,
    Job,
    JobKind,
    JobState,
    job_id,
)
from shared.domain.pace import another_first_each_minute
from shared.domain.register import Entry
from shared.errors import (
    BlockedError,
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.flow.answered import Answers
from shared.flow.block import hold
from shared.flow.build_job import Builder, is_of
from shared.flow.not_reached import PRINT
from shared.flow.watch import Watch
from shared.flow.wording import post_once, render
from shared.ledger import Ledger
from shared.ledger.jobs import lost
from shared.ports import Clock, Files, LetterService
from shared.settings import Settings

log = logging.getLogger(__name__)

#: A round begins nothing slow after that.
_LONGEST = timedelta(minutes=2)
#: What failed in passing is tried again then.
_SOON = timedelta(minutes=1)
#: What stands on the ticket of a job with letters, by how far it has come.
_TOLD = {
    JobState.UPLOADED: "uploaded",
    JobState.RECEIVED: "uploaded",
    JobState.PROVISIONAL: "waiting",
    JobState.UNKNOWN: "unknown",
}
#: So many deliveries are gathered, or settled, at a time.
_PAGE = 960


async def letters(
    *,
    service: LetterService,
    builder: Builder,
    ledger: Ledger,
    files: Files,
    watch: Watch,
    settings: Settings,
    clock: Clock,
) -> None:
    """One round over the campaigns whose letters are under way. One that fails stops no other.

    Does nothing, and asks nobody, where no letters are sent.
    """
    if not settings.sends_letters:
        return
    until = clock() + _LONGEST
    active = [
        campaign
        for campaign in await ledger.campaigns.active()
        if campaign.channel == LETTERS and campaign.may_have_open
    ]
    bugs: list[Exception] = []
    for campaign in another_first_each_minute(active, clock()):
        if clock() >= until:
            break
        what = f"letters {campaign.id}"
        claim = await ledger.reports.take(what, clock(), settings.letter_lease)
        if claim is None:
            continue
        mover = _Mover(campaign, service, builder, ledger, files, watch, settings, clock, until)
        try:
            await mover.move()
        except BlockedError as problem:
            await hold(campaign.id, problem, ledger.campaigns)
        except UtsendelseError as error:
            log.warning("letters.postponed campaign_id=%s because=%s", campaign.id, error)
        except Exception as bug:
            log.exception("letters.failed campaign_id=%s", campaign.id)
            bugs.append(bug)
        await ledger.reports.release(what, claim)
    if bugs:
        raise ExceptionGroup("letters", bugs)


@dataclass(frozen=True, slots=True)
class _Mover:
    """One campaign's jobs, and what moves them."""

    campaign: Campaign
    service: LetterService
    builder: Builder
    ledger: Ledger
    files: Files
    watch: Watch
    settings: Settings
    clock: Clock
    until: datetime  #: nothing slow is begun after this

    async def move(self) -> None:
        jobs = await self.ledger.jobs.of(self.campaign.id)
        for job in jobs:
            if job.open or _was_refused(job):
                await self._carry(job)
        if await self._may_send():
            await self._begin(len(jobs))

    async def _may_send(self) -> bool:
        """Whether something new may leave: nobody has stopped it, and nothing is closed."""
        now = self.clock()
        campaign = await self.ledger.campaigns.get(self.campaign.id)
        sending = campaign is not None and campaign.phase is Phase.SENDING
        held = sending and await self.watch.held_until(self.campaign.id, (LETTERS,), now)
        return sending and not held

    # --- jobs begin ---

    async def _begin(self, made: int) -> None:
        """Questions first, where they are to be asked; letters when all of them are answered."""
        if await self._begin_jobs(JobKind.SPLIT, made + 1):
            return
        jobs = await self.ledger.jobs.of(self.campaign.id)
        asking = any(job.open and job.kind is JobKind.SPLIT for job in jobs)
        if not asking:
            await self._begin_jobs(JobKind.SEND, len(jobs) + 1)

    async def _begin_jobs(self, kind: JobKind, number: int) -> bool:
        """A job with all of those waiting, as far as it holds them; and another for the rest.

        Whoever is left when the round is over gets theirs in the next. Whether there was anybody.
        """
        begun = False
        while True:
            async with aclosing(self._waiting(kind)) as waiting:
                if await anext(waiting, None) is None or self.clock() >= self.until:
                    return begun
            job = Job(
                id=job_id(
                    self.settings.INSTALLATION,
                    self.campaign.id,
                    self.campaign.nonce,
                    kind,
                    number,
                ),
                partition=self.campaign.id,
                kind=kind,
                number=number,
                round=self.campaign.round,
                created_at=self.clock(),
                changed_at=self.clock(),
            )
            await self._carry(await self.ledger.jobs.add(job))
            begun, number = True, number + 1

    async def _waiting(self, kind: JobKind) -> AsyncGenerator[OpenDelivery]:
        """Those whom a job of this kind is for, and whom none has.

        Who has been asked about and is not in Digipost has gone on by another way, or is printed.
        Whoever is to be printed after other ways waits until nobody is on these any more, or each
        would be a job by themselves.
        """
        others = await self.ledger.jobs.any_open(self.campaign.id, ("email", "ticket"))
        channels = (LETTERS,) if others else (LETTERS, PRINT)
        asks = self.settings.asks_digipost
        async for opened in self.ledger.jobs.waiting(self.campaign.id, channels, self.clock()):
            to_be_asked = asks and opened.channel == LETTERS and not opened.answer
            if to_be_asked is (kind is JobKind.SPLIT):
                yield opened

    async def _gather(self, job: Job) -> Job:
        """The job with those that wait for it. One that was stopped midway goes on."""
        job = await self.ledger.jobs.save(job)  # whoever has fallen behind changes it no more
        have = 0
        async for some in self.ledger.jobs.owned(job):
            have += len(some)
        room = await self.builder.room(self.campaign, job) - have
        chosen: list[OpenDelivery] = []
        async with aclosing(self._waiting(job.kind)) as waiting:
            async for opened in waiting:
                if len(chosen) == room:
                    break
                chosen.append(opened)
        if job.kind is JobKind.SPLIT:
            fresh, chosen = await self._from_the_register(chosen)
            await self._answers.known(fresh)
        job = await self.ledger.jobs.claim(job, chosen)
        count = have + len(chosen)
        state = JobState.READY if count else JobState.ABANDONED
        return await self.ledger.jobs.save(job.to(state, self.clock(), letters=count))

    async def _from_the_register(
        self, some: Sequence[OpenDelivery]
    ) -> tuple[list[tuple[OpenDelivery, Entry]], list[OpenDelivery]]:
        """Those of whom the register has a fresh answer, and the others.

        Where everybody is to be asked before each campaign, nobody is in the register.
        """
        if self.settings.DIGIPOST_SPLIT or not some:
            return [], list(some)
        entries = await self.ledger.register.entries([one.recipient.member for one in some])
        age = timedelta(days=self.settings.DIGIPOST_REGISTER_MAX_AGE_DAYS)
        fresh: list[tuple[OpenDelivery, Entry]] = []
        rest: list[OpenDelivery] = []
        for one in some:
            entry = entries.get(one.recipient.member)
            if entry and entry.is_fresh(self.clock(), age) and is_of(entry, one.recipient):
                fresh.append((one, entry))
            else:
                rest.append(one)
        return fresh, rest

    # --- a job moves ---

    async def _carry(self, job: Job) -> None:
        """As far as the job comes now."""
        if job.state in NOT_UPLOADED and self.campaign.phase is Phase.CANCELLING:
            job = await self._let_go(job)
        if GIVEN_UP in job.steps and job.state is not JobState.ANSWERED:
            job = await self._lose(job)  # we were stopped before all of it was written
        if job.state is JobState.DRAFT:
            job = await self._gather(job)
        if job.state is JobState.READY:
            job = await self._upload(job)
        elif job.state in {JobState.UPLOADING, JobState.UNKNOWN}:
            job = await self._look_for(job)
        if job.state is JobState.ANSWERED:
            await self._apply(job)
        elif _was_refused(job):
            await self._stop_for(job)
        elif job.may_be_with_digipost:
            await self._see_to(await self._told(job))

    async def _let_go(self, job: Job) -> Job:
        """Called off before it was uploaded; after an upload that was broken off, nobody knows."""
        if MAY_BE_THERE in job.steps:
            return await self._lose(job)
        await self.ledger.jobs.free(job)
        return await self._to(job, JobState.ABANDONED)

    async def _lose(self, job: Job) -> Job:
        await self.ledger.jobs.lose(job, self.clock())
        return await self._to(job, JobState.ABANDONED)

    async def _upload(self, job: Job) -> Job:
        """The job where Digipost can have it; noted before it leaves."""
        now = self.clock()
        if job.not_before > now or now >= self.until or not await self._may_send():
            return job
        await self._check_contradictions(job)
        try:
            built = await self.builder.build(self.campaign, job)
        except TransientError as error:
            log.warning("letters.later job_id=%s because=%s", job.id, error)
            wait = error.retry_after if isinstance(error, ThrottledError) else _SOON
            return await self.ledger.jobs.save(replace(job, not_before=self.clock() + wait))
        try:
            in_doubt = MAY_BE_THERE in job.steps  # an upload with them in it may have come through
            ends = [lost(end.opened) if in_doubt else end for end in built.put_out]
            await self._answers.put_out(ends)
            if built.parcel is None:
                return await self._to(job, JobState.ABANDONED)
            if not await self._may_send():
                return job  # building may take minutes, and somebody may have stopped it meanwhile
            await self._check_contradictions(job)
            parcel = built.parcel
            log.info("letters.job job_id=%s state=%s", job.id, JobState.UPLOADING)
            job = await self.ledger.jobs.save(
                job.leaves(
                    self.clock(), letters=parcel.letters, size=parcel.size, sha256=parcel.sha256
                )
            )
            parcel.file.seek(0)
            return await self._leave(job, parcel.file, parcel.size)
        finally:
            if built.parcel:
                built.parcel.close()

    async def _leave(self, job: Job, file: BinaryIO, size: int) -> Job:
        try:
            await self.service.upload(job.kind, job.zip_name, file, size)
        except (ThrottledError, StoppedError) as error:
            await self.watch.rest(LETTERS, error, self.clock())
            return await self._to(job, JobState.READY)
        except TransientError as error:
            log.warning("letters.later job_id=%s because=%s", job.id, error)
            return await self._to(job, JobState.READY, not_before=self.clock() + _SOON)
        except PermanentError as error:
            await self._to(job, JobState.READY, not_before=self.clock() + _SOON)
            raise BlockedError("letter_area", job=job.id, said=str(error)) from error
        except UncertainError as error:
            log.warning("letters.unknown job_id=%s because=%s", job.id, error)
            return await self._to(job, JobState.UNKNOWN)
        await self.watch.went_through((LETTERS,), self.clock())
        log.info("letters.uploaded job_id=%s letters=%s", job.id, job.letters)
        return await self._to(job, JobState.UPLOADED)

    async def _look_for(self, job: Job) -> Job:
        """Is it there after all? A question may be asked anew; a letter waits for a person.

        A receipt may still come, and says more than the area does.
        """
        if REFUSED_ONCE in job.steps:  # what lies there is what was refused
            return await self._tell(job, "unknown")
        if await self.service.size_of(job.kind, job.zip_name) == job.size:
            return await self._to(job, JobState.UPLOADED)
        if job.state is JobState.UPLOADING:
            job = await self._to(job, JobState.UNKNOWN)
        waited = job.uploaded_at + timedelta(minutes=self.settings.DIGIPOST_ANSWER_MINUTES)
        if self.clock() < waited:
            return job
        if job.kind is JobKind.SPLIT:
            await self.ledger.jobs.free(job)
            return await self._to(job, JobState.ABANDONED)
        if self.settings.DIGIPOST_REUPLOAD == "auto":
            log.info("letters.job job_id=%s state=%s", job.id, JobState.READY)
            return await self.ledger.jobs.save(job.again(self.clock()))
        return await self._tell(job, "unknown")

    async def _see_to(self, job: Job) -> None:
        """What takes long is told of, once; questions of a campaign that is called off end."""
        stopped = self.campaign.phase is Phase.CANCELLING
        if stopped and job.kind is JobKind.SPLIT:
            await self.ledger.jobs.free(job)
            await self._to(job, JobState.ABANDONED)
            return
        now = self.clock()
        if job.state is JobState.UPLOADED:
            minutes = timedelta(minutes=self.settings.DIGIPOST_ANSWER_MINUTES)
            if job.uploaded_at + minutes <= now:
                job = await self._tell(job, "silent")
        hours = timedelta(hours=self.settings.DIGIPOST_RESULT_HOURS)
        if job.state is not JobState.UNKNOWN and job.uploaded_at + hours <= now:
            await self._tell(job, "no_result")

    async def _told(self, job: Job) -> Job:
        """The job, of which the ticket says how it stands with its letters; each thing once."""
        what = _TOLD.get(job.state, "")
        if job.kind is JobKind.SPLIT or not what or f"noted_{what}" in job.steps:
            return job
        jobs = await self.ledger.jobs.of(self.campaign.id)
        html = render(
            "letters.html",
            what=what,
            job=job,
            parts=sum(one.kind is job.kind and one.round == job.round for one in jobs),
            by_hand=self.settings.DIGIPOST_APPROVE == "portal",
            refused=REFUSED_ONCE in job.steps,
        )
        name = f"{self.campaign.run}/digipost-{job.number}-{what}-{job.uploads}"
        try:
            await post_once(self.builder.helpdesk, self.campaign.ticket_id, name, html)
        except PermanentError as error:  # the report tells of it all the same
            log.warning("letters.not_told job_id=%s because=%s", job.id, error)
        return await self.ledger.jobs.save(job.did(f"noted_{what}"))

    async def _tell(self, job: Job, what: str) -> Job:
        """People outside are told, once for this job."""
        if what in job.steps:
            return job
        log.warning("letters.%s job_id=%s", what, job.id)
        await self.ledger.alerts.raised(
            Alert.letter_job(self.campaign, job.number, what, job.uploads), self.clock()
        )
        return await self.ledger.jobs.save(job.did(what))

    async def _to(self, job: Job, state: JobState, **changes: object) -> Job:
        if job.state is state and not changes:
            return job
        log.info("letters.job job_id=%s state=%s", job.id, state)
        return await self.ledger.jobs.save(job.to(state, self.clock(), **changes))

    # --- a job is answered ---

    async def _stop_for(self, job: Job) -> None:
        """Digipost has refused all of it: the campaign stops, and goes on when somebody says so.

        Until then it keeps its deliveries, should Digipost say that it was delivered after all.
        """
        campaign = await self.ledger.campaigns.get(self.campaign.id)
        phase = campaign.phase if campaign else Phase.CANCELLING
        if HELD not in job.steps and phase is not Phase.CANCELLING:
            code, _, words = job.error.partition(": ")
            problem = BlockedError(
                "letter_job_failed", job=job.id, kind=job.kind, code=code, words=words
            )
            if await hold(self.campaign.id, problem, self.ledger.campaigns):
                await self.ledger.jobs.save(job.did(HELD))
        elif phase in {Phase.SENDING, Phase.CANCELLING}:
            job = await self.ledger.jobs.save(job.did(LETTING_GO))
            await self.ledger.jobs.free(job)
            await self.ledger.jobs.save(job.did(LET_GO))

    async def _check_contradictions(self, job: Job) -> None:
        """Raises BlockedError while those in this job may have got a letter by one before it."""
        if job.kind is JobKind.SEND:
            for other in await self.ledger.jobs.of(self.campaign.id):
                if other.id != job.id and CONTRADICTED in other.steps:
                    raise BlockedError("letter_contradicted", job=other.id)

    async def _apply(self, job: Job) -> None:
        """What the receipt says, delivery by delivery. Doing it again changes nothing."""
        if self.campaign.phase is not Phase.CANCELLING:  # or somebody goes on by another way
            await self._check_contradictions(job)
        data = await self.files.get(job.receipt)
        if data is None:
            raise BlockedError("letter_receipt_gone", job=job.id)
        name = job.receipt.rpartition("/")[2]
        receipt = await asyncio.to_thread(self.service.read_receipt, name, data)
        await self._answers.apply(job, receipt)
        await self._to(job, JobState.DONE)

    @property
    def _answers(self) -> Answers:
        return Answers(self.campaign, self.builder, self.ledger, self.settings, self.clock)


def _was_refused(job: Job) -> bool:
    """Whether it was refused, and still has its deliveries."""
    return job.state is JobState.FAILED and LET_GO not in job.steps
