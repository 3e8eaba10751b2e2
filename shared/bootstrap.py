"""Settings in, services out. Plain calls in dependency order, and nothing goes over the network."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from azure.core.pipeline.transport import AsyncHttpTransport

from shared.adapters.acs import AcsTransport
from shared.adapters.alert_mail import AlertMail
from shared.adapters.alert_webhook import AlertWebhook
from shared.adapters.azure_storage import AzureStorage
from shared.adapters.digipost import Digipost, Letters
from shared.adapters.email import EmailChannel
from shared.adapters.graph import GraphTransport
from shared.adapters.graph_inbox import GraphInbox
from shared.adapters.pureservice import Pureservice
from shared.adapters.pureservice_lists import PureserviceLists
from shared.adapters.pureservice_users import PureserviceUsers
from shared.adapters.pureservice_wire import Sleep
from shared.adapters.smtp import SmtpTransport
from shared.adapters.ticket import CALLS, CALLS_FOR_UNKNOWN, TicketChannel
from shared.adapters.transport import Transport
from shared.adapters.typesetter import Typesetter
from shared.domain.window import Window
from shared.flow.build_job import Builder
from shared.flow.enqueue import Lane, Pace
from shared.flow.frozen import Messages
from shared.flow.watch import Watch
from shared.flow.wording import log_entry
from shared.ledger import Ledger
from shared.ports import Channel, Clock, Files, Herald, Inbox, LetterService, Queue
from shared.settings import Settings
from shared.web.health import Health


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the triggers hand to the flow."""

    settings: Settings
    clock: Clock
    storage: AzureStorage
    ledger: Ledger
    files: Files
    messages: Messages
    inbox: Inbox | None  #: the mailbox that mails come back to, where there is one
    watch: Watch
    helpdesk: Pureservice
    email: EmailChannel
    ticket: TicketChannel
    digipost: LetterService
    builder: Builder
    directory: PureserviceLists
    lanes: Mapping[str, Lane]
    heralds: tuple[Herald, ...]  #: those that are configured
    health: Health

    async def close(self) -> None:
        for herald in self.heralds:
            await herald.close()
        if isinstance(self.inbox, GraphInbox):
            await self.inbox.close()
        for outside in (self.storage, self.helpdesk, self.email):
            await outside.close()


def bootstrap(
    settings: Settings,
    *,
    clock: Clock = lambda: datetime.now(UTC),
    storage_transport: AsyncHttpTransport[Any, Any] | None = None,
    helpdesk_transport: httpx.AsyncBaseTransport | None = None,
    sleep: Sleep = asyncio.sleep,
) -> Services:
    """All services, none connected yet. Transports of one's own see every request."""
    storage = AzureStorage.of(settings, storage_transport)
    ledger = Ledger.on(
        campaigns=storage.table("campaigns"),
        deliveries=storage.table("deliveries"),
        channels=storage.table("channels"),
        users=storage.table("users"),
        references=storage.table("references"),
        suppressions=storage.table("suppressions"),
        audit=storage.table("audit"),
        register=storage.table("register"),
    )
    files = storage.container("campaigns")
    helpdesk = Pureservice(settings, clock=clock, transport=helpdesk_transport, sleep=sleep)
    transports = _transports(settings, clock)
    paces = {
        "email": Pace(
            "email",
            settings.EMAIL_RATE,
            window=Window.of(settings.EMAIL_WINDOW),
            per_day=settings.EMAIL_DAILY_QUOTA,
        ),
        "ticket": Pace(
            "ticket",
            settings.PURESERVICE_RATE,
            CALLS,
            CALLS_FOR_UNKNOWN,
            Window.of(settings.TICKET_WINDOW),
            settings.TICKET_DAILY_QUOTA,
        ),
    }
    paces["digipost"] = Pace("digipost", 0, window=Window.of(settings.DIGIPOST_WINDOW))
    watch = Watch(ledger, {name: pace.window for name, pace in paces.items()})
    email = EmailChannel(settings, transports, files, watch, ledger.references, clock)
    ticket = TicketChannel(
        settings,
        helpdesk.wire,
        PureserviceUsers(settings, helpdesk.wire, ledger.users, clock),
        files,
        mail=email,
        log_entry=log_entry,
    )
    lost_after = timedelta(seconds=settings.RELEASE_AGAIN_SECONDS)
    email_queue = storage.queue(settings.DELIVER_EMAIL_QUEUE)
    ticket_queue = storage.queue(settings.DELIVER_TICKET_QUEUE)
    channels: tuple[tuple[Channel, Queue], ...] = ((email, email_queue), (ticket, ticket_queue))
    lanes = {
        channel.name: Lane(channel, queue, tuple(paces[gate] for gate in channel.gates), lost_after)
        for channel, queue in channels
    }
    typesetter = Typesetter()
    letters = Letters(settings, typesetter, email, files)
    patience = timedelta(hours=settings.DIGIPOST_RESULT_HOURS)
    lanes[letters.name] = Lane(letters, None, (paces[letters.name],), patience=patience)
    digipost = Digipost(settings)
    messages = Messages(files)
    return Services(
        settings=settings,
        clock=clock,
        storage=storage,
        ledger=ledger,
        files=files,
        messages=messages,
        inbox=GraphInbox(settings, clock) if settings.BOUNCE_MAILBOX else None,
        watch=watch,
        helpdesk=helpdesk,
        email=email,
        ticket=ticket,
        directory=PureserviceLists(settings, helpdesk.wire, helpdesk.names),
        digipost=digipost,
        builder=Builder(helpdesk, ledger, files, messages, digipost, typesetter, settings),
        lanes=lanes,
        heralds=_heralds(settings, email, clock),
        health=Health(
            {
                "storage": storage,
                "pureservice": helpdesk,
                **{transport.name: transport for transport in transports},
                **({"digipost": digipost} if settings.sends_letters else {}),
            },
            clock,
        ),
    )


def _transports(settings: Settings, clock: Clock) -> list[Transport]:
    """What e-mail is sent by, in the order to try."""
    known: dict[str, Callable[[], Transport]] = {
        "smtp": lambda: SmtpTransport(settings),
        "graph": lambda: GraphTransport(settings, clock),
        "acs": lambda: AcsTransport(settings, clock),
    }
    return [known[name]() for name in settings.transports]


def _heralds(settings: Settings, email: EmailChannel, clock: Clock) -> tuple[Herald, ...]:
    mail = [AlertMail(settings, email, clock)] if settings.ALERT_EMAIL else []
    webhook = [AlertWebhook(settings)] if settings.ALERT_WEBHOOK.get_secret_value() else []
    return (*mail, *webhook)
