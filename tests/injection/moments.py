"""Every exchange of the app with the outside, and what goes wrong at one of them.

The transports meet it here: a request to storage, a call to Pureservice, a line to the mail server.
The app knows nothing of it.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from types import FrameType
from typing import TypeVar

from tests.examples import ROOT

SHARED = str(ROOT / "shared") + "/"
T = TypeVar("T")


class Stop(BaseException):
    """The process ends here: nothing of ours catches this, as nothing catches a power cut."""


class Trouble(StrEnum):
    """What happens at a moment."""

    BEFORE = "the process ends before it"
    AFTER = "the process ends after it"
    REFUSED = "it is not carried out, nor are the client's repetitions"
    LOST = "it is carried out and not answered, and repetitions are refused"
    LIE = "it is carried out and answered 503, and so are repetitions, but truly"


STOPS = {Trouble.BEFORE, Trouble.AFTER}


@dataclass(frozen=True, slots=True)
class Place:
    """A line of ours that waits for an exchange."""

    file: str  #: in `shared/`
    function: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{self.line})"


@dataclass(frozen=True, slots=True)
class Moment:
    """A kind of exchange: what is asked, and every line of ours that waits for it.

    The innermost comes first. Nothing in it differs from one run to another.
    """

    what: str
    path: tuple[Place, ...]

    @property
    def writes(self) -> bool:
        """Whether anything outside may be another afterwards."""
        system, verb, *_ = self.what.split()
        return {
            "storage": verb not in {"GET", "HEAD"},
            "http": verb != "GET",
            "smtp": self.what == "smtp the last dot",
            "sftp": verb in {"upload", "remove"},
        }[system]

    def doubtful(self, trouble: Trouble) -> bool:
        """From the claim until the outcome is stored nobody else can know what became of a mail."""
        if self.within("ledger/deliveries.py", "claim"):
            return trouble is Trouble.AFTER
        sending = self.within("flow/deliver.py", "_send")
        giving_back = self.within("ledger/deliveries.py", "put_back")
        return sending or (giving_back and self.within("flow/deliver.py", "deliver"))

    def within(self, file: str, function: str) -> bool:
        return any((place.file, place.function) == (file, function) for place in self.path)

    def __str__(self) -> str:
        in_flow = [place for place in self.path if place.file.startswith("flow/")]
        return f"{self.what} in {(in_flow or list(self.path))[0]}"


@dataclass(frozen=True, slots=True)
class Which:
    """The moment of its kind with this number, the first being 0."""

    moment: Moment
    number: int

    def __str__(self) -> str:
        return f"{self.moment}, number {self.number}"


def no_accident(moment: Moment) -> Trouble | None:
    return None


@dataclass
class Course:
    """The moments of one run, and what goes wrong in it. Accidents are part of the story."""

    wrong: Mapping[Which, Trouble] = field(default_factory=dict)
    accident: Callable[[Moment], Trouble | None] = no_accident
    passed: list[Moment] = field(default_factory=list)
    met: list[Which] = field(default_factory=list)  #: where it did go wrong
    stops: int = 0  #: so many processes are to end
    _seen: Counter[Moment] = field(default_factory=Counter)

    def next(self, moment: Moment) -> Trouble | None:
        which = Which(moment, self._seen[moment])
        self._seen[moment] += 1
        self.passed.append(moment)
        if trouble := self.wrong.get(which):
            self.met.append(which)
        else:
            trouble = self.accident(moment)
        self.stops += trouble in STOPS
        return trouble

    def __str__(self) -> str:
        return "; ".join(f"{trouble}: {which}" for which, trouble in self.wrong.items())


@dataclass
class Line:
    """One process's way to the outside. When it has stopped, nothing gets through any more."""

    course: Course
    task: asyncio.Task[None] | None = None  #: what the process is doing
    stopped: bool = False
    _again: object = None  #: the exchange whose repetitions are refused
    _times: int = 0

    def meet(self, what: str) -> Trouble | None:
        """What goes wrong with this exchange. Raises Stop when the process ends before it."""
        if self.stopped:
            raise Stop
        trouble = self.course.next(Moment(what, tuple(_places(self.task))))
        if trouble is Trouble.BEFORE:
            self.stop()
        return trouble

    def stop(self) -> None:
        self.stopped = True
        raise Stop

    def end(self) -> None:
        """The same, where it is not the process itself that comes here."""
        self.stopped = True
        if self.task:
            self.task.cancel()

    async def exchange(
        self,
        what: str,
        same: object,
        carry_out: Callable[[], Awaitable[T]],
        *,
        refused: Exception,
        lost: Exception,
        lie: Callable[[], T],
    ) -> T:
        """Carry it out, or let it go wrong. By `same` the client's own repetitions are known."""
        trouble = self.meet(what)
        if self._times and self._again == same:
            self._times -= 1
            raise refused
        self._times = 0
        if trouble in {Trouble.REFUSED, Trouble.LOST}:
            self._again, self._times = same, _REPETITIONS
        if trouble is Trouble.REFUSED:
            raise refused
        try:
            answer = await carry_out()
        finally:  # it may have been no
            if trouble is Trouble.AFTER:
                self.stop()
        if trouble is Trouble.LOST:
            raise lost
        return lie() if trouble is Trouble.LIE else answer


#: As often as the storage client repeats a request, which is more often than any other of ours.
_REPETITIONS = 3


def _places(task: asyncio.Task[None] | None) -> Iterator[Place]:
    """The lines of ours that wait for the exchange that is just being met."""
    frame: FrameType | None = sys._getframe(2)
    while frame:
        yield from _ours(frame)
        frame = frame.f_back
    if task and task is not asyncio.current_task():
        # a task of its own is doing it, or a mail server is spoken to: who waits for that?
        waiting: list[FrameType] = []
        coroutine: object = task.get_coro()
        while coroutine is not None:
            if frame := getattr(coroutine, "cr_frame", None):
                waiting.insert(0, frame)
            coroutine = getattr(coroutine, "cr_await", None)
        for frame in waiting:
            yield from _ours(frame)


def _ours(frame: FrameType) -> Iterator[Place]:
    if file := _file(frame.f_code.co_filename):
        yield Place(file, frame.f_code.co_name, frame.f_lineno)


@cache
def _file(name: str) -> str:
    """What it is called in `shared/`; nothing, where it is not ours."""
    return name.removeprefix(SHARED) if name.startswith(SHARED) else ""
