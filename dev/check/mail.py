"""Whom is mail from, what is in it, and would what it is sent by take it?"""

import ssl
from collections.abc import Iterator

from dev.check.acs import acs
from dev.check.findings import Finding, Findings, ok, warning
from dev.check.graph import GraphEdge, graph, nobody_here
from dev.check.mail_server import mail_server
from shared.domain.message import Sender
from shared.ports import Clock
from shared.settings import Settings

_CALLED = {"smtp": "SMTP", "graph": "Microsoft Graph", "acs": "Azure Communication Services"}


async def mail(
    settings: Settings,
    clock: Clock,
    tls: ssl.SSLContext | None,
    edge: GraphEdge | None = None,
) -> Findings:
    """The senders and what stands in mail, then each transport in turn."""
    everybody = senders(settings)
    for finding in _whom_and_what(settings, everybody):
        yield finding
    addresses = list(dict.fromkeys(sender.address for sender in everybody.values()))
    for transport in settings.transports:
        match transport:
            case "smtp":
                envelopes = dict.fromkeys(sender.envelope_from for sender in everybody.values())
                findings = mail_server(settings, list(envelopes), tls)
            case "acs":
                findings = acs(settings, addresses, clock)
            case _:
                findings = graph(settings, _drafts(everybody), edge)
        async for finding in findings:
            yield finding
    if settings.BOUNCE_MAILBOX:
        async for finding in _bounces(settings, everybody, edge):
            yield finding


def senders(settings: Settings) -> dict[str, Sender]:
    """Whom mail may be from, by where in the settings that is said."""
    return {"MAIL_FROM": settings.default_sender} | {
        f"SENDERS «{key}»": Sender(own.address, own.name, own.reply_to, own.envelope_from)
        for key, own in settings.SENDERS.items()
    }


def _whom_and_what(settings: Settings, everybody: dict[str, Sender]) -> Iterator[Finding]:
    """What the settings themselves say, in the order of docs/settings.md."""
    ways = [_CALLED[transport] for transport in settings.transports]
    yield ok(
        f"EMAIL_TRANSPORTS: e-post sendes med {', ellers med '.join(ways)}.",
        "Den neste prøves bare når vi vet at den forrige ikke har sendt." if ways[1:] else "",
    )
    advice = (
        "Pass på at svar og returpost ikke går til en adresse som Pureservice leser. Da blir hvert"
        " fraværssvar og hver returmelding en ny sak."
    )
    for setting, sender in everybody.items():
        who = f"{sender.name} <{sender.address}>" if sender.name else sender.address
        answers = f"svar til {sender.reply_to or sender.address}"
        yield ok(f"{setting}: fra {who}, {answers}, returpost til {sender.envelope_from}.", advice)
        advice = ""  # once is enough
        if "graph" in settings.transports and sender.envelope_from != sender.address:
            wrong = "MAIL_ENVELOPE_FROM" if setting == "MAIL_FROM" else f"{setting} envelope_from"
            yield warning(
                f"{wrong}: Graph sender ikke returpost til {sender.envelope_from}, men til"
                f" avsenderen selv, {sender.address}.",
                f"La den være tom, og la BOUNCE_MAILBOX være {sender.address}.",
            )
    if settings.RECIPIENT_FIELDS:
        fields = ", ".join(
            f"{{{{ recipient.{name} }}}} er {field}"
            for name, field in settings.RECIPIENT_FIELDS.items()
        )
        yield ok(f"RECIPIENT_FIELDS: {fields}.")
    wanted = settings.test_recipients
    barred = [address for address in wanted if not settings.allowed.allows(address)]
    if barred:
        yield warning(
            f"TEST_RECIPIENTS: ONLY_SEND_TO slipper ikke fram prøvesendinger til"
            f" {', '.join(barred)}.",
            "Føy adressene til i ONLY_SEND_TO, eller ta dem ut av TEST_RECIPIENTS.",
        )
    elif wanted:
        yield ok(f"TEST_RECIPIENTS: prøvesendinger går også til {', '.join(wanted)}.")


def _drafts(everybody: dict[str, Sender]) -> dict[tuple[str, str], str]:
    """The folders that Graph sends from, by who names them first."""
    folders: dict[tuple[str, str], str] = {}
    for setting, sender in everybody.items():
        folders.setdefault((sender.address, "drafts"), setting)
    return folders


async def _bounces(
    settings: Settings, everybody: dict[str, Sender], edge: GraphEdge | None
) -> Findings:
    """Whether the mailbox of bounces can be read, and whether any come there."""
    mailbox = settings.BOUNCE_MAILBOX
    for transport in settings.transports:
        if transport == "acs":
            continue  # Event Grid tells of those
        for setting, sender in everybody.items():
            back = sender.address if transport == "graph" else sender.envelope_from
            if back.casefold() != mailbox.casefold():
                yield warning(
                    f"BOUNCE_MAILBOX: returpost fra {setting} med {_CALLED[transport]} går til"
                    f" {back}, og blir ikke lest i {mailbox}.",
                    "La MAIL_ENVELOPE_FROM (med Graph: avsenderen selv) være den samme adressen"
                    " som BOUNCE_MAILBOX.",
                )
    if edge is None and nobody_here(settings) and not settings.AzureWebJobsStorage__accountName:
        yield warning(
            f"BOUNCE_MAILBOX: {mailbox} leses gjennom Graph, og det er ingen som slipper oss inn"
            " der.",
            "Fyll ut GRAPH_TENANT_ID, GRAPH_CLIENT_ID og GRAPH_CLIENT_SECRET, eller bruk"
            " identiteten til appen i Azure. Ellers la BOUNCE_MAILBOX være tom.",
        )
        return
    async for finding in graph(settings, {(mailbox, "inbox"): "BOUNCE_MAILBOX"}, edge):
        yield finding
