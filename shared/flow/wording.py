"""What case workers read: notes and reports, in bokmål, from `shared/templates`."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shared.domain.addressee import Flaw, without_national_ids
from shared.domain.campaign import LETTERS
from shared.domain.delivery import Delivery, OpenDelivery, Reason, Status
from shared.domain.job_receipt import RecipientReason
from shared.domain.letter_job import JobState
from shared.domain.message import Message
from shared.domain.printable import SENTENCES, Fault
from shared.domain.recipient import ABOUT_FLAWS, LeftOut, LeftOutReason
from shared.ports import Helpdesk

OSLO = ZoneInfo("Europe/Oslo")

STATUS = {
    Status.PLANNED: "venter",
    Status.CLAIMED: "under sending",
    Status.SUBMITTED: "overlevert, venter på svar",
    Status.SENT: "sendt",
    Status.FAILED: "ikke sendt",
    Status.UNCERTAIN: "usikkert",
    Status.SKIPPED: "utelatt",
    Status.CANCELLED: "avbrutt",
}

REASON = {
    Reason.NONE: "",
    Reason.REFUSED: "E-postserveren avviste mottakeren",
    Reason.INTERRUPTED: "Sendingen ble avbrutt underveis",
    Reason.NO_ANSWER: "Forbindelsen ble brutt før svaret kom",
    Reason.GAVE_UP: "Lot seg ikke sende, selv etter flere forsøk",
    Reason.TECHNICAL: "Teknisk feil hos oss",
    Reason.NOT_ON_TEST_LIST: "Står ikke på testlisten",
    Reason.NO_USER: "Adressen hører til en annen eller en deaktivert bruker i Pureservice",
    Reason.MAIL_FAILED: "Pureservice fikk ikke sendt meldingen",
    Reason.NOT_MAILED: "Meldingen ligger på saken, men Pureservice har ikke sendt den",
    Reason.STILL_QUEUED: "Meldingen ligger fortsatt i utboksen til Pureservice",
    Reason.SETTLED_BY_HAND: "Var usikkert, og er avklart for hånd",
    Reason.BOUNCED: "Kom i retur etter at den var sendt",
    Reason.REPLACED: "Erstattet av en forsendelse med ny kontaktinformasjon",
    Reason.SUPPRESSED: "Adressen er sperret",
    Reason.ERASED: "Personopplysningene er slettet på forespørsel",
    Reason.NOT_IN_DIGIPOST: "Finnes ikke i Digipost",
    Reason.BAD_IDENTITY: "Digipost sier at noe av det som er registrert, er feil",
    Reason.BAD_DOCUMENT: "Digipost godtar ikke dokumentet",
    Reason.NOT_PRINTED: "Brevet eller postadressen egner seg ikke for utskrift",
    Reason.NO_RESULT: "Digipost har ikke svart på hvordan det gikk",
    Reason.NO_IDENTITY: "Har ikke lenger noe å finne mottakeren med",
}

#: The same where every recipient gets a ticket.
_TICKET_REASON = {
    **REASON,
    Reason.REFUSED: "Pureservice eller e-postserveren sa nei",
    Reason.INTERRUPTED: "Sendingen ble avbrutt, og vi kan ikke se hvor langt den kom",
    Reason.NO_ANSWER: "Pureservice svarte ikke på om meldingen er sendt",
}

#: The same for letters, delivered or printed by Digipost.
_LETTER_REASON = {**REASON, Reason.REFUSED: "Digipost avviste brevet"}


def reasons(channel: str) -> dict[Reason, str]:
    """What the reasons are called on this channel."""
    if channel in {LETTERS, "print"}:
        return _LETTER_REASON
    return _TICKET_REASON if channel == "ticket" else REASON


#: By which way somebody got a letter, or was last tried to be reached.
WAYS = {LETTERS: "Digipost", "print": "Utskrift", "email": "E-post", "ticket": "Sak"}

#: How far a letter job has come.
JOB_STATE = {
    JobState.DRAFT: "blir satt sammen",
    JobState.READY: "venter på å bli lastet opp til Digipost",
    JobState.UPLOADING: "er på vei til Digipost",
    JobState.UNKNOWN: "vi vet ikke om Digipost har fått den",
    JobState.UPLOADED: "lastet opp til Digipost",
    JobState.RECEIVED: "mottatt av Digipost",
    JobState.PROVISIONAL: "kontrollert av Digipost, men ikke levert",
    JobState.ANSWERED: "ferdig behandlet av Digipost",
    JobState.DONE: "ferdig behandlet av Digipost",
    JobState.FAILED: "avvist av Digipost; ingen i jobben fikk brevet",
    JobState.ABANDONED: "ikke i bruk; brevene går i andre jobber",
}

#: What Digipost says is wrong with a recipient, which comes in words of its own for machines.
_RECIPIENT_REASON = {
    RecipientReason.SEVERAL_MATCHES: "flere kan være den rette",
    RecipientReason.INCOMPLETE_ADDRESS: "mangelfull adresse",
    RecipientReason.CUSTOMER_ID: "feil i vår egen id",
    RecipientReason.NATIONAL_ID: "ugyldig fødselsnummer",
    RecipientReason.BIRTH_DATE: "ugyldig fødselsdato",
    RecipientReason.DIGIPOST_ADDRESS: "ugyldig Digipost-adresse",
    RecipientReason.NAME_AND_ADDRESS: "ugyldig navn eller adresse",
    RecipientReason.POSTAL_CODE: "ugyldig postnummer",
    RecipientReason.ORGANIZATION_NUMBER: "ugyldig organisasjonsnummer",
    RecipientReason.UNSPECIFIED: "ikke nærmere oppgitt",
    RecipientReason.UNKNOWN: "en grunn vi ikke kjenner",
}


def said_of(delivery: Delivery) -> str:
    """The provider's own words, where it has any that people can read."""
    codes = delivery.detail.split(", ")
    if set(codes) <= set(RecipientReason):
        return ", ".join(_RECIPIENT_REASON[RecipientReason(code)] for code in codes)
    return delivery.detail


LEFT_OUT = {
    LeftOutReason.DUPLICATE: "Får meldingen via en annen oppføring med samme adresse",
    LeftOutReason.NO_ADDRESS: "Mangler e-postadresse",
    LeftOutReason.INVALID_ADDRESS: "Har en ugyldig e-postadresse",
    LeftOutReason.DISABLED: "Er deaktivert i Pureservice",
    LeftOutReason.NOT_ON_TEST_LIST: "Står ikke på testlisten",
    LeftOutReason.CAMPAIGN_USER: "Er en av de oppdiktede brukerne som starter masseutsendelser",
    LeftOutReason.SUPPRESSED: "Adressen er sperret",
    LeftOutReason.MISSING_VALUE: "Meldingen nevner noe som ikke er registrert på mottakeren",
    LeftOutReason.GONE: "Finnes ikke lenger i Pureservice",
    LeftOutReason.NO_IDENTITY: "Har verken nummer eller postadresse å finne mottakeren med",
    LeftOutReason.NO_POSTAL_ADDRESS: "Har en postadresse som ikke kan brukes",
    LeftOutReason.INVALID_NATIONAL_ID: "Har et ugyldig fødselsnummer, og ikke noe annet å gå etter",
    LeftOutReason.INVALID_ORGANIZATION_NUMBER: (
        "Har et ugyldig organisasjonsnummer, og ikke noe annet å gå etter"
    ),
}

#: What is wrong with what is registered. The thing itself is never told.
FLAWS = {
    Flaw.NATIONAL_ID: "ugyldig fødselsnummer",
    Flaw.ORGANIZATION_NUMBER: "ugyldig organisasjonsnummer",
    Flaw.NO_LINES: "postadressen mangler gate eller postboks",
    Flaw.TOO_LONG: "postadressen er for lang",
    Flaw.NO_POSTAL_CODE: "postnummer mangler",
    Flaw.POSTAL_CODE: "postnummeret er ikke norsk",
    Flaw.NO_CITY: "poststed mangler",
    Flaw.COUNTRY: "ukjent land i postadressen",
}


def flaws(found: Iterable[str]) -> str:
    """`postnummer mangler, poststed mangler`."""
    return ", ".join(FLAWS[Flaw(flaw)] for flaw in found)


def faults(found: str) -> list[str]:
    """What is wrong with a PDF, from the names with commas between, and what to do about it."""
    return [SENTENCES[Fault(fault)] for fault in found.split(",") if fault]


def left_out_detail(left_out: LeftOut) -> str:
    """What more there is to say of why a membership is left out, beyond the reason itself."""
    if left_out.reason in ABOUT_FLAWS:
        found = filter(None, left_out.detail.split(","))
        return flaws(flaw for flaw in found if f"invalid_{flaw}" != left_out.reason)
    return left_out.detail


def left_out_words(channel: str) -> dict[LeftOutReason, str]:
    """Why memberships are left out, in this channel's words."""
    if channel == "ticket":
        twice = {LeftOutReason.DUPLICATE: "Står på listene flere ganger, og får én sak"}
        return {**LEFT_OUT, **twice}
    if channel == LETTERS:
        twice = {LeftOutReason.DUPLICATE: "Står på listene flere ganger, og får ett brev"}
        return {**LEFT_OUT, **twice}
    return LEFT_OUT


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(OSLO):%d.%m.%Y kl. %H:%M}"


def _count(number: int, one: str, many: str) -> str:
    """`1 mottaker`, `2 100 mottakere`: thousands apart, as Norwegian writes them."""
    return f"{number:,}".replace(",", "\N{NO-BREAK SPACE}") + f" {one if number == 1 else many}"


def _span(duration: timedelta) -> str:
    """`under ett minutt`, `12 minutter`, `2 timer og 5 minutter`."""
    hours, minutes = divmod(int(duration.total_seconds()) // 60, 60)
    parts = [
        _count(number, one, many)
        for number, one, many in ((hours, "time", "timer"), (minutes, "minutt", "minutter"))
        if number
    ]
    return " og ".join(parts) or "under ett minutt"


_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent.parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {"clock": _clock, "count": _count, "span": _span}
_environment.filters |= {"hidden": without_national_ids}
_environment.globals |= {"STATUS": STATUS, "reasons": reasons, "left_out": left_out_words}
_environment.globals |= {"left_out_detail": left_out_detail, "flaws": flaws, "faults": faults}
_environment.globals |= {"WAYS": WAYS, "JOB_STATE": JOB_STATE}


def render(template: str, **facts: object) -> str:
    """The text as HTML. A fact that the template needs and does not get is an error."""
    return _environment.get_template(template).render(**facts)


def log_entry(delivery: OpenDelivery, message: Message | None) -> str:
    """What the log of a recipient's ticket says when we have mailed the message ourselves."""
    html = render("sent.html", recipient=delivery.recipient, message=message)
    return f"{html}\n<p><small>{reference(f'{delivery.campaign}/{delivery.id}')}</small></p>"


#: How a text of ours can be told from all others on the ticket.
REFERENCE = re.compile(r"\[utsendelse [^\]]+\]")


def reference(name: str) -> str:
    return f"[utsendelse {name}]"


async def post_once(helpdesk: Helpdesk, ticket_id: int, name: str, html: str) -> None:
    """An internal note that stands on the ticket once, however often this is asked for."""
    if not await posted(helpdesk, ticket_id, name):
        await post(helpdesk, ticket_id, name, html)


async def posted(helpdesk: Helpdesk, ticket_id: int, name: str) -> bool:
    """Whether our note of this name stands on the ticket.

    The ticket itself is asked, since an answer that never came says nothing.
    """
    return any(reference(name) in note.html for note in await helpdesk.notes(ticket_id))


async def post(helpdesk: Helpdesk, ticket_id: int, name: str, html: str) -> None:
    """An internal note that carries its reference."""
    await helpdesk.add_note(ticket_id, f"{html}\n<p><small>{reference(name)}</small></p>")
