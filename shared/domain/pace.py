"""How fast a channel goes: slots, portions and the gate. Decides; others act."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate, zip_longest
from typing import TypeVar

from shared.domain.delivery import NEVER
from shared.domain.window import oslo_day

#: Only this much is ever on the queue, so that a pause or a changed rate acts within it.
HORIZON = timedelta(minutes=2)
#: Nobody takes slots this far ahead whose clock is right.
_FAR = 10 * HORIZON
#: A gate that nobody has tried for so long says nothing of today.
_FORGOTTEN = timedelta(hours=24)
#: Released, but never seen again this long after its slot: the item was lost; release anew.
LOST_AFTER = timedelta(minutes=10)
#: With no rate set, this many items on the queue are enough to keep every worker busy.
PORTION = 1_000

#: What all hosts share is looked at so often by each of them.
FRESH_FOR = timedelta(seconds=15)

T = TypeVar("T")
_NOBODY = object()


@dataclass(frozen=True, slots=True)
class ChannelState:
    """The one row that every host shares about a channel."""

    name: str
    next_slot: datetime = NEVER
    gate_until: datetime = NEVER
    gate_reason: str = ""
    closed_since: datetime = NEVER  #: nothing has gone through since; NEVER when something has
    day: str = ""  #: the day in Norway that `released` counts
    released: int = 0
    version: str = ""

    def gate_closed(self, now: datetime) -> bool:
        return now < self.gate_until

    def close_gate(self, until: datetime, reason: str, now: datetime) -> "ChannelState":
        """Closed until then, or until later if it was already."""
        if until <= self.gate_until:
            return self
        nobody_tried = self.gate_until + _FORGOTTEN < now
        since = now if self.closed_since == NEVER or nobody_tried else self.closed_since
        return replace(self, gate_until=until, gate_reason=reason, closed_since=since)

    @property
    def doubtful(self) -> bool:
        """Nothing has gone through since the gate was closed: one at a time will tell."""
        return self.closed_since != NEVER

    def went_through(self) -> "ChannelState":
        """Something has got through: whatever kept it closed is over."""
        return replace(self, closed_since=NEVER)

    def released_on(self, now: datetime) -> int:
        """How many have been released on this day, as far as the quota goes."""
        return self.released if self.day == _day(now) else 0

    def releasing(self, now: datetime, count: int) -> "ChannelState":
        """The same, with so many more on this day's account."""
        return replace(self, day=_day(now), released=self.released_on(now) + count)


def _day(now: datetime) -> str:
    return oslo_day(now).isoformat()


def room(
    state: ChannelState,
    now: datetime,
    per_minute: int,
    waiting: int,
    closes: datetime | None = None,
) -> int:
    """How many deliveries may be released now. `waiting` counts items already on the queue.

    None for a time when the window has closed.
    """
    if state.gate_closed(now):
        return 0
    if closes is not None and closes <= now:
        return 0
    if per_minute == 0:
        return max(0, PORTION - waiting)
    first = _next(state, now)
    gap = timedelta(minutes=1) / per_minute
    end = now + HORIZON if closes is None else min(now + HORIZON, closes)
    return max(0, -((first - end) // gap))


def take_slots(
    state: ChannelState, now: datetime, per_minute: int, count: int
) -> tuple[ChannelState, list[datetime]]:
    """The next `count` slots, evenly spaced, and the state that has given them away."""
    if per_minute == 0:
        return state, [now] * count
    first = _next(state, now)
    gap = timedelta(minutes=1) / per_minute
    slots = [first + gap * n for n in range(count)]
    return replace(state, next_slot=first + gap * count), slots


def _next(state: ChannelState, now: datetime) -> datetime:
    """The next free slot. One far ahead was taken by a host whose clock was: it does not count."""
    return max(now, state.next_slot) if state.next_slot <= now + _FAR else now


def is_fresh(read_at: datetime, now: datetime) -> bool:
    """Not if the clock has gone back since: then nobody knows how old it is."""
    return read_at <= now < read_at + FRESH_FOR


def fitting(costs: Sequence[int], space: int) -> int:
    """How many fit. The last may hang over: one that costs more than there ever is must go too.

    >>> fitting([2, 2, 5, 2], 5)
    3
    """
    so_far = accumulate(costs[:-1], initial=0) if costs else []
    return sum(1 for before in so_far if before < space)


def in_turn(groups: Iterable[Sequence[T]]) -> list[T]:
    """One of each in turn, so that a small campaign need not wait for a large one.

    >>> in_turn(["ab", "cde", ""])
    ['a', 'c', 'b', 'd', 'e']
    """
    rounds = zip_longest(*groups, fillvalue=_NOBODY)
    return [one for round_ in rounds for one in round_ if one is not _NOBODY]  # type: ignore[misc]


def another_first_each_minute(things: Sequence[T], now: datetime) -> list[T]:
    """So that none waits for ever behind those that take up each round.

    >>> another_first_each_minute("abc", datetime(2026, 1, 1, 0, 1, tzinfo=UTC))
    ['b', 'c', 'a']
    """
    first = int(now.timestamp() // 60) % len(things) if things else 0
    return [*things[first:], *things[:first]]
