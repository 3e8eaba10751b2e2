"""The simulator, served: SFTP on one port, `/_sim` on another, and its work going on by itself."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple, Self

import uvicorn

from dev.in_thread import InThread

from .control import control
from .sim import DigipostSimulator

log = logging.getLogger(__name__)


class Ports(NamedTuple):
    sftp: int
    control: int


class RunningDigipost(InThread[Ports]):
    """On ports of this machine, free ones unless told, until left.

    With `every` it looks for work so often, in seconds; with None it works when it is told to.
    """

    def __init__(
        self,
        simulator: DigipostSimulator,
        port: int = 0,
        control_port: int = 0,
        every: float | None = 0.2,
    ) -> None:
        self.simulator = simulator
        self.port = port
        self.control_port = control_port
        self._every = every
        self._wrong: Exception | None = None

    def __enter__(self) -> Self:
        self.port, self.control_port = self._start()
        return self

    @property
    def url(self) -> str:
        """Where `/_sim` is."""
        return f"http://127.0.0.1:{self.control_port}"

    @property
    def settings(self) -> dict[str, str]:
        """What the app needs to find it."""
        return {
            "DIGIPOST_HOST": "127.0.0.1",
            "DIGIPOST_PORT": str(self.port),
            "DIGIPOST_USER": self.simulator.area.user,
            "DIGIPOST_KEY": self.simulator.keys.one_line,
            "DIGIPOST_HOST_KEY": self.simulator.keys.host_fingerprint,
        }

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Ports]:
        config = uvicorn.Config(
            control(self.simulator),
            access_log=False,
            log_level="warning",
            ws="none",
            lifespan="off",
        )
        # Of TCP by name: otherwise asyncio leaves it waiting to fill its packets, 40 ms each time.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", self.control_port))
            server = uvicorn.Server(config)
            async with self.simulator.area.serving(self.port) as port:
                tasks = [asyncio.create_task(server.serve([listening]))]
                if self._every is not None:
                    tasks.append(asyncio.create_task(self._work(self._every)))
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.005)
                try:
                    yield Ports(port, listening.getsockname()[1])
                finally:
                    server.should_exit = server.force_exit = True
                    for task in tasks[1:]:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        if self._wrong:
            raise self._wrong

    async def _work(self, every: float) -> None:
        """A bug in it does not stop it, is in the log, and raised in the end."""
        while True:
            try:
                self.simulator.work()
            except Exception as error:
                log.exception("digipost.work")
                self._wrong = self._wrong or error
            await asyncio.sleep(every)
