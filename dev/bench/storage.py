"""Storage with a doorkeeper who writes down what is asked for, by whatever process."""

import json
import os
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict
from pydantic import SecretStr
from yarl import URL

from dev.azurite import ACCOUNT, Azurite, connection_string
from dev.host.timers import CONTAINER as LOCKS
from dev.in_thread import InThread
from dev.playground import Playground
from shared.settings import Settings

Service = Literal["Blob", "Queue", "Table"]
_SERVICES: tuple[Service, ...] = ("Blob", "Queue", "Table")
_QUICK = Path(__file__).with_name("quick_azurite.js")

_PATH = re.compile(rf"^/{ACCOUNT}/([$\w-]+)(\(PartitionKey=)?")
#: The operations in a transaction, each with its table, and the answers to them.
_OPERATION = re.compile(rf"^([A-Z]+) \S*?/{ACCOUNT}/(\w+)".encode(), re.MULTILINE)
_ANSWER = re.compile(rb"^HTTP/1\.1 (\d{3})", re.MULTILINE)
#: What belongs to one connection and not to what is asked for.
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
#: A client that leaves these out has signed that there are none.
_NOT_BY_ITSELF = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and how it was answered. `place` is a table, a queue or a container."""

    service: Service
    method: str  #: each of its operations' once, where it is a transaction
    place: str
    status: int  #: that of the operation that failed, where it is a transaction
    operations: int = 0  #: in a transaction; 0 for everything else
    one_row: bool = False  #: of a table, and outside a transaction
    empty_poll: bool = False

    @property
    def counts(self) -> bool:
        """Polls that brought nothing, and the timers' locks, are asked for by the clock."""
        return not self.empty_poll and self.place != LOCKS

    @property
    def conflict(self) -> bool:
        """Somebody else was first, or it is gone already."""
        return self.status in {409, 412} or (self.status == 404 and self.method != "GET")


class Doorkeeper(InThread[list[int]]):
    """Passes HTTP on to Azurite's ports from ports of its own, and remembers each request.

    With `copies`, every item comes that many times more on its queue; the app does not know.
    """

    def __init__(self, ports: Sequence[int], copies: int = 0) -> None:
        self.ports: list[int] = []
        self.requests: list[Request] = []
        self._targets = ports
        self._copies = copies

    def __enter__(self) -> Self:
        self.ports = self._start()
        return self

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[list[int]]:
        async with ClientSession(
            # Azurite, busy for long, closes kept connections before it reads what came on them
            connector=TCPConnector(limit=0, force_close=True),
            timeout=ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=_NOT_BY_ITSELF,
        ) as self._client:
            runners = [
                web.ServerRunner(web.Server(self._door(service, port)))
                for service, port in zip(_SERVICES, self._targets, strict=True)
            ]
            for runner in runners:
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield [runner.addresses[0][1] for runner in runners]
            for runner in runners:
                await runner.shutdown()
                await runner.cleanup()

    def _door(
        self, service: Service, port: int
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        async def pass_on(request: web.BaseRequest) -> web.StreamResponse:
            url = URL(f"http://127.0.0.1:{port}{request.raw_path}", encoded=True)
            asked = await request.content.read()
            is_item = service == "Queue" and request.method == "POST"
            for _ in range(1 + self._copies * is_item):
                async with self._client.request(
                    request.method,
                    url,
                    headers=_passed_on(request.headers.items()),
                    data=asked,
                    allow_redirects=False,
                ) as answer:
                    answered = await answer.read()
            self.requests.append(_seen(service, request, asked, answer.status, answered))
            headers = _passed_on(answer.headers.items())
            return web.Response(status=answer.status, body=answered, headers=headers)

        return pass_on


def _passed_on(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers if name.lower() not in _HOP)


def _seen(
    service: Service, request: web.BaseRequest, asked: bytes, status: int, answered: bytes
) -> Request:
    path = _PATH.match(request.raw_path)
    place = path[1] if path else ""
    if place == "$batch":
        methods, tables = zip(*_OPERATION.findall(asked), strict=True)
        failed = [int(code) for code in _ANSWER.findall(answered) if not code.startswith(b"2")]
        return Request(
            service,
            b" ".join(sorted(set(methods))).decode(),
            tables[0].decode(),
            failed[0] if failed else status,
            operations=len(tables),
        )
    polled = service == "Queue" and request.method == "GET" and "/messages" in request.raw_path
    return Request(
        service,
        request.method,
        place,
        status,
        one_row=bool(path and path[2]),
        empty_poll=polled and b"<QueueMessage>" not in answered,
    )


class Watched(Playground):
    """A playground whose hosts go to storage past a doorkeeper."""

    def __init__(self, folder: Path, copies: int = 0, **settings: str) -> None:
        super().__init__(folder, **settings)
        self._copies = copies

    def _start_storage(self, stack: ExitStack) -> str:
        with _node_requires(_QUICK):
            self.azurite = stack.enter_context(Azurite())
        ports = [self.azurite.ports[service] for service in _SERVICES]
        self.door = stack.enter_context(Doorkeeper(ports, self._copies))
        return connection_string(*self.door.ports)

    def unseen(self) -> Settings:
        """The settings of somebody who goes in by the back door."""
        straight = {"AzureWebJobsStorage": SecretStr(self.azurite.connection_string)}
        return self.read_settings().model_copy(update=straight)


@contextmanager
def watched(copies: int = 0, /, **settings: str) -> Iterator[Watched]:
    """One whose mails are not kept."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Watched(Path(folder), copies, **settings) as playground,
    ):
        yield playground


@contextmanager
def _node_requires(script: Path) -> Iterator[None]:
    """Whatever is started of Node in here loads this first."""
    before = os.environ.get("NODE_OPTIONS")
    os.environ["NODE_OPTIONS"] = f"{before or ''} --require {json.dumps(str(script))}".strip()
    try:
        yield
    finally:
        del os.environ["NODE_OPTIONS"]
        if before is not None:
            os.environ["NODE_OPTIONS"] = before
