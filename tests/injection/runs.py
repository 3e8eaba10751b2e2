"""One run of a script, with one thing going wrong in it."""

import asyncio
import pickle
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from shared.ports import Clock
from tests.flow.conftest import House
from tests.injection.choice import Injection
from tests.injection.loop import Loop
from tests.injection.memory_storage import MemoryStorage
from tests.injection.moments import Course, Moment
from tests.injection.script import Script
from tests.injection.town import App, Storage, Town

MakeStorage = Callable[[Clock], Storage]


def whole(app: App, script: Script, make_storage: MakeStorage = MemoryStorage) -> list[Moment]:
    """Every moment of the script when nothing goes wrong but what is part of it."""
    return _run(app, script, Course(), make_storage).passed


def all_wholes(app: App, scripts: Sequence[Script], folder: Path) -> dict[Script, Sequence[Moment]]:
    """The moments of each script. Whoever else uses the same folder shares the work."""
    folder.mkdir(exist_ok=True)
    for mine_only in (True, False):  # what others are at is waited for when nothing else is left
        for number, script in enumerate(scripts):
            claim, result = folder / f"{number}.claim", folder / f"{number}.moments"
            while not result.exists():
                try:
                    claim.touch(exist_ok=False)
                except FileExistsError:
                    if mine_only:
                        break
                    time.sleep(0.05)
                    continue
                try:
                    written = folder / f"{number}.part"
                    written.write_bytes(pickle.dumps(whole(app, script)))
                    written.rename(result)
                finally:
                    claim.unlink()
    return {
        script: pickle.loads((folder / f"{number}.moments").read_bytes())
        for number, script in enumerate(scripts)
    }


def injected(
    app: App, script: Script, injection: Injection, make_storage: MakeStorage = MemoryStorage
) -> None:
    """Finds to hold what must hold whatever goes wrong, or raises AssertionError.

    Who comes first of several recipients is left to chance, and some moments come to one of them
    only: then it is tried once more.
    """
    left = dict(injection)
    for _ in range(20):
        for which in _run(app, script, Course(left), make_storage).met:
            del left[which]
        if not left:
            return
    raise AssertionError(f"«{script}» never comes to this: {Course(left)}")


def all_injected(
    app: App,
    script: Script,
    injections: Iterable[Injection],
    make_storage: MakeStorage = MemoryStorage,
) -> None:
    """Each of them in a run of its own; raises what did not hold in all of them together."""
    failures = []
    for injection in injections:
        try:
            injected(app, script, injection, make_storage)
        except Exception as failure:
            failures.append(failure)
    if failures:
        raise ExceptionGroup(f"«{script}»", failures)


def _run(app: App, script: Script, course: Course, make_storage: MakeStorage) -> Course:
    try:
        outside = make_storage is not MemoryStorage
        with asyncio.Runner(loop_factory=lambda: Loop(outside=outside)) as runner:
            runner.run(_play(app, script, course, make_storage))
    except Exception as error:
        error.add_note(f"in the script «{script}». {course}")
        raise
    return course


async def _play(app: App, script: Script, course: Course, make_storage: MakeStorage) -> None:
    changes: dict[str, Any] = dict(script.settings)
    house = House(**changes)
    async with (
        make_storage(house.clock) as storage,
        Town(app, house, storage, course) as town,
    ):
        number = script.scene(town)
        await script.play(town, number)
        assert town.ended == course.stops
        doubts = sum(which.moment.doubtful(course.wrong[which]) for which in course.met)
        await script.check(town, number, in_doubt=script.in_doubt + doubts)
