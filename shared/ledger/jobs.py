"""Letter jobs: which deliveries are in which job, and what became of them.

    j:<job>   one job, in the partition of its campaign

A job owns its deliveries: their claim is the job's id, and has no end for as long as the job is
open. Whoever moves a job has the campaign's claim (`letters.py`) and changes the job's row in the
same transaction, so that one who has fallen behind changes nothing any more.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.delivery import (
    PROBLEMS,
    Delivery,
    OpenDelivery,
    Outcome,
    Reason,
    Status,
)
from shared.domain.letter_job import Job, JobKind, JobState
from shared.domain.portions import in_portions
from shared.domain.register import Answer
from shared.errors import ClashError, StorageError
from shared.ledger.delivery_rows import (
    attempt_key,
    attempt_row,
    open_columns,
    outcome_columns,
    problem_row,
    read_delivery,
    read_open,
)
from shared.ledger.rows import after, moment, stamp
from shared.ports import Delete, Insert, Merge, Row, Table, Value, Where, Write

#: As many operations as one transaction takes, the job's own row among them.
_TOGETHER = 99
#: What one delivery takes of it when its outcome is written: account, open row, attempt, problem.
_ROWS_OF_ONE = 4


@dataclass(frozen=True, slots=True)
class GoesOn:
    """A delivery that is not over: it goes on by another way, for what was the end of this one."""

    opened: OpenDelivery
    channel: str
    because: Outcome


@dataclass(frozen=True, slots=True)
class Ends:
    """A delivery that is over."""

    opened: OpenDelivery
    outcome: Outcome
    channel: str = ""  #: by which it went, where that is another than it was on


def lost(opened: OpenDelivery, reference: str = "") -> Ends:
    """One of whom nobody knows whether the letter came."""
    return Ends(opened, Outcome(Status.UNCERTAIN, Reason.NO_RESULT, reference))


class Jobs:
    def __init__(self, table: Table) -> None:
        self._table = table

    # --- jobs ---

    async def of(self, partition: str) -> list[Job]:
        """Every job there ever was, in the order in which they were made."""
        rows = self._table.query(partition, "j:", after("j:"))
        return sorted([_job(partition, row) async for row in rows], key=lambda job: job.number)

    async def get(self, partition: str, id_: str) -> Job | None:
        row = await self._table.get(partition, f"j:{id_}")
        return _job(partition, row) if row else None

    async def add(self, job: Job) -> Job:
        """The job as stored. Raises ClashError when there is one of its id."""
        try:
            [version] = await self._table.write(job.partition, Insert(f"j:{job.id}", _columns(job)))
        except StorageError as error:
            stored = await self.get(job.partition, job.id)
            if stored is None or replace(stored, version="") != job:
                raise ClashError(f"job {job.id} is there already") from error
            return stored
        return replace(job, version=version)

    async def save(self, job: Job) -> Job:
        """Store it, if nobody has changed it since it was read; ClashError if somebody has."""
        try:
            [version] = await self._table.write(job.partition, _merge(job))
        except StorageError as error:
            stored = await self.get(job.partition, job.id)
            if stored is None or replace(stored, version=job.version) != job:
                raise ClashError(f"job {job.id} was changed meanwhile") from error
            return stored
        return replace(job, version=version)

    # --- its deliveries ---

    async def waiting(
        self, campaign: str, channels: Iterable[str], now: datetime
    ) -> AsyncGenerator[OpenDelivery]:
        """Open deliveries on these channels that no job has."""
        where = [Where("token", "eq", ""), Where("not_before", "le", stamp(now))]
        wanted = set(channels)
        async for row in self._table.query(campaign, "o:", after("o:"), where):
            if row.values.get("channel", "") in wanted:
                yield read_open(campaign, row)

    async def any_open(self, campaign: str, channels: Iterable[str]) -> bool:
        """Whether a delivery is open that has gone on to one of these channels."""
        for channel in channels:
            where = [Where("channel", "eq", channel)]
            async for _ in self._table.query(campaign, "o:", after("o:"), where, ["round"], 1):
                return True
        return False

    async def claim(self, job: Job, some: Sequence[OpenDelivery]) -> Job:
        """These are the job's from now on, all of them. Raises ClashError when one has changed."""
        for portion in in_portions(some, _TOGETHER):
            claims: list[Write] = [
                Merge(
                    f"o:{one.id}",
                    {
                        "token": job.id,
                        "until": "",
                        # asking about somebody is no attempt to reach them
                        "attempt": one.attempt + (job.kind is JobKind.SEND),
                    },
                    one.version,
                )
                for one in portion
            ]
            [version, *_] = await self._table.write(job.partition, _merge(job), *claims)
            job = replace(job, version=version)
        return job

    async def owned(self, job: Job, portion: int = 1_000) -> AsyncIterator[list[OpenDelivery]]:
        """The job's open deliveries, in the order of their ids, so many at a time."""
        some: list[OpenDelivery] = []
        where = [Where("token", "eq", job.id)]
        async for row in self._table.query(job.partition, "o:", after("o:"), where):
            some.append(read_open(job.partition, row))
            if len(some) == portion:
                yield some
                some = []
        if some:
            yield some

    async def free(self, job: Job) -> None:
        """Nobody's again: nothing was sent, and no attempt was made. Repeating it is harmless."""
        async for some in self.owned(job):
            back = job.kind is JobKind.SEND
            columns = [
                _free_columns() | {"attempt": one.attempt - 1 if back else one.attempt}
                for one in some
            ]
            merges: list[Write] = [
                Merge(f"o:{one.id}", changed, one.version)
                for one, changed in zip(some, columns, strict=True)
            ]
            for portion in in_portions(merges, _TOGETHER):
                await self._table.write(job.partition, *portion)

    async def note_answers(
        self, partition: str, answers: Sequence[tuple[OpenDelivery, Answer]]
    ) -> None:
        """What Digipost has said of these, who are free for another job."""
        writes: list[Write] = [
            Merge(f"o:{one.id}", {**_free_columns(), "answer": str(answer)}, one.version)
            for one, answer in answers
        ]
        for portion in in_portions(writes, _TOGETHER):
            await self._write(partition, portion)

    async def finish(self, partition: str, some: Sequence[Ends | GoesOn], at: datetime) -> None:
        """Each is settled, or goes on by another way: its row changes with its history.

        One that has been settled meanwhile stays as it is, so that doing it again changes nothing.
        """
        for portion in in_portions(some, _TOGETHER // _ROWS_OF_ONE):
            writes = [_written(one, at) for one in portion]
            try:
                await self._table.write(partition, *(write for of in writes for write in of))
            except StorageError:
                for one, of in zip(portion, writes, strict=True):  # a clash names only the first
                    await self._one(one, of)

    async def lose(self, job: Job, at: datetime) -> None:
        """Nobody knows what became of its letters: what it still has is *uncertain*."""
        async for some in self.owned(job):
            await self.finish(job.partition, [lost(one) for one in some], at)

    async def _one(self, one: Ends | GoesOn, writes: list[Write]) -> None:
        partition, id_ = one.opened.campaign, one.opened.id
        try:
            await self._table.write(partition, *writes)
        except StorageError:
            row = await self._table.get(partition, f"o:{id_}")
            if row and row.version == one.opened.version:
                raise  # nothing was written, and it is still to be done

    async def _write(self, partition: str, writes: Sequence[Write]) -> None:
        try:
            await self._table.write(partition, *writes)
        except StorageError:
            for write in writes:
                try:
                    await self._table.write(partition, write)
                except ClashError:
                    continue  # it was written after all, or is settled by now

    # --- what failed on another way ---

    async def failed(self, campaign: str) -> AsyncIterator[Delivery]:
        """Deliveries that failed for good, on whatever way they went last."""
        where = [Where("status", "eq", Status.FAILED)]
        async for row in self._table.query(campaign, "p:", after("p:"), where):
            if found := await self._table.get(campaign, row.key.replace("p:", "d:", 1)):
                yield read_delivery(campaign, found)

    async def go_on(self, before: Delivery, channel: str) -> bool:
        """One that failed is open again on that channel; False when it has changed meanwhile."""
        again = replace(
            before,
            status=Status.PLANNED,
            channel=channel,
            reason=Reason.NONE,
            reference="",
            detail="",
        )
        account: dict[str, Value] = {
            "status": Status.PLANNED,
            "channel": channel,
            "reason": Reason.NONE,
            "reference": "",
            "detail": "",
            "settled_at": "",
        }
        try:
            await self._table.write(
                before.campaign,
                Merge(f"d:{before.id}", account, before.version),
                Insert(f"o:{before.id}", open_columns(again)),
                Delete(f"p:{before.id}", None),
            )
        except ClashError:
            return False
        return True


def _written(one: Ends | GoesOn, at: datetime) -> list[Write]:
    opened = one.opened
    if isinstance(one, GoesOn):
        account: dict[str, Value] = {"channel": one.channel, "attempts": opened.attempt}
        left: dict[str, Value] = {**_free_columns(), "channel": one.channel, "note": ""}
        return [
            Merge(f"d:{opened.id}", account, None),
            Merge(f"o:{opened.id}", left, opened.version),
            _attempt(opened, one.because, at),
        ]
    columns = outcome_columns(opened, one.outcome, at)
    if one.channel:
        columns["channel"] = one.channel
    writes: list[Write] = [
        Merge(f"d:{opened.id}", columns, None),
        Delete(f"o:{opened.id}", opened.version),
        _attempt(opened, one.outcome, at),
    ]
    if one.outcome.status in PROBLEMS:
        writes.append(problem_row(opened, one.outcome, at))
    return writes


def _attempt(opened: OpenDelivery, outcome: Outcome, at: datetime) -> Insert:
    """What a letter came to; an answer about the recipient alone is no attempt of its own."""
    row = attempt_row(opened, outcome, at)
    of_job = opened.claim is not None and ".send-" in opened.claim.token
    return row if of_job else replace(row, key=f"{attempt_key(opened)}:{opened.channel}")


def _free_columns() -> dict[str, Value]:
    return {"token": "", "until": "", "slot": "", "not_before": ""}


def _merge(job: Job) -> Merge:
    return Merge(f"j:{job.id}", _columns(job), job.version)


def _columns(job: Job) -> dict[str, Value]:
    return {
        "kind": job.kind,
        "number": job.number,
        "round": job.round,
        "state": job.state,
        "created_at": stamp(job.created_at),
        "letters": job.letters,
        "zip_name": job.zip_name,
        "uploads": job.uploads,
        "size": str(job.size),  # may be beyond what a number column takes
        "sha256": job.sha256,
        "uploaded_at": stamp(job.uploaded_at),
        "changed_at": stamp(job.changed_at),
        "not_before": stamp(job.not_before),
        "receipt": job.receipt,
        "error": job.error,
        "steps": json.dumps(sorted(job.steps)),
    }


def _job(partition: str, row: Row) -> Job:
    v = row.values
    return Job(
        id=row.key.removeprefix("j:"),
        partition=partition,
        kind=JobKind(str(v["kind"])),
        number=int(v["number"]),
        round=int(v["round"]),
        state=JobState(str(v["state"])),
        created_at=moment(v["created_at"]),
        letters=int(v["letters"]),
        zip_name=str(v["zip_name"]),
        uploads=int(v["uploads"]),
        size=int(v["size"]),
        sha256=str(v["sha256"]),
        uploaded_at=moment(v["uploaded_at"]),
        changed_at=moment(v["changed_at"]),
        not_before=moment(v["not_before"]),
        receipt=str(v["receipt"]),
        error=str(v["error"]),
        steps=frozenset(json.loads(str(v["steps"]))),
        version=row.version,
    )
