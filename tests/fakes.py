"""In-memory twins of the storage ports. `tests/contracts` holds them to the real thing."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from shared.errors import ClashError
from shared.ports import Delete, Insert, Merge, Row, Value, Where, Write

_FORBIDDEN = re.compile(r"[/\\#?\x00-\x1f]")  # in a key
_COMPARE = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


class MemoryTable:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self._versions = count(1)

    async def get(self, partition: str, key: str) -> Row | None:
        return self.rows.get((partition, key))

    async def write(self, partition: str, *writes: Write) -> list[str]:
        if len(writes) > 100:
            raise ValueError("a transaction takes at most 100 operations")
        if len({write.key for write in writes}) < len(writes):
            raise ValueError("a row can be in a transaction only once")
        for write in writes:
            self._check(partition, write)
        return [self._apply(partition, write) for write in writes]

    def _check(self, partition: str, write: Write) -> None:
        if _FORBIDDEN.search(write.key):
            raise ValueError("a key may not contain / \\ # ? or control characters")
        row = self.rows.get((partition, write.key))
        match write:
            case Insert():
                if row:
                    raise ClashError(f"{write.key}: exists")
            case Merge(version=version) | Delete(version=version):
                if row is None or (version is not None and version != row.version):
                    raise ClashError(f"{write.key}: changed or gone")

    def _apply(self, partition: str, write: Write) -> str:
        at = (partition, write.key)
        if isinstance(write, Delete):
            del self.rows[at]
            return ""
        before = self.rows[at].values if isinstance(write, Merge) else {}
        values = {name: _plain(value) for name, value in write.values.items()}
        self.rows[at] = Row(write.key, {**before, **values}, f'W/"{next(self._versions)}"')
        return self.rows[at].version

    async def query(
        self,
        partition: str,
        first: str,
        last: str,
        where: Sequence[Where] = (),
        columns: Sequence[str] = (),
        limit: int | None = None,
    ) -> AsyncIterator[Row]:
        found = 0
        within = {
            key: row
            for (in_partition, key), row in self.rows.items()
            if in_partition == partition and first <= key < last
        }
        for key, row in sorted(within.items(), key=lambda item: item[0]):
            if not all(
                c.column in row.values and _COMPARE[c.op](row.values[c.column], c.value)
                for c in where
            ):
                continue
            values = {n: row.values[n] for n in columns if n in row.values} if columns else None
            yield Row(key, row.values if values is None else values, row.version)
            found += 1
            if found == limit:
                return


def _plain(value: Value) -> Value:
    return str(value) if isinstance(value, str) else value


@dataclass
class MemoryQueue:
    items: list[tuple[str, timedelta]] = field(default_factory=list)

    async def put(self, item: str, delay: timedelta) -> None:
        self.items.append((item, delay))

    async def length(self) -> int:
        return len(self.items)

    def take(self) -> list[str]:
        """Everything that is on the queue, as if its delay were over."""
        taken = [item for item, _ in self.items]
        self.items.clear()
        return taken


@dataclass
class MemoryFiles:
    blobs: dict[str, bytes] = field(default_factory=dict)

    async def put(self, name: str, data: bytes) -> None:
        self.blobs[name] = data

    async def get(self, name: str) -> bytes | None:
        return self.blobs.get(name)

    async def remove_all(self, campaign: str) -> None:
        for name in [name for name in self.blobs if name.startswith(f"{campaign}/")]:
            del self.blobs[name]


@dataclass
class Clock:
    """A clock that stands still until it is told to move."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now

    def tick(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now
