"""The mailbox that bounces come to, read through Microsoft Graph."""

import logging
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
from azure.core.credentials_async import AsyncTokenCredential
from pydantic import AwareDatetime, Field

from shared.adapters.bounce_mail import read_bounce
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
from shared.domain.bounce import Report
from shared.errors import TransientError
from shared.ports import Clock
from shared.settings import Settings

#: What is read of one mail. A bounce says what it has to say before it quotes the original.
LARGEST_REPORT = 1024 * 1024
_PAGE = 50


class _Header(Told):
    name: str
    value: str = ""


class _Received(Told):
    id: str
    received_date_time: AwareDatetime
    internet_message_headers: list[_Header] | None = None


log = logging.getLogger(__name__)

#: These refusals are about the mailbox, or about us.
_OF_ALL = {401, 403, 429, 503}
#: For so long a failing server is asked for the same mail again.
_TRIED_FOR = timedelta(hours=1)


class _Page(Told):
    value: list[_Received]
    next_link: str = Field("", alias="@odata.nextLink")


@dataclass(frozen=True, slots=True)
class InboxMail:
    """A mail that may be a bounce."""

    id: str
    received: datetime
    mime: bytes  #: at most LARGEST_REPORT of it


class GraphInbox:
    """The Inbox of BOUNCE_MAILBOX. Of what is no report, nothing but the headers is ever read."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        credential: AsyncTokenCredential | None = None,
    ) -> None:
        self._mailbox = settings.BOUNCE_MAILBOX
        self._clock = clock
        self._graph = Graph(settings, transport, credential)

    async def reports(self, since: datetime) -> AsyncIterator[Report]:
        async for mail in self.mails(since):
            yield Report(mail.received, tuple(read_bounce(mail.mime)))

    async def mails(self, since: datetime) -> AsyncIterator[InboxMail]:
        """What has been received since then and may be a bounce, oldest first.

        Raises TransientError, ThrottledError or StoppedError, also half-way.
        """
        async for mail in self._received(since):
            if _may_be_a_bounce(mail.internet_message_headers or ()):
                mime = await self._download(mail)
                if mime:
                    yield InboxMail(mail.id, mail.received_date_time, mime)

    async def close(self) -> None:
        await self._graph.close()

    async def _received(self, since: datetime) -> AsyncIterator[_Received]:
        time = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        url = self._graph.mailbox(self._mailbox, "mailFolders", "inbox", "messages")
        query = {
            "$filter": f"receivedDateTime ge {time}",
            "$orderby": "receivedDateTime",
            "$select": "id,receivedDateTime,internetMessageHeaders",
            "$top": str(_PAGE),
        }
        next_url, read = with_query(url, query), set[str]()
        while next_url:
            if next_url in read or not self._graph.is_here(next_url):
                raise TransientError("graph: inbox: the next page is not where it can be")
            read.add(next_url)
            progress = Progress()
            with in_our_words("its messages", progress, self._clock):
                response = await self._graph.ask(progress, Step.INBOX, "GET", next_url, 200)
                page = told(_Page, response)
            for mail in page.value:
                yield mail
            next_url = page.next_link

    async def _download(self, mail: _Received) -> bytes:
        """The mail's beginning; nothing when somebody has removed it since.

        Nor when Graph cannot give it out, so that one mail does not stop all that come after it.
        """
        url = self._graph.mailbox(self._mailbox, "messages", mail.id, "$value")
        progress, mime = Progress(), bytearray()
        with in_our_words("a report", progress, self._clock):
            try:
                async with self._graph.stream(progress, Step.INBOX, "GET", url, 200) as response:
                    async for chunk in response.aiter_bytes():
                        mime += chunk
                        if len(mime) >= LARGEST_REPORT:
                            break
            except Refusal as refusal:
                old = mail.received_date_time + _TRIED_FOR < self._clock()
                if refusal.status in _OF_ALL or not (400 <= refusal.status < 500 or old):
                    raise
                log.warning("graph.report_unread status=%s", refusal.status)
        return bytes(mime[:LARGEST_REPORT])


def _may_be_a_bounce(headers: Iterable[_Header]) -> bool:
    """A report, or made by a machine for nobody to answer (out-of-office mails are such, too)."""
    said = {header.name.casefold(): header.value.strip() for header in headers}
    if re.match(r"multipart/report\b", said.get("content-type", ""), re.IGNORECASE):
        return True
    made = said.get("auto-submitted", "no").partition(";")[0].strip().casefold()
    return made not in ("", "no") and said.get("return-path") == "<>"
