"""How far each campaign has come, kept so that looking at one costs one request."""

from dataclasses import asdict, dataclass
from datetime import datetime

from shared.domain.delivery import NEVER
from shared.ledger.rows import moment, stamp
from shared.ports import Put, Row, Table

_PARTITION = "progress"


@dataclass(frozen=True, slots=True)
class Progress:
    """As `account` counted it at `at`. What is neither open nor a problem has gone through."""

    campaign: str
    phase: str = ""
    planned: int = 0
    left_out: int = 0
    open: int = 0
    failed: int = 0
    uncertain: int = 0
    at: datetime = NEVER
    moved_at: datetime = NEVER  #: when `open` was seen to change last


class Progresses:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def get(self, campaign: str) -> Progress | None:
        row = await self._table.get(_PARTITION, f"g:{campaign}")
        return _progress(row) if row else None

    async def keep(self, progress: Progress) -> None:
        """In place of what was known. Whoever is later wins: it is counted, not promised."""
        times = {"at": stamp(progress.at), "moved_at": stamp(progress.moved_at)}
        await self._table.write(
            _PARTITION, Put(f"g:{progress.campaign}", {**asdict(progress), **times})
        )


def _progress(row: Row) -> Progress:
    v = row.values
    return Progress(
        campaign=str(v["campaign"]),
        phase=str(v["phase"]),
        planned=int(v["planned"]),
        left_out=int(v["left_out"]),
        open=int(v["open"]),
        failed=int(v["failed"]),
        uncertain=int(v["uncertain"]),
        at=moment(v["at"]),
        moved_at=moment(v["moved_at"]),
    )
