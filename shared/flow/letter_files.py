"""Letter files: which document is the letter, what goes with it, and does Digipost take them?"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from shared.domain.letter import Letter
from shared.domain.message import File, LetterPlan, Message
from shared.domain.printable import Fault, faults_for_print, faults_for_web, inspect
from shared.errors import BlockedError, PermanentError
from shared.ports import Files, Typesetter
from shared.settings import Settings

log = logging.getLogger(__name__)

#: As many as a letter may have.
ATTACHMENTS = 99
PDF = "application/pdf"


def plan_letter(sent_along: Iterable[File], settings: Settings) -> LetterPlan:
    """What the letter consists of. Raises BlockedError where that cannot be told, or must not be.

    The one PDF is the letter; of several, the one whose name begins as DIGIPOST_MAIN_DOCUMENT
    says. Without any, the message is.
    """
    documents = [file for file in sent_along if not file.content_id]
    types = settings.DIGIPOST_FILE_TYPES.split(",")
    for file in documents:
        if _kind(file) not in types:
            raise BlockedError("letter_file_type", name=file.name, types=", ".join(types))
    pdfs = [file for file in documents if _kind(file) == "pdf"]
    main = pdfs[0] if len(pdfs) == 1 else None
    if len(pdfs) > 1:
        begins = settings.DIGIPOST_MAIN_DOCUMENT.casefold()
        named = [file for file in pdfs if file.name.casefold().startswith(begins)]
        if len(named) != 1:
            raise BlockedError(
                "which_document", begins=settings.DIGIPOST_MAIN_DOCUMENT, count=len(pdfs)
            )
        main = named[0]
    attachments = tuple(file for file in documents if file is not main)
    if len(attachments) > ATTACHMENTS:
        raise BlockedError("too_many_attachments", most=ATTACHMENTS)
    return LetterPlan(main, attachments)


def _kind(file: File) -> str:
    return PurePath(file.name).suffix.removeprefix(".").lower()


async def stored(message: Message, folder: str, files: Files, typesetter: Typesetter) -> Message:
    """The message, whose files are in store, with its letter there too if all get the same one."""
    assert message.letter
    kept = {file.original: file for file in message.files if file.original}
    main = message.letter.main
    plan = LetterPlan(
        kept[main.original] if main else None,
        tuple(kept[file.original] for file in message.letter.attachments),
    )
    message = replace(message, letter=plan)
    if plan.main or Letter.frozen(message).about_recipient:
        return message
    made = await _made(message, folder, files, typesetter)
    return replace(message, letter=replace(plan, main=made))


async def with_letter(
    message: Message, folder: str, files: Files, typesetter: Typesetter
) -> Message:
    """One recipient's message, with their letter among its files, where it is no file already."""
    if message.letter is None or message.letter.main:
        return message
    made = await _made(message, folder, files, typesetter)
    return replace(message, files=(made, *message.files))


async def _made(message: Message, folder: str, files: Files, typesetter: Typesetter) -> File:
    pdf = await typeset(message, typesetter, await pictures_in(message, files))
    blob = f"{folder}/letter.pdf"
    await files.put(blob, pdf)
    return File("brev.pdf", PDF, len(pdf), blob)


async def typeset(message: Message, typesetter: Typesetter, pictures: Mapping[str, bytes]) -> bytes:
    """The letter as a PDF. BlockedError when none can be made of it."""
    try:
        return await asyncio.to_thread(typesetter.letter, message, pictures)
    except PermanentError as error:
        log.error("letters.not_made because=%s", error)
        raise BlockedError("letter_not_made") from error


async def pictures_in(message: Message, files: Files) -> dict[str, bytes]:
    """The pictures that the text shows, by their content ids, from the store."""
    pictures = {}
    for file in message.files:
        if file.content_id and (data := await files.get(file.blob)):
            pictures[file.content_id] = data
    return pictures


async def documents_of(message: Message, files: Files) -> list[tuple[str, bytes]]:
    """The PDFs of its letter, by name, from the store."""
    plan = message.letter
    mains = [plan.main] if plan and plan.main else []
    pdfs = [one for one in (*mains, *(plan.attachments if plan else ())) if _kind(one) == "pdf"]
    return [(one.name, data) for one in pdfs if (data := await files.get(one.blob))]


async def unfit(documents: Sequence[tuple[str, bytes]], settings: Settings) -> list[BlockedError]:
    """What Digipost would not take, or not print, of these PDFs by name."""
    problems = []
    for name, pdf in documents:
        faults = await asyncio.to_thread(_faults, pdf, settings)
        if faults:
            problems.append(BlockedError("unfit_document", name=name, faults=",".join(faults)))
    return problems


def _faults(pdf: bytes, settings: Settings) -> list[Fault]:
    sheet = inspect(pdf)
    faults = faults_for_web(sheet)
    if "print" in settings.ways_on:
        more = faults_for_print(sheet, settings.DIGIPOST_PRINT_PAGES)
        faults += [fault for fault in more if fault not in faults]
    return faults
