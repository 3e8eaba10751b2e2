"""What the ledger promises about its log of changes."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import ClashError, DoubtfulError
from shared.ledger.audit import Audit, month_of
from shared.ports import Table, Write
from tests.fakes import MemoryTable

NOW = datetime(2026, 11, 22, 8, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def audit(table: Table) -> Audit:
    return Audit(table)


async def subjects(audit: Audit, month: str = "2026-11", **options) -> list[str]:
    return [entry.subject async for entry in audit.entries(month, **options)]


async def test_the_newest_comes_first_and_nothing_is_lost(audit):
    for n, hours in enumerate((1, 0, 2, 0)):
        await audit.record(NOW + timedelta(hours=hours), "http", "campaign.paused", f"{n}-1")
    found = await subjects(audit)
    assert found[:2] == ["2-1", "0-1"]
    assert set(found[2:]) == {"1-1", "3-1"}  # at the same time: both
    [entry] = [entry async for entry in audit.entries("2026-11", limit=1)]
    assert (entry.at, entry.who, entry.what) == (
        *(NOW + timedelta(hours=2), "http", "campaign.paused"),
    )


async def test_a_microsecond_or_a_day_tells_apart_which_was_first(audit):
    times = [NOW, NOW + timedelta(microseconds=1), NOW + timedelta(days=1), NOW - timedelta(days=9)]
    for n, at in enumerate(times):
        await audit.record(at, "http", "x", str(n))
    assert await subjects(audit) == ["2", "1", "0", "3"]


async def test_months_are_apart_and_can_be_paged_through(audit):
    for n in range(5):
        await audit.record(NOW + timedelta(minutes=n), "http", "x", str(n))
    await audit.record(datetime(2026, 12, 1, tzinfo=UTC), "http", "x", "december")
    first = [entry async for entry in audit.entries("2026-11", limit=2)]
    assert [entry.subject for entry in first] == ["4", "3"]
    assert await subjects(audit, behind=first[-1].key) == ["2", "1", "0"]
    assert await subjects(audit, "2026-12") == ["december"]
    assert month_of(datetime(2026, 12, 1, 0, 30, tzinfo=UTC)) == "2026-12"


class Failing(MemoryTable):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def write(self, partition: str, *writes: Write) -> list[str]:
        await super().write(partition, *writes)
        raise self.error


async def test_a_clash_is_its_own_repetition():
    audit = Audit(Failing(ClashError("exists")))
    await audit.record(NOW, "http", "x", "1")
    assert await subjects(audit) == ["1"]


async def test_a_doubt_is_the_callers_so_that_nothing_is_changed_unseen():
    with pytest.raises(DoubtfulError):
        await Audit(Failing(DoubtfulError("no answer"))).record(NOW, "http", "x", "1")
