"""Build a job's file: its deliveries read page by page, each told apart as Digipost finds people.

A letter's recipient is read from the ledger, all but the national identity number: that is read
from the helpdesk here, goes into the file and is kept nowhere else.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType

from shared.domain.addressee import (
    Addressee,
    Known,
    fingerprint,
)
from shared.domain.campaign import Campaign
from shared.domain.delivery import OpenDelivery, Outcome, Reason, Status
from shared.domain.letter import Letter
from shared.domain.letter_job import (
    Authentication,
    Job,
    JobDocument,
    JobKind,
    JobLetter,
    JobRecipient,
    JobSettings,
    Print,
    Sensitivity,
    document_uuid,
)
from shared.domain.letter_job import Settings as LetterSettings
from shared.domain.message import LetterPlan
from shared.domain.placeholders import has_placeholders
from shared.domain.recipient import Member, Recipient
from shared.domain.register import Answer, Entry
from shared.errors import BlockedError, ThrottledError
from shared.flow.frozen import Messages
from shared.flow.letter_files import pictures_in, typeset
from shared.flow.not_reached import PRINT, Ways
from shared.ledger import Ledger
from shared.ledger.jobs import Ends
from shared.ports import Files, Helpdesk, JobFile, LetterService, Parcel, Typesetter
from shared.settings import Settings

log = logging.getLogger(__name__)

#: How many are read, identified and written at a time: ten calls to the helpdesk at the most.
_PAGE = 640
_MAIN, _MAIN_FILE = "brev", "brev.pdf"
_NOTHING: Mapping[str, Entry] = MappingProxyType({})
#: So many may break a rule by themselves; of more, something else is wrong. Each is found by
#: building anew, which takes long where each letter is the recipient's own.
_UNFIT, _UNFIT_OWN = 20, 3
#: The helpdesk's limit is waited for so long; a host ends a function after five minutes.
_PATIENCE = timedelta(minutes=3)
#: So much of a subject Digipost takes. The preview tells of what is longer.
SUBJECT = 100


@dataclass(slots=True)
class Built:
    """A job's file, and those who cannot be in it."""

    parcel: Parcel | None = None  #: None: there is nobody left
    put_out: list[Ends] = field(default_factory=list)
    #: whose letters break a rule of Digipost's, and what is the matter with them
    unfit: dict[str, Reason] = field(default_factory=dict)
    waited: timedelta = timedelta(0)  #: for the helpdesk


@dataclass(frozen=True, slots=True)
class Builder:
    helpdesk: Helpdesk
    ledger: Ledger
    files: Files
    messages: Messages
    service: LetterService
    typesetter: Typesetter
    settings: Settings
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def build(self, campaign: Campaign, job: Job) -> Built:
        """The job's file, whoever of its deliveries can be in it. Nothing is changed.

        Whoever breaks a rule of Digipost's by themselves is put out, so that they stop nobody else.

        Raises BlockedError for what a person must put right, TransientError when the helpdesk does
        not answer. The same deliveries always come to the same file.
        """
        built = Built()
        most = _UNFIT_OWN if await self._are_own(campaign, job) else _UNFIT
        while True:
            try:
                return await self._built(campaign, job, built)
            except BlockedError as problem:
                id_ = str(problem.detail.get("id", ""))
                known = id_ in built.unfit or len(built.unfit) == most
                if problem.problem != "letter_rule" or known:
                    raise
                if not await self.ledger.deliveries.get_open(campaign.id, id_):
                    raise  # it is about something else
                subject = problem.detail.get("rule") == "subject"
                built.unfit[id_] = Reason.BAD_DOCUMENT if subject else Reason.BAD_IDENTITY
                log.warning("letters.unfit delivery_id=%s because=%s", id_, problem)

    async def _built(self, campaign: Campaign, job: Job, built: Built) -> Built:
        file = self.service.new_file()
        built.put_out.clear()
        try:
            if job.kind is JobKind.SPLIT:
                count = await self._ask(file, job, built)
            else:
                count = await self._write(file, campaign, job, built)
            if count:
                built.parcel = await asyncio.to_thread(file.finish)
        finally:
            file.close()
        return built

    async def room(self, campaign: Campaign, job: Job) -> int:
        """How many deliveries the job has room for. BlockedError when the letter is gone."""
        return self.settings.letters_in_a_job(await self._are_own(campaign, job))

    async def _are_own(self, campaign: Campaign, job: Job) -> bool:
        """Whether each letter in the job is its recipient's own."""
        return job.kind is JobKind.SEND and (await self._letter(campaign))[1].main is None

    # --- who is in Digipost? ---

    async def _ask(self, file: JobFile, job: Job, built: Built) -> int:
        await asyncio.to_thread(file.begin_split, settings_of(job, self.settings))
        count, before = 0, await self.register_of(job)
        async for some in self.ledger.jobs.owned(job, _PAGE):
            asked = []
            for opened, who in await self._people(some, built):
                known = self.known(job, opened, before)
                if recipient := self._recipient(opened, who, known, built):
                    asked.append(recipient)
            await asyncio.to_thread(file.add_recipients, asked)
            count += len(asked)
        return count

    # --- letters ---

    async def _write(self, file: JobFile, campaign: Campaign, job: Job, built: Built) -> int:
        letter, plan = await self._letter(campaign)
        documents = await self._shared_documents(file, letter, plan)
        if plan.main:
            await self._begin(file, job, letter, documents)
        shown = {} if plan.main else await pictures_in(letter.message, self.files)
        count = 0
        own: list[JobLetter] = []
        async for some in self.ledger.jobs.owned(job, _PAGE):
            page = []
            for opened, who in await self._people(some, built):
                known = self.known(job, opened)
                if recipient := self._recipient(opened, who, known, built):
                    page.append(self._job_letter(job, opened, recipient, letter, documents))
            if plan.main:
                await asyncio.to_thread(file.add_letters, page)
            else:
                by_id = {opened.id: opened for opened in some}
                page = [
                    one
                    for one in page
                    if await self._made(file, by_id[one.id], letter, shown, built)
                ]
                own += page
            count += len(page)
        if not plan.main and own:
            mains = [JobDocument(_own(one.id), f"brev/{one.id}.pdf", self._main()) for one in own]
            await self._begin(file, job, letter, [*mains, *documents])
            await asyncio.to_thread(file.add_letters, own)
        return count

    async def _letter(self, campaign: Campaign) -> tuple[Letter, LetterPlan]:
        try:
            letter = await self.messages.of(campaign.id)
        except LookupError as error:
            raise BlockedError("message_gone") from error
        if letter.message.letter is None:
            raise BlockedError("message_gone")
        return letter, letter.message.letter

    async def _begin(
        self, file: JobFile, job: Job, letter: Letter, documents: Sequence[JobDocument]
    ) -> None:
        subject = letter.message.subject
        shared = LetterSettings(
            subject=None if has_placeholders(subject) else subject[:SUBJECT],
            authentication=Authentication(self.settings.DIGIPOST_AUTHENTICATION),
            sensitivity=Sensitivity(self.settings.DIGIPOST_SENSITIVITY),
        )
        await asyncio.to_thread(file.begin_send, settings_of(job, self.settings), shared, documents)

    async def _shared_documents(
        self, file: JobFile, letter: Letter, plan: LetterPlan
    ) -> list[JobDocument]:
        """What is the same for everybody: once in the file, however many get it."""
        documents = []
        if plan.main:
            await asyncio.to_thread(file.add_file, _MAIN_FILE, await self._bytes(plan.main.blob))
            documents.append(JobDocument(_MAIN, _MAIN_FILE, self._main()))
        for number, attachment in enumerate(plan.attachments, 1):
            stem, _, kind = attachment.name.rpartition(".")
            path = f"vedlegg-{number}.{kind.lower()}"
            await asyncio.to_thread(file.add_file, path, await self._bytes(attachment.blob))
            title = LetterSettings(subject=(stem or attachment.name)[:SUBJECT])
            documents.append(JobDocument(f"vedlegg-{number}", path, title))
        return documents

    async def _made(
        self,
        file: JobFile,
        opened: OpenDelivery,
        letter: Letter,
        shown: Mapping[str, bytes],
        built: Built,
    ) -> bool:
        """A letter of their own in the file; put out when none can be made of what it says."""
        try:
            pdf = await typeset(letter.to(opened.recipient), self.typesetter, shown)
        except BlockedError:
            built.put_out.append(Ends(opened, Outcome(Status.FAILED, Reason.BAD_DOCUMENT)))
            return False
        await asyncio.to_thread(file.add_file, f"brev/{opened.id}.pdf", pdf)
        return True

    def _job_letter(
        self,
        job: Job,
        opened: OpenDelivery,
        recipient: JobRecipient,
        letter: Letter,
        documents: Sequence[JobDocument],
    ) -> JobLetter:
        ids = [document.id for document in documents]
        if _MAIN not in ids:
            ids.insert(0, _own(opened.id))
        own_subject = None
        if has_placeholders(letter.message.subject):
            own_subject = letter.to(opened.recipient).subject[:SUBJECT]
        return JobLetter(
            id=opened.id,
            recipient=recipient,
            documents=tuple(
                (document_uuid(job.id, opened.id, number), id_) for number, id_ in enumerate(ids)
            ),
            settings=LetterSettings(subject=own_subject),
            print=self._print(opened),
        )

    def _print(self, opened: OpenDelivery) -> Print | None:
        """What it is printed with, where it is to be, and can be."""
        back = self.settings.DIGIPOST_RETURN_ADDRESS
        addressee = opened.recipient.addressee
        wanted = opened.channel == PRINT or Ways.of(self.settings).print_first
        if not (wanted and back and addressee and addressee.postal):
            return None
        return Print(opened.recipient.name[:130], addressee.postal, back.name, back.address)

    # --- both ---

    async def register_of(self, job: Job) -> Mapping[str, Entry]:
        """What the register has of those in the job, by member, as far as they are still who they
        were. Once a job: of many it reads the whole register.
        """
        if self.settings.DIGIPOST_REGISTER == "off":
            return {}
        people: dict[str, str] = {}
        async for some in self.ledger.jobs.owned(job):
            people |= {
                one.recipient.member: fingerprint(one.recipient.addressee)
                for one in some
                if one.recipient.addressee
            }
        entries = await self.ledger.register.entries(people)
        return {m: entry for m, entry in entries.items() if entry.fingerprint == people[m]}

    def known(
        self, job: Job, opened: OpenDelivery, register: Mapping[str, Entry] = _NOTHING
    ) -> Known | None:
        """What a delivery's recipient may be found by in this job, beside what we know ourselves.

        For a letter that is what Digipost has said in this round, if it was asked.
        """
        if job.kind is JobKind.SEND:
            answer = Answer.of(opened.answer)
            return answer.known if answer else None
        entry = register.get(opened.recipient.member)
        return entry.known if entry else None

    async def _people(
        self, some: Sequence[OpenDelivery], built: Built
    ) -> list[tuple[OpenDelivery, Addressee | None]]:
        """Each with who they are, and their national identity number where they have one."""
        with_id = [
            one.recipient.member
            for one in some
            if one.recipient.addressee and one.recipient.addressee.has_national_id
        ]
        today = await self._as_registered(with_id, built) if with_id else {}
        people = []
        for one in some:
            addressee, member = one.recipient.addressee, today.get(one.recipient.member)
            if addressee and member and member.addressee:
                addressee = replace(addressee, national_id=member.addressee.national_id)
            people.append((one, addressee))
        return people

    async def _as_registered(self, members: Sequence[str], built: Built) -> Mapping[str, Member]:
        """Read anew from the helpdesk, whose limit a large job meets: it waits for a while then.

        Nothing of what has been read could be kept for a later try.
        """
        while True:
            try:
                return await self.helpdesk.people(members)
            except ThrottledError as error:
                built.waited += error.retry_after
                if built.waited > _PATIENCE:
                    raise
                await self.pause(error.retry_after.total_seconds())

    def _recipient(
        self,
        opened: OpenDelivery,
        addressee: Addressee | None,
        known: Known | None,
        built: Built,
    ) -> JobRecipient | None:
        """The delivery's recipient in a job; None, and put out, when there is nothing to go by, or
        the test list no longer lets them through.
        """
        if not Ways.of(self.settings).lets_through(opened.recipient):
            built.put_out.append(Ends(opened, Outcome(Status.SKIPPED, Reason.NOT_ON_TEST_LIST)))
            return None
        if opened.id in built.unfit:
            built.put_out.append(Ends(opened, Outcome(Status.FAILED, built.unfit[opened.id])))
            return None
        found = JobRecipient.found(opened.id, addressee, known) if addressee else None
        if found is None:
            built.put_out.append(Ends(opened, Outcome(Status.SKIPPED, Reason.NO_IDENTITY)))
        return found

    def _main(self) -> LetterSettings:
        """What holds for the main document alone: one SMS for a letter is enough."""
        return LetterSettings(sms_after_hours=self.settings.sms_after_hours or None)

    async def _bytes(self, blob: str) -> bytes:
        data = await self.files.get(blob)
        if data is None:
            raise BlockedError("message_gone")
        return data


def settings_of(job: Job, settings: Settings) -> JobSettings:
    return JobSettings(
        sender=settings.DIGIPOST_SENDER_ID,
        job=job.id,
        broker=settings.DIGIPOST_BROKER_ID or None,
        name=f"Utsendelse {job.partition}",
        auto_approve=job.kind is JobKind.SPLIT or settings.DIGIPOST_APPROVE == "auto",
        client="Utsendelse",
    )


def is_of(entry: Entry, recipient: Recipient) -> bool:
    """Whether it is still the same person, or company, that the register tells of."""
    addressee = recipient.addressee
    return addressee is not None and entry.fingerprint == fingerprint(addressee)


def _own(delivery: str) -> str:
    """The id of a document that is one recipient's own. An XML id begins with a letter."""
    return f"brev-{delivery}"
