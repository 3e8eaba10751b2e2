"""The e-mail channel, for tests that need one: over SMTP unless they say otherwise."""

from dataclasses import dataclass, field
from datetime import datetime

from shared.adapters.email import EmailChannel
from shared.adapters.smtp import SmtpTransport
from shared.adapters.transport import Transport
from shared.domain.delivery import NEVER
from shared.errors import StoppedError, ThrottledError
from shared.ledger.references import References
from shared.ports import Clock, Files
from shared.settings import Settings
from tests.fakes import MemoryTable


@dataclass
class MemoryGates:
    """What everybody knows of who rests, without a ledger."""

    closed: dict[str, datetime] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)

    async def closed_until(self, gate: str, now: datetime) -> datetime:
        return self.closed.get(gate, NEVER)

    async def rest(self, gate: str, error: ThrottledError | StoppedError, now: datetime) -> None:
        self.closed[gate] = now + error.retry_after

    async def went_through(self, gates: list[str], now: datetime) -> None:
        self.opened += gates


def email_channel(
    settings: Settings,
    files: Files,
    clock: Clock,
    *transports: Transport,
    gates: MemoryGates | None = None,
    references: References | None = None,
) -> EmailChannel:
    return EmailChannel(
        settings,
        transports or [SmtpTransport(settings)],
        files,
        gates or MemoryGates(),
        references or References(MemoryTable()),
        clock,
    )
