"""Digipost, which is outside of the app: its area, whose every call is met, and who works there."""

import io
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import BinaryIO, NoReturn, TypeVar

from shared.domain.job_receipt import JobReceipt
from shared.domain.letter_job import JobKind
from shared.errors import TransientError, UncertainError, UtsendelseError
from shared.flow.receipts import LARGEST
from shared.ports import JobFile
from tests.flow.letter_house import Desk, Post
from tests.injection.moments import Line
from tests.letters import Place

T = TypeVar("T")


@dataclass
class Gate:
    """The way of one process to the area. Each call is a connection of its own."""

    area: Post
    line: Line

    async def upload(self, kind: JobKind, name: str, file: BinaryIO, size: int) -> None:
        lost = UncertainError("lost")
        await self._meet("upload", lambda: self.area.upload(kind, name, file, size), lost)

    async def size_of(self, kind: JobKind, name: str) -> int | None:
        return await self._meet("size_of", lambda: self.area.size_of(kind, name))

    async def receipts(self, kind: JobKind) -> list[str]:
        return await self._meet("receipts", lambda: self.area.receipts(kind))

    async def fetch(self, kind: JobKind, name: str, limit: int) -> bytes:
        return await self._meet("fetch", lambda: self.area.fetch(kind, name, limit))

    async def remove(self, kind: JobKind, name: str) -> None:
        await self._meet("remove", lambda: self.area.remove(kind, name))

    async def answers(self) -> bool:
        return await self._meet("answers", self.area.answers)

    async def _meet(
        self,
        what: str,
        carry_out: Callable[[], Awaitable[T]],
        lost: UtsendelseError | None = None,
    ) -> T:
        unanswered = lost or TransientError("lost")

        def lie() -> NoReturn:
            raise unanswered

        refused = TransientError("refused")
        return await self.line.exchange(
            f"sftp {what}", object(), carry_out, refused=refused, lost=unanswered, lie=lie
        )

    # --- what is done without a connection ---

    def new_file(self) -> JobFile:
        return self.area.new_file()

    def read_receipt(self, name: str, data: bytes) -> JobReceipt:
        return self.area.read_receipt(name, data)


class Area(Post):
    """As Digipost runs it, which may take a job's file away as soon as it has come."""

    cleared = False
    huge: str = ""  #: a receipt that is said to be so

    async def receipts(self, kind: JobKind) -> dict[str, int]:
        found = await super().receipts(kind)
        return {name: LARGEST + 1 if name == self.huge else size for name, size in found.items()}

    async def size_of(self, kind: JobKind, name: str) -> int | None:
        return None if self.cleared else await super().size_of(kind, name)


@dataclass
class Office(Desk):
    """Digipost between two rounds: it answers first that it has a job, and then what came of it."""

    #: by address: known, unknown, invalid, or silent, of whom nothing is said
    stands: dict[str, str] = field(default_factory=dict)
    first: str = "MOTTATT"  #: what it says first
    closed: bool = False  #: nothing is looked at
    only_receives: bool = False  #: and nothing worked on
    refused: set[Place] = field(default_factory=set)  #: jobs that were
    _seen: set[Place] = field(default_factory=set)

    def has(self, kind: JobKind, name: str) -> bool:
        """Whether it has the job, or had it and has not refused it."""
        return (kind, name) not in self.refused and self._whole(kind, name)

    def begins(self) -> bool:
        """Whether anything waits. What has come in half is put aside: nobody can read it."""
        self.answered |= {place for place in self.area.uploads if not self._whole(*place)}
        return not self.closed and not self.answered.issuperset(self.area.uploads)

    def a_round(self) -> None:
        waiting = set(self.area.uploads) - self.answered
        if self.only_receives and waiting <= self._seen:
            return
        if self._seen & waiting:
            self.refused |= waiting if self.refuses else set()
            self.work()
        else:
            self._seen |= waiting
            self.receive(self.first)

    def says_by_itself(self, job: str, status: str = "FEILET") -> None:
        """A receipt that nobody has asked for."""
        name = f"{job.replace('.', '-')}-1.zip"
        self._put(JobKind.SEND, name, "resultat", f"<status>{status}</status>{self.info(job)}")

    def answers_again(self) -> None:
        """Otherwise than before."""
        self.refuses = ""
        self.refused.clear()
        self.answered.clear()
        self.work()

    def _person(self, id_: str) -> str:
        return "" if self.people.get(id_) == "silent" else super()._person(id_)

    def _whole(self, kind: JobKind, name: str) -> bool:
        return zipfile.is_zipfile(io.BytesIO(self.area.jobs.get((kind, name), b"")))
