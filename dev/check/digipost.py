"""Letters: does Digipost let us in, and do the settings go together? Leaves nothing there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from dev.check.findings import Finding, Findings, missing, ok, unknown, warning
from dev.check.reader import Reader
from dev.host.timers import Schedule
from shared.adapters.digipost_area import _BROKEN, _FOLDERS, _RECEIPTS, DigipostArea
from shared.adapters.pureservice_wire import ContactRow
from shared.domain.addressee import valid_national_id
from shared.domain.letter_job import JobKind
from shared.errors import StoppedError, TransientError, UtsendelseError
from shared.ports import Clock
from shared.settings import Settings

_GUIDE = "docs/digipost.md"
#: So many of the newest users and companies are looked at.
_NEWEST = 100
_CALLED = {
    "print": "utskrift hos Digipost",
    "email": "e-post",
    "ticket": "én sak til hver",
    "list": "en liste på saken, med brevene klare til utskrift",
}


async def digipost(settings: Settings, clock: Clock) -> Findings:
    """What the settings say, and then the area. Nothing where there are no letters."""
    if not settings.DIGIPOST_CAMPAIGN_USER:
        yield ok(
            "DIGIPOST_CAMPAIGN_USER er tom: brev i Digipost er slått av.",
            f"Skal dere bruke det, så les {_GUIDE} (på engelsk) først.",
        )
        return
    yield _account(settings)
    for finding in (*_pattern(settings, clock()), *_ways(settings), *_risks(settings)):
        yield finding
    async for finding in _area(settings):
        yield finding


# --- what the settings say ---


def _account(settings: Settings) -> Finding:
    owner = settings.DIGIPOST_BROKER_ID or settings.DIGIPOST_SENDER_ID
    if re.sub(r"\D", "", settings.DIGIPOST_USER) != str(owner):
        return warning(
            f"DIGIPOST_USER er {settings.DIGIPOST_USER}, men kontoen er {owner}.",
            f"Brukeren pleier å hete prod_{owner}. Er det testkontoen, kan dere se bort fra dette.",
        )
    behalf = f" på vegne av {settings.DIGIPOST_SENDER_ID}" if settings.DIGIPOST_BROKER_ID else ""
    return ok(f"DIGIPOST_USER: vi logger inn som {settings.DIGIPOST_USER}{behalf}.")


def _pattern(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Which of the patterns it is, and whether what it needs is there."""
    with_register = settings.DIGIPOST_REGISTER == "on"
    if settings.DIGIPOST_SPLIT:
        yield ok("DIGIPOST_SPLIT: Digipost blir spurt om hvem som er der, før hver utsendelse.")
    elif with_register:
        yield ok("DIGIPOST_REGISTER: vi bruker registeret, og spør bare om dem det ikke vet om.")
    else:
        yield warning(
            "DIGIPOST_SPLIT er false og DIGIPOST_REGISTER off: alle brev blir lastet opp, også til"
            " dem som ikke er der.",
            "Det passer for små utsendelser: under 1000 brev på høyst 150 kB. Ellers er"
            " DIGIPOST_SPLIT true bedre.",
        )
    days = settings.DIGIPOST_REGISTER_MAX_AGE_DAYS
    if with_register and _longest_pause(settings, now) > timedelta(days=days):
        yield warning(
            f"REGISTER_SCHEDULE lar det gå mer enn {days} dager mellom hver gang, og eldre svar"
            " blir ikke brukt (DIGIPOST_REGISTER_MAX_AGE_DAYS).",
            "Da blir alle spurt om før en utsendelse likevel. La REGISTER_SCHEDULE være ukentlig,"
            " for eksempel 0 0 5 * * 0.",
        )


def _longest_pause(settings: Settings, now: datetime) -> timedelta:
    schedule = Schedule(settings.REGISTER_SCHEDULE, "register")
    moments = [now]
    while len(moments) < 20:
        moments.append(schedule.after(moments[-1]))
    return max(late - early for early, late in pairwise(moments[1:]))


def _ways(settings: Settings) -> Iterator[Finding]:
    """What becomes of those whom Digipost does not reach."""
    ways = settings.ways_on
    if not ways:
        yield warning(
            "DIGIPOST_NOT_REACHED er tom: de som ikke er i Digipost, får ikke noe.",
            "Rapporten nevner dem. Med list får saken navn, adresser og brev klare til utskrift.",
        )
        return
    yield ok(f"DIGIPOST_NOT_REACHED: ellers {', så '.join(_CALLED[way] for way in ways)}.")
    if "print" in ways:
        yield unknown(
            "DIGIPOST_NOT_REACHED har print. Om dere har en avtale med Digipost om utskrift, kan vi"
            " ikke se.",
            "Uten avtale blir ingenting skrevet ut. Begynn med en liten utsendelse.",
        )


def _risks(settings: Settings) -> Iterator[Finding]:
    """What somebody should have chosen knowingly."""
    if settings.DIGIPOST_APPROVE == "portal":
        yield warning(
            "DIGIPOST_APPROVE er portal: noen må godkjenne hver jobb i Digipost-portalen før"
            " brevene blir levert.",
            "Avtal hvem som gjør det. Med auto blir de levert av seg selv.",
        )
    else:
        yield ok(
            "DIGIPOST_APPROVE er auto: brevene blir levert uten at noen godkjenner dem.",
            "Fra de er lastet opp, kan de ikke stanses herfra.",
        )
    if settings.DIGIPOST_REUPLOAD == "auto":
        yield warning(
            "DIGIPOST_REUPLOAD er auto: en opplasting som blir brutt, blir gjort om igjen.",
            "Ingen utenfor Digipost vet om en jobb som kommer to ganger, blir levert to ganger."
            " Spør dem, eller bruk ask.",
        )
    if settings.DIGIPOST_UPLOAD == "rename":
        yield warning(
            "DIGIPOST_UPLOAD er rename: filen heter noe på .part til den er hel.",
            "Spør Digipost om de lar slike filer ligge. Ellers bruk direct.",
        )
    if not settings.DIGIPOST_NATIONAL_ID_FIELD:
        yield warning(
            "DIGIPOST_NATIONAL_ID_FIELD er tom: personer blir funnet med navn og adresse.",
            "Da blir færre funnet, og det kan ta timer. Har dere fødselsnummer i et felt på"
            " brukerne, så skriv feltet her. Vi lagrer det ikke.",
        )


# --- the area ---


async def _area(settings: Settings) -> Findings:
    area = _Area(settings)
    try:
        lacking = await area.lacking()
        waiting = [len(await area.receipts(kind)) for kind in JobKind]
    except StoppedError as error:
        yield _refused(settings, str(error))
        return
    except TransientError:
        yield missing(
            f"DIGIPOST_HOST: får ikke kontakt med {settings.DIGIPOST_HOST}, port"
            f" {settings.DIGIPOST_PORT}.",
            "Er navnet riktig? Slipper brannmuren denne maskinen ut på porten?",
        )
        return
    yield ok(
        f"DIGIPOST_HOST: {settings.DIGIPOST_HOST} slipper oss inn, og viser nøkkelen i"
        " DIGIPOST_HOST_KEY."
    )
    for folder in lacking:
        if folder.endswith(_RECEIPTS):
            yield warning(
                f"DIGIPOST_USER: mappen {folder} finnes ikke ennå.",
                "Digipost lager den kanskje med den første kvitteringen.",
            )
        else:
            yield missing(
                f"DIGIPOST_USER: mappen {folder} finnes ikke.",
                "Er batch-grensesnittet åpnet for kontoen? Spør Digipost.",
            )
    if not lacking:
        yield ok(f"Mappene er der. {sum(waiting)} filer ligger i mappene for kvitteringer.")


class _Area(DigipostArea):
    """The area, looked at."""

    async def lacking(self) -> list[str]:
        """The folders that are not there. Raises as every call to the area does."""
        folders = [f"{one}{sub}" for one in _FOLDERS.values() for sub in ("", f"/{_RECEIPTS}")]
        async with self._connected() as sftp:
            try:
                return [one for one in folders if not await self._in_time(sftp.isdir(one))]
            except _BROKEN as error:
                raise TransientError("digipost: looking for the folders") from error


def _refused(settings: Settings, said: str) -> Finding:
    """Why nobody got in, by what the adapter says of it."""
    if "DIGIPOST_HOST_KEY" in said:
        shown = ", ".join(re.findall(r"SHA256:[A-Za-z0-9+/]{43}", said)) or "ingen vi kjenner"
        return missing(
            f"DIGIPOST_HOST_KEY: {settings.DIGIPOST_HOST} viser en annen nøkkel enn den dere har"
            f" lagt inn: {shown}.",
            "Ingenting er sendt. Spør Digipost på en annen måte, for eksempel på telefon, hva"
            " fingeravtrykket til serveren er. Bare hvis det er dette, skal det inn i"
            " DIGIPOST_HOST_KEY.",
        )
    if "PASSPHRASE" in said or "not a private key" in said:
        return _unreadable_key(settings)
    if "not accepted" in said:
        return missing(
            f"DIGIPOST_KEY: {settings.DIGIPOST_HOST} godtar ikke nøkkelen for"
            f" {settings.DIGIPOST_USER}.",
            "Hører nøkkelen til denne kontoen (DIGIPOST_USER), og er den fortsatt i bruk i"
            " portalen?",
        )
    return missing(
        f"DIGIPOST_HOST: {settings.DIGIPOST_HOST} har ingen kryptering vi kan bruke.",
        "Er det Digipost som svarer? Meld fra til den som forvalter koden.",
    )


def _unreadable_key(settings: Settings) -> Finding:
    """A key that is locked cannot be told from a broken one once the passphrase is wrong."""
    text = settings.DIGIPOST_KEY.get_secret_value()
    if "ENCRYPTED" in text or settings.DIGIPOST_KEY_PASSPHRASE.get_secret_value():
        return missing(
            "DIGIPOST_KEY kan ikke åpnes med DIGIPOST_KEY_PASSPHRASE.",
            "Er det passordet fra da nøkkelen ble laget, og er hele nøkkelen limt inn?",
        )
    return missing(
        "DIGIPOST_KEY er ikke en privat nøkkel.",
        "Lim inn hele filen fra portalen, fra -----BEGIN til -----END. På én linje skrives"
        " linjeskift som \\n. Er nøkkelen låst, må DIGIPOST_KEY_PASSPHRASE være satt.",
    )


# --- what Pureservice has of recipients ---


@dataclass(frozen=True, slots=True)
class _Field:
    setting: str
    kind: str  #: `user` or `company`
    name: str  #: e.g. `cf_5`

    @property
    def called(self) -> str:
        return f"{self.kind}.{self.name}"


async def letter_fields(settings: Settings, wire: Reader) -> Findings:
    """Whether the mapped fields are there, and users' postal addresses; nothing of anybody."""
    if not settings.DIGIPOST_CAMPAIGN_USER:
        return
    fields = _fields(settings)
    newest: dict[str, tuple[ContactRow, ...]] = {
        "user": (await wire.newest("/user/", "users", _NEWEST)).users
    }
    if any(field.kind == "company" for field in fields):
        answer = await wire.newest("/company/", "companies", _NEWEST)
        newest["company"] = answer.companies
    for field in fields:
        yield _of_field(field, newest[field.kind])
    yield await _homes(wire)


def _fields(settings: Settings) -> list[_Field]:
    given = [
        ("DIGIPOST_NATIONAL_ID_FIELD", settings.DIGIPOST_NATIONAL_ID_FIELD),
        ("DIGIPOST_BIRTH_DATE_FIELD", settings.DIGIPOST_BIRTH_DATE_FIELD),
        *(
            ("DIGIPOST_ADDRESS_FIELDS", field)
            for field in settings.DIGIPOST_ADDRESS_FIELDS.values()
        ),
    ]
    return [_Field(setting, *field.split(".")) for setting, field in given if field]


def _of_field(field: _Field, rows: tuple[ContactRow, ...]) -> Finding:
    of_what = "brukerne" if field.kind == "user" else "firmaene"
    filled = [text for row in rows if (text := row.own(field.name).strip())]
    where = f"{field.setting}: {field.called}"
    if not filled:
        return warning(
            f"{where} er tomt på alle de {len(rows)} nyeste {of_what}.",
            "Er det riktig felt, og får nøkkelen lese det? Feltene heter cf_1 til cf_9 i"
            " Pureservice.",
        )
    if field.setting == "DIGIPOST_NATIONAL_ID_FIELD":
        valid = sum(valid_national_id(text) is not None for text in filled)
        if not valid:
            return missing(
                f"{where} har noe annet enn fødselsnumre, på {len(filled)} av de {len(rows)}"
                f" nyeste {of_what}.",
                "Skriv feltet som har fødselsnummer, eller la innstillingen være tom.",
            )
        return ok(f"{where} har et gyldig nummer på {valid} av de {len(rows)} nyeste {of_what}.")
    return ok(f"{where} er fylt ut på {len(filled)} av de {len(rows)} nyeste {of_what}.")


async def _homes(wire: Reader) -> Finding:
    """Whether users' addresses come along, which no known client asks for."""
    try:
        answer = await wire.newest("/user/", "users", _NEWEST, include="address,phonenumbers")
    except UtsendelseError:
        if wire.status != 400:
            raise
        return warning(
            "Pureservice gir ikke postadressen sammen med brukeren.",
            "Da må adressene stå i egne felt (DIGIPOST_ADDRESS_FIELDS), eller dere må ha"
            " fødselsnummer.",
        )
    there = {row.id for row in answer.linked.physicaladdresses}
    known = sum(row.address_id in there for row in answer.users)
    if known:
        return ok(f"Postadressen er kjent for {known} av de {len(answer.users)} nyeste brukerne.")
    return warning(
        f"Ingen av de {len(answer.users)} nyeste brukerne kom med postadresse.",
        "Står den på brukerne i Pureservice? Gjør den det, så legg adressene i egne felt"
        " (DIGIPOST_ADDRESS_FIELDS), og si fra til den som forvalter koden.",
    )
