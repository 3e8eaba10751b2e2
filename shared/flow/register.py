"""Register: ask Digipost about everybody on the recipient lists, and keep what it answers.

    a round begins ─▶ lists read, some at a time ─▶ split job ─▶ answered ─▶ in the register
         (weekly)         └─ until all are read ◀─┘

Asking twice is harmless, and so is asking too late: whoever is not in the register when a letter is
to go is asked about then. So nothing here waits for a person. A question that may be lost is given
up and asked anew in the next round, and what was known before stands until it is answered.

Whom a job asks about, and by what, is in our store before it leaves, without the numbers.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import uuid4

from shared.domain.addressee import Identity, Known, fingerprint
from shared.domain.alert import Alert
from shared.domain.campaign import LETTERS
from shared.domain.job_receipt import JobReceipt
from shared.domain.letter_job import (
    Job,
    JobKind,
    JobRecipient,
    JobState,
    job_id,
)
from shared.domain.recipient import LeftOutReason, Member, letter_recipient_of
from shared.domain.register import Entry, Standing, Survey, learnt
from shared.errors import (
    BlockedError,
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.flow.build_job import settings_of
from shared.flow.watch import Watch
from shared.ledger import Ledger
from shared.ports import Clock, Files, Helpdesk, LetterService, Parcel, RecipientLists
from shared.settings import Settings

log = logging.getLogger(__name__)

#: Where the jobs are in the ledger, and where their files and receipts are kept.
REGISTER = "register"
#: Whoever has it has died by then: the host ends a function after five minutes.
_MOVING = timedelta(minutes=10)
#: A run begins nothing slow after that.
_LONGEST = timedelta(minutes=2)
#: A job that did not leave is made anew then.
_LATER = timedelta(minutes=10)


async def register(
    *,
    service: LetterService,
    helpdesk: Helpdesk,
    directory: RecipientLists,
    ledger: Ledger,
    files: Files,
    watch: Watch,
    settings: Settings,
    clock: Clock,
) -> None:
    """Begin a round, unless one is under way. What Digipost has never answered is given up first.

    Does nothing where there is no register.
    """
    keeper = _Keeper(service, helpdesk, directory, ledger, files, watch, settings, clock)
    if keeper.is_on:
        await keeper.alone(keeper.begin)


async def move_register(
    *,
    service: LetterService,
    helpdesk: Helpdesk,
    directory: RecipientLists,
    ledger: Ledger,
    files: Files,
    watch: Watch,
    settings: Settings,
    clock: Clock,
) -> None:
    """The round that is under way, as far as it comes now. With none, one request to the storage.

    Stopping between any two lines leaves a round that the next call takes up where it was.
    """
    keeper = _Keeper(service, helpdesk, directory, ledger, files, watch, settings, clock)
    if keeper.is_on and await keeper.under_way():
        await keeper.alone(keeper.move)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What somebody was asked about by, and who they were then. Never the thing itself."""

    by: Identity
    fingerprint: str


@dataclass(slots=True)
class _Gathered:
    """Those whom the next job asks about, and how far they bring the reading."""

    survey: Survey
    recipients: list[JobRecipient] = field(default_factory=list)
    asked: dict[str, _Asked] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Keeper:
    service: LetterService
    helpdesk: Helpdesk
    directory: RecipientLists
    ledger: Ledger
    files: Files
    watch: Watch
    settings: Settings
    clock: Clock

    @property
    def is_on(self) -> bool:
        return self.settings.DIGIPOST_REGISTER == "on" and self.settings.sends_letters

    async def under_way(self) -> Survey | None:
        survey = await self.ledger.register.survey()
        return None if survey is None or survey.over else survey

    async def alone(self, do: Callable[[], Awaitable[None]]) -> None:
        """On one host at a time. What fails is for the next run."""
        claim = await self.ledger.reports.take(REGISTER, self.clock(), _MOVING)
        if claim is None:
            return
        try:
            await do()
        except UtsendelseError as error:
            log.warning("register.postponed because=%s", error)
        finally:  # a bug is met again in a minute
            await self.ledger.reports.release(REGISTER, claim)

    # --- a round begins ---

    async def begin(self) -> None:
        before = await self.ledger.register.survey()
        if before and not before.over:
            await self._give_up_overdue(before)
            if not await self._ended(before):
                log.warning("register.under_way survey=%s", before.number)
                await self.move()
                return
            before = await self.ledger.register.survey()
        await self.files.remove_all(REGISTER)  # all of it is in the register by now
        survey = Survey(
            number=before.number + 1 if before else 1,
            nonce=uuid4().hex,
            began_at=self.clock(),
            version=before.version if before else "",
        )
        await self.ledger.register.save_survey(survey)
        log.info("register.begun survey=%s", survey.number)
        await self.move()

    async def _give_up_overdue(self, survey: Survey) -> None:
        """An answer that never came is waited for until the next round, and no longer."""
        patience = timedelta(hours=self.settings.DIGIPOST_RESULT_HOURS)
        for job in await self._jobs(survey):
            if job.may_be_with_digipost and job.state is not JobState.ANSWERED:
                if job.uploaded_at + patience > self.clock():
                    continue
                if job.state is JobState.UPLOADING:
                    job = await self._to(job, JobState.UNKNOWN)
                await self._to(job, JobState.ABANDONED)

    # --- it moves ---

    async def move(self) -> None:
        survey = await self.under_way()
        if survey is None:
            return
        for job in await self._jobs(survey):
            await self._carry(job)
        until = self.clock() + _LONGEST
        while not survey.read and self.clock() < until and await self._may_ask():
            on = await self._ask_some(survey, until)
            if on == survey:
                return  # what failed in passing is for the next minute
            survey = on
        await self._ended(survey)

    async def _ended(self, survey: Survey) -> bool:
        """Whether every list is read and every job has ended; that is noted then."""
        jobs = await self._jobs(survey)
        if not survey.read or any(job.open for job in jobs):
            return False
        await self.ledger.register.save_survey(replace(survey, over=True))
        for job in jobs:
            await self.files.remove_all(_folder(job))
        log.info("register.over survey=%s jobs=%s", survey.number, len(jobs))
        return True

    async def _jobs(self, survey: Survey) -> list[Job]:
        mark = f".{survey.nonce[:8]}."
        return [job for job in await self.ledger.jobs.of(REGISTER) if mark in job.id]

    async def _may_ask(self) -> bool:
        now = self.clock()
        return await self.watch.closed_until(LETTERS, now) <= now

    async def _carry(self, job: Job) -> None:
        """As far as a job comes that has been uploaded, or may have been."""
        if job.state in {JobState.UPLOADING, JobState.UNKNOWN}:
            job = await self._look_for(job)
        if job.state is JobState.ANSWERED:
            await self._apply(job)
        elif job.state is JobState.FAILED:
            await self._tell(job, "failed")
        elif job.may_be_with_digipost and job.state is not JobState.UNKNOWN:
            hours = timedelta(hours=self.settings.DIGIPOST_RESULT_HOURS)
            if job.uploaded_at + hours <= self.clock():
                await self._tell(job, "no_result")

    async def _look_for(self, job: Job) -> Job:
        """Is it there after all? If not, the next round asks anew."""
        if await self.service.size_of(job.kind, job.zip_name) == job.size:
            return await self._to(job, JobState.UPLOADED)
        if job.state is JobState.UPLOADING:
            job = await self._to(job, JobState.UNKNOWN)
        waited = job.uploaded_at + timedelta(minutes=self.settings.DIGIPOST_ANSWER_MINUTES)
        return job if self.clock() < waited else await self._to(job, JobState.ABANDONED)

    async def _tell(self, job: Job, what: Literal["failed", "no_result"]) -> None:
        """People are told, once in a round: what is wrong with one job is so with the next."""
        if what in job.steps:
            return
        if what == "failed":
            log.warning("register.failed job_id=%s code=%s", job.id, job.error.partition(": ")[0])
        else:
            log.warning("register.no_result job_id=%s", job.id)
        await self.ledger.alerts.raised(Alert.register(job.round, what), self.clock())
        await self.ledger.jobs.save(job.did(what))

    async def _to(self, job: Job, state: JobState, **changes: object) -> Job:
        log.info("register.job job_id=%s state=%s", job.id, state)
        return await self.ledger.jobs.save(job.to(state, self.clock(), **changes))

    # --- whom to ask about ---

    async def _ask_some(self, survey: Survey, until: datetime) -> Survey:
        """One job with those who come next; the round as it stands then."""
        jobs = await self._jobs(survey)
        again = next((job for job in jobs if job.state is JobState.READY), None)
        if again and again.not_before > self.clock():
            return survey
        seen: set[str] = set()
        for job in jobs:
            if job is not again:
                seen |= (await self._asked(job)).keys()
        gathered = await self._gather(survey, seen, until)
        job = again or self._next_job(survey, await self.ledger.jobs.of(REGISTER))
        parcel = await asyncio.to_thread(self._build, job, gathered)
        left = True
        if parcel:
            left = await self._leave(job, parcel, gathered.asked)
        elif again:
            await self._to(again, JobState.ABANDONED)
        return await self.ledger.register.save_survey(gathered.survey) if left else survey

    def _next_job(self, survey: Survey, jobs: Sequence[Job]) -> Job:
        number = max((job.number for job in jobs), default=0) + 1
        kind = JobKind.SPLIT
        return Job(
            id=job_id(self.settings.INSTALLATION, REGISTER, survey.nonce, kind, number),
            partition=REGISTER,
            kind=kind,
            number=number,
            round=survey.number,
            state=JobState.READY,
            created_at=self.clock(),
            changed_at=self.clock(),
        )

    async def _gather(self, survey: Survey, seen: Collection[str], until: datetime) -> _Gathered:
        """As many as a job holds, from where the reading stands; fewer when the time is over."""
        gathered = _Gathered(survey)
        most = self.settings.DIGIPOST_LETTERS_PER_JOB
        before = {
            entry.member: (entry.fingerprint, entry.known)
            async for entry in self.ledger.register.all()
            if entry.digipost_address or entry.alias
        }
        async with aclosing(self._members(survey, until)) as members:
            async for member, reached in members:
                gathered.survey = reached
                if member is None or str(member) in seen or str(member) in gathered.asked:
                    continue
                if asked := self._question(member, before.get(str(member))):
                    recipient, about = asked
                    gathered.recipients.append(recipient)
                    gathered.asked[recipient.id] = about
                    if len(gathered.recipients) == most:
                        break
        return gathered

    async def _members(
        self, survey: Survey, until: datetime
    ) -> AsyncGenerator[tuple[Member | None, Survey]]:
        """Each membership from there on, with how far the reading has come with it.

        Ends early when the time is over; at least one page is read. The last one is nobody.
        """
        lists = sorted(await self.directory.lists(), key=lambda one: one.id)
        for one in lists:
            if one.id < survey.list_id:
                continue
            if one.id > survey.list_id:
                survey = replace(survey, list_id=one.id, start=0)
            shown = ""
            while True:
                try:
                    page = await self.helpdesk.members(one.id, survey.start)
                except PermanentError as error:
                    log.warning("register.list_unread list_id=%s because=%s", one.id, error)
                    break
                if page.members and page.fingerprint == shown:
                    log.warning("register.list_unread list_id=%s because=no_pages", one.id)
                    break
                shown = page.fingerprint
                for member in page.members:
                    survey = replace(survey, start=survey.start + 1)
                    yield member, survey
                if page.last or not page.members:
                    break
                if self.clock() >= until:
                    return
            survey = replace(survey, list_id=one.id + 1, start=0)
            yield None, survey
            if self.clock() >= until and one is not lists[-1]:
                return
        yield None, replace(survey, read=True)

    def _question(
        self, member: Member, before: tuple[str, Known] | None
    ) -> tuple[JobRecipient, _Asked] | None:
        """What the member is asked about by; None for those who would get no letter either.

        What Digipost found them by counts for as long as they are the same person.
        """
        allowed = letter_recipient_of(member, self.settings.allowed, self.settings.campaign_users)
        who = member.addressee
        if isinstance(allowed, LeftOutReason) or who is None:
            return None
        print_ = fingerprint(who)
        known = before[1] if before and before[0] == print_ else None
        found = JobRecipient.found(str(member), who, known)
        return (found, _Asked(found.by, print_)) if found else None

    # --- a job leaves ---

    async def _leave(self, job: Job, parcel: Parcel, asked: Mapping[str, _Asked]) -> bool:
        """Whether it is out of our hands; otherwise the same people are asked about again."""
        try:
            await self.files.put(f"{_folder(job)}/asked.json", _written(asked))
            noted = job.leaves(
                self.clock(), letters=parcel.letters, size=parcel.size, sha256=parcel.sha256
            )
            keep = self.ledger.jobs.save if job.version else self.ledger.jobs.add
            return await self._upload(await keep(noted), parcel)
        finally:
            parcel.close()

    async def _upload(self, job: Job, parcel: Parcel) -> bool:
        try:
            await self.service.upload(job.kind, job.zip_name, parcel.file, parcel.size)
        except (ThrottledError, StoppedError) as error:
            await self.watch.rest(LETTERS, error, self.clock())
        except TransientError as error:
            log.warning("register.later job_id=%s because=%s", job.id, error)
        except PermanentError as error:
            await self._tell(await self._to(job, JobState.FAILED, error=str(error)), "failed")
            return True
        except UncertainError as error:
            log.warning("register.unknown job_id=%s because=%s", job.id, error)
            await self._to(job, JobState.UNKNOWN)
            return True
        else:
            await self.watch.went_through((LETTERS,), self.clock())
            log.info("register.uploaded job_id=%s members=%s", job.id, job.letters)
            await self._to(job, JobState.UPLOADED)
            return True
        later = self.clock() + _LATER
        await self._to(job, JobState.READY, uploads=0, not_before=later)  # nothing of it is there
        return False

    def _build(self, job: Job, gathered: _Gathered) -> Parcel | None:
        """The job's file, with everybody who can be in it; None when that is nobody.

        One whose data break a rule of Digipost's keeps nobody else from being asked about.
        """
        if not gathered.recipients:
            return None
        try:
            return self._file(job, gathered.recipients)
        except BlockedError as error:
            fit = [one for one in gathered.recipients if self._is_fit(job, one)]
            if len(fit) == len(gathered.recipients):
                raise
            if not fit and len(gathered.recipients) > 1:
                raise  # it is the job that is wrong
            left_out = len(gathered.recipients) - len(fit)
            log.warning("register.left_out members=%s because=%s", left_out, error)
            gathered.asked = {one.id: gathered.asked[one.id] for one in fit}
            return self._file(job, fit) if fit else None

    def _is_fit(self, job: Job, one: JobRecipient) -> bool:
        try:
            self._file(job, [one]).close()
        except BlockedError:
            return False
        return True

    def _file(self, job: Job, recipients: Sequence[JobRecipient]) -> Parcel:
        file = self.service.new_file()
        try:
            file.begin_split(settings_of(job, self.settings))
            file.add_recipients(recipients)
            return file.finish()
        finally:
            file.close()

    # --- a job is answered ---

    async def _asked(self, job: Job) -> Mapping[str, _Asked]:
        data = await self.files.get(f"{_folder(job)}/asked.json")
        return _read(data) if data else {}

    async def _apply(self, job: Job) -> None:
        """What the receipt says of those whom we asked about. Doing it again changes nothing.

        Who is not in it stays as they were. Without the receipt, the next round asks anew.
        """
        asked = await self._asked(job)
        receipt = await self._receipt(job)
        if receipt is None:
            await self._to(job, JobState.DONE)
            return
        results = {id_: one for id_, one in receipt.by_recipient.items() if id_ in asked}
        before = await self.ledger.register.entries(results)
        entries: list[Entry] = []
        for member, result in results.items():
            about = asked[member]
            new = Entry(
                member,
                Standing.UNKNOWN,
                by=about.by,
                asked_at=min(receipt.ended_at or job.uploaded_at, self.clock()),
                job=job.id,
                fingerprint=about.fingerprint,
            )
            if (entry := learnt(before.get(member), new, result)) is not None:
                entries.append(entry)
        await self.ledger.register.keep(entries)
        if len(results) < len(asked):
            log.warning(
                "register.unanswered job_id=%s members=%s", job.id, len(asked) - len(results)
            )
        log.info("register.learnt job_id=%s members=%s", job.id, len(entries))
        await self._to(job, JobState.DONE)

    async def _receipt(self, job: Job) -> JobReceipt | None:
        """None, and told of in the log, when it is not there any more, or is spoilt."""
        data = await self.files.get(job.receipt)
        try:
            if data is None:
                raise PermanentError("it is gone")
            return self.service.read_receipt(job.receipt.rpartition("/")[2], data)
        except PermanentError as error:
            log.error("register.no_receipt job_id=%s because=%s", job.id, error)
            return None


def _folder(job: Job) -> str:
    return f"{REGISTER}/{job.id}"


def _written(asked: Mapping[str, _Asked]) -> bytes:
    return json.dumps({member: [one.by, one.fingerprint] for member, one in asked.items()}).encode()


def _read(data: bytes) -> dict[str, _Asked]:
    return {member: _Asked(Identity(by), of) for member, (by, of) in json.loads(data).items()}
