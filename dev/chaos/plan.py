"""When what goes wrong, decided by a seed before the campaign begins."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random

#: Each comes once for so many kills, and at least once.
_RESTART_EVERY, _PAUSE_EVERY, _BREAK_EVERY = 5, 3, 2
_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0
_LONGEST_DOWN = 2.0
_LONGEST_WAIT_FOR_JOB = 0.1
#: From where there is something to lose until where there still is.
_FIRST, _LAST = 0.02, 0.92


class Act(StrEnum):
    KILL = "kill"  #: a host goes down without a word, and another comes up in its place
    RESTART = "restart"  #: storage stops in good order, and comes back
    PAUSE = "pause"  #: Pureservice hears and does not answer
    COPY = "copy"  #: items on the queue come twice
    BREAK = "break"  #: the next upload to Digipost is broken off


class Window(StrEnum):
    """When a letter job has something to lose. All its letters settle at once, so no share says."""

    GATHERED = "gathered"  #: it is getting its deliveries
    BUILT = "built"  #: it has them, and its file is being made
    UPLOADED = "uploaded"  #: the file is on its way, or there and not verified
    READ = "read"  #: its result lies there, and nobody has read it
    STORED = "stored"  #: the result is noted, and not yet removed
    APPLIED = "applied"  #: the result is being written to the ledger
    ONWARDS = "onwards"  #: it is in the ledger, and others have gone on by mail


@dataclass(frozen=True, slots=True)
class Moment:
    """What happens when so large a share of the deliveries has left, and a little later.

    At 0 the campaign has been found, and its deliveries are still being planned; at 1 all have
    left, and what remains is to check and report.

    With a window: when a job is in it, of those from the number `at` on.
    """

    at: float
    act: Act
    wait: float = 0  #: seconds, so that what is hit does not depend on when we look
    host: int = 0  #: which one is killed
    seconds: float = 0  #: how long it lasts
    window: Window | None = None


def plan(seed: int, kills: int) -> list[Moment]:
    """Every moment, in order: the same for the same seed.

    From the third kill on, one comes while the deliveries are planned and one at the end.
    """
    random = Random(f"{seed}/plan")

    def moment(act: Act, at: float | None = None, seconds: tuple[float, float] = (0, 0)) -> Moment:
        return Moment(
            at=random.uniform(_FIRST, _LAST) if at is None else at,
            act=act,
            wait=random.uniform(0, 0.3),
            host=random.randrange(2),
            seconds=random.uniform(*seconds),
        )

    ends = (0, 1) if kills > 2 else ()
    down, pause = (0, _LONGEST_DOWN), (_SHORTEST_PAUSE, _LONGEST_PAUSE)
    moments = [moment(Act.KILL, at, down) for at in ends]
    moments += [moment(Act.KILL, seconds=down) for _ in range(kills - len(ends))]
    moments += [moment(Act.RESTART, seconds=down) for _ in range(_once_in(_RESTART_EVERY, kills))]
    moments += [moment(Act.PAUSE, seconds=pause) for _ in range(_once_in(_PAUSE_EVERY, kills))]
    moments += [moment(Act.COPY) for _ in range(2 * kills + 2)]
    moments.append(moment(Act.COPY, 1))  # they outlive their campaign
    return sorted(moments, key=lambda one: one.at)


def plan_letters(seed: int, kills: int, asked: int) -> list[Moment]:
    """The same for letters: every window has a kill before one has two.

    So many jobs ask who is in Digipost, and at least half as many send letters. The host that goes
    down is the one that has the job, but for the mails that follow on it.
    """
    jobs = asked + max(1, asked // 2)
    random = Random(f"{seed}/plan of letters")
    windows: list[Window] = []
    while len(windows) < kills:
        windows += random.sample(list(Window), len(Window))

    def moment(act: Act, window: Window, seconds: tuple[float, float] = (0, 0)) -> Moment:
        # a question that was uploaded twice is only asked twice
        first = asked + 1 if window is Window.UPLOADED else 1
        return Moment(
            at=random.randint(first, jobs),
            act=act,
            wait=random.uniform(0, _LONGEST_WAIT_FOR_JOB),
            host=random.randrange(2),
            seconds=random.uniform(*seconds),
            window=window,
        )

    def anywhere(act: Act, *seconds: float) -> Moment:
        return moment(act, random.choice(list(Window)), (min(seconds), max(seconds)))

    moments = [moment(Act.KILL, window, (0, _LONGEST_DOWN)) for window in windows[:kills]]
    restarts, pauses = _once_in(_RESTART_EVERY, kills), _once_in(_PAUSE_EVERY, kills)
    moments += [anywhere(Act.RESTART, 0, _LONGEST_DOWN) for _ in range(restarts)]
    moments += [anywhere(Act.PAUSE, _SHORTEST_PAUSE, _LONGEST_PAUSE) for _ in range(pauses)]
    moments += [moment(Act.COPY, Window.ONWARDS) for _ in range(kills + 1)]
    for number in range(_once_in(_BREAK_EVERY, kills)):
        first = 1 if number % 2 else asked + 1  # of letters, before questions that are asked anew
        at = random.randint(first, jobs)
        moments.append(Moment(at=at, act=Act.BREAK, window=Window.GATHERED))
    return sorted(moments, key=lambda one: one.at)


def _once_in(every: int, kills: int) -> int:
    return max(1, kills // every)
