"""Claims on things that two workers must not do at the same time, on any host."""

from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import uuid4

from shared.errors import StorageError
from shared.ledger.rows import moment, stamp
from shared.ports import Delete, Insert, Merge, Table, Value, Where, Write

_PARTITION = "claim"


class Claims:
    """One row per thing that is being done. `what` may hold an address: only its hash is stored."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def take(self, what: str, now: datetime, lease: timedelta) -> str | None:
        """A claim that is ours until now + lease; None while somebody else may be at it."""
        key = _key(what)
        token = uuid4().hex
        columns: dict[str, Value] = {"token": token, "until": stamp(now + lease)}
        row = await self._table.get(_PARTITION, key)
        if row and moment(row.values["until"]) > now:
            return None
        write: Write = Merge(key, columns, row.version) if row else Insert(key, columns)
        try:
            [version] = await self._table.write(_PARTITION, write)
        except StorageError:
            stored = await self._table.get(_PARTITION, key)
            return stored.version if stored and stored.values["token"] == token else None
        return version

    async def release(self, what: str, claim: str) -> None:
        """It is done. Never called when it may still be going on: then the lease runs out."""
        try:
            await self._table.write(_PARTITION, Delete(_key(what), claim))
        except StorageError:
            return  # it runs out by itself

    async def drop(self, before: datetime) -> None:
        """Forget those that ran out before then: whoever took them never came back."""
        ran_out = [Where("until", "lt", stamp(before))]
        rows = self._table.query(_PARTITION, "0", "g", ran_out, ["until"])  # keys are hexadecimal
        for row in [row async for row in rows]:
            with suppress(StorageError):  # taken anew, or for next time
                await self._table.write(_PARTITION, Delete(row.key, row.version))


def _key(what: str) -> str:
    return sha256(what.encode()).hexdigest()[:32]
