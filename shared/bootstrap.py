"""Settings in, services out. Plain calls in dependency order, and nothing goes over the network."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.pipeline.transport import AsyncHttpTransport

from shared.adapters.azure_storage import AzureStorage
from shared.adapters.pureservice import Pureservice
from shared.adapters.pureservice_lists import PureserviceLists
from shared.adapters.pureservice_users import PureserviceUsers
from shared.adapters.smtp import SmtpChannel
from shared.adapters.ticket import CALLS, CALLS_FOR_UNKNOWN, TicketChannel
from shared.flow.enqueue import Lane, Pace
from shared.flow.frozen import Messages
from shared.flow.watch import Watch
from shared.flow.wording import log_entry
from shared.ledger import Ledger
from shared.ports import Channel, Clock, Files, Queue
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
    health: Health

    async def close(self) -> None:
        for outside in (self.storage, self.helpdesk, self.smtp):
            await outside.close()


def bootstrap(
    settings: Settings,
    *,
    clock: Clock = lambda: datetime.now(UTC),
    storage_transport: AsyncHttpTransport[Any, Any] | None = None,
) -> Services:
    """All services, none connected yet. A transport of one's own sees what storage costs."""
    storage = AzureStorage.of(settings, storage_transport)
    ledger = Ledger.on(
        campaigns=storage.table("campaigns"),
        deliveries=storage.table("deliveries"),
        channels=storage.table("channels"),
        users=storage.table("users"),
    )
    files = storage.container("campaigns")
    helpdesk = Pureservice(settings, clock=clock)
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
        "email": Pace("email", settings.EMAIL_RATE),
        "ticket": Pace("ticket", settings.PURESERVICE_RATE, CALLS, CALLS_FOR_UNKNOWN),
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
        watch=Watch(ledger),
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
        health=Health({"storage": storage, "pureservice": helpdesk, "smtp": smtp}, clock),
    )
