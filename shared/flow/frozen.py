"""The frozen messages: written once when a campaign starts, read by every worker that sends it."""

import asyncio

from pydantic import TypeAdapter, ValidationError

from shared.domain.letter import Letter
from shared.domain.message import Message
from shared.domain.placeholders import PlaceholderError
from shared.ports import Files

_MESSAGE = TypeAdapter(Message)
#: Campaigns under way at the same time are few, and a message without its files is small.
_KEPT = 20


async def store_message(campaign_id: str, message: Message, files: Files) -> None:
    await files.put(_blob(campaign_id), _MESSAGE.dump_json(message))


class Messages:
    """What campaigns say, read from the store once and kept: a frozen message never changes."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._kept: dict[str, asyncio.Task[Letter]] = {}

    async def of(self, campaign_id: str) -> Letter:
        """What the campaign says. Raises LookupError when it cannot be had any more."""
        if campaign_id not in self._kept:
            while len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[campaign_id] = asyncio.create_task(self._read(campaign_id))
        try:
            return await asyncio.shield(self._kept[campaign_id])
        except Exception:
            self._kept.pop(campaign_id, None)
            raise

    async def _read(self, campaign_id: str) -> Letter:
        stored = await self._files.get(_blob(campaign_id))
        if stored is None:
            raise LookupError(f"campaign {campaign_id}: its message is gone from storage")
        try:
            return Letter.frozen(_MESSAGE.validate_json(stored))
        except (ValidationError, PlaceholderError):  # which would tell what is in it
            raise LookupError(f"campaign {campaign_id}: its message cannot be read") from None


def _blob(campaign_id: str) -> str:
    return f"{campaign_id}/message.json"
