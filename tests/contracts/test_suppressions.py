"""What the ledger promises about addresses that are not to be written to."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.delivery import NEVER
from shared.domain.pace import FRESH_FOR
from shared.domain.suppression import SuppressionReason, address_print
from shared.errors import ClashError, DoubtfulError
from shared.ledger.suppressions import Suppressions
from shared.ports import Insert, Merge, Put, Row, Table, Write
from tests.fakes import MemoryTable

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
KARI, OLA = "kari@example.no", "ola@blåbær.example"
OLA_ASCII = "ola@xn--blbr-roah.example"
BOUNCE, BY_HAND = SuppressionReason.HARD_BOUNCE, SuppressionReason.BY_HAND
UNSUBSCRIBED = SuppressionReason.UNSUBSCRIBED


def days(number: int) -> datetime:
    return NOW + timedelta(days=number)


class Counting:
    """A table that says what was asked of it, and lets something happen in between."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.asked: list[str] = []
        self.then: dict[str, Callable[[], Awaitable[object]]] = {}

    async def get(self, partition: str, key: str) -> Row | None:
        found = await self.table.get(partition, key)
        await self._asked("get v" if key == "v" else "get h")
        return found

    async def write(self, partition: str, *writes: Write) -> list[str]:
        versions = await self.table.write(partition, *writes)
        await self._asked("write")
        return versions

    async def query(self, *where, **what):
        async for row in self.table.query(*where, **what):
            yield row
        await self._asked("query")

    async def _asked(self, what: str) -> None:
        self.asked.append(what)
        if then := self.then.pop(what, None):
            await then()


@pytest.fixture
def suppressions(table: Table) -> Suppressions:
    return Suppressions(table)


async def add(suppressions, address=KARI, reason=BY_HAND, expires=NEVER, now=NOW, source="api"):
    return await suppressions.add(address, reason, source=source, now=now, expires=expires)


# --- one address ---


async def test_an_address_is_known_however_it_is_spelt_and_only_by_its_fingerprint(
    table, suppressions
):
    assert await suppressions.get(OLA) is None
    await add(suppressions, OLA, UNSUBSCRIBED, days(90), source="api")
    for spelt in (OLA, OLA_ASCII, f" {OLA.upper()} "):
        known = await suppressions.get(spelt)
        assert (known.reason, known.source, known.since, known.expires) == (
            *(UNSUBSCRIBED, "api", NOW, days(90)),
        )
    assert await suppressions.get(KARI) is None
    assert [one.print async for one in suppressions.all()] == [address_print(OLA)]
    rows = [row async for row in table.query("suppression", " ", "~")]
    assert len(rows) == 2
    for row in rows:
        stored = json.dumps([row.key, dict(row.values)], ensure_ascii=False).lower()
        assert not any(word in stored for word in ("ola", "blåbær", "xn--", "@"))


@pytest.mark.parametrize(
    ("first", "second", "reason", "expires"),
    [
        ((BY_HAND, NEVER), (BOUNCE, days(90)), BY_HAND, NEVER),  # a bounce shortens nothing
        ((BOUNCE, days(90)), (BY_HAND, NEVER), BY_HAND, NEVER),
        ((BY_HAND, days(365)), (BOUNCE, days(90)), BY_HAND, days(365)),
        ((BY_HAND, days(30)), (BOUNCE, days(90)), BOUNCE, days(90)),
        ((BOUNCE, days(90)), (BOUNCE, days(90)), BOUNCE, days(90)),
        ((UNSUBSCRIBED, NEVER), (BY_HAND, NEVER), UNSUBSCRIBED, NEVER),
    ],
)
async def test_of_two_the_one_that_lasts_longer_holds(suppressions, first, second, reason, expires):
    await add(suppressions, KARI, *first)
    stands = await add(suppressions, KARI, *second, now=days(1))
    assert stands == await suppressions.get(KARI)
    assert (stands.reason, stands.expires, stands.since) == (reason, expires, NOW)


async def test_one_that_has_expired_gives_way_to_any_other(suppressions):
    await add(suppressions, KARI, BY_HAND, days(1))
    stands = await add(suppressions, KARI, BOUNCE, days(3), now=days(2))
    assert (stands.reason, stands.since) == (BOUNCE, days(2))


async def test_the_same_again_writes_nothing(table):
    counting = Counting(table)
    suppressions = Suppressions(counting)
    await add(suppressions)
    counting.asked.clear()
    await add(suppressions)
    assert counting.asked == ["get h"]


async def test_what_is_lifted_is_gone(suppressions):
    await add(suppressions)
    assert await suppressions.lift(KARI.upper())
    assert await suppressions.get(KARI) is None
    assert not await suppressions.lift(KARI)


async def test_two_at_the_same_time_on_one_address_leave_the_longer(table):
    counting = Counting(table)
    counting.then["get h"] = lambda: add(Suppressions(table), KARI, BY_HAND, NEVER)
    stands = await add(Suppressions(counting), KARI, BOUNCE, days(90))
    assert (stands.reason, stands.expires) == (BY_HAND, NEVER)
    counting.then["get h"] = lambda: add(Suppressions(table), OLA, BOUNCE, days(90))
    await add(Suppressions(counting), OLA, BY_HAND)
    assert (await Suppressions(table).get(OLA)).reason is BY_HAND


class Failing(MemoryTable):
    """Writes number so-and-so, or all, are not answered, carried out or not."""

    def __init__(self, *numbers: int, done: bool) -> None:
        super().__init__()
        self.numbers, self.done, self.count = numbers, done, itertools.count(1)

    async def write(self, partition: str, *writes: Write) -> list[str]:
        fails = next(self.count) in self.numbers
        if not fails or self.done:
            versions = await super().write(partition, *writes)
        if fails:
            raise DoubtfulError("no answer")
        return versions


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_lost_answer_to_what_was_done_is_no_trouble(number):
    suppressions = Suppressions(Failing(number, done=True))
    await add(suppressions, KARI, BOUNCE, days(90))
    assert (await add(suppressions, KARI, BY_HAND)).reason is BY_HAND
    assert (await suppressions.get(KARI)).reason is BY_HAND
    assert await suppressions.lift(KARI)
    assert await suppressions.get(KARI) is None


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_what_was_not_done_is_said_so(number):
    suppressions = Suppressions(Failing(number, done=False))
    with pytest.raises(DoubtfulError):
        await add(suppressions, KARI, BOUNCE, days(90))
        await add(suppressions, KARI, BY_HAND)
        await suppressions.lift(KARI)
    again = await suppressions.get(KARI)
    assert (again and again.reason) == [None, BOUNCE, BY_HAND][number - 1]


async def test_a_clash_with_a_repetition_of_its_own_is_no_trouble():
    class Repeating(MemoryTable):
        async def write(self, partition: str, *writes: Write) -> list[str]:
            await super().write(partition, *writes)
            raise ClashError("exists")

    suppressions = Suppressions(Repeating())
    assert (await add(suppressions)).reason is BY_HAND
    assert await suppressions.lift(KARI)


# --- what is asked before a message ---


async def test_asking_is_answered_and_costs_next_to_nothing(table):
    counting = Counting(table)
    suppressions = Suppressions(counting)
    for number in range(3):
        await add(suppressions, f"{number}@example.no", BOUNCE, days(90))
    counting.asked.clear()
    for number in range(3, 50):
        assert await suppressions.reason_for(f"{number}@example.no", NOW) is None
    assert counting.asked == ["get v", "query"]
    later = NOW + FRESH_FOR
    for number in range(3, 50):
        assert not await suppressions.covers(f"{number}@example.no", later)
    assert counting.asked == ["get v", "query", "get v"]
    assert await suppressions.reason_for("2@example.no", later) is BOUNCE
    assert await suppressions.covers("2@Example.no".lower(), later)
    assert counting.asked[3:] == ["get h", "get h"]


async def test_many_that_ask_at_once_read_it_once(table):
    counting = Counting(table)
    suppressions = Suppressions(counting)
    await add(Suppressions(table))
    asked = [suppressions.covers(f"{number}@example.no", NOW) for number in range(20)]
    assert not any(await asyncio.gather(*asked))
    assert counting.asked == ["get v", "query"]


async def test_every_change_is_known_elsewhere_within_seconds(table):
    here, there = Suppressions(table), Suppressions(table)
    assert not await there.covers(KARI, NOW)
    await add(here, KARI, BOUNCE, days(90))
    assert await there.reason_for(KARI, NOW + FRESH_FOR) is BOUNCE
    await here.lift(KARI)
    assert not await there.covers(KARI, NOW + FRESH_FOR)  # its row has the last word


async def test_one_that_expires_counts_until_then(suppressions):
    await add(suppressions, KARI, BOUNCE, days(90))
    just_before = days(90) - timedelta(seconds=1)
    assert await suppressions.covers(KARI, just_before)
    assert not await suppressions.covers(KARI, days(90))
    assert KARI in await suppressions.live(just_before)
    assert KARI not in await suppressions.live(days(90))
    assert OLA not in await suppressions.live(NOW)


@pytest.mark.parametrize("moment", ["get v", "query"])
async def test_what_is_added_while_another_reads_is_not_missed_for_ever(table, moment):
    await add(Suppressions(table), OLA)
    counting = Counting(table)
    reader = Suppressions(counting)
    counting.then[moment] = lambda: add(Suppressions(table), KARI)
    await reader.covers(KARI, NOW)
    assert await reader.covers(KARI, NOW + FRESH_FOR)


async def test_a_clock_that_goes_back_does_not_hide_what_has_changed(table):
    reader = Suppressions(table)
    assert not await reader.covers(KARI, NOW)
    await add(Suppressions(table), KARI)
    assert await reader.covers(KARI, NOW - timedelta(hours=1))


async def test_each_change_and_what_tells_of_it_are_one_transaction(table):
    class Seeing(Counting):
        seen: tuple[Write, ...] = ()

        async def write(self, partition: str, *writes: Write) -> list[str]:
            self.seen += writes
            return await super().write(partition, *writes)

    seeing = Seeing(table)
    await add(Suppressions(seeing), KARI, BOUNCE, days(90))
    await add(Suppressions(seeing), KARI)
    assert [type(write) for write in seeing.seen] == [Insert, Put, Merge, Put]
    assert len({write.values["token"] for write in seeing.seen if isinstance(write, Put)}) == 2
    assert seeing.asked.count("write") == 2


async def test_what_has_expired_for_long_is_dropped(table, suppressions):
    for number in range(101):
        await add(suppressions, f"{number}@example.no", BOUNCE, days(1))
    await add(suppressions, KARI)
    await add(suppressions, OLA, BOUNCE, days(3))
    await suppressions.drop(days(2))
    left = {one.print async for one in suppressions.all()}
    assert left == {address_print(KARI), address_print(OLA)}
