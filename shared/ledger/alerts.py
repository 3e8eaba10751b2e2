"""What people outside the helpdesk must be told of: raised anywhere, told by `account`.

x:<key>   the cause has been raised, and is never raised again
u:<key>   exists only until everybody has been told; who has been, and whose answer was lost
"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime

from shared.domain.alert import Alert, Cause
from shared.errors import ClashError, StorageError
from shared.ledger.rows import after, moment, stamp
from shared.ports import Delete, Insert, Merge, Row, Table, Where

_PARTITION = "alert"
_TOLD, _DOUBTED = "told_", "doubted_"


@dataclass(frozen=True, slots=True)
class Untold:
    """An alert that somebody has not been told of yet. Heralds are named."""

    alert: Alert
    at: datetime
    told: frozenset[str] = frozenset()
    doubted: frozenset[str] = frozenset()  #: told, for all we know; their answer was lost


class Alerts:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def raised(self, alert: Alert, now: datetime) -> None:
        """Keep it until it is told. Raising it again changes nothing, even when it is told.

        Raises DoubtfulError when nobody knows whether it is kept: then nothing that follows from
        it may be stored as done.
        """
        columns = {**asdict(alert), "ticket": str(alert.ticket), "at": stamp(now)}
        with suppress(ClashError):  # it is there already
            await self._table.write(
                _PARTITION,
                Insert(f"x:{alert.key}", {"at": stamp(now)}),
                Insert(f"u:{alert.key}", columns),
            )

    async def untold(self) -> list[Untold]:
        """At most a hundred. Costs what is untold, and nothing for what has been told."""
        rows = self._table.query(_PARTITION, "u:", after("u:"), limit=100)
        return [_untold(row) async for row in rows]

    async def told(self, alert: Alert, herald: str, now: datetime) -> None:
        """This one has been told."""
        await self._table.write(
            _PARTITION, Merge(f"u:{alert.key}", {f"{_TOLD}{herald}": stamp(now)}, None)
        )

    async def doubted(self, alert: Alert, herald: str, now: datetime) -> None:
        """This one has been told, but did not say so."""
        await self._table.write(
            _PARTITION, Merge(f"u:{alert.key}", {f"{_DOUBTED}{herald}": stamp(now)}, None)
        )

    async def over(self, alert: Alert, now: datetime) -> None:
        """Everybody has been told. Raises ClashError when another host has said so."""
        await self._table.write(
            _PARTITION,
            Merge(f"x:{alert.key}", {"told": stamp(now)}, None),
            Delete(f"u:{alert.key}", None),
        )

    async def drop(self, before: datetime) -> None:
        """Forget those that were told of before then; what is still the case may be told again."""
        told = [Where("told", "lt", stamp(before))]
        rows = self._table.query(_PARTITION, "x:", after("x:"), told, ["told"])
        for row in [row async for row in rows]:
            with suppress(StorageError):  # for next time
                await self._table.write(_PARTITION, Delete(row.key, row.version))


def _untold(row: Row) -> Untold:
    def heralds(prefix: str) -> frozenset[str]:
        return frozenset(n.removeprefix(prefix) for n in row.values if n.startswith(prefix))

    alert = Alert(
        key=str(row.values["key"]),
        cause=Cause(str(row.values["cause"])),
        channel=str(row.values["channel"]),
        campaign=str(row.values["campaign"]),
        ticket=int(row.values["ticket"]),
        detail=str(row.values["detail"]),
    )
    return Untold(alert, moment(row.values["at"]), heralds(_TOLD), heralds(_DOUBTED))
