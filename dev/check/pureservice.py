"""Does Pureservice answer, and has it what the settings name? Only reads."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from difflib import get_close_matches
from email.utils import parsedate_to_datetime

import httpx

from dev.check.findings import Finding, Findings, Mark, missing, ok, unknown, warning
from shared.adapters.pureservice import SOLVED_FROM
from shared.adapters.pureservice_wire import PAGE, Answer, Named, Params, Wire, quoted
from shared.domain.campaign import marks_in
from shared.errors import SetupError, TransientError, UtsendelseError
from shared.ports import Clock
from shared.settings import Settings

#: For one question, its repetitions included.
_SECONDS = 45.0
#: How many of the newest open tickets are looked at.
_TICKETS = 100
_CLOCKS_DIFFER = timedelta(minutes=2)
_KEYS = "Administrasjon > Sikkerhet > API-nøkler"
_AGAIN = "Rett det over, og kjør på nytt."


class _Reader(Wire):
    """The wire; remembers the last question's fate, and how far ahead of ours its clock is."""

    def __init__(
        self, settings: Settings, clock: Clock, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        super().__init__(settings, clock, transport)
        self.path = ""
        self.status: int | None = None
        self.ahead: timedelta | None = None
        self._client.event_hooks = {"response": [self._remember]}

    async def newest(self, path: str, plural: str, limit: int, **query: str) -> Answer:
        """The last so many of them."""
        return await self._read(path, plural, {**query, "limit": limit, "sort": "id DESC"})

    async def _read(self, path: str, plural: str, params: Params) -> Answer:
        self.path, self.status = path, None
        try:
            async with asyncio.timeout(_SECONDS):
                return await super()._read(path, plural, params)
        except TimeoutError as error:
            raise TransientError(f"pureservice: GET {path}: no answer in time") from error

    async def _remember(self, response: httpx.Response) -> None:
        self.status = response.status_code
        with suppress(ValueError, TypeError):  # no date, or one without a time zone
            date = parsedate_to_datetime(response.headers.get("Date", ""))
            self.ahead = date - self._clock()


async def pureservice(
    settings: Settings, clock: Clock, transport: httpx.AsyncBaseTransport | None
) -> Findings:
    """Everything that can be known of it; what could not be asked is said to be unknown."""
    try:
        wire = _Reader(settings, clock, transport)
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
            yield unknown(f"Brukere, statuser, lister, meldingstype, merkefelt. {_AGAIN}")
            return
        yield ok(f"Pureservice på {settings.PURESERVICE_URL.host} svarer og godtar nøkkelen.")
        yield _visible(zones)
        if wire.ahead is not None:
            yield _clocks(wire.ahead)
        for part in (
            _user(settings, wire),
            _statuses(settings, wire),
            _lists(settings, wire),
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
    wire = _Reader(settings.model_copy(update={"PURESERVICE_AUTH": other}), clock, transport)
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
        return ok(f"Nøkkelen ser disse sonene: {_listing(seen)}.")
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


async def _user(settings: Settings, wire: _Reader) -> Findings:
    address = settings.EMAIL_CAMPAIGN_USER
    answer = await wire.all(
        "/emailaddress/", "emailaddresses", filter=f"email == {quoted(address)}", include="user"
    )
    users = {user.id: user for user in answer.linked.users}
    owners = [(row.id, users[row.user_id]) for row in answer.emailaddresses if row.user_id in users]
    enabled = [(address_id, user) for address_id, user in owners if not user.disabled]
    if not owners:
        yield missing(
            f"EMAIL_CAMPAIGN_USER: ingen bruker har adressen {address}.",
            "Lag en sluttbruker med denne adressen i Pureservice. En sak på den brukeren er en"
            " masseutsendelse. Adressen skal ikke kunne motta e-post; det er med vilje.",
        )
    elif not enabled:
        yield missing(
            f"EMAIL_CAMPAIGN_USER: brukeren {address} er deaktivert.",
            "Aktiver brukeren i Pureservice, så den kan settes på saker.",
        )
    elif all(user.email_address_id not in (None, address_id) for address_id, user in enabled):
        yield missing(
            f"EMAIL_CAMPAIGN_USER: {address} er ikke brukerens standardadresse.",
            "Gjør den til standardadresse på brukeren i Pureservice; det er den saken får.",
        )
    else:
        yield ok(
            f"EMAIL_CAMPAIGN_USER: brukeren {address} finnes.",
            "Adressen skal ikke kunne motta e-post; det er med vilje.",
        )


async def _statuses(settings: Settings, wire: _Reader) -> Findings:
    async def those(which: str) -> Sequence[Named]:
        return (await wire.all("/status/", "statuses", filter=which)).statuses

    of_tickets = 'requesttype.key == "Ticket"'
    rows = await those(of_tickets)
    closed = {row.id for row in await those(f"{of_tickets} AND coreStatus >= {SOLVED_FROM}")}
    of_changes = await those('requesttype.key != "Ticket"')
    enabled = [row for row in rows if not row.disabled]
    for setting in ("STATUS_READY", "STATUS_RUNNING", "STATUS_ATTENTION", "STATUS_SOLVED"):
        name = getattr(settings, setting).strip()
        finding = _named(settings, setting, "status for saker", enabled)
        if finding.mark is Mark.MISSING and _called(name, rows) and not _called(name, enabled):
            finding = missing(
                f"{setting}: statusen «{name}» er deaktivert.",
                "Aktiver den under Administrasjon i Pureservice.",
            )
        elif finding.mark is Mark.MISSING and _called(name, of_changes) and not _called(name, rows):
            finding = missing(
                f"{setting}: «{name}» finnes bare som status for endringer, ikke for saker.",
                "Lag en status for saker med samme navn under Administrasjon i Pureservice.",
            )
        elif finding.mark is Mark.OK:
            is_closed = _called(name, enabled)[0].id in closed
            if is_closed and setting != "STATUS_SOLVED":
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


async def _lists(settings: Settings, wire: _Reader) -> Findings:
    types = (await wire.all("/assettype/", "assettypes")).assettypes
    finding = _named(settings, "LIST_ASSET_TYPE", "assettype", types)
    yield finding
    if finding.mark is not Mark.OK:
        yield unknown(f"Relasjonstypene til listene, og listene selv. {_AGAIN}")
        return
    name = _called(settings.LIST_ASSET_TYPE, types)[0].name
    of_lists = f"fromAssetType.name == {quoted(name)}"
    answer = await wire.all("/relationshiptype/", "relationshiptypes", filter=of_lists)
    what = f"relasjonstype på assettypen «{name}»"
    for setting in ("LIST_TICKET_RELATION", "LIST_USER_RELATION", "LIST_COMPANY_RELATION"):
        yield _named(settings, setting, what, answer.relationshiptypes, several=True)
    answer, _ = await wire.page("/asset/", "assets", 0, filter=f"type.name == {quoted(name)}")
    usable = sum(not asset.is_marked_for_deletion for asset in answer.assets)
    doomed = len(answer.assets) - usable
    also = f" {doomed} til er merket for sletting." if doomed else ""
    least = "minst " if len(answer.assets) == PAGE else ""
    if usable:
        yield ok(f"Det finnes {least}{usable} mottakerliste{'r' if usable > 1 else ''}.{also}")
    else:
        yield warning(
            f"Det finnes ingen mottakerlister å sende til.{also}",
            f"Lag en asset av typen «{name}», gi den et navn, og knytt brukere og firmaer til den.",
        )


async def _message_type(settings: Settings, wire: _Reader) -> Findings:
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


async def _is_used(wire: _Reader, field: str, name: str) -> bool | None:
    """Whether any entry has this type; None when the tenant does not understand the question."""
    of_type = f"{field} == {quoted(name)}"
    try:
        answer = await wire.newest("/communication/", "communications", 1, filter=of_type)
    except UtsendelseError:
        if wire.status == 400:
            return None
        raise
    return bool(answer.communications)


async def _mark_field(settings: Settings, wire: _Reader) -> Findings:
    field = settings.CAMPAIGN_MARK_FIELD
    open_ones = f"status.coreStatus < {SOLVED_FROM} AND !isMarkedForDeletion"
    answer = await wire.newest("/ticket/", "tickets", _TICKETS, filter=open_ones)
    texts = [str((row.model_extra or {}).get(field, "")).strip() for row in answer.tickets]
    foreign = sum(bool(text) and not marks_in(text) for text in texts)
    if foreign:
        yield warning(
            f"CAMPAIGN_MARK_FIELD: feltet {field} er i bruk til noe annet, på {foreign} av de"
            f" {len(texts)} nyeste åpne sakene.",
            "Vi skriver et merke der, bak det som står der fra før. Bruk heller et eget felt på"
            " saken (cf_1 til cf_9) som ingen andre skriver i.",
        )
    else:
        yield ok(f"CAMPAIGN_MARK_FIELD: feltet {field} er ikke i bruk til noe annet.")


async def _senders(settings: Settings, wire: _Reader, zones: Sequence[Named]) -> Findings:
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
                f"SENDERS: {what} «{name}» finnes ikke.{_instead(name, rows)}",
                f"Rett «{key}», med de samme store og små bokstavene, eller ta det bort.",
            )


_WITHOUT = {
    "STATUS_READY": "En utsendelse starter av seg selv når melding og lister er på plass og saken"
    " har ligget urørt (QUIET_PERIOD_MINUTES).",
    "STATUS_RUNNING": "Saken bytter ikke status mens utsendelsen pågår.",
    "STATUS_ATTENTION": "Saken bytter ikke status når noe må rettes; et internt notat sier fra.",
    "LIST_USER_RELATION": "Brukere på listene får ikke noe, bare firmaer.",
    "LIST_COMPANY_RELATION": "Firmaer på listene får ikke noe, bare brukere.",
}


def _named(
    settings: Settings, setting: str, what: str, rows: Sequence[Named], *, several: bool = False
) -> Finding:
    """Whether one of the rows, or with `several` any number, has the name in the setting."""
    name = getattr(settings, setting).strip()
    if not name and setting in _WITHOUT:
        return warning(f"{setting} er ikke satt. {_WITHOUT[setting]}")
    found = _called(name, rows)
    if not found:
        return missing(
            f"{setting}: det finnes ingen {what} som heter «{name}».{_instead(name, rows)}",
            f"Rett {setting}, eller lag den under Administrasjon i Pureservice.",
        )
    if len(found) > 1 and not several:
        return missing(
            f"{setting}: navnet «{name}» er brukt {len(found)} ganger ({what}).",
            "Gi dem ulike navn i Pureservice, så det ikke er tvil om hvilken.",
        )
    return ok(f"{setting}: «{name}» finnes.")


def _called(name: str, rows: Sequence[Named]) -> list[Named]:
    """As the adapter compares: case and spaces around do not count."""
    return [row for row in rows if row.name.strip().casefold() == name.strip().casefold()]


def _instead(name: str, rows: Sequence[Named]) -> str:
    folded = {row.name.casefold(): row.name for row in rows}
    if near := get_close_matches(name.casefold(), folded, 1, 0.75):
        return f" Mente du «{folded[near[0]]}»?"
    return f" Disse finnes: {_listing(rows)}." if rows else ""


def _listing(rows: Sequence[Named]) -> str:
    return ", ".join(sorted(f"«{row.name}»" for row in rows))
