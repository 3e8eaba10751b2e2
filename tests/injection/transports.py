"""The app's ways out, each with somebody who meets every exchange: storage, Pureservice, mail."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import aiohttp
import httpx
from aiosmtpd.smtp import SMTP, Envelope, Session

from dev.azurite import ACCOUNT
from shared.domain.bounce import Report
from shared.errors import TransientError
from tests.injection.memory_storage import Response
from tests.injection.moments import Line, Trouble


class Requests(Protocol):
    """What the SDK's transport calls: an `aiohttp.ClientSession`, or the account in memory."""

    async def request(self, method: str, url: str, **options: Any) -> Any: ...


class StorageSession:
    """A session whose every request is met."""

    auto_decompress = False

    def __init__(self, inner: Requests, line: Line) -> None:
        self._inner = inner
        self._line = line

    async def __aenter__(self) -> Self:
        return self

    async def request(self, method: str, url: str, **options: Any) -> Any:
        return await self._line.exchange(
            _storage_words(method, url, options.get("data")),
            (method, url, options.get("data")),
            lambda: self._inner.request(method, url, **options),
            refused=aiohttp.ClientConnectionError("refused"),
            lost=aiohttp.ServerDisconnectedError("lost"),
            lie=lambda: Response(503, b"", {"Content-Type": "text/plain"}),
        )


class HelpdeskTransport(httpx.AsyncBaseTransport):
    """Calls to the simulator, in this process."""

    def __init__(self, inner: httpx.AsyncBaseTransport, line: Line) -> None:
        self._inner = inner
        self._line = line

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = re.sub(r"\d+", "{id}", request.url.path.removeprefix("/agent/api"))
        return await self._line.exchange(
            f"http {request.method} {path}",
            (request.method, request.url, request.content),
            lambda: self._inner.handle_async_request(request),
            refused=httpx.ConnectError("refused"),
            lost=httpx.ReadError("lost"),
            lie=lambda: httpx.Response(503, json={"message": "The service is unavailable."}),
        )


@dataclass
class Inbox:
    """The mailbox that reports of lost mails come to, as `shared.flow.bounce.Inbox`."""

    mails: list[Report]
    line: Line

    async def reports(self, since: datetime) -> AsyncIterator[Report]:
        async def found() -> list[Report]:
            return [mail for mail in self.mails if mail.received >= since]

        def lie() -> list[Report]:
            raise TransientError("503")

        error = TransientError("no answer")
        for mail in await self.line.exchange(
            "http GET /reports", since, found, refused=error, lost=error, lie=lie
        ):
            yield mail


class Mailbox:
    """A mail server, and everything that it has taken on."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []
        self.refuses: set[str] = set()  #: addresses that nobody has
        self.puts_off: set[str] = set()  #: addresses whose mails are to come later
        self.closed = False  #: our log-in is no good

    # What aiosmtpd calls, by these names.

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.closed:
            return "530 5.7.0 Authentication required"
        if address in self.refuses:
            return "550 5.1.1 No such person"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.puts_off.intersection(envelope.rcpt_tos):
            return "451 4.3.2 Later, please"
        self.mails.append(envelope)
        return "250 2.0.0 Message accepted"


class MailGate:
    """The way of one process to the mail server."""

    def __init__(self, mailbox: Mailbox, line: Line) -> None:
        self._mailbox = mailbox
        self._line = line
        self._conversations: list[_Conversation] = []

    def connect(self, app: asyncio.Protocol) -> asyncio.Transport:
        server = SMTP(
            self._mailbox,
            hostname="localhost",
            enable_SMTPUTF8=True,
            loop=asyncio.get_running_loop(),
        )
        conversation = _Conversation(app, server, self._line)
        self._conversations.append(conversation)
        return conversation.begin()

    def close(self) -> None:
        """What is still connected is cut off, as when the process is gone."""
        for conversation in self._conversations:
            conversation.cut()


class _Conversation:
    """Between aiosmtplib and aiosmtpd: meets the connection, every command and the last dot.

    The server hears of a line only when it has been met, and the app of the answer only then too.
    """

    def __init__(self, app: asyncio.Protocol, server: asyncio.Protocol, line: Line) -> None:
        self._app, self._server, self._line = app, server, line
        self._at_app = _End(self._app_says, self.cut)
        self._at_server = _End(self._server_says, self.cut)
        self._trouble: Trouble | None = None
        self._message: bytes | None = None  #: while it is on its way, all of it so far

    def begin(self) -> asyncio.Transport:
        self._trouble = self._line.meet("smtp connect")
        if self._trouble is Trouble.REFUSED:
            raise ConnectionRefusedError
        self._app.connection_made(self._at_app)
        self._server.connection_made(self._at_server)
        return self._at_app

    def cut(self) -> None:
        for end, protocol in ((self._at_app, self._app), (self._at_server, self._server)):
            if not end.closing:
                end.closing = True
                asyncio.get_running_loop().call_soon(protocol.connection_lost, None)

    def _app_says(self, said: bytes) -> None:
        what = said.split(b" ")[0].strip().decode()
        if self._message is not None:
            self._message += said
            if not self._message.endswith(b"\r\n.\r\n"):
                return
            self._server.data_received(self._message.removesuffix(b".\r\n"))
            self._message, what, said = None, "the last dot", b".\r\n"
        self._trouble = self._line.meet(f"smtp {what}")
        if self._trouble is Trouble.REFUSED:
            self.cut()
        else:
            self._server.data_received(said)

    def _server_says(self, said: bytes) -> None:
        if self._trouble is Trouble.AFTER:
            self._line.end()
        elif self._trouble:  # the answer is lost; had it been no, the server would have nothing
            self.cut()
        else:
            self._message = b"" if said.startswith(b"354") else None
            asyncio.get_running_loop().call_soon(self._app.data_received, said)


class _End(asyncio.Transport):
    """One end of a connection that leads nowhere but to the other."""

    def __init__(self, says: Callable[[bytes], None], cut: Callable[[], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 0)})
        self.closing = False
        self._says, self._cut = says, cut

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closing:
            self._says(bytes(data))

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self._cut()

    def abort(self) -> None:
        self._cut()

    def pause_reading(self) -> None:
        """There is room for everything."""

    def resume_reading(self) -> None:
        pass


def _storage_words(method: str, url: str, data: Any) -> str:
    """The request as `PATCH deliveries o:`, without ids: the same from run to run."""
    path = urlsplit(url).path.removeprefix(f"/{ACCOUNT}/")
    if path == "$batch":
        text = data if isinstance(data, bytes) else str(data).encode()
        kinds = re.findall(rb"(POST|PUT|PATCH|DELETE) \S+/(\w+)", text)
        parts = sorted({f"{verb.decode()} {table.decode()}" for verb, table in kinds})
        return f"storage transaction {', '.join(parts)}"
    return f"storage {method} {re.sub(r'[(/].*', '', path)}"
