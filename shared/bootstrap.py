"""Settings in, services out. Plain calls in dependency order, and nothing goes over the network."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.pipeline.transport import AsyncHttpTransport

from shared.adapters.azure_storage import AzureStorage
from shared.adapters.pureservice import Pureservice
from shared.adapters.smtp import SmtpChannel
from shared.flow.enqueue import Lane
from shared.flow.frozen import Messages
from shared.flow.watch import Watch
from shared.ledger import Ledger
from shared.ports import Clock, Files
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
    email: Lane
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
    connection_string = settings.AzureWebJobsStorage.get_secret_value()
    storage = AzureStorage(connection_string, storage_transport)
    ledger = Ledger.on(
        campaigns=storage.table("campaigns"),
        deliveries=storage.table("deliveries"),
        channels=storage.table("channels"),
    )
    files = storage.container("campaigns")
    helpdesk = Pureservice(settings, clock=clock)
    smtp = SmtpChannel(settings, files, clock=clock)
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
        email=Lane(
            smtp,
            storage.queue(settings.DELIVER_EMAIL_QUEUE),
            settings.EMAIL_RATE,
            timedelta(seconds=settings.RELEASE_AGAIN_SECONDS),
        ),
        health=Health({"storage": storage, "pureservice": helpdesk, "smtp": smtp}, clock),
    )
