"""Between the hosts and what they use: slow, and now and then it keeps an answer to itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Self

from dev.in_thread import InThread

_CHUNK = 65536
#: Most answers come soon; the slowest within this.
_USUAL_DELAY, _LONGEST_DELAY = 0.025, 0.5
_DRAIN_SECONDS = 20


class SlowProxy(InThread[list[int]]):
    """Passes on TCP to each of these ports of this machine, from one of its own.

    Of so many answers as `lies` says, none arrives: what was asked for is done, and the connection
    is cut. That needs no knowledge of what passes: over HTTP/1.1 as over SMTP, the first bytes
    after those of the client are an answer. Seeded, but what meets which request is up to the
    machine.
    """

    #: What was asked for before somebody died has got through after that.
    longest = 2 * _LONGEST_DELAY

    def __init__(self, targets: Sequence[int], seed: int, lies: float = 0) -> None:
        self.ports: list[int] = []
        self.lies = 0  #: answers that never arrived
        self._lies = lies
        self._targets = targets
        self._random = Random(f"{seed}/proxy")
        self._connections: set[_Connection] = set()
        self._held = False

    def __enter__(self) -> Self:
        self.ports = self._start()
        return self

    def hold(self) -> None:
        """Let nobody through from now on; returns when all that got through is answered."""
        asyncio.run_coroutine_threadsafe(self._hold(), self._loop).result(2 * _DRAIN_SECONDS)

    def let_through(self) -> None:
        self._held = False

    def late(self) -> float:
        return min(self._random.expovariate(1 / _USUAL_DELAY), _LONGEST_DELAY)

    def lie(self) -> bool:
        lie = self._random.random() < self._lies
        self.lies += lie
        return lie

    @property
    def held(self) -> bool:
        return self._held

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[list[int]]:
        servers = [await self._listen(target) for target in self._targets]
        yield [server.sockets[0].getsockname()[1] for server in servers]
        for server in servers:
            server.close()
        while self._connections:
            for connection in self._connections:
                connection.cut()
            await asyncio.sleep(0.01)

    async def _listen(self, target: int) -> asyncio.Server:
        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = _Connection(self, reader, writer)
            self._connections.add(connection)
            try:
                await connection.pass_on(target)
            finally:
                self._connections.discard(connection)

        return await asyncio.start_server(pass_on, "127.0.0.1", 0)

    async def _hold(self) -> None:
        self._held = True
        for connection in list(self._connections):
            if connection.answered.is_set():
                connection.cut()
        async with asyncio.timeout(_DRAIN_SECONDS):
            for connection in list(self._connections):
                await connection.answered.wait()
                connection.cut()


class _Connection:
    """A client's, and ours to the server for it."""

    def __init__(
        self, proxy: SlowProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._client = reader, writer
        self._server: asyncio.StreamWriter | None = None
        self.answered = asyncio.Event()  #: nothing that was passed on is without its answer
        self.answered.set()
        self._is_cut = False

    async def pass_on(self, target: int) -> None:
        if self._proxy.held:
            self.cut()
            return
        try:
            answers, self._server = await asyncio.open_connection("127.0.0.1", target)
            async with asyncio.TaskGroup() as pumps:
                answering = pumps.create_task(self._answers(answers))
                await self._requests(self._server)
                # what was asked for is done although nobody waits for it any more
                await self.answered.wait()
                answering.cancel()
        except* OSError:
            pass
        finally:
            self.cut()

    def cut(self) -> None:
        self._is_cut = True
        self.answered.set()
        for writer in (self._client[1], self._server):
            if writer and isinstance(writer.transport, asyncio.WriteTransport):
                writer.transport.abort()

    async def _requests(self, server: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # how a client ends that is killed
            while chunk := await self._client[0].read(_CHUNK):
                if self.answered.is_set():
                    await asyncio.sleep(self._proxy.late())
                    if self._proxy.held or self._is_cut:
                        return
                    self.answered.clear()
                server.write(chunk)
                await server.drain()

    async def _answers(self, answers: asyncio.StreamReader) -> None:
        while chunk := await answers.read(_CHUNK):
            if not self.answered.is_set():
                self.answered.set()
                if self._proxy.lie():
                    break
                await asyncio.sleep(self._proxy.late())
            self._client[1].write(chunk)
            await self._client[1].drain()
        self.cut()
