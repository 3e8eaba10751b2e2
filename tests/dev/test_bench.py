"""The benchmark sees what it says it sees; and what it measures holds for small campaigns too."""

import logging
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from azure.storage.queue import QueueServiceClient

from dev import bench
from dev.azurite import connection_string
from dev.bench.storage import Doorkeeper
from shared.adapters.azure_storage import AzureStorage
from shared.errors import ClashError
from shared.ports import Delete, Insert, Merge, Table

NOW = timedelta()


@pytest.fixture
def door(azurite: str) -> Iterator[Doorkeeper]:
    ports = [int(port) for port in re.findall(r"Endpoint=http://127\.0\.0\.1:(\d+)/", azurite)]
    with Doorkeeper(ports, copies=1) as door:
        yield door


@pytest.fixture
async def behind(door: Doorkeeper) -> AsyncIterator[AzureStorage]:
    storage = AzureStorage.by_connection_string(connection_string(*door.ports))
    yield storage
    await storage.close()


async def new_table(storage: AzureStorage, door: Doorkeeper) -> tuple[str, Table]:
    name = f"test{uuid.uuid4().hex[:12]}"
    table = storage.table(name)
    await storage.prepare()
    door.requests.clear()
    return name, table


async def test_each_request_is_written_down_with_what_it_was_about(
    behind: AzureStorage, door: Doorkeeper
) -> None:
    name, table = await new_table(behind, door)
    await table.write("1-1", Insert("d:æ", {"name": "Åse"}), Insert("o:æ", {}))
    await table.write("1-1", Merge("d:æ", {"name": "Kåre"}, None), Delete("o:æ", None))
    row = await table.get("1-1", "d:æ")
    assert row and row.values["name"] == "Kåre"
    assert [row.key async for row in table.query("1-1", "a", "z")] == ["d:æ"]
    assert {(one.service, one.place) for one in door.requests} == {("Table", name)}
    assert [(one.method, one.operations, one.one_row, one.status) for one in door.requests] == [
        ("POST", 2, False, 202),
        ("DELETE PATCH", 2, False, 202),
        ("GET", 0, True, 200),
        ("GET", 0, False, 200),
    ]


async def test_who_comes_too_late_is_a_conflict_inside_a_transaction_too(
    behind: AzureStorage, door: Doorkeeper
) -> None:
    _, table = await new_table(behind, door)
    [version] = await table.write("1-1", Insert("o:1", {}))
    await table.write("1-1", Merge("o:1", {"token": "a"}, version))
    for late in (
        [Merge("o:1", {"token": "b"}, version)],
        [Insert("a:1", {}), Delete("o:1", version)],
        [Insert("o:1", {})],
        [Insert("a:1", {}), Delete("o:2", None)],
    ):
        with pytest.raises(ClashError):
            await table.write("1-1", *late)
    assert await table.get("1-1", "o:2") is None
    assert [(one.status, one.conflict) for one in door.requests] == [
        (201, False),
        (204, False),
        (412, True),
        (412, True),
        (409, True),
        (404, True),
        (404, False),
    ]


async def test_an_item_comes_twice_though_it_was_put_once(
    behind: AzureStorage, door: Doorkeeper, storage: QueueServiceClient
) -> None:
    queue = behind.queue(name := f"test-{uuid.uuid4().hex[:12]}")
    await behind.prepare()
    door.requests.clear()
    await queue.put("blåbær", NOW)
    assert [(one.method, one.place) for one in door.requests] == [("POST", name)]
    assert await queue.length() == 2


async def test_a_poll_counts_only_when_it_brings_something(door: Doorkeeper) -> None:
    with QueueServiceClient.from_connection_string(connection_string(*door.ports)) as service:
        queue = service.create_queue(f"test-{uuid.uuid4().hex[:12]}")
        queue.send_message("one")
        door.requests.clear()
        for _ in range(3):
            queue.receive_message()
    assert [one.counts for one in door.requests] == [True, True, False]


def test_two_hosts_mail_everybody_once_although_every_item_comes_twice() -> None:
    cost = bench.together(20, bench.USUAL, copies=1)
    assert (cost.items, cost.once) == (40, 20)
    assert cost.conflicts <= 20


def test_what_is_settled_costs_nothing_to_look_after() -> None:
    """The benchmark holds large campaigns against this one; here that it measures, and little."""
    size = 100
    cost = bench.cost_at_size(size, print)
    assert {(looks.complete, looks.progress) for looks in cost.looks} == {(1, 1)}
    assert max(looks.account for looks in cost.looks) <= 20
    assert cost.planning.transactions <= size / 50 + cost.planning.pages
    assert cost.planning.rows == 2 * size


def test_a_body_is_made_once_where_all_mails_are_alike_and_else_for_each() -> None:
    made = [(of.mails, of.bodies) for of in bench.building(20)]
    assert made == [(20, 1), (20, 20), (2, 2)]


def test_all_mails_arrive_over_as_many_connections_as_their_reuse_allows() -> None:
    for anew, kept in bench.sending(24, reuse=10):
        assert (anew.arrived, anew.connections) == (24, 24)
        assert kept.arrived == 24
        assert 3 <= kept.connections <= (3 if kept.at_a_time == 1 else 8 + 2)


def test_what_mail_takes_is_told_line_by_line(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "shared")  # the benchmark sets it as well; this sets it back
    assert bench.main(["--part", "mail", "--mails", "10"]) == 0
    told = capsys.readouterr().out
    rows = [line.split("│")[1:-1] for line in told.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row[:2]] for row in rows] == [
        ["10 alike", "1"],
        ["10 filled in", "10"],
        ["1 with 1 MB", "1"],
        ["plain × 1", "10 anew"],
        ["plain × 1", "1 kept"],
        ["plain × 8", "10 anew"],
        ["plain × 8", "8 kept"],
        ["STARTTLS × 1", "10 anew"],
        ["STARTTLS × 1", "1 kept"],
        ["STARTTLS × 8", "10 anew"],
        ["STARTTLS × 8", "8 kept"],
    ]
