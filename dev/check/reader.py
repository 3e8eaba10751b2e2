"""How Pureservice is asked: as the app asks it, but only to read, and told apart afterwards."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime

import httpx

from shared.adapters.pureservice_wire import Answer, Params, Wire
from shared.errors import TransientError
from shared.ports import Clock
from shared.settings import Settings

#: For one question, its repetitions included.
_SECONDS = 45.0


class Reader(Wire):
    """The wire; remembers the last question's fate, and how far ahead of ours its clock is."""

    def __init__(
        self, settings: Settings, clock: Clock, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        super().__init__(settings, clock, transport)
        self.path = ""
        self.status: int | None = None
        self.ahead: timedelta | None = None
        self._client.event_hooks = {"response": [self._remember]}

    async def newest(self, path: str, plural: str, limit: int, **query: str) -> Answer:
        """The last so many of them."""
        return await self._read(path, plural, {**query, "limit": limit, "sort": "id DESC"})

    async def _read(self, path: str, plural: str, params: Params) -> Answer:
        self.path, self.status = path, None
        try:
            async with asyncio.timeout(_SECONDS):
                return await super()._read(path, plural, params)
        except TimeoutError as error:
            raise TransientError(f"pureservice: GET {path}: no answer in time") from error

    async def _remember(self, response: httpx.Response) -> None:
        self.status = response.status_code
        with suppress(ValueError, TypeError):  # no date, or one without a time zone
            date = parsedate_to_datetime(response.headers.get("Date", ""))
            self.ahead = date - self._clock()
