"""Digipost, whole: job files for its area, receipts from it, and letters as they look on paper."""

import asyncio
from collections.abc import Mapping, Sequence
from io import BytesIO

from pypdf import PdfReader, PdfWriter
from pypdf.errors import PyPdfError

from shared.adapters.digipost_area import DigipostArea
from shared.adapters.digipost_job import JobFile
from shared.adapters.digipost_receipt import read_receipt
from shared.adapters.email import EmailChannel
from shared.adapters.paper import Cover, merged
from shared.adapters.typesetter import Typesetter, UnprintableError
from shared.domain.countries import country_name
from shared.domain.job_receipt import JobReceipt
from shared.domain.message import Message
from shared.errors import PermanentError
from shared.ports import Archived, Files, PaperLetter
from shared.settings import Settings

_MEGABYTE = 1024 * 1024
PDF = "application/pdf"


class Digipost(DigipostArea):
    """The area, and what is left there and fetched from it."""

    def new_file(self) -> JobFile:
        return JobFile()

    def read_receipt(self, name: str, data: bytes) -> JobReceipt:
        return read_receipt(name, data)


class Letters:
    """Letters as a medium: what they look like, and how large they may be."""

    name = "digipost"

    def __init__(
        self, settings: Settings, typesetter: Typesetter, mail: EmailChannel, files: Files
    ) -> None:
        self._settings = settings
        self._typesetter = typesetter
        self._mail = mail
        self._files = files

    def letter(self, message: Message, pictures: Mapping[str, bytes]) -> bytes:
        return self._typesetter.letter(message, pictures)

    async def largest(self) -> int:
        """As a letter; and as a mail, where those whom Digipost does not reach get one."""
        most = self._settings.DIGIPOST_MAX_MEGABYTES * _MEGABYTE
        by_mail = {"email", "ticket"} & set(self._settings.ways_on)
        return min(most, await self._mail.largest()) if by_mail else most

    async def try_out(self, message: Message, address: str) -> None:
        """As a mail with the letter attached: nothing is left with Digipost."""
        await self._mail.try_out(message, address)

    async def archive(self, campaign_id: str, message: Message) -> Archived:
        """The letter; one that is each recipient's own, with its placeholders as they stand."""
        plan = message.letter
        data = await self._files.get(plan.main.blob) if plan and plan.main else None
        if data is None:
            data = await self._typeset(message)
        return Archived(".pdf", PDF, data)

    async def on_paper(self, letters: Sequence[PaperLetter]) -> bytes:
        same: dict[str, bytes] = {}
        whole = []
        for one in letters:
            cover = Cover(one.name, one.address, country_name(one.address.country))
            whole.append((cover, await self._whole(one.message, same)))
        return await asyncio.to_thread(merged, whole, self._typesetter)

    async def _whole(self, message: Message, same: dict[str, bytes]) -> bytes:
        """The letter and its attachments in one PDF; in `same`, what others have as well."""
        plan = message.letter
        files = ([plan.main] if plan.main else []) + list(plan.attachments) if plan else []
        pdfs = [file.blob for file in files if file.name.lower().endswith(".pdf")]
        for blob in pdfs:
            if blob not in same:
                same[blob] = await self._file(blob)
        if plan and plan.main:
            key = "\n".join(pdfs)
            if key not in same:
                same[key] = await asyncio.to_thread(_joined, [same[blob] for blob in pdfs])
            return same[key]
        own = await self._typeset(message)
        return await asyncio.to_thread(_joined, [own, *(same[blob] for blob in pdfs)])

    async def _typeset(self, message: Message) -> bytes:
        pictures = {
            file.content_id: picture
            for file in message.files
            if file.content_id and (picture := await self._files.get(file.blob))
        }
        return await asyncio.to_thread(self.letter, message, pictures)

    async def _file(self, blob: str) -> bytes:
        data = await self._files.get(blob)
        if data is None:
            raise PermanentError(f"{blob} is gone from storage")
        return data


def _joined(pdfs: Sequence[bytes]) -> bytes:
    """One after the other, each beginning on a sheet of its own, to be printed on both sides."""
    if len(pdfs) == 1:
        return pdfs[0]
    writer = PdfWriter()
    try:
        for number, pdf in enumerate(pdfs):
            if number and len(writer.pages) % 2:
                writer.add_blank_page()  # as large as the one before
            writer.append(PdfReader(BytesIO(pdf)), import_outline=False)
        file = BytesIO()
        writer.write(file)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnprintableError(f"paper: {type(error).__name__}") from None
    return file.getvalue()
