"""How fast a channel goes: slots, portions and the gate. Decides; others act."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate, zip_longest
from typing import TypeVar

from shared.domain.delivery import NEVER

#: Only this much is ever on the queue, so that a pause or a changed rate acts within it.
HORIZON = timedelta(minutes=2)
#: Nobody takes slots this far ahead whose clock is right.
_FAR = 10 * HORIZON
#: Released, but never seen again this long after its slot: the item was lost; release anew.
LOST_AFTER = timedelta(minutes=10)
#: With no rate set, this many items on the queue are enough to keep every worker busy.
PORTION = 1_000

T = TypeVar("T")
_NOBODY = object()


@dataclass(frozen=True, slots=True)
class ChannelState:
    """The one row that every host shares about a channel."""

    name: str
    next_slot: datetime = NEVER
    gate_until: datetime = NEVER
    gate_reason: str = ""
    version: str = ""

    def gate_closed(self, now: datetime) -> bool:
        return now < self.gate_until

    def close_gate(self, until: datetime, reason: str) -> "ChannelState":
        """Closed until then, or until later if it was already."""
        if until <= self.gate_until:
            return self
        return replace(self, gate_until=until, gate_reason=reason)


def room(state: ChannelState, now: datetime, per_minute: int, waiting: int) -> int:
    """How many deliveries may be released now. `waiting` counts items already on the queue."""
    if state.gate_closed(now):
        return 0
    if per_minute == 0:
        return max(0, PORTION - waiting)
    first = _next(state, now)
    gap = timedelta(minutes=1) / per_minute
    return max(0, -((first - now - HORIZON) // gap))


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


def duration(deliveries: int, per_minute: int) -> timedelta | None:
    """How long a campaign of this size takes; None when the channel goes as fast as it can."""
    if per_minute == 0:
        return None
    return timedelta(minutes=1) / per_minute * max(0, deliveries - 1)


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
