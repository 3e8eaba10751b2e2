"""The audit log: who changed what, and when. Rows are inserted, and never changed.

One partition a month, the newest first: `e:<how long until the year 10000>:<anything>`.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from shared.errors import ClashError
from shared.ledger.rows import after, moment, stamp
from shared.ports import Insert, Row, Table

_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """One change. Names nobody by their address: `subject` is an id or a fingerprint."""

    at: datetime
    who: str  #: who asked for it: a person's id, or how they came in
    what: str  #: what was done, as the log would say it: `suppression.added`
    subject: str  #: to what: a campaign, or an address's fingerprint
    detail: str = ""
    key: str = ""  #: where it stands, to go on behind it


class Audit:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def record(
        self, at: datetime, who: str, what: str, subject: str, detail: str = ""
    ) -> None:
        """Keep it. Asked for before the change itself, so that no change goes without.

        Raises DoubtfulError when nobody knows whether it is kept: then nothing is to be changed.
        """
        columns = {
            "at": stamp(at),
            "who": who,
            "what": what,
            "subject": subject,
            "detail": detail,
        }
        with suppress(ClashError):  # the client's own repetition: nobody else has this key
            await self._table.write(month_of(at), Insert(_key(at), columns))

    async def entries(
        self, month: str, limit: int | None = None, behind: str = ""
    ) -> AsyncIterator[Entry]:
        """What was done in that month, such as `2026-11`, the newest first."""
        first = f"{behind}!" if behind else "e:"  # no character of a key sorts before "!"
        async for row in self._table.query(month, first, after("e:"), limit=limit):
            yield _entry(row)


def month_of(at: datetime) -> str:
    """The month it is in UTC, as partitions are named.

    >>> month_of(datetime(2026, 11, 22, tzinfo=UTC))
    '2026-11'
    """
    return f"{at.astimezone(UTC):%Y-%m}"


def _key(at: datetime) -> str:
    left = _END_OF_TIME - at
    seconds = left.days * 86_400 + left.seconds
    return f"e:{seconds:012}{left.microseconds:06}:{uuid4().hex}"


def _entry(row: Row) -> Entry:
    v = row.values
    return Entry(
        at=moment(v["at"]),
        who=str(v["who"]),
        what=str(v["what"]),
        subject=str(v["subject"]),
        detail=str(v["detail"]),
        key=row.key,
    )
