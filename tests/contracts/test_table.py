import pytest

from shared.errors import ClashError
from shared.ports import Delete, Insert, Merge, Put, Table, Where

P = "partition"


async def keys(table: Table, *args, **kwargs) -> list[str]:
    return [row.key async for row in table.query(P, *args, **kwargs)]


async def test_a_row_comes_back_as_it_was_written(table):
    values = {"name": "Åse Ødegård", "round": 2, "open": True, "empty": ""}
    [version] = await table.write(P, Insert("d:1", values))
    row = await table.get(P, "d:1")
    assert (dict(row.values), row.version) == (values, version)
    assert await table.get(P, "d:2") is None


async def test_inserting_twice_clashes_and_changes_nothing(table):
    await table.write(P, Insert("d:1", {"n": 1}))
    with pytest.raises(ClashError):
        await table.write(P, Insert("d:1", {"n": 2}))
    assert (await table.get(P, "d:1")).values["n"] == 1


async def test_a_merge_keeps_other_columns_and_gives_a_new_version(table):
    [first] = await table.write(P, Insert("d:1", {"a": 1, "b": 2}))
    [second] = await table.write(P, Merge("d:1", {"b": 3}, first))
    assert first != second
    row = await table.get(P, "d:1")
    assert (dict(row.values), row.version) == ({"a": 1, "b": 3}, second)


@pytest.mark.parametrize("write", [Merge("d:1", {"a": 9}, "old"), Delete("d:1", "old")])
async def test_a_write_under_an_old_version_clashes(table, write):
    [old] = await table.write(P, Insert("d:1", {"a": 1}))
    await table.write(P, Merge("d:1", {"a": 2}, old))
    stale = type(write)(*[old if part == "old" else part for part in _parts(write)])
    with pytest.raises(ClashError):
        await table.write(P, stale)
    assert (await table.get(P, "d:1")).values["a"] == 2


def _parts(write):
    return (
        (write.key, write.values, write.version)
        if isinstance(write, Merge)
        else (
            write.key,
            write.version,
        )
    )


@pytest.mark.parametrize("write", [Merge("gone", {"a": 1}, None), Delete("gone", None)])
async def test_changing_a_row_that_is_not_there_clashes(table, write):
    with pytest.raises(ClashError):
        await table.write(P, write)


async def test_a_transaction_is_all_or_nothing(table):
    await table.write(P, Insert("o:1", {"a": 1}))
    with pytest.raises(ClashError):
        await table.write(P, Insert("d:1", {"a": 1}), Insert("o:1", {"a": 2}))
    assert await table.get(P, "d:1") is None


async def test_a_transaction_returns_the_version_of_each_row(table):
    versions = await table.write(P, Insert("d:1", {"a": 1}), Put("p:1", {"a": 1}))
    rows = [await table.get(P, "d:1"), await table.get(P, "p:1")]
    assert versions == [row.version for row in rows]
    await table.write(P, Merge("d:1", {"a": 2}, versions[0]), Delete("p:1", versions[1]))
    assert await table.get(P, "p:1") is None


async def test_put_replaces_the_whole_row(table):
    await table.write(P, Put("s:1", {"a": 1, "b": 1}))
    await table.write(P, Put("s:1", {"a": 2}))
    assert dict((await table.get(P, "s:1")).values) == {"a": 2}


async def test_a_query_is_a_range_in_order_within_one_partition(table):
    for key in ("o:2", "d:9", "o:1", "p:1", "o:3"):
        await table.write(P, Insert(key, {"n": int(key[-1]), "t": ""}))
    await table.write("other", Insert("o:0", {"n": 0}))
    assert await keys(table, "o:", "o;") == ["o:1", "o:2", "o:3"]
    assert await keys(table, "o:", "o;", limit=2) == ["o:1", "o:2"]
    assert await keys(table, "o:", "o;", where=[Where("n", "gt", 1)]) == ["o:2", "o:3"]
    assert await keys(table, "o:", "o;", where=[Where("t", "eq", ""), Where("n", "ne", 2)]) == [
        "o:1",
        "o:3",
    ]


async def test_a_query_for_some_columns_has_only_those(table):
    await table.write(P, Insert("o:1", {"a": 1, "b": "x' or 'y"}))
    [row] = [row async for row in table.query(P, "o:", "o;", columns=["b"])]
    assert dict(row.values) == {"b": "x' or 'y"}
    assert row.version


async def test_a_quote_in_a_condition_is_just_a_quote(table):
    await table.write(P, Insert("o:1", {"name": "d'Artagnan"}))
    assert await keys(table, "o:", "o;", where=[Where("name", "eq", "d'Artagnan")]) == ["o:1"]
    assert await keys(table, "o:", "o;", where=[Where("name", "eq", "' or '1' eq '1")]) == []


async def test_a_query_goes_on_past_a_page_of_a_thousand(table):
    for first in range(0, 1_100, 100):
        await table.write(P, *(Insert(f"o:{n:05}", {"n": n}) for n in range(first, first + 100)))
    assert len(await keys(table, "o:", "o;")) == 1_100
