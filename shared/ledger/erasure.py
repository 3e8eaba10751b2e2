"""Erasure: what tells who somebody is goes; that somebody was reached, or was not, stays.

What is left of a delivery is a tombstone: its id, and what became of it. The id is derived from
whom the delivery was for, so that the same campaign cannot write to them again.
"""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4

from shared.domain.delivery import Delivery, Status
from shared.domain.letter_job import ENDED
from shared.domain.portions import in_portions
from shared.domain.recipient import address_key, person_key
from shared.errors import ClashError, StorageError
from shared.ledger.delivery_rows import read_delivery
from shared.ledger.rows import after, moment, stamp
from shared.ports import Delete, Merge, Put, Row, Table, Value, Where, Write

#: Steps of a campaign: stored before anything of it is erased, and when all of it is. From the
#: first on it must not be opened again.
FORGETTING, FORGOTTEN = "forgetting", "forgotten"

_TRANSACTION = 100
_CAMPAIGNS = "campaign"
#: What columns of these names hold when nothing personal is left in them; `member` keeps its kind.
_BLANK: Mapping[str, Value] = {
    "name": "",
    "address": "",
    "user": "0",
    "values": "",
    "addressee": "",
    "reference": "",
    "detail": "",
}

#: One of a list's members. Not 0, which is whoever was erased.
_MEMBER = re.compile("(user|company):[1-9][0-9]*")


def is_member(text: str) -> bool:
    """Whether it names one of a list's members, `user:31`, and not an address."""
    return _MEMBER.fullmatch(text) is not None


class Traces(NamedTuple):
    """Where one campaign knows somebody."""

    deliveries: list[Delivery]
    left_out: list[str]  #: the keys of memberships that were left out

    @property
    def members(self) -> set[str]:
        """Who they are in the helpdesk."""
        left_out = {":".join(key.split(":")[2:4]) for key in self.left_out}
        everybody = {delivery.recipient.member for delivery in self.deliveries} | left_out
        return {member for member in everybody if is_member(member)}


class Erasure:
    def __init__(self, campaigns: Table, deliveries: Table) -> None:
        self._campaigns = campaigns
        self._deliveries = deliveries

    # --- campaigns that have been over for long ---

    async def over_since(self, before: datetime) -> list[str]:
        """Campaigns that were over before then and are not forgotten, the oldest first."""
        over = [Where("active", "eq", False), Where("found_at", "lt", stamp(before))]
        times = ["found_at", "stopped_at", "finished_at"]
        found: list[tuple[datetime, str]] = []
        async for row in self._rows_of_campaigns(over, times):
            # one that was called off early was never finished; an old row knows less
            last = max(moment(row.values.get(time)) for time in times)
            if last < before:
                found.append((last, row.key.removeprefix("c:")))
        return [campaign for _, campaign in sorted(found)]

    async def remembered(self) -> list[str]:
        """Every campaign that is not forgotten."""
        return [row.key.removeprefix("c:") async for row in self._rows_of_campaigns([], [])]

    async def _rows_of_campaigns(
        self, where: Sequence[Where], columns: Sequence[str]
    ) -> AsyncIterator[Row]:
        rows = self._campaigns.query(_CAMPAIGNS, "c:", after("c:"), where, [*columns, "steps"])
        async for row in rows:
            if FORGOTTEN not in json.loads(str(row.values["steps"])):
                yield row

    async def wipe(self, campaign: str) -> AsyncGenerator[int, None]:
        """Erase everybody in a campaign that is over and cannot be opened again.

        Says after each transaction how many rows it took; may be left off at any of them. What was
        never sent and is still open, in a campaign that was called off early, is closed.
        """
        async for some in self._portions(campaign, "o:", [], _TRANSACTION // 2):
            for row in some:
                cancelled = {"status": Status.CANCELLED}
                delivery = "d:" + row.key.removeprefix("o:")
                await self._write(campaign, Merge(delivery, cancelled, None), Delete(row.key, None))
            yield len(some)
        for prefix in ("a:", "d:"):
            columns = [*_BLANK, "member"]
            async for some in self._portions(campaign, prefix, columns):
                writes = [Merge(row.key, blank, None) for row in some if (blank := _blank(row))]
                if writes:
                    await self._write(campaign, *writes)
                    yield len(writes)
        for prefix in ("s:", "p:"):
            async for some in self._portions(campaign, prefix, ["page"]):
                await self._write(campaign, *(Delete(row.key, None) for row in some))
                yield len(some)

    async def _portions(
        self, campaign: str, prefix: str, columns: Sequence[str], size: int = _TRANSACTION
    ) -> AsyncIterator[list[Row]]:
        """The rows of that kind, so many at a time."""
        some: list[Row] = []
        async for row in self._deliveries.query(
            campaign, prefix, after(prefix), columns=columns or ["round"]
        ):
            some.append(row)
            if len(some) == size:
                yield some
                some = []
        if some:
            yield some

    async def _write(self, campaign: str, *writes: Write) -> None:
        try:
            await self._deliveries.write(campaign, *writes)
        except StorageError:
            for write in writes:  # a clash names only the first row it met
                with suppress(ClashError):  # it is gone already
                    await self._deliveries.write(campaign, write)

    async def drop_jobs(self, partition: str, before: datetime) -> None:
        """Letter jobs that ended before then. Not for a campaign's, which are part of its story."""
        ended = [Where("changed_at", "lt", stamp(before))]
        rows = self._deliveries.query(partition, "j:", after("j:"), ended, ["state"])
        gone = [Delete(r.key, r.version) async for r in rows if r.values["state"] in ENDED]
        for some in in_portions(gone, _TRANSACTION):
            await self._write(partition, *some)

    # --- one person, everywhere ---

    async def traces(self, campaign: str, person: str) -> Traces:
        """Where the campaign knows this person; `person` is a `person_key`, or who they are as a
        member (`user:31`): a letter may be for somebody without an e-mail address. Reads all of it.
        """
        by_member = _MEMBER.fullmatch(person)
        known = Where("member", "eq", person) if by_member else Where("address", "gt", "")
        found = self._deliveries.query(campaign, "d:", after("d:"), [known], ["address"])
        keys = [
            r.key
            async for r in found
            if by_member or address_key(str(r.values["address"])) == person
        ]
        rows = [await self._deliveries.get(campaign, key) for key in keys]
        return Traces(
            [read_delivery(campaign, row) for row in rows if row],
            [key async for key in self._left_out(campaign, person)],
        )

    async def _left_out(self, campaign: str, person: str) -> AsyncIterator[str]:
        if _MEMBER.fullmatch(person):
            rows = self._deliveries.query(campaign, "s:", after("s:"), columns=["page"])
            async for row in rows:
                if person == ":".join(row.key.split(":")[2:4]):
                    yield row.key
            return
        known = [Where("address", "gt", "")]
        rows = self._deliveries.query(campaign, "s:", after("s:"), known, ["address"])
        async for row in rows:
            if person_key(str(row.values["address"])) == person:
                yield row.key

    async def erase(self, campaign: str, delivery: str) -> bool:
        """Erase whom a settled delivery was for. False when it has changed at this moment.

        The account itself comes last: until then it is found again by the address.
        """
        row = await self._deliveries.get(campaign, f"d:{delivery}")
        if row is None:
            return True
        attempts = self._deliveries.query(campaign, f"a:{delivery}:", after(f"a:{delivery}:"))
        said = [Merge(a.key, blank, None) async for a in attempts if (blank := _blank(a))]
        for some in in_portions(said, _TRANSACTION):
            await self._write(campaign, *some)
        try:
            # under its version: it may be opened again just now
            await self._deliveries.write(campaign, Merge(row.key, _blank(row), row.version))
        except StorageError:
            stored = await self._deliveries.get(campaign, row.key)
            return stored is None or not _blank(stored)
        return True

    async def erase_left_out(self, campaign: str, key: str) -> None:
        """Erase whose membership was left out; that one was, and why, still counts.

        Who it is stands in the row's key, so that another row takes its place.
        """
        row = await self._deliveries.get(campaign, key)
        if row is None:
            return
        _, list_id, kind, _, _ = key.split(":")
        nobody = {**row.values, "name": "", "address": ""}
        try:
            await self._deliveries.write(
                campaign,
                Delete(key, row.version),
                Put(f"s:{list_id}:{kind}:0:{uuid4().int}", nobody),
            )
        except StorageError:
            if await self._deliveries.get(campaign, key):
                raise


def _blank(row: Row) -> dict[str, Value]:
    """What must change in the row for nothing personal to be left in it."""
    kind = str(row.values.get("member") or "").partition(":")[0]
    nobody: dict[str, Value] = {**_BLANK, "member": f"{kind}:0"}
    return {
        name: value
        for name, value in nobody.items()
        if row.values.get(name) not in (None, value)  # None: asked for, and not in such a row
    }
