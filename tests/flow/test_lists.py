"""Lists are brought in step by difference: complete at every moment, and never emptied."""

import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from dev.pureservice import Fault, Switches, World, create_app, seed_base
from dev.pureservice.seed import HAS_COMPANY, add_company, add_list, add_member, add_user
from shared.adapters.pureservice import Pureservice
from shared.adapters.pureservice_lists import PureserviceLists
from shared.domain.lists import LeftAlone, ListRule, Why
from shared.errors import SetupError, StoppedError
from shared.flow.lists import LONGEST_RUN, PORTION, WRITES_PER_RUN, Allowance, lists, plan
from tests.examples import settings
from tests.fakes import Clock
from tests.flow.edges import Edge, Moments, Stop, stop

KOMMUNER = {"Ålfjord (kommune)", "Bjørkedal (kommune)", "Grønnvik (kommune)"}


class Town(httpx.AsyncBaseTransport):
    """A helpdesk with lists, what it was asked, and the step that keeps its lists."""

    def __init__(self, **changes: Any) -> None:
        self.clock = Clock(datetime(2026, 11, 23, 3, 30, tzinfo=UTC))
        self.world = World(now=self.clock, switches=Switches(calls_per_minute=0))
        seed_base(self.world)
        self.simulator = create_app(self.world)
        self.asked: list[tuple[datetime, str]] = []
        self._inner = httpx.ASGITransport(self.simulator)
        self.settings = settings(**{"LISTS": "update", "PURESERVICE_RATE": 0, **changes})
        self.helpdesk = Pureservice(
            self.settings, clock=self.clock, transport=self, sleep=self.sleep
        )
        self.directory: Any = PureserviceLists(
            self.settings, self.helpdesk.wire, self.helpdesk.names
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((self.clock(), f"{request.method} {request.url.path}"))
        return await self._inner.handle_async_request(request)

    async def sleep(self, seconds: float) -> None:
        self.clock.tick(seconds=seconds)

    async def run(self, *, first: str = "", **changes: Any) -> None:
        """The next night's run; or the next in which this list is the first."""
        settings = self.settings.model_copy(update=changes)
        rules = list(settings.LIST_RULES)
        self.clock.tick(days=1)
        while first and rules[self.clock().toordinal() % len(rules)] != first:
            self.clock.tick(days=1)
        self.asked.clear()
        await lists(directory=self.directory, settings=settings, clock=self.clock, sleep=self.sleep)

    def writes(self, *methods: str) -> list[str]:
        calls = [call.split()[0] for _, call in self.asked]
        return [method for method in calls if method in (methods or ("POST", "DELETE"))]

    def trouble(self, kind: Any, **fault: Any) -> None:
        self.simulator.traffic.faults.append(Fault(kind=kind, **fault))

    # --- what is there ---

    def company(self, name: str, category: str = "Kommune", **values: Any) -> dict[str, Any]:
        return add_company(self.world, {"name": name, "cf_9": category, **values})

    def change(self, name: str, **values: Any) -> None:
        row = self.world.find("company", name=name)
        assert row
        self.world.change("company", row["id"], values)

    def list_row(self, unique_id: str = "KOMM") -> dict[str, Any]:
        row = self.world.find("asset", uniqueId=unique_id)
        assert row
        return row

    def relations(self, unique_id: str = "KOMM") -> list[dict[str, Any]]:
        return list(self.world.where("relationship", "toAssetId", self.list_row(unique_id)["id"]))

    def members(self, unique_id: str = "KOMM") -> list[str]:
        """The names of its companies, twice for those who are on it twice."""
        has_company = self.world.find("relationshiptype", name=HAS_COMPANY)
        assert has_company
        return sorted(
            self.world.get("company", row["fromCompanyId"])["name"]
            for row in self.relations(unique_id)
            if row["typeId"] == has_company["id"]
        )

    def fill(self, unique_id: str, count: int, *, belonging: int | None = None) -> None:
        """A list with that many companies on it, of which so many belong there (all)."""
        members = add_list(self.world, unique_id.title(), unique_id)
        for n in range(count):
            stays = belonging is None or n < belonging
            company = self.company(f"{unique_id} {n}", unique_id if stays else "Annet")
            add_member(self.world, members, "company", company)


@pytest.fixture
async def make_town() -> AsyncIterator[Callable[..., Town]]:
    towns = []

    def make(**changes: Any) -> Town:
        towns.append(Town(**changes))
        return towns[-1]

    yield make
    for town in towns:
        await town.helpdesk.close()


@pytest.fixture
def town(make_town: Callable[..., Town]) -> Town:
    return make_town(LISTS_REMOVE_AT_MOST=50)


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "shared")


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    """The lines of this event."""
    return [text for text in caplog.messages if text.split()[0] == event]


# --- what is done ---


async def test_what_is_missing_is_added_and_what_left_is_removed(town: Town) -> None:
    town.company("Dalvik")
    town.change("Grønnvik (kommune)", cf_9="Annet")
    await town.run()
    assert town.members() == ["Bjørkedal (kommune)", "Dalvik", "Ålfjord (kommune)"]


async def test_a_disabled_company_leaves_and_comes_back(town: Town) -> None:
    town.change("Grønnvik (kommune)", disabled=True)
    await town.run()
    assert set(town.members()) == KOMMUNER - {"Grønnvik (kommune)"}
    town.change("Grønnvik (kommune)", disabled=False)
    await town.run()
    assert set(town.members()) == KOMMUNER


async def test_everything_is_added_before_anything_is_removed(town: Town) -> None:
    town.company("Dalvik")
    town.change("Grønnvik (kommune)", cf_9="Annet")
    await town.run()
    assert town.writes() == ["POST", "DELETE"]


async def test_the_second_run_changes_nothing(town: Town) -> None:
    town.company("Dalvik")
    town.change("Grønnvik (kommune)", disabled=True)
    await town.run()
    assert town.writes()
    before = town.relations()
    await town.run()
    assert (town.writes(), town.relations()) == ([], before)


async def test_users_tickets_and_other_relations_are_left_alone(town: Town) -> None:
    world, komm = town.world, town.list_row()
    user = add_user(world, {"firstName": "Åse", "lastName": "Li"}, ["aase@example.no"])
    add_member(world, komm, "user", user)
    add_member(world, komm, "company", town.company("Eier", "Annet"), relation="Forvaltes av")
    others = [row for row in town.relations() if row not in town.relations()[:3]]
    assert len(others) == 2
    town.change("Grønnvik (kommune)", disabled=True)
    await town.run()
    assert [row for row in town.relations() if row in others] == others
    assert len(town.relations()) == 4


async def test_a_company_that_is_on_the_list_twice_stays_on_it_once(town: Town) -> None:
    company = town.world.find("company", name="Ålfjord (kommune)")
    assert company
    add_member(town.world, town.list_row(), "company", company)
    first = town.relations()[0]
    await town.run(LISTS_REMOVE_AT_MOST=0)
    assert town.members() == sorted(KOMMUNER)
    assert first in town.relations()


async def test_a_rule_may_be_a_filter_and_still_finds_no_disabled_company(
    make_town: Callable[..., Town],
) -> None:
    rule = {"filter": 'name == "Nord" OR name == "Sør"'}
    town = make_town(LIST_RULES={" skole ": rule})
    add_list(town.world, "Skoler", "Skole")
    town.company("Nord", "")
    town.company("Sør", "", disabled=True)
    await town.run()
    assert town.members("Skole") == ["Nord"]


async def test_a_list_of_more_than_a_page_is_filled_and_then_left_alone(
    make_town: Callable[..., Town],
) -> None:
    town = make_town(LIST_RULES={"BARN": "Barnehage"})
    add_list(town.world, "Barnehager", "BARN")
    for n in range(1_010):
        town.company(f"Barnehage nr. {n}", "Barnehage")
    await town.run()
    assert len(set(town.members("BARN"))) == len(town.members("BARN")) == 1_010
    assert len(town.writes("POST")) == -(-1_010 // PORTION)
    await town.run()
    assert town.writes() == []


# --- off, and preview ---


async def test_off_asks_nothing(town: Town) -> None:
    await town.run(LISTS="off")
    assert town.asked == []


def ids(lines: list[str]) -> list[str]:
    return [one for line in lines for one in re.findall(r"companies=(\S+)", line)[0].split(",")]


async def test_a_preview_logs_what_an_update_does_and_writes_nothing(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(PORTION + 1):
        town.company(f"Kommune nr. {n}")
    town.change("Grønnvik (kommune)", disabled=True)
    town.change("Sjøtilsynet (statlig virksomhet)", cf_9="Annet")
    before = town.members(), town.members("STAT")
    await town.run(LISTS="preview", first="KOMM")
    assert (town.members(), town.members("STAT"), town.writes()) == (*before, [])
    preview = told(caplog, "lists.would_add"), told(caplog, "lists.would_remove")
    [line] = [one for one in told(caplog, "lists.preview") if "list=KOMM" in one]
    assert line.endswith(f"to_add={PORTION + 1} to_remove=1")

    await town.run(first="KOMM")
    assert ids(preview[0]) == ids(told(caplog, "lists.added"))
    assert ids(preview[1]) == ids(told(caplog, "lists.removed"))
    assert f"added={PORTION + 1} removed=1" in "".join(told(caplog, "lists.done"))


async def test_the_log_has_ids_and_no_names_of_companies(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    town.company("Kari Nordmann")
    town.change("Grønnvik (kommune)", disabled=True)
    town.trouble("status", status=400, method="DELETE")
    for mode in ("preview", "update"):
        await town.run(LISTS=mode)
    assert told(caplog, "lists.refused")
    assert not any(name in caplog.text for name in ("Nordmann", "Grønnvik"))


# --- lists that are left alone ---


async def test_a_rule_that_finds_nobody_leaves_its_list_as_it_is(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    for name in KOMMUNER:
        town.change(name, cf_9="Noe annet")
    await town.run(LISTS_REMOVE_AT_MOST=100)
    assert set(town.members()) == KOMMUNER
    assert told(caplog, "lists.left_alone") == ["lists.left_alone list=KOMM because=nobody"]


async def test_a_list_that_would_lose_too_many_neither_loses_nor_gains_any_night_after_night(
    make_town: Callable[..., Town], caplog: pytest.LogCaptureFixture
) -> None:
    town = make_town(LIST_RULES={"FIRMA": "FIRMA"})
    town.fill("FIRMA", 10, belonging=7)
    for n in range(100):  # with these on it, three would be less than a fifth
        town.company(f"Ny nr. {n}", "FIRMA")
    before = town.relations("FIRMA")
    for _ in range(2):
        await town.run()
        assert town.writes() == []
    assert town.relations("FIRMA") == before
    line = told(caplog, "lists.left_alone")[0]
    assert "3 of 10" in line and "LISTS_REMOVE_AT_MOST=20" in line
    assert "because=too_many" in line


async def test_a_rule_without_a_list_is_told_and_the_others_go_on(
    make_town: Callable[..., Town], caplog: pytest.LogCaptureFixture
) -> None:
    town = make_town(LIST_RULES={"IKS": "Interkommunalt selskap", "KOMM": "Kommune"})
    add_list(town.world, "Gammel", "IKS", is_deleted=True)
    town.company("Dalvik")
    await town.run()
    assert "Dalvik" in town.members()
    assert told(caplog, "lists.left_alone") == ["lists.left_alone list=IKS because=no_list"]


async def test_two_lists_that_a_rule_may_mean_are_both_left_alone(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    add_list(town.world, "Kommuner", " komm")
    town.company("Dalvik")
    await town.run()
    assert "Dalvik" not in town.members()
    assert told(caplog, "lists.left_alone") == ["lists.left_alone list=KOMM because=several_lists"]


async def test_a_list_that_changes_while_it_is_read_waits_for_the_next_run(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    dalvik = town.company("Dalvik")
    directory = town.directory

    async def meddle(moment: str) -> None:
        """A case worker adds the same company, between the two readings."""
        if moment == "after directory.companies" and not town.world.find(
            "relationship", fromCompanyId=dalvik["id"]
        ):
            add_member(town.world, town.list_row(), "company", dalvik)

    town.directory = Edge("directory", directory, meddle)
    await town.run(LIST_RULES={"KOMM": "Kommune"})
    assert town.writes() == []
    assert told(caplog, "lists.left_alone") == ["lists.left_alone list=KOMM because=changing"]
    await town.run()
    assert town.members() == sorted(KOMMUNER | {"Dalvik"})


# --- trouble ---


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500, "times": 9},
        {"kind": "status", "status": 404},
        {"kind": "half_json", "times": 9},
    ],
)
async def test_a_list_that_cannot_be_read_does_not_stop_the_others(
    town: Town, caplog: pytest.LogCaptureFixture, fault: dict[str, Any]
) -> None:
    for unique_id, category in (("KOMM", "Kommune"), ("STAT", "Statlig virksomhet")):
        town.company(f"Ny i {unique_id}", category)
    town.trouble(path=f"/relationship/{town.list_row()['id']}/", **fault)
    await town.run()
    assert "Ny i STAT" in town.members("STAT")
    assert set(town.members()) == KOMMUNER
    [line] = told(caplog, "lists.postponed")
    assert "list=KOMM" in line


async def test_a_lost_answer_is_not_repeated_and_the_next_run_finds_it_done(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(PORTION + 5):
        town.company(f"Kommune nr. {n}")
    town.change("Grønnvik (kommune)", disabled=True)
    town.company("Nytt tilsyn", "Statlig virksomhet")
    town.trouble("drop_after_write", method="POST")
    await town.run(first="KOMM")
    [line] = told(caplog, "lists.postponed")
    assert "list=KOMM" in line
    assert town.writes() == ["POST", "POST"]  # the second is for the other list
    assert "Nytt tilsyn" in town.members("STAT")
    await town.run()
    await town.run()
    assert town.writes() == []
    assert len(town.members()) == len(set(town.members())) == len(KOMMUNER) - 1 + PORTION + 5


async def test_a_helpdesk_that_asks_us_to_wait_stops_the_run_and_the_next_goes_on(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(3 * PORTION):
        town.company(f"Kommune nr. {n}")
    town.company("Nytt tilsyn", "Statlig virksomhet")
    town.trouble("status", status=429, retry_after=30, method="POST", skip=1)
    await town.run()
    assert len(town.writes()) == 2
    assert [line for line in told(caplog, "lists.stopped") if "429" in line]
    await town.run()
    assert len(town.members()) == len(set(town.members())) == len(KOMMUNER) + 3 * PORTION
    assert "Nytt tilsyn" in town.members("STAT")


async def test_a_portion_that_is_refused_is_tried_one_by_one(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [town.company(f"Kommune nr. {n}") for n in range(5)]
    town.trouble("status", status=400, method="POST", times=2)  # all of them, then the first
    await town.run()
    assert set(town.members()) == KOMMUNER | {row["name"] for row in rows[1:]}
    [line] = told(caplog, "lists.refused")
    assert f"companies={rows[0]['id']} " in line
    assert "added=4 removed=0 refused=1 left=0" in "".join(told(caplog, "lists.done"))


async def test_a_list_that_takes_nobody_is_given_up_and_the_others_go_on(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(3 * PORTION):
        town.company(f"Kommune nr. {n}")
    town.trouble("status", status=400, method="POST", times=PORTION + 1)
    town.change("Sjøtilsynet (statlig virksomhet)", disabled=True)
    await town.run()
    assert len(town.writes("POST")) == PORTION + 1
    assert town.members("STAT") == ["Blåbærdirektoratet (statlig virksomhet)"]
    [line] = told(caplog, "lists.postponed")
    assert "list=KOMM" in line


async def test_a_relation_that_somebody_else_has_removed_meanwhile_stops_nothing(
    town: Town,
) -> None:
    for name in ("Grønnvik (kommune)", "Nordhav (fylkeskommune)"):
        town.change(name, disabled=True)
    town.trouble("status", status=404, method="DELETE")
    await town.run()
    await town.run()
    assert set(town.members()) == KOMMUNER - {"Grønnvik (kommune)"}
    assert town.members("FYLK") == ["Østmark (fylkeskommune)"]


async def test_wherever_a_run_is_stopped_the_next_one_completes_it(
    make_town: Callable[..., Town],
) -> None:
    def scene() -> Town:
        town = make_town(LISTS_REMOVE_AT_MOST=50)
        for n in range(PORTION + 1):
            town.company(f"Kommune nr. {n}")
        town.change("Grønnvik (kommune)", disabled=True)
        town.change("Nordhav (fylkeskommune)", cf_9="Annet")
        return town

    async def run(town: Town, moments: Moments) -> None:
        directory = town.directory
        town.directory = Edge("directory", directory, moments)
        with suppress(Stop):
            await town.run()
        town.directory = directory

    await run(town := scene(), moments := Moments())
    expected = town.members(), town.members("FYLK")
    assert len(expected[0]) == 2 + PORTION + 1 and len(expected[1]) == 1
    assert moments.passed.count("after directory.add") == 2
    assert moments.passed.count("after directory.remove") == 2
    for at in range(len(moments.passed)):
        town = scene()
        await run(town, Moments(at, stop))
        assert set(town.members()) >= KOMMUNER - {"Grønnvik (kommune)"}
        await town.run()
        assert (town.members(), town.members("FYLK")) == expected, moments.passed[at]


async def test_a_refused_key_is_raised_so_that_somebody_sees_it(town: Town) -> None:
    town.trouble("status", status=401, times=99)
    with pytest.raises(StoppedError):
        await town.run()


async def test_a_name_that_does_not_exist_is_raised_with_its_setting(
    make_town: Callable[..., Town],
) -> None:
    with pytest.raises(SetupError, match="LIST_COMPANY_RELATION"):
        await make_town(LIST_COMPANY_RELATION="Finnes ikke").run()
    with pytest.raises(SetupError, match="LIST_COMPANY_RELATION"):
        await make_town(LIST_COMPANY_RELATION="").run()


async def test_two_rules_for_one_list_are_refused(make_town: Callable[..., Town]) -> None:
    town = make_town(LIST_RULES={"KOMM": "Kommune", " komm": "Fylkeskommune"})
    with pytest.raises(SetupError, match="LIST_RULES"):
        await town.run()
    assert set(town.members()) == KOMMUNER


async def test_a_bug_with_one_list_does_not_stop_the_others(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    town.company("Dalvik")
    town.company("Nytt tilsyn", "Statlig virksomhet")
    before = town.directory.companies

    async def companies(rule: ListRule) -> Any:
        if rule.unique_name == "KOMM":
            raise ZeroDivisionError
        return await before(rule)

    town.directory.companies = companies
    with pytest.raises(ExceptionGroup):
        await town.run()
    assert "Nytt tilsyn" in town.members("STAT")
    assert told(caplog, "lists.failed")


# --- how fast, and how much ---


async def test_a_run_writes_so_much_and_the_next_ones_do_the_rest(
    make_town: Callable[..., Town], caplog: pytest.LogCaptureFixture
) -> None:
    town = make_town(LIST_RULES={"STOR": "STOR", "KOMM": "Kommune"})
    leaving = WRITES_PER_RUN + 20
    town.fill("STOR", 5 * leaving, belonging=4 * leaving)
    town.company("Dalvik")
    await town.run(first="STOR")
    assert len(town.writes()) == WRITES_PER_RUN
    [line] = told(caplog, "lists.done")
    assert line.endswith("removed=150 refused=0 left=20")
    assert told(caplog, "lists.not_reached") == ["lists.not_reached list=KOMM"]
    await town.run()
    await town.run()
    assert len(town.members("STOR")) == 4 * leaving
    assert "Dalvik" in town.members()
    assert town.writes() == []


async def test_no_list_waits_for_ever_behind_one_that_uses_up_every_run(
    make_town: Callable[..., Town],
) -> None:
    town = make_town(LIST_RULES={"STOR": "STOR", "KOMM": "Kommune"}, LISTS_REMOVE_AT_MOST=100)
    town.fill("STOR", 3 * WRITES_PER_RUN, belonging=1)
    town.company("Dalvik")
    await town.run(first="STOR")
    assert "Dalvik" not in town.members()
    await town.run()
    assert "Dalvik" in town.members()


async def test_calls_keep_within_the_rate(make_town: Callable[..., Town]) -> None:
    town = make_town(PURESERVICE_RATE=20, LIST_RULES={"KOMM": "Kommune"})
    for n in range(3 * PORTION):
        town.company(f"Kommune nr. {n}")
    await town.run()
    assert len(town.writes()) == 3
    names = next(n for n, (_, call) in enumerate(town.asked) if call.endswith("/asset/"))
    times = [at for at, _ in town.asked[names:]]
    assert {after - before for before, after in pairwise(times)} == {timedelta(seconds=3)}


async def test_without_a_rate_nobody_waits(town: Town) -> None:
    town.company("Dalvik")
    await town.run()
    assert {at for at, _ in town.asked} == {town.clock()}


async def test_a_slow_rate_ends_the_run_in_time(
    make_town: Callable[..., Town], caplog: pytest.LogCaptureFixture
) -> None:
    rules = {"STOR": "STOR", "KOMM": "Kommune", "STAT": "Statlig virksomhet"}
    town = make_town(PURESERVICE_RATE=10, LISTS_REMOVE_AT_MOST=100, LIST_RULES=rules)
    town.fill("STOR", 100, belonging=1)
    for _ in range(3):  # whichever list is the first
        await town.run()
        lasted = town.asked[-1][0] - town.asked[0][0]
        assert lasted <= LONGEST_RUN + timedelta(seconds=30)
    assert told(caplog, "lists.not_reached")
    for _ in range(3):
        await town.run()
    assert town.members("STOR") == ["STOR 0"]


async def test_a_pace_without_limits_never_ends(town: Town) -> None:
    allowance = Allowance(60, town.clock, town.sleep)
    assert all([await allowance.write() for _ in range(2 * WRITES_PER_RUN)])
    assert not allowance.over


async def test_a_plan_tells_who_is_on_the_list(town: Town) -> None:
    made = await plan(
        ListRule("KOMM", category="Finnes ikke"),
        await town.directory.lists(),
        directory=town.directory,
        allowance=Allowance(0, town.clock, town.sleep),
        at_most=20,
    )
    assert made.decision == LeftAlone(Why.NOBODY)
    assert {member.name for member in made.members} == KOMMUNER
