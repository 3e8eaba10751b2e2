"""The set-up check of letters: it finds what is missing, and leaves nothing with Digipost."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh
import httpx
import pytest

from dev.check.command import unreadable
from dev.check.digipost import digipost
from dev.check.pureservice import pureservice
from dev.digipost.area import RECEIPTS, SEND, SPLIT, Area, Keys, keys
from dev.pureservice.seed import LETTER_SETTINGS, national_id
from shared.errors import SetupError
from shared.settings import read_settings
from tests.dev.test_check import TROUBLE, Setup, Sink, Tenant
from tests.examples import EXAMPLE, settings

NOW = datetime(2026, 2, 3, 8, 15, tzinfo=UTC)
USER = LETTER_SETTINGS["DIGIPOST_CAMPAIGN_USER"]
BACK = {"name": "Fjordvik kommune", "lines": [], "postal_code": "0101", "city": "Oslo"}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return keys(tmp_path_factory.mktemp("keys"))


@dataclass
class Letters:
    """An area that answers, and settings that fit it, until a test takes something away."""

    area: Area
    port: int
    said: list[str] = field(default_factory=list)

    def values(self, **changes: Any) -> dict[str, Any]:
        given = {
            **LETTER_SETTINGS,
            "DIGIPOST_SENDER_ID": "100123",
            "DIGIPOST_USER": "prod_100123",
            "DIGIPOST_HOST": "127.0.0.1",
            "DIGIPOST_PORT": self.port,
            "DIGIPOST_KEY": self.area.keys.one_line,
            "DIGIPOST_HOST_KEY": self.area.keys.host_fingerprint,
            "DIGIPOST_APPROVE": "auto",
            "DIGIPOST_TIMEOUT_SECONDS": 20,
        }
        return given | changes

    async def check(self, **changes: Any) -> list[str]:
        found = digipost(settings(**self.values(**changes)), lambda: NOW)
        self.said = [" ".join(str(one).split()) async for one in found]
        return self.said

    def trouble(self) -> list[str]:
        return [line for line in self.said if line.startswith(TROUBLE)]

    def files(self) -> list[Path]:
        return [one for one in self.area.folder.rglob("*") if one.is_file()]


@pytest.fixture
async def letters(tmp_path: Path, known: Keys) -> AsyncIterator[Letters]:
    area = Area(tmp_path / "area", known)
    async with area.serving() as port:
        yield Letters(area, port)


async def test_a_complete_setup_is_all_ok_and_leaves_nothing_there(letters: Letters) -> None:
    (letters.area.folder / SEND / RECEIPTS / "a.resultat.zip").write_bytes(b"")
    before = letters.files()
    said = " ".join(await letters.check())
    assert letters.trouble() == []
    assert "slipper oss inn" in said and "1 filer ligger" in said
    assert letters.files() == before


async def test_without_the_made_up_user_nobody_is_asked(letters: Letters) -> None:
    [line] = await letters.check(DIGIPOST_CAMPAIGN_USER="")
    assert line.startswith("OK DIGIPOST_CAMPAIGN_USER er tom")
    assert letters.area.connections == 0


async def test_a_changed_host_key_is_shown_and_says_what_to_do(letters: Letters) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint()
    await letters.check(DIGIPOST_HOST_KEY=other)
    [line] = letters.trouble()
    assert line.startswith("MANGLER DIGIPOST_HOST_KEY:")
    assert letters.area.keys.host_fingerprint in line and other not in line
    assert "Spør Digipost på en annen måte" in line


LOCKED = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key(
    "pkcs8-pem", passphrase="hemmelig"
)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"DIGIPOST_USER": "prod_100124"}, "DIGIPOST_KEY: 127.0.0.1 godtar ikke nøkkelen"),
        ({"DIGIPOST_KEY": "tull"}, "DIGIPOST_KEY er ikke en privat nøkkel"),
        (
            {"DIGIPOST_KEY": LOCKED.decode(), "DIGIPOST_KEY_PASSPHRASE": "feil"},
            "DIGIPOST_KEY kan ikke åpnes med DIGIPOST_KEY_PASSPHRASE",
        ),
        ({"DIGIPOST_PORT": 9}, "får ikke kontakt"),
    ],
)
async def test_who_is_not_let_in_is_told_why(
    letters: Letters, changes: dict[str, Any], says: str
) -> None:
    said = await letters.check(**changes)
    [line] = [line for line in said if line.startswith("MANGLER")]
    assert says in line
    assert "hemmelig" not in line
    assert LOCKED.decode().splitlines()[1] not in line


@pytest.mark.parametrize(("gone", "mark"), [(SPLIT, "MANGLER"), (f"{SEND}/{RECEIPTS}", "advarsel")])
async def test_a_folder_that_is_not_there_is_named(letters: Letters, gone: str, mark: str) -> None:
    for folder in (f"{gone}/{RECEIPTS}", gone):
        if (letters.area.folder / folder).exists():
            (letters.area.folder / folder).rmdir()
    await letters.check()
    assert any(
        line.startswith(mark) and f"mappen {gone} finnes ikke" in line for line in letters.said
    )


@pytest.mark.parametrize(
    ("changes", "mark", "says"),
    [
        ({"DIGIPOST_SENDER_ID": "7"}, "advarsel", "DIGIPOST_USER er prod_100123, men kontoen er 7"),
        ({"DIGIPOST_SPLIT": "false"}, "advarsel", "DIGIPOST_SPLIT er false"),
        (
            {"DIGIPOST_REGISTER": "on", "REGISTER_SCHEDULE": "0 0 5 1 * *"},
            "advarsel",
            "REGISTER_SCHEDULE lar det gå mer enn 8 dager",
        ),
        ({"DIGIPOST_NOT_REACHED": ""}, "advarsel", "DIGIPOST_NOT_REACHED er tom"),
        (
            {"DIGIPOST_NOT_REACHED": "print", "DIGIPOST_RETURN_ADDRESS": BACK},
            "ikke undersøkt",
            "avtale med Digipost om utskrift",
        ),
        ({"DIGIPOST_APPROVE": "portal"}, "advarsel", "noen må godkjenne hver jobb"),
        ({"DIGIPOST_REUPLOAD": "auto"}, "advarsel", "DIGIPOST_REUPLOAD er auto"),
        ({"DIGIPOST_UPLOAD": "rename"}, "advarsel", "DIGIPOST_UPLOAD er rename"),
        ({"DIGIPOST_NATIONAL_ID_FIELD": ""}, "advarsel", "DIGIPOST_NATIONAL_ID_FIELD er tom"),
    ],
)
async def test_what_somebody_should_have_chosen_knowingly_is_said(
    letters: Letters, changes: dict[str, Any], mark: str, says: str
) -> None:
    await letters.check(**changes)
    [line] = letters.trouble()
    assert line.startswith(mark) and says in line


async def test_a_weekly_register_needs_no_split(letters: Letters) -> None:
    await letters.check(DIGIPOST_SPLIT="false", DIGIPOST_REGISTER="on")
    assert letters.trouble() == []


# --- in Pureservice ---


async def in_pureservice(tenant: Tenant, **changes: Any) -> list[str]:
    given = {
        **LETTER_SETTINGS,
        "DIGIPOST_SENDER_ID": "100123",
        "DIGIPOST_USER": "prod_100123",
        "DIGIPOST_KEY": "en nøkkel",
        "DIGIPOST_HOST_KEY": f"SHA256:{'x' * 43}",
    }
    found = pureservice(settings(**given | changes), lambda: NOW, tenant)
    return [" ".join(str(one).split()) async for one in found]


@pytest.fixture
def tenant() -> Tenant:
    """With one user and one company of whom everything is known."""
    tenant = Tenant()
    world = tenant.world
    home = {"streetAddress": "Storgata 1", "postalCode": "0155", "city": "Oslo"}
    place = world.add("physicaladdress", {**home, "country": "Norge"})["id"]
    known = {"cf_5": national_id(1), "cf_6": "1988-11-02", "addressId": place}
    world.change("user", world.all("user")[-1]["id"], known)
    address = {"cf_2": "Postboks 12", "cf_3": 155, "cf_4": "Oslo"}
    world.change("company", world.all("company")[-1]["id"], address)
    return tenant


def about(said: list[str], *words: str) -> str:
    [found] = [line for line in said if all(word in line for word in words)]
    return found


async def test_the_user_the_fields_and_the_addresses_are_found(tenant: Tenant) -> None:
    said = await in_pureservice(tenant)
    assert about(said, "DIGIPOST_CAMPAIGN_USER").startswith("OK")
    assert about(said, "user.cf_5", "gyldig nummer på 1 av").startswith("OK")
    for of_field in ("user.cf_6", "company.cf_2", "company.cf_3", "company.cf_4"):
        assert about(said, of_field).startswith("OK")
    assert about(said, "Postadressen er kjent for 1 av").startswith("OK")
    assert [line for line in said if national_id(1) in line or "Storgata" in line] == []
    assert {request.method for request in tenant.asked} == {"GET"}


async def test_a_made_up_user_that_is_not_there_is_missing(tenant: Tenant) -> None:
    tenant.change("emailaddress", USER, email="en@annen.example.no")
    said = await in_pureservice(tenant)
    assert about(said, "DIGIPOST_CAMPAIGN_USER").startswith("MANGLER")


async def test_a_field_that_is_empty_or_has_something_else_is_said(tenant: Tenant) -> None:
    for user in tenant.world.all("user"):
        tenant.world.change("user", user["id"], {"cf_5": "12345678901", "cf_6": None})
    said = await in_pureservice(tenant)
    assert "noe annet enn fødselsnumre" in about(said, "MANGLER", "user.cf_5")
    assert "er tomt på alle" in about(said, "advarsel", "user.cf_6")
    assert [line for line in said if "12345678901" in line] == []


async def test_addresses_that_do_not_come_along_are_said(tenant: Tenant) -> None:
    for user in tenant.world.all("user"):
        tenant.world.change("user", user["id"], {"addressId": None})
    assert about(await in_pureservice(tenant), "kom med postadresse").startswith("advarsel")

    def refuse(request: httpx.Request) -> httpx.Response | None:
        asked = request.url.params.get("include") == "address,phonenumbers"
        return httpx.Response(400) if asked else None

    tenant.answer = refuse
    said = await in_pureservice(tenant)
    assert about(said, "gir ikke postadressen").startswith("advarsel")


async def test_without_letters_nothing_more_is_asked(tenant: Tenant) -> None:
    await in_pureservice(tenant, DIGIPOST_CAMPAIGN_USER="")
    assert [one for one in tenant.asked if "physicaladdress" in str(one.url)] == []


# --- the whole check ---


@pytest.fixture
def whole(azurite: str, tmp_path: Path, tenant: Tenant) -> Iterator[Setup]:
    with Sink(tmp_path / "mail") as sink:
        yield Setup(azurite, sink, tenant)


async def test_the_whole_check_is_content_and_tells_no_key(whole: Setup, letters: Letters) -> None:
    report = await whole.check(**letters.values())
    assert report.trouble() == []
    assert report.complete
    secret = letters.area.keys.private_key.splitlines()[2]
    assert secret not in "".join(report.lines)


def test_wrong_settings_of_letters_are_told_in_norwegian(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "DIGIPOST_CAMPAIGN_USER": USER,
        "DIGIPOST_SENDER_ID": "0",
        "DIGIPOST_HOST_KEY": f"SHA256:{'x' * 43}",
        "DIGIPOST_NOT_REACHED": "list,email",
        "DIGIPOST_FILE_TYPES": "html",
        "DIGIPOST_SMS_AFTER_HOURS": "t",
        "DIGIPOST_RETURN_ADDRESS": '{"name": "Fjordvik"}',
        "DIGIPOST_ADDRESS_FIELDS": '{"street": "user.cf_1"}',
    }
    for name, value in (EXAMPLE | wrong).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SetupError) as caught:
        read_settings()
    said = " ".join(" ".join(str(one).split()) for one in unreadable(caught.value))
    for norwegian in (
        "må være satt når DIGIPOST_CAMPAIGN_USER er det",
        "kan ha list bare til slutt",
        "må ha pdf",
        "må være timer",
        "må ha et postal_code",
        "med et felt som",
    ):
        assert norwegian in said
