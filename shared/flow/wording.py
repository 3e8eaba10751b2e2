"""What case workers read: notes and reports, in bokmål, from `shared/templates`."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shared.domain.delivery import OpenDelivery, Reason, Status
from shared.domain.message import Message
from shared.domain.recipient import LeftOutReason
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
}

#: The same where every recipient gets a ticket.
_TICKET_REASON = {
    **REASON,
    Reason.REFUSED: "Pureservice eller e-postserveren sa nei",
    Reason.INTERRUPTED: "Sendingen ble avbrutt, og vi kan ikke se hvor langt den kom",
    Reason.NO_ANSWER: "Pureservice svarte ikke på om meldingen er sendt",
}


def reasons(channel: str) -> dict[Reason, str]:
    """What the reasons are called on this channel."""
    return _TICKET_REASON if channel == "ticket" else REASON


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
}


def left_out_words(channel: str) -> dict[LeftOutReason, str]:
    """Why memberships are left out, in this channel's words."""
    if channel == "ticket":
        twice = {LeftOutReason.DUPLICATE: "Står på listene flere ganger, og får én sak"}
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
_environment.globals |= {"STATUS": STATUS, "reasons": reasons, "left_out": left_out_words}


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
