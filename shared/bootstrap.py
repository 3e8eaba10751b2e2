"""Settings in, services out. Plain calls in dependency order, and nothing goes over the network."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from azure.core.pipeline.transport import AsyncHttpTransport

from shared.adapters.alert_mail import AlertMail
from shared.adapters.alert_webhook import AlertWebhook
from shared.adapters.azure_storage import AzureStorage
from shared.adapters.pureservice import Pureservice
from shared.adapters.pureservice_lists import PureserviceLists
from shared.adapters.pureservice_users import PureserviceUsers
from shared.adapters.pureservice_wire import Sleep
from shared.adapters.smtp import SmtpChannel
from shared.adapters.ticket import CALLS, CALLS_FOR_UNKNOWN, TicketChannel
from shared.domain.window import Window
from shared.flow.enqueue import Lane, Pace
from shared.flow.frozen import Messages
from shared.flow.watch import Watch
from shared.flow.wording import log_entry
from shared.ledger import Ledger
from shared.ports import Channel, Clock, Files, Herald, Queue
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
    watch: Watch
    helpdesk: Pureservice
    smtp: SmtpChannel
    ticket: TicketChannel
    directory: PureserviceLists
    lanes: Mapping[str, Lane]
    heralds: tuple[Herald, ...]  #: those that are configured
    health: Health

    async def close(self) -> None:
        for herald in self.heralds:
            await herald.close()
        for outside in (self.storage, self.helpdesk, self.smtp):
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
    )
    files = storage.container("campaigns")
    helpdesk = Pureservice(settings, clock=clock, transport=helpdesk_transport, sleep=sleep)
    smtp = SmtpChannel(settings, files, clock=clock)
    ticket = TicketChannel(
        settings,
        helpdesk.wire,
        PureserviceUsers(settings, helpdesk.wire, ledger.users, clock),
        files,
        mail=smtp,
        log_entry=log_entry,
    )
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
    lost_after = timedelta(seconds=settings.RELEASE_AGAIN_SECONDS)
    email_queue = storage.queue(settings.DELIVER_EMAIL_QUEUE)
    ticket_queue = storage.queue(settings.DELIVER_TICKET_QUEUE)
    channels: tuple[tuple[Channel, Queue], ...] = ((smtp, email_queue), (ticket, ticket_queue))
    return Services(
        settings=settings,
        clock=clock,
        storage=storage,
        ledger=ledger,
        files=files,
        messages=Messages(files),
        watch=Watch(ledger, {name: pace.window for name, pace in paces.items()}),
        helpdesk=helpdesk,
        smtp=smtp,
        ticket=ticket,
        directory=PureserviceLists(settings, helpdesk.wire, helpdesk.names),
        lanes={
            channel.name: Lane(
                channel, queue, tuple(paces[gate] for gate in channel.gates), lost_after
            )
            for channel, queue in channels
        },
        heralds=_heralds(settings, smtp, clock),
        health=Health({"storage": storage, "pureservice": helpdesk, "smtp": smtp}, clock),
    )


def _heralds(settings: Settings, smtp: SmtpChannel, clock: Clock) -> tuple[Herald, ...]:
    mail = [AlertMail(settings, smtp, clock)] if settings.ALERT_EMAIL else []
    webhook = [AlertWebhook(settings)] if settings.ALERT_WEBHOOK.get_secret_value() else []
    return (*mail, *webhook)
