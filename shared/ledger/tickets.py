"""What we remember of campaign tickets between two looks: the status before the preview was asked
for, and what the preview told of.
"""

from collections.abc import Mapping
from contextlib import suppress

from shared.domain.preview import Seen
from shared.errors import StorageError
from shared.ledger.rows import after
from shared.ports import Delete, Put, Row, Table, Value

_PARTITION = "ticket"


class Tickets:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def all(self) -> Mapping[int, Seen]:
        """By the ticket's id. One request, unless there are very many open campaign tickets."""
        rows = self._table.query(_PARTITION, "t:", after("t:"))
        return {int(row.key.removeprefix("t:")): _seen(row) async for row in rows}

    async def remember(self, ticket_id: int, seen: Seen) -> None:
        """In place of whatever was remembered."""
        columns: dict[str, Value] = {
            "status": str(seen.status),
            "asked_at": seen.asked_at,
            "told_at": seen.told_at,
            "text_print": seen.text_print,
            "who_print": seen.who_print,
            "planned": seen.planned,
            "tried_at": seen.tried_at,
        }
        await self._table.write(_PARTITION, Put(f"t:{ticket_id}", columns))

    async def forget(self, ticket_id: int) -> None:
        with suppress(StorageError):  # then it is remembered a little longer
            await self._table.write(_PARTITION, Delete(f"t:{ticket_id}", None))


def _seen(row: Row) -> Seen:
    v = row.values
    return Seen(
        status=int(v["status"]),
        asked_at=str(v["asked_at"]),
        told_at=str(v["told_at"]),
        text_print=str(v["text_print"]),
        who_print=str(v["who_print"]),
        planned=int(v["planned"]),
        tried_at=str(v.get("tried_at", "")),  # old rows have none
    )
