"""When what goes wrong, decided by a seed before the campaign begins."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random

#: Each comes once for so many kills, and at least once.
_RESTART_EVERY, _PAUSE_EVERY = 5, 3
_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0
_LONGEST_DOWN = 2.0
#: From where there is something to lose until where there still is.
_FIRST, _LAST = 0.02, 0.92


class Act(StrEnum):
    KILL = "kill"  #: a host goes down without a word, and another comes up in its place
    RESTART = "restart"  #: storage stops in good order, and comes back
    PAUSE = "pause"  #: Pureservice hears and does not answer
    COPY = "copy"  #: items on the queue come twice


@dataclass(frozen=True, slots=True)
class Moment:
    """What happens when so large a share of the deliveries has left, and a little later.

    At 0 the campaign has been found, and its deliveries are still being planned; at 1 all have
    left, and what remains is to check and report.
    """

    at: float
    act: Act
    wait: float = 0  #: seconds, so that what is hit does not depend on when we look
    host: int = 0  #: which one is killed
    seconds: float = 0  #: how long it lasts


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


def _once_in(every: int, kills: int) -> int:
    return max(1, kills // every)
