"""Doubles for letters: the area where jobs are left, in memory."""

from collections.abc import Callable
from typing import BinaryIO

from shared.domain.letter_job import JobKind
from shared.errors import PermanentError, UncertainError

Place = tuple[JobKind, str]


class MemoryArea:
    """The twin of Digipost's area. `tests/contracts/test_job_area.py` holds it to the real thing.

    `before` is called with the name of every operation before it is done, and may raise. With
    `breaks_after` an upload ends in UncertainError when so many bytes of it are there; that is
    for the next upload only.
    """

    def __init__(self) -> None:
        self.jobs: dict[Place, bytes] = {}
        self.answers_there: dict[Place, bytes] = {}  #: receipts
        self.before: Callable[[str], None] = lambda operation: None
        self.breaks_after: int | None = None
        self.uploads: list[Place] = []  #: that came through, or broke off

    def put_receipt(self, kind: JobKind, name: str, data: bytes) -> None:
        self.answers_there[kind, name] = data

    async def upload(self, kind: JobKind, name: str, file: BinaryIO, size: int) -> None:
        self.before("upload")
        _check(name)
        if (kind, name) in self.jobs:
            raise UncertainError(f"memory: {name} is there already")
        data = file.read()
        limit, self.breaks_after = self.breaks_after, None
        self.jobs[kind, name] = data[:limit]
        self.uploads.append((kind, name))
        if limit is not None:
            raise UncertainError(f"memory: {name} was broken off")
        if len(data) != size:
            raise UncertainError(f"memory: {name} is not as large there as here")

    async def size_of(self, kind: JobKind, name: str) -> int | None:
        self.before("size_of")
        _check(name)
        data = self.jobs.get((kind, name))
        return None if data is None else len(data)

    async def receipts(self, kind: JobKind) -> dict[str, int]:
        self.before("receipts")
        return {
            name: len(data)
            for (of, name), data in sorted(self.answers_there.items())
            if of is kind and name[0] != "."
        }

    async def fetch(self, kind: JobKind, name: str, limit: int) -> bytes:
        self.before("fetch")
        _check(name)
        data = self.answers_there.get((kind, name))
        if data is None:
            raise PermanentError(f"memory: {name} is not there")
        if len(data) > limit:
            raise PermanentError(f"memory: {name} is larger than {limit} bytes")
        return data

    async def remove(self, kind: JobKind, name: str) -> None:
        self.before("remove")
        _check(name)
        self.answers_there.pop((kind, name), None)

    async def answers(self) -> bool:
        return True


def _check(name: str) -> None:
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise PermanentError("memory: not the name of a file")
