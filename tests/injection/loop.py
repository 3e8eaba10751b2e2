"""An event loop in which nothing takes time, with a network of its own."""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

#: Connects to what listens at a port, and returns our end of the connection.
Connect = Callable[[asyncio.Protocol], asyncio.Transport]


class Loop(asyncio.SelectorEventLoop):
    """Who sleeps in it is woken as soon as nobody has anything else to do.

    It knows of no others, so what is waited for must come from within. With `outside`, where
    others are waited for too, sleeping takes its time.
    """

    def __init__(self, *, outside: bool = False) -> None:
        self.listeners: dict[int, Connect] = {}
        self.on_jump: Callable[[float], object] = lambda seconds: None  #: told how far
        self._ahead = 0.0
        super().__init__(None if outside else _Impatient(self))

    def time(self) -> float:
        return super().time() + self._ahead

    def jump(self, seconds: float) -> None:
        self._ahead += seconds
        self.on_jump(seconds)

    def listen(self, connect: Connect) -> int:
        """The port that it listens at."""
        port = 1 + max(self.listeners, default=0)
        self.listeners[port] = connect
        return port

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        if connect := self.listeners.get(port):
            protocol = protocol_factory()
            return connect(protocol), protocol
        return await super().create_connection(protocol_factory, host, port, **options)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> asyncio.Future[Any]:
        """At once: a thread would be somebody else whom it does not know of."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class _Impatient(selectors.DefaultSelector):
    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        assert ready or timeout is not None, "everybody waits, and nobody will ever come"
        if not ready and timeout:
            self._loop.jump(timeout)
        return ready
