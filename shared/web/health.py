"""Health: which dependencies answer. Says yes or no, never where they are or why not."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from shared.ports import Clock


class Dependency(Protocol):
    async def answers(self) -> bool: ...


class Health:
    """Asks each dependency at most once in half a minute: whoever may ask us need not be a friend,
    and each answer costs one of the helpdesk's hundred calls a minute.
    """

    fresh_for = timedelta(seconds=30)
    patience = 5.0  #: seconds; whoever asks for health has little of it

    def __init__(self, dependencies: Mapping[str, Dependency], clock: Clock) -> None:
        self._dependencies = dependencies
        self._clock = clock
        self._asked: tuple[datetime, dict[str, bool]] | None = None
        self._asking = asyncio.Lock()

    async def examine(self) -> dict[str, bool]:
        """Who answers, by name."""
        async with self._asking:
            now = self._clock()
            if self._asked is None or now >= self._asked[0] + self.fresh_for:
                answers = await asyncio.gather(
                    *(self._answers(one) for one in self._dependencies.values())
                )
                self._asked = now, dict(zip(self._dependencies, answers, strict=True))
            return self._asked[1]

    async def _answers(self, dependency: Dependency) -> bool:
        try:
            return await asyncio.wait_for(dependency.answers(), self.patience)
        except TimeoutError:
            return False
