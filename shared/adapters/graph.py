"""E-mail through Microsoft Graph, in two effects: a draft in the sender's mailbox, then its send.

before /send   nothing has gone. The draft is noted once it is whole, attachments included; one
               that was interrupted before that is an orphan in Drafts, and is never sent
/send          a clear answer decides; without one the mailbox is looked into, later

What is not known of Graph, and so not relied on: whether it keeps the Message-ID (and headers
such as Auto-Submitted) of a draft made from MIME, whether a draft's id survives its sending, and
for how long a mail on its way still looks like a draft. The envelope's sender is the mailbox.
"""

import asyncio
import base64
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import httpx
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError
from pydantic import Field

from shared.adapters.graph_wire import (
    Graph,
    Progress,
    Refusal,
    Step,
    Told,
    in_our_words,
    told,
    with_query,
)
from shared.adapters.transport import Mail
from shared.domain.delivery import Outcome
from shared.domain.html import safe_file_name
from shared.domain.message import File
from shared.domain.pictures import shown
from shared.errors import PermanentError, UncertainError
from shared.ports import Clock, Note, Promise, Receipt
from shared.settings import Settings

#: What Exchange Online takes of a whole mail, unless somebody has changed it.
LARGEST = 35 * 1024 * 1024
#: A request may have 4 MB, and base64 makes a third more of it. In practice MIME of more than
#: 2,240 kB is answered with 200 and forgotten (microsoft-graph-docs#13979).
LARGEST_MIME = 2 * 1024 * 1024
#: From here on a file wants an upload session, below it must not have one. Whether their MB has
#: 1,000 or 1,024 kB is not documented; see `_upload`.
SESSION_FROM = 3_000_000
_TOO_SMALL = "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"
#: Below 4 MB, and a multiple of 320 KiB, as other upload sessions of Graph demand.
CHUNK = 12 * 320 * 1024
_REMOVING_SECONDS = 5

Files = Sequence[tuple[File, bytes]]


Name = Annotated[str, Field(min_length=1)]


class _Draft(Told):
    id: Name
    internet_message_id: Name


class _Found(Told):
    id: Name
    is_draft: bool


class _Messages(Told):
    value: list[_Found]


class _Session(Told):
    upload_url: str


@dataclass(frozen=True, slots=True)
class _Reference:
    """A whole draft: in whose mailbox, and by which names."""

    mailbox: str
    draft: str
    message_id: str

    @classmethod
    def of(cls, text: str) -> "_Reference":
        """Raises UncertainError for what is none: nobody knows what it stands for."""
        try:
            match json.loads(text):
                case [str(mailbox), str(draft), str(name)] if mailbox and draft and name:
                    return cls(mailbox, draft, name)
        except ValueError:
            pass
        raise UncertainError("graph: what was noted is not the reference of a draft")

    def __str__(self) -> str:
        return json.dumps([self.mailbox, self.draft, self.message_id], separators=(",", ":"))


class GraphTransport:
    """Sends each mail as a draft of its sender's mailbox, by an id that can be looked for."""

    name = "graph"
    promise = Promise.CAN_BE_ASKED

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        credential: AsyncTokenCredential | None = None,
    ) -> None:
        self.time_limit = timedelta(seconds=settings.GRAPH_TIMEOUT_SECONDS)
        self._clock = clock
        self._most = min(settings.MAIL_MAX_MEGABYTES * 1024 * 1024, LARGEST)
        self._graph = Graph(settings, transport, credential)

    async def largest(self) -> int:
        return self._most

    async def send(self, mail: Mail, reference: str, note: Note) -> Receipt:
        """Make the draft, note it, send it. With a reference, send that draft if it still is one.

        Receipts are named by the Message-ID that Graph answers, which may not be ours.
        """
        progress = Progress()
        draft: _Reference | None = None
        try:
            with in_our_words(mail.what, progress, self._clock):
                async with asyncio.timeout(self.time_limit.total_seconds()):
                    if reference:
                        found = await self._standing(_Reference.of(reference), progress)
                        if isinstance(found, Receipt):
                            return found
                        draft = found
                    else:
                        draft = await self._draft(mail, progress)
                        await note(str(draft))
                    url = self._graph.mailbox(draft.mailbox, "messages", draft.draft, "send")
                    await self._graph.ask(progress, Step.SEND, "POST", url, 202)
        except PermanentError:
            if draft:
                await self._remove(draft)
            raise
        return Receipt(draft.message_id, "202 Accepted")

    async def find(self, key: str, reference: str) -> Receipt | str:
        """A mail that is no draft any more is the evidence, wherever in the mailbox it is.

        Without a reference no whole draft was made, so nothing can have been sent.
        """
        if not reference:
            return ""
        progress = Progress()
        with in_our_words("a look-up", progress, self._clock):
            async with asyncio.timeout(self.time_limit.total_seconds()):
                found = await self._standing(_Reference.of(reference), progress)
        return found if isinstance(found, Receipt) else str(found)

    async def check(self, references: Sequence[str]) -> Mapping[str, Outcome]:
        """Nothing: its answers are final. What bounces comes to the mailbox."""
        return {}

    async def answers(self) -> bool:
        """Whether Graph can be reached. Any answer counts; nobody's token is asked for."""
        return await self._graph.is_up()

    async def close(self) -> None:
        await self._graph.close()

    # --- the draft ---

    async def _draft(self, mail: Mail, progress: Progress) -> _Reference:
        """A draft with all of its attachments. What fails half-way is taken away again, if it can
        be; it is in nobody's notes.
        """
        mailbox = mail.message.sender.address
        mime, outside = await _parts(mail)
        response = await self._graph.ask(
            progress,
            Step.DRAFT,
            "POST",
            self._graph.mailbox(mailbox, "messages"),
            201,
            content=base64.b64encode(mime),
            headers={"Content-Type": "text/plain"},
        )
        made = told(_Draft, response)
        draft = _Reference(mailbox, made.id, made.internet_message_id)
        try:
            pictures = shown(mail.message.html) if outside else []
            for file, data in outside:
                await self._attach(draft, _described(file, pictures), data, progress)
        except Exception:
            await self._remove(draft)
            raise
        return draft

    async def _attach(
        self, draft: _Reference, about: Mapping[str, object], data: bytes, progress: Progress
    ) -> None:
        if len(data) < SESSION_FROM or not await self._upload(draft, about, data, progress):
            await self._graph.ask(
                progress,
                Step.ATTACH,
                "POST",
                self._graph.mailbox(draft.mailbox, "messages", draft.draft, "attachments"),
                201,
                json={
                    "@odata.type": "#microsoft.graph.fileAttachment",
                    **about,
                    "contentBytes": base64.b64encode(data).decode(),
                },
            )

    async def _upload(
        self, draft: _Reference, about: Mapping[str, object], data: bytes, progress: Progress
    ) -> bool:
        """The file in parts, in order. False when it turns out to be too small for that."""
        item = {"attachmentType": "file", **about, "size": len(data)}
        path = ("messages", draft.draft, "attachments", "createUploadSession")
        place = self._graph.mailbox(draft.mailbox, *path)
        wanted = {"AttachmentItem": item}
        try:
            response = await self._graph.ask(progress, Step.ATTACH, "POST", place, 201, json=wanted)
        except Refusal as refusal:
            if refusal.code == _TOO_SMALL:
                return False
            raise
        url = told(_Session, response).upload_url
        if not self._graph.is_as_safe(url):
            raise Refusal(response)
        for first in range(0, len(data), CHUNK):
            part = data[first : first + CHUNK]
            response = await self._graph.put(progress, url, part, first, len(data))
        if response.status_code != 201:  # each part was taken, and still it is not whole
            raise Refusal(response)
        return True

    async def _remove(self, draft: _Reference) -> None:
        """Nobody should find it and send it by hand. It is no harm if that does not work."""
        url = self._graph.mailbox(draft.mailbox, "messages", draft.draft)
        with suppress(Refusal, AzureError, httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(_REMOVING_SECONDS):
                await self._graph.ask(Progress(), Step.DRAFT, "DELETE", url, 204)

    # --- its sending ---

    async def _standing(self, draft: _Reference, progress: Progress) -> Receipt | _Reference:
        """Whether it has been sent. Raises UncertainError when it is neither sent nor a draft."""
        everywhere = await self._named(draft, progress, "messages")
        if any(not one.is_draft for one in everywhere):
            return Receipt(draft.message_id, "in the mailbox, and no draft")
        # In Outbox it is on its way, and somebody has put it in Deleted Items: hands off.
        drafts = await self._named(draft, progress, "mailFolders", "drafts", "messages")
        if len(drafts) == 1:
            return _Reference(draft.mailbox, drafts[0].id, draft.message_id)
        raise UncertainError("graph: look-up: neither sent nor in Drafts")

    async def _named(self, draft: _Reference, progress: Progress, *path: str) -> list[_Found]:
        text = draft.message_id.replace("'", "''")
        query = {"$filter": f"internetMessageId eq '{text}'", "$select": "id,isDraft"}
        url = with_query(self._graph.mailbox(draft.mailbox, *path), query)
        response = await self._graph.ask(progress, Step.FIND, "GET", url, 200)
        return told(_Messages, response).value


def _described(file: File, pictures: Collection[str]) -> Mapping[str, object]:
    """A file as Graph wants to be told of it: shown in the text, if that refers to it."""
    about = {
        "name": safe_file_name(file.name),
        "contentType": file.content_type or "application/octet-stream",
    }
    content_id = file.content_id.strip().strip("<>")
    if content_id not in pictures:
        return about
    return {**about, "isInline": True, "contentId": content_id}


async def _parts(mail: Mail) -> tuple[bytes, Files]:
    """The mail as MIME that Graph takes in one request, and the files that it has no room for.

    Pictures in the text come first, then the smallest: what Graph shows best is inside.
    """
    whole = await mail.mime()
    if len(whole) <= LARGEST_MIME or not mail.files:
        return whole, ()
    room: float = LARGEST_MIME - len(await mail.mime(files=()))
    inside: set[int] = set()
    order = sorted(
        enumerate(mail.files), key=lambda one: (not one[1][0].content_id, len(one[1][1]))
    )
    for number, (_, data) in order:
        encoded = len(data) * 1.4 + 1024  # base64 in lines, with headers of its own
        if encoded <= room:
            room -= encoded
            inside.add(number)
    mime = await mail.mime(files=[one for n, one in enumerate(mail.files) if n in inside])
    return mime, [one for n, one in enumerate(mail.files) if n not in inside]
