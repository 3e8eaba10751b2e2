"""Preview of letters: how people would be found, what the letter is, and what to think of first."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from pathlib import PurePath

from shared.domain.addressee import Identity, asked_by
from shared.domain.helpdesk import Attachment
from shared.domain.message import File, Message
from shared.domain.placeholders import MissingValueError
from shared.domain.printable import Fault, advice, inspect
from shared.domain.recipient import Recipient
from shared.domain.register import Standing
from shared.errors import BlockedError, PermanentError
from shared.flow.build_job import SUBJECT, is_of
from shared.flow.draft import Draft
from shared.flow.letter_files import unfit
from shared.ledger import Ledger
from shared.ports import Helpdesk, LetterMedium
from shared.settings import Settings

#: Without asking first, Digipost has it up to so many letters and so many bytes of each.
_SEND_ONLY, _SEND_ONLY_BYTES = 1_000, 150_000


@dataclass(slots=True)
class Found:
    """By what those who get a letter would be found in Digipost; None: by nothing."""

    by: Counter[Identity | None] = field(default_factory=Counter)
    known: Counter[Standing] = field(default_factory=Counter)  #: not asked: the register says it


@dataclass(frozen=True, slots=True)
class Document:
    """A file of the letter. What is not a PDF has no pages."""

    name: str
    size: int
    pages: int = 0


@dataclass(slots=True)
class LetterLook:
    """What a letter would be, and what whoever sends it should know."""

    found: Found
    main: Document | None = None  #: None where it could not be had
    written: bool = False  #: made from the message
    own: bool = False  #: each recipient's own
    attachments: list[Document] = field(default_factory=list)
    problems: list[BlockedError] = field(default_factory=list)
    advice: set[Fault] = field(default_factory=set)
    long_subject: bool = False
    jobs: int = 1  #: at the least
    ask_first: bool = False  #: so much that those who are not in Digipost should be found first

    @property
    def by_address(self) -> int:
        """How many are looked for by name and address, which takes long."""
        return self.found.by[Identity.NAME_AND_ADDRESS]

    @property
    def size(self) -> int:
        return sum(one.size for one in (self.main, *self.attachments) if one)


async def how_found(
    people: Sequence[Recipient], ledger: Ledger, settings: Settings, now: datetime
) -> Found:
    """As a job would: by the register, where there is one, or by what is registered of them."""
    entries = {}
    if settings.DIGIPOST_REGISTER == "on" and people:
        entries = await ledger.register.entries([one.member for one in people])
    age = timedelta(days=settings.DIGIPOST_REGISTER_MAX_AGE_DAYS)
    found = Found()
    for one in people:
        entry = entries.get(one.member)
        if entry and not is_of(entry, one):
            entry = None
        if entry and not settings.DIGIPOST_SPLIT and entry.is_fresh(now, age):
            found.known[entry.standing] += 1
        elif one.addressee:
            found.by[asked_by(one.addressee, entry.known if entry else None)] += 1
    return found


async def look_at_letter(
    drafted: Draft,
    found: Found,
    planned: int,
    picked: Recipient | None,
    *,
    medium: LetterMedium,
    helpdesk: Helpdesk,
    settings: Settings,
) -> LetterLook:
    """The letter as it would be; one that is each recipient's own, as one of them gets it."""
    look = LetterLook(found)
    message = _theirs(drafted, picked)
    look.long_subject = len(message.subject) > SUBJECT
    too_large = any(problem.problem == "too_large" for problem in drafted.problems)
    if (plan := drafted.message.letter) and not too_large:
        originals = {original.id: original for original in drafted.originals}
        bytes_of = _Bytes(originals, drafted.contents, helpdesk)
        look.written = plan.main is None
        look.own = bool(look.written and drafted.letter and drafted.letter.about_recipient)
        pdfs: list[tuple[str, bytes]] = []
        if plan.main:
            look.main = await _document(plan.main, bytes_of, look, pdfs)
        else:
            look.main = await _written(message, bytes_of, medium, look, pdfs)
        for attachment in plan.attachments:
            one = await _document(attachment, bytes_of, look, pdfs)
            look.attachments.append(one or Document(attachment.name, attachment.size))
        look.problems += await unfit(pdfs, settings)
    look.jobs = max(1, ceil(planned / settings.letters_in_a_job(look.own)))
    much = planned >= _SEND_ONLY or look.size > _SEND_ONLY_BYTES
    look.ask_first = much and not settings.asks_digipost
    return look


@dataclass(frozen=True, slots=True)
class _Bytes:
    """What is in the files while they are still in the helpdesk."""

    originals: Mapping[int, Attachment]
    contents: Mapping[str, bytes]
    helpdesk: Helpdesk

    async def of(self, file: File) -> bytes:
        if not file.original:
            return self.contents[file.content_id]
        try:
            return await self.helpdesk.download(self.originals[file.original])
        except PermanentError as error:
            raise BlockedError("unreadable_file", name=file.name) from error


async def _document(
    file: File, bytes_of: _Bytes, look: LetterLook, pdfs: list[tuple[str, bytes]]
) -> Document | None:
    if PurePath(file.name).suffix.lower() != ".pdf":
        return Document(file.name, file.size)
    try:
        pdf = await bytes_of.of(file)
    except BlockedError as problem:
        look.problems.append(problem)
        return None
    return await _inspected(file.name, pdf, look, pdfs)


async def _written(
    message: Message,
    bytes_of: _Bytes,
    medium: LetterMedium,
    look: LetterLook,
    pdfs: list[tuple[str, bytes]],
) -> Document | None:
    try:
        shown = {one.content_id: await bytes_of.of(one) for one in message.files if one.content_id}
        pdf = await asyncio.to_thread(medium.letter, message, shown)
    except BlockedError as problem:
        look.problems.append(problem)
        return None
    except PermanentError:
        look.problems.append(BlockedError("letter_not_made"))
        return None
    return await _inspected("brev.pdf", pdf, look, pdfs)


async def _inspected(
    name: str, pdf: bytes, look: LetterLook, pdfs: list[tuple[str, bytes]]
) -> Document:
    pdfs.append((name, pdf))
    sheet = await asyncio.to_thread(inspect, pdf)
    look.advice |= set(advice(sheet))
    return Document(name, len(pdf), sheet.pages)


def _theirs(drafted: Draft, picked: Recipient | None) -> Message:
    """One recipient's message; with its placeholders as they stand where nobody is picked."""
    if drafted.letter and picked:
        try:
            return drafted.letter.to(picked)
        except MissingValueError:
            pass
    return drafted.message
