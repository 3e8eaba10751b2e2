"""Enqueue: put delivery ids on the channel's queue, at the channel's pace."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import OpenDelivery
from shared.domain.pace import LOST_AFTER, room, share, take_slots
from shared.errors import ClashError
from shared.ledger import Ledger
from shared.ports import Channel, Queue

log = logging.getLogger(__name__)

#: So many are noted in one transaction, and no more than these are without an item after a crash.
_AT_ONCE = 100

#: Ids of ours go into table keys, where a stranger's `/` or `#` would be an error of another kind.
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")]


class DeliverItem(BaseModel):
    """What is on a channel's queue: ids, so that a stale or repeated one is harmless."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    campaign: Id
    delivery: Id


@dataclass(frozen=True, slots=True)
class Lane:
    """A channel with its queue and its pace; a pace of 0 is as fast as the host allows."""

    channel: Channel
    queue: Queue
    per_minute: int
    lost_after: timedelta = LOST_AFTER

    async def put(self, opened: OpenDelivery, delay: timedelta) -> None:
        item = DeliverItem(campaign=opened.campaign, delivery=opened.id)
        await self.queue.put(item.model_dump_json(), delay)


async def enqueue(
    lane: Lane, campaigns: Sequence[Campaign], *, ledger: Ledger, now: datetime
) -> int:
    """Release what is due and there is room for; how many that was.

    Slots are taken first, then the rows are noted as released, a hundred at a time, and their items
    put. Stopping between any two of these wastes slots, never doubles them; what was noted and got
    no item comes due again. When another host takes slots at the same time, the later one does
    nothing.
    """
    campaigns = [c for c in campaigns if c.phase is Phase.SENDING and c.starts_at <= now]
    if not campaigns:
        return 0
    state = await ledger.channels.get(lane.channel.name)
    waiting = await lane.queue.length() if lane.per_minute == 0 else 0
    capacity = room(state, now, lane.per_minute, waiting)
    if not capacity:
        return 0
    due = [
        await ledger.deliveries.due(campaign.id, now, capacity, lane.lost_after)
        for campaign in campaigns
    ]
    portions = share(capacity, [len(found) for found in due])
    chosen = [one for found, n in zip(due, portions, strict=True) for one in found[:n]]
    if not chosen:
        return 0
    state, slots = take_slots(state, now, lane.per_minute, len(chosen))
    if lane.per_minute:
        try:
            await ledger.channels.save(state)
        except ClashError:
            return 0
    released = list(zip(chosen, slots, strict=True))
    for first in range(0, len(released), _AT_ONCE):
        some = released[first : first + _AT_ONCE]
        await ledger.deliveries.release(some)
        await asyncio.gather(*(lane.put(one, slot - now) for one, slot in some))
    log.info("enqueue.done channel=%s released=%s", lane.channel.name, len(released))
    return len(released)
