"""Enqueue: put delivery ids on the channel's queue, at the channel's pace."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from math import ceil
from types import MappingProxyType
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import OpenDelivery
from shared.domain.estimate import last_leaves
from shared.domain.pace import LOST_AFTER, fitting, in_turn, room, take_slots
from shared.domain.window import Window, all_open
from shared.errors import ClashError
from shared.ledger import Ledger
from shared.ports import Asked, Channel, Medium, Promise, Queue

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


ALWAYS = Window()


@dataclass(frozen=True, slots=True)
class Pace:
    """So much a minute on this channel, when it may send; 0 is as fast as the host allows.

    A mail is one mail, but a ticket is some calls, and more for somebody who is not known as a
    user of the helpdesk.
    """

    channel: str
    per_minute: int
    known: int = 1
    unknown: int = 1
    window: Window = ALWAYS
    per_day: int = 0  #: deliveries released on one day in Norway; 0 is any number

    def costs(self, deliveries: Iterable[OpenDelivery]) -> list[int]:
        return [self.known if one.recipient.user else self.unknown for one in deliveries]


@dataclass(frozen=True, slots=True)
class Lane:
    """A channel with its queue, and every pace that its deliveries keep.

    Without a queue its deliveries go in jobs, which `letters` moves.
    """

    channel: Medium
    queue: Queue | None
    paces: tuple[Pace, ...]
    lost_after: timedelta = LOST_AFTER
    patience: timedelta = timedelta()  #: so long nothing may move, and all is well

    @property
    def promise(self) -> Promise:
        """What it can do about an interrupted send. A job is seen to by itself."""
        return cast(Channel, self.channel).promise if self.queue else Promise.NEITHER

    @property
    def asked(self) -> Asked | None:
        """The channel, where it can be asked what became of a delivery."""
        can_be_asked = self.promise is Promise.CAN_BE_ASKED
        return cast(Asked, self.channel) if can_be_asked else None

    def own(self, campaign: Campaign) -> str | None:
        """What tells this lane's deliveries from the campaign's others; None: all are."""
        return None if campaign.channel == self.channel.name else self.channel.name

    def opens(self, at: datetime) -> datetime:
        """`at`, or the first moment after it at which every window is open."""
        return all_open([pace.window for pace in self.paces], at) or at

    def ends(self, starts: datetime, known: int, unknown: int) -> datetime | None:
        """About when the last of so many leaves; None when nothing but the host limits them.

        What others send meanwhile, and have sent that day, is not counted in.
        """
        ends = [
            last_leaves(
                starts,
                known * pace.known + unknown * pace.unknown,
                pace.per_minute,
                known + unknown,
                pace.window,
                pace.per_day,
            )
            for pace in self.paces
        ]
        return max((end for end in ends if end is not None), default=None)

    async def waiting(self) -> int:
        """About how many items are on its queue, hidden ones included."""
        return await self.queue.length() if self.queue else 0

    async def put(self, opened: OpenDelivery, delay: timedelta) -> None:
        assert self.queue, "what goes in jobs is never put on a queue"
        item = DeliverItem(campaign=opened.campaign, delivery=opened.id)
        await self.queue.put(item.model_dump_json(), delay)


NOBODY_ELSE: Mapping[str, int] = MappingProxyType({})


def sharers(lanes: Mapping[str, Lane], campaigns: Iterable[Campaign]) -> Counter[str]:
    """How many of the lanes that these campaigns take keep each pace."""
    campaigns = list(campaigns)
    taken = [name for name in lanes if any(campaign.takes(name) for campaign in campaigns)]
    return Counter(pace.channel for channel in taken for pace in lanes[channel].paces)


async def enqueue(
    lane: Lane,
    campaigns: Sequence[Campaign],
    *,
    ledger: Ledger,
    now: datetime,
    sharers: Mapping[str, int] = NOBODY_ELSE,
) -> int:
    """Release what is due and there is room for; how many that was.

    `sharers` says how many lanes with something to send keep each pace: none of them takes more
    than its part of the room, or the first would take all of it for as long as it has anything.

    Where nothing has gone through since a gate was closed, one delivery at a time finds out.

    Slots are taken first, then the rows are noted as released, a hundred at a time, and their items
    put. Stopping between any two of these wastes slots, never doubles them; what was noted and got
    no item comes due again. When another host takes slots at the same time, the later one does
    nothing.
    """
    campaigns = [c for c in campaigns if c.phase is Phase.SENDING and c.starts_at <= now]
    if not campaigns or lane.queue is None:
        return 0
    states = [await ledger.channels.get(pace.channel) for pace in lane.paces]
    unlimited = any(pace.per_minute == 0 for pace in lane.paces)
    waiting = await lane.waiting() if unlimited else 0
    rooms = [
        ceil(
            room(state, now, pace.per_minute, waiting, pace.window.closes(now))
            / sharers.get(pace.channel, 1)
        )
        for state, pace in zip(states, lane.paces, strict=True)
    ]
    left_today = [
        max(0, pace.per_day - state.released_on(now))
        for state, pace in zip(states, lane.paces, strict=True)
        if pace.per_day
    ]
    half_open = [1] if any(state.doubtful for state in states) else []
    capacity = min(rooms + left_today + half_open)
    if not capacity:
        return 0
    due = [
        await ledger.deliveries.due(campaign.id, now, capacity, lane.lost_after, lane.own(campaign))
        for campaign in campaigns
    ]
    chosen = in_turn(due)[:capacity]
    for pace, space in zip(lane.paces, rooms, strict=True):
        chosen = chosen[: fitting(pace.costs(chosen), space)]
    if not chosen:
        return 0
    slots = [now] * len(chosen)
    for state, pace in zip(states, lane.paces, strict=True):
        costs = pace.costs(chosen)
        state, taken = take_slots(state, now, pace.per_minute, sum(costs))
        if pace.per_minute or pace.per_day:
            try:
                await ledger.channels.save(state.releasing(now, len(chosen)))
            except ClashError:
                return 0
        first_of_each = accumulate(costs[:-1], initial=0)
        slots = [max(slot, taken[n]) for slot, n in zip(slots, first_of_each, strict=True)]
    released = list(zip(chosen, slots, strict=True))
    for first in range(0, len(released), _AT_ONCE):
        some = released[first : first + _AT_ONCE]
        await ledger.deliveries.release(some)
        await asyncio.gather(*(lane.put(one, slot - now) for one, slot in some))
    log.info("enqueue.done channel=%s released=%s", lane.channel.name, len(released))
    return len(released)
