"""Alerts as e-mail to the operator."""

import asyncio
import re
from datetime import timedelta
from uuid import NAMESPACE_URL, uuid5

from shared.adapters.email import EmailChannel
from shared.adapters.transport import Mail
from shared.domain.alert import Alert, Notice
from shared.domain.message import Message
from shared.errors import UncertainError
from shared.ports import Clock
from shared.settings import Settings

TIME_LIMIT = timedelta(seconds=10)


class AlertMail:
    """Mails ALERT_EMAIL, by the first transport of the e-mail channel.

    Whatever ONLY_SEND_TO says, which is about recipients. Takes no slot either: alerts are few.
    """

    name = "email"

    def __init__(
        self,
        settings: Settings,
        channel: EmailChannel,
        clock: Clock,
        *,
        time_limit: timedelta = TIME_LIMIT,
    ) -> None:
        self._to = settings.ALERT_EMAIL
        self._sender = settings.default_sender
        self._channel = channel
        self._clock = clock
        self._time_limit = time_limit

    async def tell(self, notice: Notice) -> None:
        """A plain mail, the same one when it is told twice, so that a mailbox may see it."""
        envelope = self._sender.envelope_from
        id_ = _message_id(notice.alert, notice.installation, envelope.rpartition("@")[2])
        message = Message(f"[Utsendelse] {notice.subject}", "", notice.text, self._sender)
        what, key = f"alert {notice.alert.key}", str(uuid5(NAMESPACE_URL, id_))
        mail = Mail(what, key, id_, "", self._to, message, self._clock())
        try:
            async with asyncio.timeout(self._time_limit.total_seconds()):
                await self._channel.post(mail)
        except TimeoutError as error:
            raise UncertainError(f"email: no end to it for {what}") from error

    async def close(self) -> None:
        """The connections are the channel's."""


def _message_id(alert: Alert, installation: str, domain: str) -> str:
    return f"<alert.{installation}.{re.sub(r'[^a-zA-Z0-9-]+', '.', alert.key)}@{domain}>"
