"""What may happen to the model, one thing at a time. Hypothesis chooses what, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.model.providers import Made, Request, Tickets
from tests.model.stage import Answer, Fate, Item

if TYPE_CHECKING:
    from tests.model.machine import Model

#: How far somebody goes on, instead of a number of calls.
TO_THE_PROVIDER, TO_THE_END = 98, 99
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Timer:
    """A timer goes off, and its step begins."""

    host: int
    name: str
    far: int
    fate: Fate
    answer: Answer

    async def happen(self, model: "Model") -> None:
        actor = model.timer(model.hosts[self.host], self.name)
        await model.go_on(actor, self.far, self.fate, self.answer)


@dataclass(frozen=True)
class Worker:
    """A worker takes an item, or one of the poison; where there is none, a minute brings some."""

    host: int
    n: int
    far: int
    fate: Fate
    answer: Answer

    async def happen(self, model: "Model") -> None:
        visible, poison = model.queue.visible, model.queue.poison
        if not visible and not poison:
            await model.pass_time(61)
            await model.run_free(model.hosts[self.host], "account")
            return
        item = [*visible, *poison][self.n % len([*visible, *poison])]
        enters = model.worker if item in visible else model.poisoner
        await model.go_on(enters(model.hosts[self.host], item), self.far, self.fate, self.answer)


@dataclass(frozen=True)
class GoesOn:
    """Somebody who waits goes on; where nobody does, a worker begins."""

    host: int
    n: int
    far: int
    fate: Fate
    answer: Answer

    async def happen(self, model: "Model") -> None:
        waiting = model.stage.waiting
        if not waiting:
            await Worker(self.host, self.n, self.far, self.fate, self.answer).happen(model)
            return
        actor = waiting[self.n % len(waiting)].actor
        await model.go_on(actor, self.far, self.fate, self.answer)


@dataclass(frozen=True)
class Minute:
    """Time passes; then a round on one host, of a few items, while those who wait still wait."""

    host: int
    seconds: int
    mood: Answer

    async def happen(self, model: "Model") -> None:
        await model.pass_time(self.seconds)
        model.provider.mood = self.mood
        await model.round(model.hosts[self.host], items=2)
        model.provider.mood = Answer.ACCEPTS


@dataclass(frozen=True)
class Time:
    """Time passes, and nobody does anything."""

    seconds: int

    async def happen(self, model: "Model") -> None:
        await model.pass_time(self.seconds)


@dataclass(frozen=True)
class Late:
    """What went astray arrives; or a message that was posted is mailed, well or not."""

    n: int
    well: bool

    async def happen(self, model: "Model") -> None:
        provider, astray = model.provider, model.stage.astray
        to_mail = provider.to_mail if isinstance(provider, Tickets) else []
        late: list[Any] = [*provider.under_way, *astray, *to_mail]
        if not late:
            return
        one = late[self.n % len(late)]
        if isinstance(one, Request):
            provider.arrives(one)
        elif isinstance(one, Made):
            one.mailed = self.well
        else:
            astray.remove(one)
            await one()


@dataclass(frozen=True)
class Killed:
    """A host is killed, and started again with nothing in its memory."""

    host: int

    async def happen(self, model: "Model") -> None:
        crew = model.hosts[self.host].crew
        await model.stage.kill(crew)
        model.hosts[self.host] = model.new_host(crew.name)


@dataclass(frozen=True)
class ItemAgain:
    """An item comes twice, or while somebody is at work on it, or was never put, or is old."""

    n: int
    how: str

    async def happen(self, model: "Model") -> None:
        queue = model.queue
        some = {
            "doubled": queue.items,
            "again": [item for item in queue.items if item.hidden],
            "lost": queue.visible,
            "old": queue.done,
        }[self.how]
        if not some:
            return
        item = some[self.n % len(some)]
        if self.how == "again":
            queue.give_up(item)
        elif self.how == "lost":
            queue.items.remove(item)
        else:
            queue.items.append(Item(item.text))


@dataclass(frozen=True)
class Person:
    """A person changes their mind."""

    wish: str

    async def happen(self, model: "Model") -> None:
        await model.wish(self.wish)


@dataclass(frozen=True)
class ClockHops:
    """All clocks go back an hour; the next time forth again.

    Claims that were made meanwhile are then over at once, though their sends may be alive. By
    e-mail that leaves somebody *uncertain*. Where the provider can be asked it would be asked too
    early, and no ledger that reads clocks can know: so forth only when nothing is on its way.
    """

    async def happen(self, model: "Model") -> None:
        if model.hopped and model.channel == "ticket":
            await model.pass_time(model.provider.latest)
        model.hop(HOUR if model.hopped else -HOUR)


Event = Timer | Worker | GoesOn | Minute | Time | Late | Killed | ItemAgain | Person | ClockHops

_host = st.integers(0, 1)
_n = st.integers(0, 11)
_far = st.sampled_from([1, 2, 3, 5, 8, TO_THE_PROVIDER, TO_THE_PROVIDER, TO_THE_END])
_fate = st.sampled_from([Fate.DONE] * 5 + list(Fate))
_answer = st.sampled_from([Answer.ACCEPTS] * 2 + list(Answer))
_worker = st.builds(Worker, _host, _n, _far, _fate, _answer)
_goes_on = st.builds(GoesOn, _host, _n, _far, _fate, _answer)
_time = st.builds(Time, st.sampled_from([1, 16, 61, 121, 362, 362, 661, 3700]))
_late = st.builds(Late, _n, st.booleans())
_minute = st.builds(Minute, _host, st.sampled_from([60, 362, 661]), _answer)
_killed = st.builds(Killed, _host)
_item = st.builds(ItemAgain, _n, st.sampled_from(["doubled", "again", "lost", "old"]))
_hops = st.builds(ClockHops)


def happenings(timers: Sequence[str], wishes: Sequence[str]) -> st.SearchStrategy[Event]:
    """Anything that may happen, each as often as it takes to get somewhere."""
    timer = st.builds(Timer, _host, st.sampled_from(timers), _far, _fate, _answer)
    person = st.builds(Person, st.sampled_from(wishes))
    weights: Mapping[st.SearchStrategy[Event], int] = {
        _worker: 12,
        _goes_on: 12,
        timer: 5,
        _time: 4,
        _late: 4,
        _minute: 4,
        _item: 2,
        person: 2,
        _killed: 1,
        _hops: 1,
    }
    # not `one_of`, which counts what is named twice once
    kinds = [kind for kind, weight in weights.items() for _ in range(weight)]
    return st.sampled_from(kinds).flatmap(lambda kind: kind)
