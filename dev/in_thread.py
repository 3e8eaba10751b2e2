"""A server on an event loop of its own, beside whoever uses it."""

import asyncio
import concurrent.futures
import threading
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, TypeVar

Place = TypeVar("Place")


class InThread(Generic[Place]):
    """Serves in a thread, from when it is started until it is left."""

    def serving(self) -> AbstractAsyncContextManager[Place]:
        """What it is to do; entered with where it can be reached."""
        raise NotImplementedError

    def _start(self) -> Place:
        """Where it can be reached, as soon as it can. Raises what `serving` raises."""
        ready: concurrent.futures.Future[Place] = concurrent.futures.Future()
        self._thread = threading.Thread(target=asyncio.run, args=[self._serve(ready)], daemon=True)
        self._thread.start()
        return ready.result()

    async def _serve(self, ready: "concurrent.futures.Future[Place]") -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with self.serving() as place:
                ready.set_result(place)
                await self._stop.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
