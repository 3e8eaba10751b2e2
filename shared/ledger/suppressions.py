"""Addresses that are not to be written to, known by their fingerprint alone.

    h:<fingerprint>  one suppression
    v                changes with every other row

Each change writes both rows in one transaction. So whoever has read `v` and then everything, and
sees the same `v` again, has missed nothing, and nothing can fall between the two.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from uuid import uuid4

from shared.domain.delivery import NEVER
from shared.domain.pace import is_fresh
from shared.domain.portions import in_portions
from shared.domain.suppression import (
    Suppressed,
    Suppression,
    SuppressionReason,
    address_print,
)
from shared.errors import ClashError, DoubtfulError, StorageError
from shared.ledger.rows import after, moment, stamp
from shared.ports import Delete, Insert, Merge, Put, Row, Table, Value, Where, Write

_PARTITION = "suppression"
#: So often a row is looked at anew when somebody else was quicker.
_TRIES = 5
#: As many as one transaction takes, beside the row that says that something has changed.
_TOGETHER = 99


class Suppressions:
    def __init__(self, table: Table) -> None:
        self._table = table
        self._known = Suppressed()
        self._version = ""
        self._read_at = NEVER
        self._reading = asyncio.Lock()

    async def get(self, address: str) -> Suppression | None:
        """What is known of the address, expired or not."""
        row = await self._table.get(_PARTITION, f"h:{address_print(address)}")
        return _read(row) if row else None

    async def add(
        self,
        address: str,
        reason: SuppressionReason,
        *,
        source: str,
        now: datetime,
        expires: datetime = NEVER,
    ) -> Suppression:
        """What holds from now on: this one, or the one it had if that lasts longer.

        The same again changes nothing.
        """
        new = Suppression(address_print(address), reason, source, now, expires)
        key = f"h:{new.print}"
        for _ in range(_TRIES):
            row = await self._table.get(_PARTITION, key)
            wanted = _read(row).joined(new, now) if row else new
            if row and wanted == _read(row):
                return wanted
            columns = _columns(wanted)
            write = Merge(key, columns, row.version) if row else Insert(key, columns)
            if await self._change(write):
                return wanted
            # somebody was quicker, or it is there all the same: look again
        raise DoubtfulError("suppressions: somebody else is always quicker")

    async def lift(self, address: str) -> bool:
        """The address may be written to again. False when there was nothing to lift."""
        key = f"h:{address_print(address)}"
        lifted = False
        for _ in range(_TRIES):
            row = await self._table.get(_PARTITION, key)
            if row is None:
                return lifted
            lifted = True
            if await self._change(Delete(key, row.version)):
                return True
        raise DoubtfulError("suppressions: somebody else is always quicker")

    async def all(self) -> AsyncIterator[Suppression]:
        """Every one, expired ones too, in no order that means anything."""
        async for row in self._table.query(_PARTITION, "h:", after("h:")):
            yield _read(row)

    async def drop(self, before: datetime) -> None:
        """Forget those that expired before then. With none it costs one request."""
        expired = [Where("expires", "gt", ""), Where("expires", "lt", stamp(before))]
        query = self._table.query(_PARTITION, "h:", after("h:"), expired, ["expires"])
        rows = [row async for row in query]
        for some in in_portions(rows, _TOGETHER):
            with suppress(ClashError):  # one has changed: next time
                await self._table.write(
                    _PARTITION, *(Delete(row.key, row.version) for row in some), _changed()
                )

    # --- what is asked before a message ---

    async def live(self, now: datetime) -> Suppressed:
        """Those that count at this time, read anew: one request for each thousand."""
        rows = self._table.query(_PARTITION, "h:", after("h:"), columns=["expires"])
        return Suppressed([row.key.removeprefix("h:") async for row in rows if _lasts(row, now)])

    async def covers(self, address: str, now: datetime) -> bool:
        """Whether this address of a recipient is not to be written to."""
        return await self.reason_for(address, now) is not None

    async def reason_for(self, address: str, now: datetime) -> SuppressionReason | None:
        """Why this address of a recipient is not to be written to; None when it may be.

        Asked before each message, and answered from memory: a change is known everywhere within
        FRESH_FOR. Only an address that seems to be suppressed costs a request, so that its row has
        the last word.
        """
        if not is_fresh(self._read_at, now):
            async with self._reading:  # of many that ask at once, one reads
                if not is_fresh(self._read_at, now):
                    await self._read_anew(now)
        if address not in self._known:
            return None
        found = await self.get(address)
        return found.reason if found and found.lasts(now) else None

    async def _read_anew(self, now: datetime) -> None:
        row = await self._table.get(_PARTITION, "v")
        version = str(row.values["token"]) if row else ""
        if version != self._version:  # read first: what comes later has another
            self._known = await self.live(now)
            self._version = version
        self._read_at = now

    async def _change(self, write: Write) -> bool:
        """False when the row must be read again to know."""
        try:
            await self._table.write(_PARTITION, write, _changed())
        except StorageError as error:
            row = await self._table.get(_PARTITION, write.key)
            untouched = isinstance(write, Merge | Delete) and row and row.version == write.version
            never = isinstance(write, Insert) and row is None
            if (untouched or never) and isinstance(error, DoubtfulError):
                raise
            return False
        return True


def _changed() -> Put:
    return Put("v", {"token": uuid4().hex})


def _lasts(row: Row, now: datetime) -> bool:
    expires = moment(row.values["expires"])
    return expires == NEVER or now < expires


def _columns(suppression: Suppression) -> dict[str, Value]:
    return {
        "reason": suppression.reason,
        "source": suppression.source,
        "since": stamp(suppression.since),
        "expires": stamp(suppression.expires),
    }


def _read(row: Row) -> Suppression:
    return Suppression(
        print=row.key.removeprefix("h:"),
        reason=SuppressionReason(str(row.values["reason"])),
        source=str(row.values["source"]),
        since=moment(row.values["since"]),
        expires=moment(row.values["expires"]),
    )
