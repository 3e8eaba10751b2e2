"""Does Pureservice answer, and has it what the settings name? Only reads."""

import re
from collections.abc import Sequence
from datetime import timedelta

import httpx

from dev.check.digipost import letter_fields
from dev.check.findings import AGAIN, Finding, Findings, Mark, missing, ok, unknown, warning
from dev.check.lists import lists
from dev.check.names import called, instead, listing, named
from dev.check.reader import Reader
from dev.check.tickets import tickets
from shared.adapters.pureservice import SOLVED_FROM
from shared.adapters.pureservice_wire import Named, quoted
from shared.domain.campaign import marks_in
from shared.errors import SetupError, UtsendelseError
from shared.ports import Clock
from shared.settings import Settings

#: How many of the newest open tickets are looked at.
_TICKETS = 100
_CLOCKS_DIFFER = timedelta(minutes=2)
_STATUSES = (
    "STATUS_READY",
    "STATUS_RUNNING",
    "STATUS_ATTENTION",
    "STATUS_SOLVED",
    "STATUS_PAUSE",
    "STATUS_CANCEL",
    "STATUS_REVIEW",
)
#: What `ticket_key` puts on each recipient's ticket.
_TICKET_KEY = re.compile(r"\d+-\d+ [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_KEYS = "Administrasjon > Sikkerhet > API-nøkler"


async def pureservice(
    settings: Settings, clock: Clock, transport: httpx.AsyncBaseTransport | None
) -> Findings:
    """Everything that can be known of it; what could not be asked is said to be unknown."""
    try:
        wire = Reader(settings, clock, transport)
    except SetupError:
        yield missing(
            "PURESERVICE_KEY har tegn som ingen nøkkel har.",
            "Lim inn hele nøkkelen på nytt, uten anførselstegn og linjeskift.",
        )
        return
    try:
        try:
            zones = (await wire.all("/department/", "departments")).departments
        except UtsendelseError as error:
            other = await _accepted_otherwise(settings, clock, transport, wire.status)
            yield other or missing(*_trouble(settings, wire.status, error))
            yield unknown(f"Brukere, statuser, lister, meldingstype, merkefelt. {AGAIN}")
            return
        yield ok(f"Pureservice på {settings.PURESERVICE_URL.host} svarer og godtar nøkkelen.")
        yield _visible(zones)
        if wire.ahead is not None:
            yield _clocks(wire.ahead)
        for part in (
            _users(settings, wire),
            _statuses(settings, wire),
            tickets(settings, wire),
            letter_fields(settings, wire),
            lists(settings, wire),
            _message_type(settings, wire),
            _mark_field(settings, wire),
            _senders(settings, wire, zones),
        ):
            try:
                async for finding in part:
                    yield finding
            except UtsendelseError as error:
                yield missing(*_trouble(settings, wire.status, error))
                if wire.status in (None, 429):
                    yield unknown("Resten av oppsettet i Pureservice.")
                    return
                yield unknown(f"Noe av oppsettet i Pureservice; det gjelder {wire.path}.")
    finally:
        await wire.close()


async def _accepted_otherwise(
    settings: Settings,
    clock: Clock,
    transport: httpx.AsyncBaseTransport | None,
    status: int | None,
) -> Finding | None:
    """Whether a refused key is good in the other header."""
    if status not in (401, 403):
        return None
    given = settings.PURESERVICE_AUTH
    other = "key" if given == "bearer" else "bearer"
    wire = Reader(settings.model_copy(update={"PURESERVICE_AUTH": other}), clock, transport)
    try:
        await wire.newest("/department/", "departments", 1)
    except UtsendelseError:
        return None
    finally:
        await wire.close()
    return missing(
        f"PURESERVICE_AUTH: Pureservice godtar ikke nøkkelen som {given}, men som {other}.",
        f"Sett PURESERVICE_AUTH til {other}.",
    )


def _trouble(settings: Settings, status: int | None, error: UtsendelseError) -> tuple[str, str]:
    """What went wrong with a question, and what to do about it."""
    match status:
        case None:
            return (
                f"PURESERVICE_URL: får ikke svar fra {settings.PURESERVICE_URL.host}.",
                "Er adressen riktig skrevet? Slipper brannmuren denne maskinen ut?",
            )
        case 401 | 403:
            return (
                f"PURESERVICE_KEY: Pureservice godtar ikke nøkkelen ({status}).",
                f"Se på nøkkelen under {_KEYS}. Er den utløpt? En begrenset nøkkel (Limited) må ha"
                " fått sonene som utsendelsene ligger i. Er hele nøkkelen limt inn, og hører den"
                " til denne Pureservice-adressen?",
            )
        case 400:
            return (
                f"Pureservice forstår ikke spørsmålet ({error}).",
                "Meld fra til den som forvalter koden, og legg ved linjen over.",
            )
        case 429:
            return (
                "Pureservice har fått for mange spørsmål og ber oss vente (429).",
                "Kjør på nytt om et par minutter. Andre integrasjoner kan dele den samme grensen.",
            )
        case _ if status >= 500:
            return (
                f"Pureservice har en feil hos seg ({status}).",
                "Prøv igjen om litt. Varer det, så spør Pureservice om driftsstatus.",
            )
        case _:
            return (
                f"PURESERVICE_URL, PURESERVICE_PREFIX: det er ikke API-et som svarer ({status}).",
                "PURESERVICE_URL er adressen i nettleseren fram til første skråstrek, for eksempel"
                " https://navn.pureservice.com. PURESERVICE_PREFIX er som regel /agent/api.",
            )


def _visible(zones: Sequence[Named]) -> Finding:
    if seen := [zone for zone in zones if not zone.disabled]:
        return ok(f"Nøkkelen ser disse sonene: {listing(zone.name for zone in seen)}.")
    return warning(
        "Nøkkelen ser ingen soner, og da trolig heller ingen saker.",
        f"Se på nøkkelen under {_KEYS}: Er den begrenset (Limited), må den få sonene som"
        " utsendelsene ligger i.",
    )


def _clocks(ahead: timedelta) -> Finding:
    if abs(ahead) <= _CLOCKS_DIFFER:
        return ok("Klokken her går likt med klokken hos Pureservice.")
    side = "etter" if ahead > timedelta() else "foran"
    return warning(
        f"Klokken her går {abs(ahead) // timedelta(minutes=1)} minutter {side} klokken hos"
        " Pureservice.",
        "Still klokken på denne maskinen.",
    )


async def _users(settings: Settings, wire: Reader) -> Findings:
    """The made-up users."""
    yield await _user(
        "EMAIL_CAMPAIGN_USER",
        settings.EMAIL_CAMPAIGN_USER,
        wire,
        "En sak på den brukeren er en masseutsendelse.",
    )
    if settings.TICKET_CAMPAIGN_USER:
        yield await _user(
            "TICKET_CAMPAIGN_USER",
            settings.TICKET_CAMPAIGN_USER,
            wire,
            "En sak på den brukeren blir til én sak per mottaker. Skal dere ikke bruke det, så la"
            " TICKET_CAMPAIGN_USER være tom.",
        )
    else:
        yield ok(
            "TICKET_CAMPAIGN_USER er tom: én sak per mottaker er slått av.",
            "Skal dere bruke det, så skriv adressen til en egen oppdiktet sluttbruker der.",
        )
    if settings.DIGIPOST_CAMPAIGN_USER:
        yield await _user(
            "DIGIPOST_CAMPAIGN_USER",
            settings.DIGIPOST_CAMPAIGN_USER,
            wire,
            "En sak på den brukeren blir til brev i Digipost.",
        )


async def _user(setting: str, address: str, wire: Reader, meaning: str) -> Finding:
    answer = await wire.all(
        "/emailaddress/", "emailaddresses", filter=f"email == {quoted(address)}", include="user"
    )
    users = {user.id: user for user in answer.linked.users}
    owners = [(row.id, users[row.user_id]) for row in answer.emailaddresses if row.user_id in users]
    enabled = [(address_id, user) for address_id, user in owners if not user.disabled]
    if not owners:
        return missing(
            f"{setting}: ingen bruker har adressen {address}.",
            f"Lag en sluttbruker med denne adressen i Pureservice. {meaning} Adressen skal ikke"
            " kunne motta e-post; det er med vilje.",
        )
    if not enabled:
        return missing(
            f"{setting}: brukeren {address} er deaktivert.",
            "Aktiver brukeren i Pureservice, så den kan settes på saker.",
        )
    if all(user.email_address_id not in (None, address_id) for address_id, user in enabled):
        return missing(
            f"{setting}: {address} er ikke brukerens standardadresse.",
            "Gjør den til standardadresse på brukeren i Pureservice; det er den saken får.",
        )
    return ok(
        f"{setting}: brukeren {address} finnes.",
        "Adressen skal ikke kunne motta e-post; det er med vilje.",
    )


async def _statuses(settings: Settings, wire: Reader) -> Findings:
    async def those(which: str) -> Sequence[Named]:
        return (await wire.all("/status/", "statuses", filter=which)).statuses

    of_tickets = 'requesttype.key == "Ticket"'
    rows = await those(of_tickets)
    closed = {row.id for row in await those(f"{of_tickets} AND coreStatus >= {SOLVED_FROM}")}
    of_changes = await those('requesttype.key != "Ticket"')
    enabled = [row for row in rows if not row.disabled]
    with_tickets = settings.makes_tickets
    for setting in [*_STATUSES, *(["TICKET_STATUS"] if with_tickets else [])]:
        if setting == "STATUS_REVIEW" and not settings.STATUS_REVIEW.strip() and not with_tickets:
            yield ok("STATUS_REVIEW er tom, og trengs bare for én sak per mottaker.")
            continue
        name = getattr(settings, setting).strip()
        finding = named(settings, setting, "status for saker", enabled)
        if finding.mark is Mark.MISSING and called(name, rows) and not called(name, enabled):
            finding = missing(
                f"{setting}: statusen «{name}» er deaktivert.",
                "Aktiver den under Administrasjon i Pureservice.",
            )
        elif finding.mark is Mark.MISSING and called(name, of_changes) and not called(name, rows):
            finding = missing(
                f"{setting}: «{name}» finnes bare som status for endringer, ikke for saker.",
                "Lag en status for saker med samme navn under Administrasjon i Pureservice.",
            )
        elif finding.mark is Mark.OK:
            is_closed = called(name, enabled)[0].id in closed
            if setting == "TICKET_STATUS":
                finding = _ticket_status(name, is_closed)
            elif is_closed and setting != "STATUS_SOLVED":
                finding = missing(
                    f"{setting}: statusen «{name}» regnes som løst eller lukket.",
                    "Da ser vi ikke saken. Velg eller lag en status der saken fortsatt er åpen.",
                )
            elif not is_closed and setting == "STATUS_SOLVED":
                finding = missing(
                    f"{setting}: statusen «{name}» regnes ikke som løst.",
                    "Velg en status som betyr at saken er løst, som regel «Løst».",
                )
        yield finding


def _ticket_status(name: str, is_closed: bool) -> Finding:
    """The status that each recipient's ticket gets; whether its clock stops cannot be read."""
    if is_closed:
        return missing(
            f"TICKET_STATUS: statusen «{name}» regnes som løst eller lukket.",
            "Sakene til mottakerne skal vente på svar. Velg en åpen status, som regel"
            " «Venter - sluttbruker».",
        )
    return ok(
        f"TICKET_STATUS: «{name}» finnes.",
        "Se etter i tjenestemålene (SLA) i Pureservice at klokken står i denne statusen. Ellers går"
        " alle sakene over fristen mens mottakerne tenker seg om. Det kan vi ikke se herfra.",
    )


async def _message_type(settings: Settings, wire: Reader) -> Findings:
    if settings.MESSAGE_TRIGGER != "communication":
        yield ok("MESSAGE_TRIGGER: det som sendes ut, er vanlige meldinger som ikke ble levert.")
        return
    name, field = settings.MESSAGE_TYPE_NAME, settings.MESSAGE_TYPE_FIELD
    other = "typeName" if field == "customtype.name" else "customtype.name"
    used = await _is_used(wire, field, name)
    used_by_other = None if used else await _is_used(wire, other, name)
    if used:
        yield ok(f"MESSAGE_TYPE_NAME: kommunikasjonstypen «{name}» er i bruk.")
    elif used_by_other or (used is None and used_by_other is not None):
        why = "forstår ikke feltet" if used is None else f"finner ikke «{name}» med feltet"
        yield missing(
            f"MESSAGE_TYPE_FIELD: Pureservice {why} {field}, men {other} går bra.",
            f"Sett MESSAGE_TYPE_FIELD til {other}.",
        )
    elif used is None:
        yield missing(
            f"MESSAGE_TYPE_FIELD: Pureservice forstår verken {field} eller {other}.",
            "Sett MESSAGE_TRIGGER til failed_email. Da sendes vanlige meldinger til brukeren i"
            " EMAIL_CAMPAIGN_USER, uten egen kommunikasjonstype.",
        )
    else:
        yield warning(
            f"MESSAGE_TYPE_NAME: kommunikasjonstypen «{name}» er ikke funnet i bruk ennå.",
            "Vi ser den først når noen har brukt den. Lag den under Administrasjon i Pureservice om"
            " den ikke finnes, skriv en oppføring med den på en prøvesak, og kjør på nytt.",
        )


async def _is_used(wire: Reader, field: str, name: str) -> bool | None:
    """Whether any entry has this type; None when the tenant does not understand the question."""
    of_type = f"{field} == {quoted(name)}"
    try:
        answer = await wire.newest("/communication/", "communications", 1, filter=of_type)
    except UtsendelseError:
        if wire.status == 400:
            return None
        raise
    return bool(answer.communications)


async def _mark_field(settings: Settings, wire: Reader) -> Findings:
    field = settings.CAMPAIGN_MARK_FIELD
    open_ones = f"status.coreStatus < {SOLVED_FROM} AND !isMarkedForDeletion"
    answer = await wire.newest("/ticket/", "tickets", _TICKETS, filter=open_ones)
    texts = [row.text(field).strip() for row in answer.tickets]
    foreign = sum(bool(text) and not marks_in(text) and not _TICKET_KEY(text) for text in texts)
    if foreign:
        yield warning(
            f"CAMPAIGN_MARK_FIELD: feltet {field} er i bruk til noe annet, på {foreign} av de"
            f" {len(texts)} nyeste åpne sakene.",
            "Vi skriver et merke der, bak det som står der fra før. Bruk heller et eget felt på"
            " saken (cf_1 til cf_9) som ingen andre skriver i.",
        )
    else:
        yield ok(f"CAMPAIGN_MARK_FIELD: feltet {field} er ikke i bruk til noe annet.")


async def _senders(settings: Settings, wire: Reader, zones: Sequence[Named]) -> Findings:
    if not settings.SENDERS:
        return
    teams = (await wire.all("/team/", "teams")).teams
    for key in settings.SENDERS:
        kind, _, name = key.partition(":")
        what, rows = ("sonen", zones) if kind == "zone" else ("teamet", teams)
        if name in {row.name.strip() for row in rows}:  # to the letter, as the app compares them
            yield ok(f"SENDERS: {what} «{name}» finnes.")
        else:
            yield missing(
                f"SENDERS: {what} «{name}» finnes ikke.{instead(name, (row.name for row in rows))}",
                f"Rett «{key}», med de samme store og små bokstavene, eller ta det bort.",
            )
