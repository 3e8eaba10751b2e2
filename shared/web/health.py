"""Health: which dependencies answer. Says yes or no, never where they are or why not."""

import asyncio
from typing import Protocol


class Dependency(Protocol):
    async def answers(self) -> bool: ...


_PATIENCE = 5.0  # seconds; whoever asks for health has little of it


async def examine(storage: Dependency, helpdesk: Dependency, smtp: Dependency) -> dict[str, bool]:
    """Every dependency asked at once."""
    asked = {"storage": storage, "pureservice": helpdesk, "smtp": smtp}
    answers = await asyncio.gather(*(_answers(one) for one in asked.values()))
    return dict(zip(asked, answers, strict=True))


async def _answers(dependency: Dependency) -> bool:
    try:
        return await asyncio.wait_for(dependency.answers(), _PATIENCE)
    except TimeoutError:
        return False
