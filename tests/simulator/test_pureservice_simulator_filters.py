"""The filter language: what it finds, and what it refuses."""

from collections.abc import Callable

import httpx
import pytest

from dev.pureservice import World
from dev.pureservice.filters import FilterError, candidates, compile_filter, compile_sort

HOSTILE = [
    'name == "x',
    "name == 'x'",
    "((((",
    "name",
    "nosuchfield == 1",
    "requestType.nosuch == 1",
    'requestType == "Ticket"',
    "name == 5",
    'id == "five"',
    "id == 99999999999999999999999",
    "name.Contains(5)",
    'name.Matches("x")',
    'name == "a\\q"',
    'name == "a\nb"',
    "disabled > true",
    'created > "not a date"',
    "created.Century == 20",
    "created > DateTimeOffset(2026, 13, 1, 0, 0, 0, TimeSpan(0, 0, 0))",
    "created > DateTimeOffset(name, 1, 1, 0, 0, 0, TimeSpan(0, 0, 0))",
    "@0.Contains(outerIt.Id)",
    "createdBy.emailAddresses.email == null",
    "id == 1; DROP TABLE status",
    "!" * 5000 + "disabled",
    "id == 1 OR " * 800 + "id == 1",
]


@pytest.fixture
def statuses(world: World) -> World:
    """Besides the usual ones, a status with an awkward name, changed a year later."""
    world.add("status", {"name": 'Si "æøå" \\ nå', "coreStatus": 30, "requestTypeId": 1})
    return world


def found(world: World, expression: str) -> list[str]:
    test = compile_filter(world, "status", expression)
    return [row["name"] for row in world.all("status") if test(row)]


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('name == "Lukket"', ["Lukket"]),
        ('NAME = "Lukket"', ["Lukket"]),
        ('name == "lukket"', []),
        ('name.equals("Lukket")', ["Lukket"]),
        ('Name.Contains("kont")', ["Utsending – til kontroll"]),
        ('name == "Si \\"æøå\\" \\\\ nå"', ['Si "æøå" \\ nå']),
        ('name == "Løst" AND requesttype.key == "Ticket" and coreStatus >= 50', ["Løst"]),
        ('name == "Løst" && requestType.Key == "Change"', ["Løst"]),
        ('name == "Løst"', ["Løst", "Løst"]),
        ('(name == "Lukket" || name == "Ny") AND requestTypeID != 2', ["Ny", "Lukket"]),
        ('name == "Ny" OR name == "Lukket" AND id == -1', ["Ny", "Ny"]),
        ("disabled", ["Ute av bruk"]),
        ("disabled == True", ["Ute av bruk"]),
        ('!disabled AND name.contains("Ute")', []),
        ("!(coreStatus < 60) AND disabled == False", ["Lukket"]),
        ("coreStatus == 60 AND modified == NULL", ["Lukket"]),
        ("requestType == null", []),
        ("coreStatus > 50 AND requestType != NULL", ["Lukket"]),
        ("coreStatus == 60 AND created.Year == 2026", ["Lukket"]),
        ("coreStatus == 60 AND created.year != 2026", []),
        (
            "coreStatus == 60 AND created < DateTimeOffset(2026, 2, 3, 9, 16, 0, 000,"
            " TimeSpan(0, 1, 0, 0))",
            ["Lukket"],
        ),
        ("created < DateTimeOffset(2026, 2, 3, 9, 15, 0, 000, TimeSpan(0, 1, 0, 0))", []),
        ('coreStatus == 60 AND created >= "2026-02-03T08:15:00Z"', ["Lukket"]),
        ("modified > DateTimeOffset(2000, 1, 1, 0, 0, 0, TimeSpan(0, 0, 0))", []),
        ('createdBy.emailAddress.email == "x" AND !createdBy.disabled', []),
    ],
)
def test_an_expression_finds(statuses: World, expression: str, names: list[str]) -> None:
    assert found(statuses, expression) == names


def test_neither_a_flag_nor_its_opposite_holds_for_nobody(world: World) -> None:
    company = world.add("company", {"name": "Ingen epost"})
    world.add("user", {"companyId": company["id"], "disabled": True})
    world.add("user", {"companyId": None})
    for expression, count in (("company.disabled", 0), ("!company.disabled", 4 + 1)):
        test = compile_filter(world, "user", expression)
        assert len([row for row in world.all("user") if test(row)]) == count, expression


def test_texts_may_compare_without_case(world: World, turn: Callable[..., None]) -> None:
    turn(string_comparison="insensitive")
    assert found(world, 'name == "LUKKET"') == ["Lukket"]
    assert found(world, 'name.contains("KONTROLL")') == ["Utsending – til kontroll"]


@pytest.mark.parametrize("expression", HOSTILE)
async def test_what_the_server_would_refuse_is_400(api: httpx.AsyncClient, expression: str) -> None:
    answer = await api.get("/status/", params={"filter": expression})
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"]


def test_a_filter_by_key_reads_an_index_and_agrees_with_a_full_read(world: World) -> None:
    key = "requestTypeId == 2 OR id == 9"
    narrowed = candidates(world, "status", key)
    assert narrowed is not None and len(narrowed) < world.count("status")
    test = compile_filter(world, "status", key)
    assert [r for r in narrowed if test(r)] == [r for r in world.all("status") if test(r)]
    assert candidates(world, "status", "requestTypeId == 2 OR coreStatus == 60") is None


@pytest.mark.parametrize("sort", ["nosuch", "name sideways", "requestType", "name,,id", "1"])
def test_a_sort_that_makes_no_sense_is_refused(world: World, sort: str) -> None:
    with pytest.raises(FilterError):
        compile_sort(world, "status", sort)


async def test_sort_takes_several_keys_and_paths(api: httpx.AsyncClient) -> None:
    answer = await api.get("/status", params={"sort": "requestType.key ASC, coreStatus desc,id"})
    keys = [
        (row["requestTypeId"], -row["coreStatus"], row["id"]) for row in answer.json()["statuses"]
    ]
    # "Change" (2) comes before "Ticket" (1)
    assert keys == sorted(keys, key=lambda key: (-key[0], *key[1:]))
