"""What is made to go wrong where: at every line that waits and every write, or by wish everywhere.

A run per moment and trouble would take hours. So what another script has tried is not tried again,
and only some of the troubles are; INJECTIONS chooses more:

    some    the process ends after each kind of write, and at every third something else happens
            to it, or everything where messages go out; each line of the flow that waits for a read
            is refused it; several of all that in a run. Of a script that is tried by line, only the
            writes at lines that nothing has met
    kinds   each kind of moment, with every trouble that can befall it
    all     each moment of each script, with every trouble

INJECTION_SEED, 1 unless told, is where «some» begins.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from zlib import crc32

from tests.injection.moments import Moment, Place, Trouble, Which
from tests.injection.script import Script

Injection = Mapping[Which, Trouble]  #: what goes wrong in one run

#: So much goes wrong in one run, at the most: attempts are not without number.
AT_ONCE = 10
HOW_MANY = os.environ.get("INJECTIONS", "some")
SEED = int(os.environ.get("INJECTION_SEED", "1"))


def choice(
    wholes: Mapping[Script, Sequence[Moment]], how_many: str = HOW_MANY, seed: int = SEED
) -> dict[Script, list[Injection]]:
    """What goes wrong in each script, given every moment of theirs, in the order of the scripts.

    Whatever is chosen, each line of the flow that waits in a moment of them has met trouble there.
    """
    if how_many == "some":
        return _some(wholes, seed)
    tried: set[Moment] = set()
    chosen: dict[Script, list[Injection]] = {}
    for script, moments in wholes.items():
        every = list(_numbered(moments))
        new = every if how_many == "all" else [one for one in every if _is_new(one, tried)]
        chosen[script] = [{which: trouble} for which in new for trouble in possible(which.moment)]
        tried.update(moments)
    return chosen


def possible(moment: Moment) -> Iterator[Trouble]:
    """What can befall it, and is not the same as something else.

    A read changes nothing, so the process may end before it or after. That Pureservice or a mail
    server answers falsely is the same to us as no answer: no write to them is repeated.
    """
    yield Trouble.BEFORE
    yield Trouble.REFUSED
    if moment.writes:
        yield Trouble.AFTER
        yield Trouble.LOST
        if moment.what.startswith("storage"):
            yield Trouble.LIE


def _some(wholes: Mapping[Script, Sequence[Moment]], seed: int) -> dict[Script, list[Injection]]:
    tried: set[Moment] = set()
    met: set[Place] = set()
    chosen: dict[Script, list[Injection]] = {}
    for script, moments in wholes.items():
        writes = [which for which in _numbered(moments) if which.moment.writes]
        new = [which for which in writes if _is_new(which, tried)]
        if script.by_line:
            new = list(_at_new_lines(new, met))
        tried.update(moments)
        wrong = [(which, trouble) for which in new for trouble in _troubles(which.moment, seed)]
        met.update(place for which in new for place in in_flow(which.moment))
        for which in _numbered(moments):
            places = set(in_flow(which.moment))
            if not places <= met:
                wrong.append((which, Trouble.REFUSED))
                met |= places
        chosen[script] = _dealt(wrong)
    return chosen


def _at_new_lines(new: Iterable[Which], met: set[Place]) -> Iterator[Which]:
    """Those at a line that has met no trouble, and every upload: letters are all about that."""
    seen = set(met)
    for which in new:
        places = set(in_flow(which.moment))
        if which.moment.what == "sftp upload" or not places <= seen:
            seen |= places
            yield which


def _dealt(wrong: Sequence[tuple[Which, Trouble]]) -> list[Injection]:
    """Into as few runs as will do, and far from each other in each: nothing is tried for ever."""
    runs: list[dict[Which, Trouble]] = [{} for _ in range(ceil(len(wrong) / AT_ONCE))]
    for number, (which, trouble) in enumerate(wrong):
        at = number % len(runs)
        room = (run for run in [*runs[at:], *runs[:at]] if which not in run)
        run = next(room, None)
        if run is None:
            runs.append(run := {})
        run[which] = trouble
    return [*runs]


def _is_new(which: Which, tried: set[Moment]) -> bool:
    return which.moment not in tried and which.number == 0


def _troubles(moment: Moment, seed: int) -> list[Trouble]:
    """Before a write is after the one before it. Everything can befall it where messages go out."""
    others = [one for one in possible(moment) if one not in {Trouble.BEFORE, Trouble.AFTER}]
    functions = " ".join(place.function for place in moment.path)
    which, rest = divmod(crc32(f"{seed} {moment.what} {functions}".encode()), 3)
    if not (moment.within("flow/deliver.py", "_send") or moment.what == "sftp upload"):
        others = [] if rest else [others[which % len(others)]]
    return [Trouble.AFTER, *others]


def in_flow(moment: Moment) -> Iterator[Place]:
    return (place for place in moment.path if place.file.startswith("flow/"))


def _numbered(moments: Iterable[Moment]) -> Iterator[Which]:
    seen: Counter[Moment] = Counter()
    for moment in moments:
        yield Which(moment, seen[moment])
        seen[moment] += 1
