"""What two workers must not do at the same time is done by one, on the twin and on Azurite."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from shared.ledger.claims import Claims

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LEASE = timedelta(minutes=2)
ADDRESS = "post@ålfjord.example.no"


@pytest.fixture
def claims(table) -> Claims:
    return Claims(table)


async def test_of_many_at_once_one_gets_it(claims):
    took = await asyncio.gather(*(claims.take(ADDRESS, NOW, LEASE) for _ in range(8)))
    assert sum(claim is not None for claim in took) == 1


async def test_it_can_be_taken_again_when_it_was_released_and_not_before(claims):
    claim = await claims.take(ADDRESS, NOW, LEASE)
    assert await claims.take(ADDRESS, NOW, LEASE) is None
    await claims.release(ADDRESS, claim)
    assert await claims.take(ADDRESS, NOW, LEASE)


async def test_one_that_was_never_released_runs_out(claims):
    await claims.take(ADDRESS, NOW, LEASE)
    almost = NOW + LEASE - timedelta(seconds=1)
    assert await claims.take(ADDRESS, almost, LEASE) is None
    took = await asyncio.gather(*(claims.take(ADDRESS, NOW + LEASE, LEASE) for _ in range(4)))
    assert sum(claim is not None for claim in took) == 1


async def test_whoever_comes_late_releases_nobody_elses(claims):
    late = await claims.take(ADDRESS, NOW, LEASE)
    await claims.take(ADDRESS, NOW + LEASE, LEASE)
    await claims.release(ADDRESS, late)
    assert await claims.take(ADDRESS, NOW + LEASE, LEASE) is None


async def test_one_thing_does_not_stand_in_the_way_of_another(claims):
    assert await claims.take(ADDRESS, NOW, LEASE)
    assert await claims.take("post@example.no", NOW, LEASE)
