"""Lists on the command line: by the rules, or from an administrator's spreadsheet."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.lists.command import Sheet, lists, main
from dev.lists.spreadsheet import Line, SpreadsheetError, is_organization_number, parse
from dev.pureservice import Fault, Switches, World, create_app, seed_base
from dev.pureservice.seed import add_company, add_list, add_member, add_user
from tests.examples import EXAMPLE, settings
from tests.fakes import Clock

KOMMUNER = {"Ålfjord (kommune)", "Bjørkedal (kommune)", "Grønnvik (kommune)"}
HEADINGS = "Organisasjonsnummer;Navn;E-post"


class Office(httpx.AsyncBaseTransport):
    """A helpdesk with lists, what it was asked, and an administrator at the console."""

    def __init__(self) -> None:
        self.clock = Clock(datetime(2026, 11, 23, 8, 0, tzinfo=UTC))
        self.world = World(now=self.clock, switches=Switches(calls_per_minute=0))
        seed_base(self.world)
        self.simulator = create_app(self.world)
        self.asked: list[httpx.Request] = []
        self.said: list[str] = []
        self._inner = httpx.ASGITransport(self.simulator)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return await self._inner.handle_async_request(request)

    async def sleep(self, seconds: float) -> None:
        self.clock.tick(seconds=seconds)

    async def rules(self, *, update: bool = False, **changes: Any) -> bool:
        return await self._run(None, update, changes)

    async def sheet(
        self,
        *rows: str,
        to: str = "KOMM",
        update: bool = False,
        remove: bool = False,
        **changes: Any,
    ) -> bool:
        """A run with a spreadsheet of these rows."""
        lines = parse("\n".join([HEADINGS, *rows]).encode())
        return await self._run(Sheet(lines, to, remove), update, changes)

    async def _run(self, sheet: Sheet | None, update: bool, changes: dict[str, Any]) -> bool:
        self.asked.clear()
        self.said.clear()
        return await lists(
            settings(**{"PURESERVICE_RATE": 0, "LISTS_REMOVE_AT_MOST": 50, **changes}),
            sheet,
            update=update,
            say=self.said.append,
            transport=self,
            clock=self.clock,
            sleep=self.sleep,
        )

    def calls(self, method: str, path: str = "/") -> int:
        return sum(one.method == method and one.url.path.endswith(path) for one in self.asked)

    @property
    def writes(self) -> int:
        return sum(request.method != "GET" for request in self.asked)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())

    def trouble(self, kind: Any, **fault: Any) -> None:
        self.simulator.traffic.faults.append(Fault(kind=kind, **fault))

    # --- what is there ---

    def company(self, name: str, *addresses: str, **values: Any) -> dict[str, Any]:
        return add_company(self.world, {"name": name, **values}, addresses)

    def user(self, first: str, *addresses: str, **values: Any) -> dict[str, Any]:
        return add_user(self.world, {"firstName": first, "lastName": "Li", **values}, addresses)

    def list_row(self, unique_id: str = "KOMM") -> dict[str, Any]:
        row = self.world.find("asset", uniqueId=unique_id)
        assert row
        return row

    def members(self, unique_id: str = "KOMM") -> list[str]:
        """Companies by their names, users by their first names."""
        rows = self.world.where("relationship", "toAssetId", self.list_row(unique_id)["id"])
        companies = (self.world.get("company", row.get("fromCompanyId")) for row in rows)
        users = (self.world.get("user", row.get("fromUserId")) for row in rows)
        return sorted(
            [
                *(company["name"] for company in companies if company),
                *(user["firstName"] for user in users if user),
            ]
        )


@pytest.fixture
def office() -> Office:
    return Office()


# --- by the rules ---


async def test_a_preview_names_who_would_come_and_go_and_writes_nothing(office: Office) -> None:
    office.company("Dalvik", cf_9="Kommune")
    [row] = office.world.where("company", "name", "Grønnvik (kommune)")
    office.world.change("company", row["id"], {"disabled": True})
    assert await office.rules()
    assert "Kommune: 3 på listen, 1 skal inn, 1 skal ut." in office.text
    assert "+ Dalvik (firma" in office.text and "- Grønnvik (kommune) (firma" in office.text
    assert "--update" in office.said[-1]
    assert (office.writes, set(office.members())) == (0, KOMMUNER)


async def test_an_update_does_what_the_preview_says(office: Office) -> None:
    office.company("Dalvik", cf_9="Kommune")
    assert await office.rules(update=True, LISTS="off")
    assert set(office.members()) == KOMMUNER | {"Dalvik"}
    assert "Gjort: 1 lagt til, 0 tatt bort, 0 gjenstår." in office.text
    assert await office.rules(update=True)
    assert "Kommune: 4 på listen, ingen skal inn eller ut." in office.text
    assert office.writes == 0


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"IKS": "Kommune"}, "Det finnes ingen mottakerliste med det unike navnet «IKS»"),
        ({"KOMM": "Finnes ikke"}, "Regelen finner ingen firmaer"),
        ({"KOMM": "Fylkeskommune"}, "3 av 3 ville falt ut. Det er mer enn LISTS_REMOVE_AT_MOST"),
        ({"KOMM": {"filter": "tull =="}}, "Pureservice svarte ikke som ventet"),
        ({"KOMM": "Kommune", "komm ": "Kommune"}, "LIST_RULES: has two rules"),
    ],
)
async def test_a_list_that_is_left_alone_says_why_and_needs_somebody(
    office: Office, rules: dict[str, Any], says: str
) -> None:
    assert not await office.rules(update=True, LIST_RULES=rules)
    assert says in office.text
    assert (office.writes, set(office.members())) == (0, KOMMUNER)


async def test_one_list_that_fails_does_not_stop_the_others(office: Office) -> None:
    office.company("Nytt tilsyn", cf_9="Statlig virksomhet")
    office.trouble("status", status=404, path=f"/relationship/{office.list_row()['id']}/")
    assert not await office.rules(update=True)
    assert "Nytt tilsyn" in office.members("STAT")


async def test_categories_need_their_field(office: Office) -> None:
    assert not await office.rules(COMPANY_CATEGORY_FIELD="")
    assert "COMPANY_CATEGORY_FIELD er ikke satt" in office.text
    assert office.asked == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "status", "status": 401, "times": 99}, "slipper oss ikke inn"),
        ({"kind": "status", "status": 429, "retry_after": 60, "times": 99}, "ber oss vente"),
        ({"kind": "drop_after_write", "method": "POST"}, "Den siste endringen kan være gjort"),
    ],
)
async def test_trouble_says_what_to_do_and_running_again_completes_it(
    office: Office, fault: dict[str, Any], says: str
) -> None:
    office.company("Dalvik", cf_9="Kommune")
    office.trouble(**fault)
    assert not await office.rules(update=True)
    assert says in office.text
    office.simulator.traffic.faults.clear()
    assert await office.rules(update=True)
    assert office.members() == sorted(KOMMUNER | {"Dalvik"})


async def test_a_wrong_name_in_the_settings_is_named(office: Office) -> None:
    assert not await office.rules(LIST_ASSET_TYPE="Finnes ikke")
    assert "LIST_ASSET_TYPE" in office.text


async def test_the_key_is_never_shown(office: Office) -> None:
    key = EXAMPLE["PURESERVICE_KEY"]
    add_list(office.world, f"Liste {key}", "X")
    office.company("Dalvik", cf_9="Y")
    assert await office.rules(LIST_RULES={"X": "Y"})
    assert key not in office.text and "Liste ***" in office.text


# --- from a spreadsheet: who is meant ---


async def test_a_row_is_found_by_number_then_by_name_then_by_address(office: Office) -> None:
    office.company("Alfa AS", "felles@example.no", organizationNumber="910000001")
    office.company("Beta AS", organizationNumber="910000002")
    office.company("Gamma ÅS", "gamma@example.no")
    office.company("Delta AS", "delta@example.no")
    office.user("Åse", "aase.gammel@example.no", "aase@example.no")
    assert await office.sheet(
        "910 000 001;Et annet navn;noen@example.no",
        "; Beta AS ;",
        "910000003;Gamma ÅS;",
        ";;Delta@Example.NO",
        ";Åse Li;AASE.gammel@example.no",
        to="FYLK",
        update=True,
    )
    new = {"Alfa AS", "Beta AS", "Gamma ÅS", "Delta AS", "Åse"}
    assert set(office.members("FYLK")) - set(new) == {
        "Nordhav (fylkeskommune)",
        "Østmark (fylkeskommune)",
    }
    assert set(office.members("FYLK")) >= new


async def test_rows_of_one_and_the_same_make_one_member(office: Office) -> None:
    office.company("Alfa AS", organizationNumber="910000001")
    assert await office.sheet("910000001;;", ";Alfa AS;", ";ALFA AS;", update=True)
    assert office.members().count("Alfa AS") == 1


@pytest.mark.parametrize("number", ["number", "null"])
async def test_organisation_numbers_may_come_as_numbers_or_not_at_all(
    office: Office, number: str
) -> None:
    office.world.switches = Switches(calls_per_minute=0, organization_number=number)
    office.company("Alfa AS", organizationNumber="910000001")
    office.company("Beta AS")
    assert await office.sheet("910000001;Alfa AS;", ";Beta AS;", update=True)
    assert {"Alfa AS", "Beta AS"} <= set(office.members())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("974760673;;", "Linje 2: finner ikke «974760673»"),
        ("974760674;;", "er heller ikke et organisasjonsnummer"),
        ("9,74761E+08;;", "formater kolonnen som tekst"),
        (";Ukjent AS;", "Linje 2: finner ikke «Ukjent AS»"),
        (";;ukjent@example.no", "finner ikke «ukjent@example.no»"),
        (";;ikke en adresse", "finner ikke «ikke en adresse»"),
        (";Nedlagt AS;", "«Nedlagt AS» (firma"),
        (";;sluttet@example.no", "er deaktivert i Pureservice"),
        ("910000009;Alfa AS;", "et annet organisasjonsnummer (910000001)"),
        ("910000009;;felles@example.no", "et annet organisasjonsnummer (910000001)"),
        (";;post@example.no", "adressen passer på 2"),
        (";Tvilling AS;", "navnet passer på 2"),
    ],
)
async def test_a_row_that_is_not_clear_is_listed_with_what_to_do_and_left_alone(
    office: Office, row: str, says: str
) -> None:
    office.company("Alfa AS", "felles@example.no", organizationNumber="910000001")
    office.company("Nedlagt AS", disabled=True)
    office.company("Tvilling AS")
    office.company("TVILLING as")
    office.world.switches = Switches(calls_per_minute=0, string_comparison="insensitive")
    office.user("Sluttet", "sluttet@example.no", disabled=True)
    office.user("Ole", "post@example.no")
    office.company("Ole AS", "post@example.no")
    assert not await office.sheet(row, update=True)
    assert says in office.text and "->" in office.text
    assert (office.writes, set(office.members())) == (0, KOMMUNER)


async def test_the_rows_that_are_clear_go_on_without_the_others(office: Office) -> None:
    office.company("Alfa AS")
    assert not await office.sheet(";Ukjent AS;", ";Alfa AS;", update=True)
    assert set(office.members()) == KOMMUNER | {"Alfa AS"}


async def test_a_disabled_namesake_is_nobody(office: Office) -> None:
    office.user("Sluttet", "post@example.no", disabled=True)
    office.company("Alfa AS", "post@example.no")
    assert await office.sheet(";;post@example.no", update=True)
    assert "Alfa AS" in office.members()


async def test_users_cannot_come_where_lists_have_only_companies(office: Office) -> None:
    office.user("Åse", "aase@example.no")
    assert not await office.sheet(";;aase@example.no", update=True, LIST_USER_RELATION="")
    assert "LIST_USER_RELATION" in office.text


async def test_rows_are_looked_up_twenty_at_a_time_and_in_short_questions(office: Office) -> None:
    for n in range(100):
        office.company(f"Bedrift nr. {n}", organizationNumber=str(910_000_000 + n))
    assert await office.sheet(*(f"{910_000_000 + n};;" for n in range(100)), update=True)
    assert office.calls("GET", "/company/") == 5
    assert len(office.members()) == 103
    for n in range(20):
        office.company(f"{'Å' * 100} {n}")
    assert await office.sheet(*(f";{'Å' * 100} {n};" for n in range(20)))
    assert office.calls("GET", "/company/") > 5
    assert max(len(str(request.url)) for request in office.asked) < 2_000


async def test_long_work_tells_how_far_it_has_come_and_keeps_the_pace(office: Office) -> None:
    started = office.clock()
    await office.sheet(*(f";Ukjent nr. {n};" for n in range(200)), PURESERVICE_RATE=30)
    assert [line for line in office.said if "av 200 navn" in line]
    assert (office.clock() - started).total_seconds() >= 2 * (len(office.asked) - 8)


# --- from a spreadsheet: what is done ---


async def test_without_update_nothing_is_done(office: Office) -> None:
    office.company("Alfa AS")
    assert await office.sheet(";Alfa AS;")
    assert "+ Alfa AS (firma" in office.text and "--update" in office.text
    assert office.writes == 0


async def test_those_who_are_not_in_the_file_stay_unless_they_are_to_be_removed(
    office: Office,
) -> None:
    rows = [f";{name};" for name in KOMMUNER - {"Grønnvik (kommune)"}]
    assert await office.sheet(*rows, update=True)
    assert set(office.members()) == KOMMUNER
    assert "Grønnvik" in office.text and "--remove" in office.text
    assert await office.sheet(*rows, update=True, remove=True)
    assert set(office.members()) == KOMMUNER - {"Grønnvik (kommune)"}
    assert await office.sheet(*rows, update=True, remove=True)
    assert office.writes == 0


async def test_a_user_who_is_not_in_the_file_goes_too_and_other_relations_stay(
    office: Office,
) -> None:
    add_member(office.world, office.list_row(), "user", office.user("Åse", "aase@example.no"))
    eier = office.company("Eier AS")
    add_member(office.world, office.list_row(), "company", eier, relation="Forvaltes av")
    assert await office.sheet(*(f";{name};" for name in KOMMUNER), update=True, remove=True)
    assert set(office.members()) == KOMMUNER | {"Eier AS"}


async def test_nobody_is_removed_while_a_row_is_unclear(office: Office) -> None:
    office.company("Alfa AS")
    rows = [";Ålfjord (kommune);", ";Bjørkedal (kommune);", ";Gronnvik (kommune);", ";Alfa AS;"]
    assert not await office.sheet(*rows, update=True, remove=True)
    assert set(office.members()) == KOMMUNER | {"Alfa AS"}
    assert "Ingen blir tatt bort før alle radene" in office.text


async def test_too_many_are_never_removed(office: Office) -> None:
    office.company("Alfa AS")
    rows = [";Ålfjord (kommune);", ";Alfa AS;"]
    assert not await office.sheet(*rows, update=True, remove=True)
    assert "LISTS_REMOVE_AT_MOST" in office.text
    assert (office.writes, set(office.members())) == (0, KOMMUNER)


async def test_a_file_of_strangers_never_empties_a_list(office: Office) -> None:
    assert not await office.sheet(";Ukjent AS;", update=True, remove=True, LISTS_REMOVE_AT_MOST=100)
    assert (office.writes, set(office.members())) == (0, KOMMUNER)


async def test_a_list_that_does_not_exist_is_named_with_those_that_do(office: Office) -> None:
    assert not await office.sheet(";Ålfjord (kommune);", to="KOMMUNER", update=True)
    assert "«KOMMUNER»" in office.text and "«FYLK», «KOMM», «STAT»" in office.text


async def test_a_list_that_somebody_changes_meanwhile_is_left_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    alfa, seen = office.company("Alfa AS"), []
    before = Office.handle_async_request

    async def meddle(self: Office, request: httpx.Request) -> httpx.Response:
        answer = await before(self, request)
        if request.url.path.endswith("/fromAsset"):
            seen.append(request)
        if len(seen) == 2:  # users and companies have been read once
            seen.append(request)
            add_member(self.world, self.list_row(), "company", alfa)
        return answer

    monkeypatch.setattr(Office, "handle_async_request", meddle)
    assert not await office.sheet(";Bjørkedal (kommune);", ";Alfa AS;", update=True)
    assert "endret mens den ble lest" in office.text
    assert office.writes == 0


async def test_one_who_is_refused_is_named_and_the_others_come(office: Office) -> None:
    for name in ("Alfa AS", "Beta AS"):
        office.company(name)
    office.trouble("status", status=400, method="POST", times=2)
    assert not await office.sheet(";Alfa AS;", ";Beta AS;", update=True)
    assert "Alfa AS (firma" in office.text and "Pureservice sa nei" in office.text
    assert set(office.members()) == KOMMUNER | {"Beta AS"}


# --- files ---


@pytest.mark.parametrize(
    "data",
    [
        "Organisasjonsnummer;Navn;E-post\n974 760 673;Blåbær AS;post@example.no\n".encode(),
        "\ufeffNavn;E-post;Organisasjonsnummer\r\nBlåbær AS;post@example.no;974760673\r\n".encode(),
        "NAVN, e-post ,orgnr.\nBlåbær AS,post@example.no,974\u00a0760\u00a0673".encode(),
        "Nr;Navn;Epost;Org.nr.\n1;Blåbær AS;post@example.no;974760673\n;;;\n".encode("cp1252"),
        '"Navn";"E-post";"Organisasjonsnummer"\n"Blåbær AS";post@example.no;974760673'.encode(),
    ],
)
def test_a_spreadsheet_is_read_however_it_was_saved(data: bytes) -> None:
    assert parse(data) == [Line(2, "974760673", "Blåbær AS", "post@example.no")]


def test_one_column_is_enough_and_lines_are_counted_as_an_editor_counts_them() -> None:
    text = 'Navn\n\n"Blåbær; bær og\nsylte AS"\nTyttebær AS\n'
    assert parse(text.encode()) == [
        Line(3, name="Blåbær; bær og\nsylte AS"),
        Line(5, name="Tyttebær AS"),
    ]


def test_leading_zeros_are_kept() -> None:
    assert parse(b"Organisasjonsnummer;Navn\n012345678;A\n")[0].organization_number == "012345678"


def test_a_short_row_has_empty_cells() -> None:
    assert parse(b"Navn;E-post\nA\n") == [Line(2, name="A")]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "overskriftene"),
        (b"Fornavn;Etternavn\nKari;Li\n", "Organisasjonsnummer, Navn eller E-post"),
        (b"Navn;E-post\n;\n", "ingen rader"),
        (b"Navn;Navn\nA;B\n", "bare stå én gang"),
        (b"PK\x03\x04", "CSV UTF-8"),
        ("Navn\nBlåbær\n".encode("utf-16"), "CSV UTF-8"),
        (b"Navn\n\x81\x8d\n", "ikke lar seg lese"),
        (b'Navn\n"uten slutt\n', "Linje 2 er ikke gyldig CSV"),
    ],
)
def test_a_file_that_is_of_no_use_says_why(data: bytes, says: str) -> None:
    with pytest.raises(SpreadsheetError, match=says):
        parse(data)


def test_the_control_digit_of_an_organisation_number_counts() -> None:
    valid = [
        number for number in range(974_760_670, 974_760_680) if is_organization_number(str(number))
    ]
    assert valid == [974_760_673]
    assert not is_organization_number("97476067٣")


# --- the command ---


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    return lambda: " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "options",
    [["--csv", "x.csv"], ["--list", "KOMM"], ["--remove"], ["--update", "--remove"]],
)
def test_options_that_do_not_belong_together_are_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2


def test_a_file_that_is_not_there_is_told_before_anything_is_asked(
    tmp_path: Path, said: Callable[[], str]
) -> None:
    assert main(["--csv", str(tmp_path / "borte.csv"), "--list", "KOMM"]) == 1
    assert "borte.csv" in said()


def test_settings_that_are_missing_are_told(
    tmp_path: Path, said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text('{"Values": {}}')
    monkeypatch.delenv("PURESERVICE_KEY", raising=False)
    assert main(["--settings", str(file)]) == 1
    assert "PURESERVICE_KEY er ikke satt" in said()
