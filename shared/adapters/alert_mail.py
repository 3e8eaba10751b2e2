"""Alerts as e-mail to the operator."""

import re
from datetime import timedelta

from shared.adapters import mime
from shared.adapters.smtp import SmtpChannel
from shared.domain.alert import Alert, Notice
from shared.domain.message import Message
from shared.ports import Clock
from shared.settings import Settings

TIME_LIMIT = timedelta(seconds=10)


class AlertMail:
    """Mails ALERT_EMAIL, over the connections of the e-mail channel.

    Whatever ONLY_SEND_TO says, which is about recipients. Takes no slot either: alerts are few.
    """

    name = "email"

    def __init__(
        self,
        settings: Settings,
        smtp: SmtpChannel,
        clock: Clock,
        *,
        time_limit: timedelta = TIME_LIMIT,
    ) -> None:
        self._to = settings.ALERT_EMAIL
        self._sender = settings.default_sender
        self._smtp = smtp
        self._clock = clock
        self._time_limit = time_limit

    async def tell(self, notice: Notice) -> None:
        """A plain mail, the same one when it is told twice, so that a mailbox may see it."""
        envelope = self._sender.envelope_from
        id_ = _message_id(notice.alert, notice.installation, envelope.rpartition("@")[2])
        message = Message(f"[Utsendelse] {notice.subject}", "", notice.text, self._sender)
        mail = mime.plain(message, self._to, id_, self._clock())
        what = f"alert {notice.alert.key}"
        await self._smtp.post(what, envelope, self._to, mail, self._time_limit)

    async def close(self) -> None:
        """The connections are the channel's."""


def _message_id(alert: Alert, installation: str, domain: str) -> str:
    return f"<alert.{installation}.{re.sub(r'[^a-zA-Z0-9-]+', '.', alert.key)}@{domain}>"
