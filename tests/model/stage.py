"""A stage: everybody waits before and after each call to the outside until told to go on.

Real steps run on real hosts. What is decided here is only who goes on next, and what becomes of
the call that waits: it is done, it is not, or it was done and the answer lies.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from shared.errors import (
    ClashError,
    DoubtfulError,
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
)
from shared.ports import Row, Table, Where, Write
from tests.flow.edges import Stop

#: Passes of the event loop in which nothing happens, before all is taken to be quiet.
_QUIET = 5


class Fate(Enum):
    """What becomes of a call that waits."""

    DONE = "as it should be"
    REFUSED = "not done, and answered so that nobody can tell"
    LIED = "done, and answered so that nobody can tell"
    CLASH = "done, and the client's own repetition of it clashed"
    ASTRAY = "no answer, and done later"


class Answer(Enum):
    """What a provider does with what it is asked, and what we hear of it."""

    ACCEPTS = "done, and said so"
    DROPS = "done, and the answer is lost: also a 504 for what was delivered"
    LOSES = "not done, and the answer is lost"
    LATE = "no answer, and done later"
    REFUSES = "4xx"
    WAIT = "429"
    WAIT_SO_LONG = "429 with Retry-After"
    DOWN = "503"
    STOPPED = "401"

    @property
    def done(self) -> bool:
        return self in {Answer.ACCEPTS, Answer.DROPS}

    @property
    def to_a_look(self) -> "Answer":
        """The same, where there is nothing to be in doubt of."""
        in_doubt = self in {Answer.DROPS, Answer.LOSES, Answer.LATE}
        return Answer.DOWN if in_doubt else self

    def heard(self) -> None:
        """Raises what the adapter makes of it."""
        match self:
            case Answer.DROPS | Answer.LOSES | Answer.LATE:
                raise UncertainError("no answer")
            case Answer.REFUSES:
                raise PermanentError("550")
            case Answer.WAIT:
                raise ThrottledError("429")
            case Answer.WAIT_SO_LONG:
                raise ThrottledError("429", timedelta(minutes=20))
            case Answer.DOWN:
                raise TransientError("503")
            case Answer.STOPPED:
                raise StoppedError("401")


THROTTLES = {Answer.WAIT, Answer.WAIT_SO_LONG}
#: Calls to the helpdesk that change something there.
_CHANGES = {
    *("write", "create", "add_note", "attach", "change_ticket", "mark_email_sent"),
    "relate_tickets",
}


@dataclass(eq=False)
class Crew:
    """Everybody who shares a host's memory, and dies with it."""

    name: str
    dead: bool = False


@dataclass(eq=False)
class Actor:
    """Somebody at work on a host: a timer, or a worker with an item of the queue."""

    name: str
    crew: Crew
    free: bool = False  #: waits nowhere
    task: asyncio.Task[None] | None = None
    claim: tuple[str, int] | None = (
        None  #: the delivery he has claimed, and which claim of it it was
    )
    told_to_wait: bool = False
    deaf: bool = False  #: does not hear the answer to the call that he is making

    def __str__(self) -> str:
        return f"{self.name} on {self.crew.name}"

    @property
    def failed(self) -> bool:
        assert self.task
        return self.task.cancelled() or self.task.exception() is not None


@dataclass(eq=False)
class Waiting:
    actor: Actor
    moment: str
    go: "asyncio.Future[Fate | Answer]"


_acting: ContextVar[Actor] = ContextVar("acting")


class Stage:
    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.actors: list[Actor] = []
        self.all_free = False
        self.calls = 0  #: let go so far
        self.astray: list[Callable[[], Coroutine[Any, Any, None]]] = []  #: writes that may arrive
        self._at_work = 0  #: calls that are being done outside
        self._changes = 0
        self._goes_astray = False

    @property
    def acting(self) -> Actor | None:
        """Who is making this call; None for a request that arrives by itself."""
        return _acting.get(None)

    def enters(
        self,
        name: str,
        crew: Crew,
        work: Callable[[], Coroutine[Any, Any, None]],
        over: Callable[[Actor], None],
        *,
        free: bool = False,
    ) -> Actor:
        """Somebody begins `work`; `over` is told when it has ended, however it did."""
        actor = Actor(name, crew, free)

        async def act() -> None:
            _acting.set(actor)
            await work()

        def ended(task: asyncio.Task[None]) -> None:
            self._changes += 1
            self.actors.remove(actor)
            over(actor)

        actor.task = asyncio.get_running_loop().create_task(act())
        actor.task.add_done_callback(ended)
        self.actors.append(actor)
        return actor

    # --- at every call ---

    async def meet(self, moment: str) -> None:
        """Told of every call of every host, before and after it is done."""
        actor = _acting.get()
        when, _, call = moment.partition(" ")
        outside, _, verb = call.partition(".")
        if when == "after" and actor.deaf:
            actor.deaf = False
            raise UncertainError("no answer")
        fate = await self.wait(moment)
        if fate is Fate.DONE:
            return
        if isinstance(fate, Answer):
            actor.told_to_wait |= fate in THROTTLES
            actor.deaf = fate is Answer.DROPS and verb in _CHANGES
            if not actor.deaf:
                (fate if verb in _CHANGES else fate.to_a_look).heard()
            return
        if outside in {"helpdesk", "wire"}:
            raise UncertainError("?") if when == "after" and verb in _CHANGES else TransientError()
        if verb == "write" and when == "before" and fate is Fate.ASTRAY:
            self._goes_astray = True  # nobody else gets a turn before the table sees it
            return
        if verb == "write" and when == "after" and fate is Fate.CLASH:
            raise ClashError("412")
        raise DoubtfulError("503")

    async def wait(self, moment: str) -> Fate | Answer:
        """What the one who lets us go says; all is well where nobody has to wait."""
        actor = _acting.get()
        if actor.crew.dead:
            raise Stop
        if self.all_free or actor.free:
            return Fate.DONE
        waiting = Waiting(actor, moment, asyncio.get_running_loop().create_future())
        self.waiting.append(waiting)
        self._changes += 1
        try:
            return await waiting.go
        finally:
            self.waiting.remove(waiting)
            self._changes += 1

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """It is not quiet before this is done."""
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
            self._changes += 1

    def goes_astray(self) -> bool:
        astray, self._goes_astray = self._goes_astray, False
        return astray

    # --- who goes on ---

    def of(self, actor: Actor) -> Waiting | None:
        """Where he waits; the first of several calls that he makes at once."""
        return next((one for one in self.waiting if one.actor is actor), None)

    async def quiet(self) -> None:
        """Until everybody waits, or has ended."""
        idle = 0
        while idle < _QUIET or self._at_work:
            before = self._changes
            await asyncio.sleep(0)
            idle = idle + 1 if self._changes == before else 0

    async def let_go(self, waiting: Waiting, fate: Fate | Answer) -> None:
        self.calls += 1
        waiting.go.set_result(fate)
        await self.quiet()

    async def kill(self, crew: Crew) -> None:
        """As by a power cut: nobody on the host does anything any more."""
        crew.dead = True
        for actor in [actor for actor in self.actors if actor.crew is crew]:
            assert actor.task
            actor.task.cancel()
        for waiting in [waiting for waiting in self.waiting if waiting.actor.crew is crew]:
            waiting.go.cancel()
        await self.quiet()

    async def everybody_off(self) -> None:
        """Nobody waits any more, now or later."""
        self.all_free = True
        for waiting in self.waiting:
            if not waiting.go.done():
                waiting.go.set_result(Fate.DONE)
        await self.quiet()


#: Told of every write that was done: in which partition, and what.
Seen = Callable[[str, Sequence[Write]], None]


class Network:
    """A table behind a network in which a write may go astray, to arrive later."""

    def __init__(self, table: Table, stage: Stage, seen: Seen) -> None:
        self._table = table
        self._stage = stage
        self._seen = seen

    async def get(self, partition: str, key: str) -> Row | None:
        with self._stage.at_work():
            return await self._table.get(partition, key)

    async def write(self, partition: str, *writes: Write) -> list[str]:
        if self._stage.goes_astray():
            self._stage.astray.append(lambda: self._arrive(partition, writes))
            raise DoubtfulError("no answer")
        with self._stage.at_work():
            versions = await self._table.write(partition, *writes)
        self._seen(partition, writes)
        return versions

    async def _arrive(self, partition: str, writes: Sequence[Write]) -> None:
        with suppress(ClashError):
            await self._table.write(partition, *writes)
            self._seen(partition, writes)

    async def query(
        self,
        partition: str,
        first: str,
        last: str,
        where: Sequence[Where] = (),
        columns: Sequence[str] = (),
        limit: int | None = None,
    ) -> AsyncIterator[Row]:
        with self._stage.at_work():
            found = self._table.query(partition, first, last, where, columns, limit)
            rows = [row async for row in found]
        for row in rows:
            yield row


@dataclass(eq=False)
class Item:
    text: str
    dequeued: int = 0
    hidden: bool = False


class ModelQueue:
    """Items in any order; one that is being worked on is hidden until it is done or given up."""

    #: Dequeued so often, it goes to poison. The host's is five; fewer get there sooner.
    MOST = 2

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.poison: list[Item] = []
        self.done: list[Item] = []

    async def put(self, item: str, delay: timedelta) -> None:
        self.items.append(Item(item))

    async def length(self) -> int:
        return len(self.items)

    @property
    def visible(self) -> list[Item]:
        return [item for item in self.items if not item.hidden]

    def finish(self, item: Item) -> None:
        if item in self.items:
            self.items.remove(item)
            self.done.append(item)

    def give_up(self, item: Item) -> None:
        """Whoever had it has failed, or is no more."""
        item.hidden = False
        if item.dequeued >= self.MOST and item in self.items:
            self.items.remove(item)
            self.poison.append(Item(item.text))
