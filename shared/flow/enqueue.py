"""Enqueue: put delivery ids on the channel's queue, at the channel's pace."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from shared.domain.campaign import Campaign, Phase
from shared.domain.pace import room, share, take_slots
from shared.errors import ClashError
from shared.ledger import Ledger
from shared.ports import Channel, Queue

log = logging.getLogger(__name__)


class DeliverItem(BaseModel):
    """What is on a channel's queue: ids, so that a stale or repeated one is harmless."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    campaign: str
    delivery: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A channel with its queue and its pace; a pace of 0 is as fast as the host allows."""

    channel: Channel
    queue: Queue
    per_minute: int


async def enqueue(
    lane: Lane, campaigns: Sequence[Campaign], *, ledger: Ledger, now: datetime
) -> int:
    """Release what is due and there is room for; how many that was.

    Slots are taken first, then the rows are noted as released, then the items are put. Stopping
    between any two of these wastes slots, never doubles them; what was noted and got no item comes
    due again. When another host takes slots at the same time, the later one does nothing.
    """
    campaigns = [c for c in campaigns if c.phase is Phase.SENDING and c.starts_at <= now]
    if not campaigns:
        return 0
    state = await ledger.channels.get(lane.channel.name)
    waiting = await lane.queue.length() if lane.per_minute == 0 else 0
    capacity = room(state, now, lane.per_minute, waiting)
    if not capacity:
        return 0
    due = [await ledger.deliveries.due(c.id, now, capacity) for c in campaigns]
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
    await ledger.deliveries.release(released)
    for one, slot in released:
        item = DeliverItem(campaign=one.campaign, delivery=one.id)
        await lane.queue.put(item.model_dump_json(), slot - now)
    log.info("enqueue.done channel=%s released=%s", lane.channel.name, len(released))
    return len(released)
