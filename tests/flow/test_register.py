"""The register: everybody on the lists is asked about, and what Digipost answers is kept."""

import io
import json
import logging
import zipfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from dev.pureservice.seed import add_list, add_member, add_user, national_id
from shared.adapters.pureservice_lists import PureserviceLists
from shared.domain.addressee import Identity, fingerprint
from shared.domain.delivery import Reason
from shared.domain.letter_job import JobKind, JobState
from shared.domain.register import Entry, Standing
from shared.errors import (
    DoubtfulError,
    PermanentError,
    StoppedError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.flow.erase import erase, find
from shared.flow.forget import forget
from shared.flow.register import REGISTER, move_register, register
from shared.ledger import Ledger
from tests.flow.edges import Edge, Moments, Stop, another, stop
from tests.flow.letter_house import NS, LetterHouse
from tests.flow.test_letters import HOME

ON = {"DIGIPOST_REGISTER": "on", "ONLY_SEND_TO": "*"}


class Keeper(LetterHouse):
    """A house with a register, and nobody on any list so far."""

    def __init__(self, **changes) -> None:
        super().__init__(**{**ON, **changes})
        self.directory = Directory(self)

    @property
    def edges(self):
        return {
            "service": self.area,
            "helpdesk": self.helpdesk,
            "directory": self.directory,
            "ledger": self.ledger,
            "files": self.files,
            "watch": self.watch,
            "settings": self.settings,
            "clock": self.clock,
        }

    async def begin(self) -> None:
        await register(**self.edges)

    async def move(self) -> None:
        await move_register(**self.edges)

    async def answered(self) -> None:
        """Digipost answers what it has got, and that is read."""
        self.desk.work()
        await self.receipts()
        await self.move()

    async def round(self) -> None:
        """One from its beginning to its end."""
        await self.begin()
        for _ in range(4):
            await self.answered()
            self.clock.tick(minutes=1)
        assert await self.over()

    async def over(self) -> bool:
        survey = await self.ledger.register.survey()
        return survey is not None and survey.over

    async def jobs(self):
        return await self.ledger.jobs.of(REGISTER)

    async def known(self) -> dict[str, Entry]:
        return {entry.member: entry async for entry in self.ledger.register.all()}

    async def alerts(self) -> list[str]:
        return [one.alert.key for one in await self.ledger.alerts.untold()]

    def questions(self, number: int = -1) -> dict[str, str]:
        """What the job asked about each by: the name of the element in Digipost's words."""
        mine = [xml for xml in self.desk.xml if "mottakersplitt" in xml.tag]
        return {
            one.findtext(f"{{{NS}}}kunde-id"): one[1].tag.removeprefix(f"{{{NS}}}")
            for one in mine[number].iter(f"{{{NS}}}mottaker")
        }


class Directory:
    """The lists that were made in the test, and none of those that every tenant has."""

    def __init__(self, house: Keeper) -> None:
        helpdesk = house.helpdesk
        self.whole = PureserviceLists(house.settings, helpdesk.wire, helpdesk.names)

    async def lists(self):
        return [one for one in await self.whole.lists() if one.unique_name.startswith("BREV")]


@pytest.fixture
async def make_keeper():
    houses = []

    def make(**changes) -> Keeper:
        houses.append(Keeper(**changes))
        return houses[-1]

    yield make
    for house in houses:
        await house.helpdesk.close()


def person(house, name: str, number: int = 0) -> dict:
    home = house.world.add("physicaladdress", dict(HOME))
    values = {"firstName": name, "lastName": "Nordmann", "addressId": home["id"]}
    if number:
        values["cf_5"] = national_id(number)
    return add_user(house.world, values, [f"{name.lower()}@example.no"])


def on_list(house, *people: dict, name: str = "BREV") -> dict:
    members = add_list(house.world, name.title(), name)
    for one in people:
        add_member(house.world, members, "user", one)
    return members


def ids(*people: dict) -> list[str]:
    return [f"user:{one['id']}" for one in people]


@pytest.fixture
def scene(make_keeper):
    """Kari, Ola and Liv; Kari is a user, Ola is known, nobody knows Liv."""

    def make(**changes):
        house = make_keeper(**changes)
        kari, ola, liv = people = [person(house, name) for name in ("Kari", "Ola", "Liv")]
        on_list(house, *people)
        house.desk.people = {ids(ola)[0]: "known", ids(liv)[0]: "unknown"}
        return house, ids(kari, ola, liv)

    return make


# --- a round ---


async def test_everybody_on_the_lists_is_asked_about_once_and_the_answers_are_kept(make_keeper):
    house = make_keeper()
    house.clock.tick(hours=2)
    kari, ola, liv = (person(house, name) for name in ("Kari", "Ola", "Liv"))
    on_list(house, kari, ola)
    on_list(house, ola, liv, name="BREV2")
    person(house, "Utenfor")
    _, o, _ = ids(kari, ola, liv)
    house.desk.people = {o: "known"}
    await house.round()
    [job] = await house.jobs()
    assert (job.kind, job.state, job.letters) == (JobKind.SPLIT, JobState.DONE, 3)
    assert sorted(house.desk.jobs[0][1]) == sorted(ids(kari, ola, liv))
    known = await house.known()
    assert {m: e.standing for m, e in known.items()} == {
        ids(kari)[0]: Standing.USER,
        o: Standing.KNOWN,
        ids(liv)[0]: Standing.USER,
    }
    assert known[o].alias and not known[o].digipost_address
    assert known[o].by is Identity.NAME_AND_ADDRESS
    assert (known[o].job, known[o].asked_at) == (
        job.id,
        datetime(2026, 11, 23, 9, 15, 30, tzinfo=UTC),
    )


async def test_a_large_round_is_cut_into_jobs_and_nobody_is_in_two(make_keeper):
    house = make_keeper(DIGIPOST_LETTERS_PER_JOB="2")
    people = [person(house, f"Nr{n}") for n in range(5)]
    on_list(house, *people[:3])
    on_list(house, *people[2:], people[0], name="BREV2")
    await house.round()
    asked = [member for _, some in house.desk.jobs for member in some]
    assert [len(some) for _, some in house.desk.jobs] == [2, 2, 1]
    assert sorted(asked) == sorted(ids(*people))
    assert set(await house.known()) == set(ids(*people))


@pytest.mark.parametrize("off", [{"DIGIPOST_REGISTER": "off"}, {"DIGIPOST_CAMPAIGN_USER": ""}])
async def test_where_there_is_no_register_nothing_is_asked(scene, off):
    house, _ = scene(**off)
    host = on(house, moments := Moments())
    await host.begin()
    await host.move()
    assert moments.passed == []


async def test_with_nothing_under_way_a_minute_costs_one_request(scene):
    house, _ = scene()
    await house.round()
    await on(house, moments := Moments()).move()
    assert moments.passed == ["before register.get", "after register.get"]


async def test_whoever_gets_no_letter_is_not_asked_about_either(make_keeper):
    house = make_keeper(ONLY_SEND_TO="kari@example.no")
    kari, ola = person(house, "Kari"), person(house, "Ola")
    nobody = add_user(house.world, {"firstName": "Uten", "lastName": "Bolig"}, ["u@example.no"])
    gone = person(house, "Sluttet")
    house.world.change("user", gone["id"], {"disabled": True}, by=None)
    on_list(house, kari, ola, nobody, gone)
    await house.round()
    assert [some for _, some in house.desk.jobs] == [ids(kari)]


async def test_a_list_with_nobody_ends_the_round_without_a_job(make_keeper):
    house = make_keeper()
    on_list(house)
    await house.begin()
    assert (await house.jobs(), await house.over()) == ([], True)


async def test_numbers_are_asked_by_and_kept_nowhere(make_keeper, caplog):
    caplog.set_level(logging.DEBUG, "shared")
    house = make_keeper()
    kari = person(house, "Kari", number=1)
    on_list(house, kari)
    await house.begin()
    kept = json.loads(house.files.blobs[f"register/{(await house.jobs())[0].id}/asked.json"])
    [(by, _)] = kept.values()
    house.desk.work()
    assert (by, house.questions()) == ("national_id", {ids(kari)[0]: "foedselsnummer"})
    await house.answered()
    number = national_id(1)
    rows = [row for table in house.tables.values() for row in table.rows.values()]
    assert number not in f"{rows}{house.files.blobs}{caplog.text}"


# --- the next round ---


async def test_what_digipost_answered_is_what_it_is_asked_by_next(scene):
    house, (kari, ola, liv) = scene()
    await house.round()
    house.clock.tick(days=7)
    await house.round()
    assert house.questions() == {kari: "digipostadresse", ola: "person-alias", liv: "navn"}
    assert (await house.known())[ola].by is Identity.ALIAS


async def test_not_found_by_alias_is_asked_for_by_name_again(scene):
    house, (_, ola, _) = scene()
    await house.round()
    house.desk.people[ola] = "unknown"
    await house.round()
    entry = (await house.known())[ola]
    assert (entry.standing, entry.digipost_address, entry.alias) == (Standing.UNKNOWN, "", "")
    await house.round()
    assert house.questions()[ola] == "navn"


async def test_another_person_behind_the_same_member_is_asked_for_by_name(scene):
    house, (kari, ola, _) = scene()
    await house.round()
    for member in (kari, ola):
        house.world.change("user", int(member.split(":")[1]), {"firstName": "Ny"}, by=None)
        house.desk.people[member] = "unknown"
    await house.round()
    assert {house.questions()[kari], house.questions()[ola]} == {"navn"}
    known = await house.known()
    assert [(known[m].digipost_address, known[m].alias) for m in (kari, ola)] == [("", "")] * 2


async def test_who_is_not_in_the_answer_stays_as_they_were(scene, caplog):
    house, (kari, _, _) = scene()
    await house.round()
    before = await house.known()
    house.clock.tick(days=7)
    await house.begin()
    job = (await house.jobs())[-1]
    house.desk.work()
    for place, data in house.area.answers_there.items():
        house.area.answers_there[place] = without(data, kari)
    await house.receipts()
    await house.move()
    assert await house.over()
    after = await house.known()
    assert after[kari] == before[kari]
    assert {entry.job for member, entry in after.items() if member != kari} == {job.id}
    assert "register.unanswered" in caplog.text


def without(data: bytes, member: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        [name] = whole.namelist()
        xml = whole.read(name).decode()
    before, _, rest = xml.partition(f"<resultat><kunde-id>{member}</kunde-id>")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as whole:
        whole.writestr(name, before + rest.partition("</resultat>")[2])
    return packed.getvalue()


async def test_a_round_does_not_begin_while_one_is_under_way(scene):
    house, _ = scene()
    await house.begin()
    house.clock.tick(hours=house.settings.DIGIPOST_RESULT_HOURS - 1)
    await house.begin()
    assert (len(await house.jobs()), (await house.ledger.register.survey()).number) == (1, 1)
    await house.answered()
    await house.begin()
    assert (await house.ledger.register.survey()).number == 2


# --- what goes wrong ---


async def test_no_alarm_before_its_time_and_then_one(scene, caplog):
    house, _ = scene(DIGIPOST_LETTERS_PER_JOB="2")
    await house.begin()
    house.clock.tick(hours=house.settings.DIGIPOST_RESULT_HOURS, seconds=-1)
    await house.move()
    assert await house.alerts() == []
    house.clock.tick(seconds=1)
    for _ in range(2):
        await house.move()
    assert await house.alerts() == ["register:1-no_result"]
    assert caplog.text.count("register.no_result") == len(await house.jobs())


async def test_what_was_never_answered_is_asked_anew_in_the_next_round(scene):
    house, members = scene()
    await house.begin()
    house.clock.tick(days=7)
    await house.begin()
    assert [job.state for job in await house.jobs()] == [JobState.ABANDONED, JobState.UPLOADED]
    await house.answered()
    assert set(await house.known()) == set(members)
    late = [job for job in await house.jobs() if job.state is JobState.ABANDONED]
    assert len(late) == 1  # its answer came as well, and harmed nothing
    assert await house.over()


async def test_a_job_that_digipost_refuses_is_told_of_once_and_the_next_round_tries(scene):
    house, members = scene(DIGIPOST_LETTERS_PER_JOB="2")
    house.desk.refuses = "VALIDERING_FEILET"
    await house.round()
    assert [job.state for job in await house.jobs()] == [JobState.FAILED] * 2
    assert await house.alerts() == ["register:1-failed"]
    assert await house.known() == {}
    house.desk.refuses = ""
    await house.round()
    assert set(await house.known()) == set(members)


def failing(house, operation: str, error: Exception | None):
    def before(what: str) -> None:
        if what == operation and error:
            raise error

    house.area.before = before


async def test_an_area_that_does_not_answer_is_tried_again_with_the_same_job(scene):
    house, members = scene()
    failing(house, "upload", TransientError("down"))
    await house.begin()
    [job] = await house.jobs()
    assert (job.state, house.area.uploads) == (JobState.READY, [])
    failing(house, "upload", None)
    await house.move()
    assert house.area.uploads == []  # not each minute: everybody is read anew for it
    house.clock.tick(minutes=10)
    await house.move()
    assert [one.id for one in await house.jobs()] == [job.id]
    await house.answered()
    assert set(await house.known()) == set(members)


async def test_a_refused_key_closes_the_gate_for_letters_too(scene):
    house, _ = scene()
    failing(house, "upload", StoppedError("key refused"))
    await house.begin()
    assert await house.watch.closed_until("digipost", house.clock()) > house.clock()
    failing(house, "upload", None)
    house.clock.tick(minutes=10)
    await house.move()
    assert house.area.uploads == []
    house.clock.tick(minutes=10)
    await house.answered()
    await house.answered()
    assert await house.over()


async def test_a_server_that_will_not_have_the_file_fails_the_job(scene):
    house, _ = scene()
    failing(house, "upload", PermanentError("no such folder"))
    await house.begin()
    assert [job.state for job in await house.jobs()] == [JobState.FAILED]
    assert (await house.alerts(), await house.over()) == (["register:1-failed"], True)


async def test_a_broken_upload_is_looked_for_and_given_up_after_a_while(scene):
    house, members = scene()
    house.area.breaks_after = 10
    await house.begin()
    await house.move()
    assert [job.state for job in await house.jobs()] == [JobState.UNKNOWN]
    house.clock.tick(minutes=house.settings.DIGIPOST_ANSWER_MINUTES)
    await house.move()
    assert [job.state for job in await house.jobs()] == [JobState.ABANDONED]
    assert (await house.alerts(), await house.over()) == ([], True)
    house.area.uploads.clear()  # Digipost can do nothing with what there is of it
    await house.round()
    assert set(await house.known()) == set(members)


async def test_one_whose_data_break_a_rule_keeps_nobody_else_from_being_asked(scene, caplog):
    house, (kari, ola, liv) = scene()
    entry = Entry(
        kari,
        Standing.USER,
        digipost_address=" blank ",
        fingerprint=await print_of(house, kari),
    )
    await house.ledger.register.keep([entry])
    await house.round()
    assert [some for _, some in house.desk.jobs] == [[ola, liv]]
    assert "register.left_out members=1" in caplog.text


async def print_of(house, member: str) -> str:
    found = await house.helpdesk.people([member])
    return fingerprint(found[member].addressee)


async def test_a_spoilt_receipt_ends_the_job_and_is_asked_for_in_the_next_round(scene, caplog):
    house, members = scene()
    await house.begin()
    house.desk.work()
    await house.receipts()
    [job] = await house.jobs()
    house.files.blobs[job.receipt] = b"PK"
    await house.move()
    assert (await house.over(), await house.known()) == (True, {})
    assert "register.no_receipt" in caplog.text
    await house.round()
    assert set(await house.known()) == set(members)


async def test_a_list_that_cannot_be_read_does_not_stop_the_others(scene, caplog):
    house, _ = scene()
    other = person(house, "Siv")
    last = on_list(house, other, name="BREV9")

    class Broken:
        def __getattr__(self, name):
            return getattr(house.helpdesk, name)

        async def members(self, list_id: int, start: int):
            if list_id != last["id"]:
                raise PermanentError("404")
            return await house.helpdesk.members(list_id, start)

    await register(**{**house.edges, "helpdesk": Broken()})
    await house.answered()
    assert (set(await house.known()), await house.over()) == (set(ids(other)), True)
    assert "register.list_unread" in caplog.text


async def test_a_long_reading_goes_on_where_the_minute_before_ended(make_keeper):
    house = make_keeper()
    people = [person(house, f"Nr{n}") for n in range(4)]
    for n, one in enumerate(people):
        on_list(house, one, name=f"BREV{n}")

    class Slow:
        def __getattr__(self, name):
            return getattr(house.helpdesk, name)

        async def members(self, list_id: int, start: int):
            house.clock.tick(minutes=2)
            return await house.helpdesk.members(list_id, start)

    await register(**{**house.edges, "helpdesk": Slow()})
    assert [job.letters for job in await house.jobs()] == [1]
    for _ in range(3):
        await move_register(**{**house.edges, "helpdesk": Slow()})
    await house.answered()
    assert [job.letters for job in await house.jobs()] == [1, 1, 1, 1]
    assert (set(await house.known()), await house.over()) == (set(ids(*people)), True)


# --- crashes ---


def on(house: Keeper, meet) -> Keeper:
    host = another(house, meet)
    host.area = Edge("area", house.area, meet)
    host.directory = Edge("directory", house.directory, meet)
    return host


async def carry_on(host: Keeper, rounds: int = 14) -> None:
    """A round is begun where none was; then a minute after the other until it is over."""
    for _ in range(rounds):
        survey = await Ledger.on(**host.tables).register.survey()
        if survey and survey.over:
            return
        steps = (host.begin, host.move, host.receipts, host.move)
        for step in steps[1:] if survey else steps:
            with suppress(UtsendelseError):
                await step()
            host.desk.work()
        host.clock.tick(minutes=11)


#: Every call of a round is met once in so many.
EVERY = 11


async def moments_of(scene) -> list[str]:
    house, _ = scene(DIGIPOST_LETTERS_PER_JOB="2")
    await carry_on(on(house, moments := Moments()))
    assert await house.over()
    return moments.passed


async def check(house, members, moment: str) -> None:
    """Nobody is forgotten for good: whoever one round did not reach, the next one does."""
    assert await house.over(), moment
    if set(await house.known()) != set(members):
        assert JobState.ABANDONED in {job.state for job in await house.jobs()}, moment
    asked = [member for _, some in house.desk.jobs for member in some]
    assert len(asked) == len(set(asked)), moment
    house.clock.tick(days=7)
    await house.round()
    assert set(await house.known()) == set(members), moment
    kept = [name for name in house.files.blobs if "asked" in name]
    assert kept == [], moment


async def test_a_crash_at_any_call_forgets_nobody_and_asks_about_nobody_twice(scene):
    moments = await moments_of(scene)
    assert len(moments) > 60
    for at, moment in enumerate(moments):
        if at % EVERY:
            continue
        house, members = scene(DIGIPOST_LETTERS_PER_JOB="2")
        with pytest.raises(Stop):
            await carry_on(on(house, Moments(at, stop)))
        house.clock.tick(minutes=11)
        await carry_on(on(house, Moments()))
        await check(house, members, f"{at} {moment}")


async def test_a_failure_of_any_call_forgets_nobody(scene):
    moments = await moments_of(scene)
    for at, moment in enumerate(moments):
        if at % EVERY:
            continue
        house, members = scene(DIGIPOST_LETTERS_PER_JOB="2")

        async def fail(moment=moment):
            if moment == "after area.upload":
                raise UncertainError("lost")
            outside = ("helpdesk", "directory", "area")
            port = moment.split()[1].partition(".")[0]
            raise TransientError("503") if port in outside else DoubtfulError("503")

        await carry_on(on(house, Moments(at, fail)))
        await check(house, members, f"{at} {moment}")


# --- what is kept, and for how long ---


async def run_forget(house) -> None:
    await forget(ledger=house.ledger, files=house.files, settings=house.settings, clock=house.clock)


async def test_an_answer_from_the_future_is_from_now(scene):
    house, (kari, *_) = scene()
    house.desk.at = "2036-11-23T10:15:30+01:00"
    before = house.clock()
    await house.round()
    assert before <= (await house.known())[kari].asked_at <= house.clock()


async def test_who_is_not_asked_about_any_more_is_forgotten_after_the_period(scene):
    house, (kari, ola, liv) = scene()
    await house.round()
    days = house.settings.RETENTION_DAYS
    known = await house.known()
    later = known[kari].asked_at + timedelta(days=1)
    await house.ledger.register.keep(
        [Entry(kari, Standing.USER, asked_at=later, digipost_address="kari#1AB2")]
    )
    house.clock.now = later + timedelta(days=days)
    await run_forget(house)
    assert set(await house.known()) == {kari}
    assert {ola, liv} <= set(known)
    assert await house.jobs() == []
    assert [name for name in house.files.blobs if name.startswith("register/")] == []
    house.clock.tick(seconds=1)
    await run_forget(house)
    assert await house.known() == {}


async def test_before_the_period_nothing_goes(scene):
    house, members = scene()
    await house.round()
    house.clock.now = (await house.ledger.register.survey()).began_at
    house.clock.tick(days=house.settings.RETENTION_DAYS)
    await run_forget(house)
    assert set(await house.known()) == set(members)
    assert len(await house.jobs()) == 1


async def test_the_files_of_a_round_that_is_under_way_stay(scene):
    house, members = scene()
    await house.begin()
    house.clock.tick(days=house.settings.RETENTION_DAYS, minutes=1)
    await run_forget(house)
    await house.answered()
    assert set(await house.known()) == set(members)


async def test_a_new_round_clears_away_what_is_left_of_the_last(scene):
    house, _ = scene()
    await house.round()
    before = {name for name in house.files.blobs if name.startswith("register/")}
    assert before and not any("asked" in name for name in before)
    await house.begin()
    assert before.isdisjoint(house.files.blobs)


@pytest.mark.parametrize("keep", ["false", "true"])
async def test_a_stray_receipt_goes_after_the_period_and_is_not_fetched_again(scene, keep):
    house, _ = scene(DIGIPOST_KEEP_RECEIPTS=keep)
    await house.round()
    stray = {**house.area.answers_there}
    house.area.put_receipt(JobKind.SPLIT, "fremmed.resultat.20261123-000000001.zip", b"PK rot")
    for _ in range(3):
        await house.receipts()
    assert [name for name in house.files.blobs if name.startswith("digipost-receipts/")]
    house.clock.tick(days=house.settings.RETENTION_DAYS, minutes=30)
    await run_forget(house)
    before = house.clock() - timedelta(days=house.settings.RETENTION_DAYS)
    assert await house.ledger.register.old_receipts(before) == []  # none is forgotten each night
    for _ in range(2):
        await house.receipts()
    kept = [n for n in house.files.blobs if n.startswith(("digipost-receipts/", "register/"))]
    assert kept == []
    rows = [key for partition, key in house.tables["register"].rows if partition == "receipts"]
    assert len(rows) == 1 + len(stray)  # of what lies there still


# --- somebody asks to be forgotten ---


async def test_a_member_is_found_and_erased_by_who_they_are(scene):
    house, (kari, ola, liv) = scene()
    await house.round()
    assert (await find(kari, ledger=house.ledger)).register == [kari]
    found = await erase(kari, ledger=house.ledger, files=house.files, clock=house.clock)
    assert (found.register, found.campaigns, found.asking) == ([kari], [], False)
    assert set(await house.known()) == {ola, liv}
    assert (await find(kari, ledger=house.ledger)).register == []


async def test_a_member_is_found_by_an_address_that_a_campaign_knows(scene):
    house, (kari, ola, liv) = scene()
    await house.round()
    number = house.open_ticket(
        house.world.find("asset", uniqueId="BREV"), message="Hei", status="Utsending – klar"
    )
    for _ in range(3):
        await house.discover()
    campaign = await house.campaign(number)
    found = await erase(
        " KARI@example.no", ledger=house.ledger, files=house.files, clock=house.clock
    )
    assert (found.register, [known.campaign.id for known in found.campaigns]) == (
        [kari],
        [campaign.id],
    )
    assert set(await house.known()) == {ola, liv}
    [left] = [d for d in await house.deliveries(campaign) if d.reason is Reason.ERASED]
    assert left.recipient.erased
    again = await find("kari@example.no", ledger=house.ledger)
    assert (again.register, again.campaigns) == ([], [])


async def test_whoever_is_erased_is_told_that_digipost_is_being_asked(scene):
    house, (kari, _, _) = scene()
    await house.begin()
    assert (await erase(kari, ledger=house.ledger, files=house.files, clock=house.clock)).asking
