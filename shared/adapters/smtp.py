"""E-mail over SMTP. What a failure means depends on how far the conversation had come.

before DATA   nothing was sent: the recipient, the sender or the moment is refused
DATA begun    an answer decides; without one nobody knows, and a person must look
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPResponse,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from shared.adapters.transport import Mail
from shared.domain.delivery import Outcome
from shared.domain.html import masked
from shared.errors import (
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.ports import Note, Promise, Receipt
from shared.settings import Settings

MOST_IDLE = 8
#: Well before servers and firewalls forget an idle connection.
IDLE = timedelta(seconds=20)
#: A server that says nothing of what it takes.
_ANY_SIZE = 1 << 62
#: How long it is believed what a server takes, in seconds.
_SIZE_KEPT = 3600
_GOODBYE_SECONDS = 2


class Stage(StrEnum):
    CONTENT = "content"
    CONNECT = "connect"
    STARTTLS = "STARTTLS"
    EHLO = "EHLO"
    AUTH = "AUTH"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"  #: from here on the server may have the message


@dataclass(slots=True)
class _Progress:
    stage: Stage = Stage.CONTENT


@dataclass(slots=True)
class _Connection:
    smtp: SMTP
    sent: int = 0
    expiry: asyncio.TimerHandle | None = None


class SmtpTransport:
    """Sends each mail in one SMTP transaction of its own, over connections that are reused.

    A server cannot be asked what it has, nor told to ignore a repetition.
    """

    name = "smtp"
    promise = Promise.NEITHER

    def __init__(
        self, settings: Settings, *, tls: ssl.SSLContext | None = None, idle: timedelta = IDLE
    ) -> None:
        self.time_limit = timedelta(seconds=settings.SMTP_TIMEOUT_SECONDS)
        self._settings = settings
        self._tls = tls or ssl.create_default_context()
        self._keep_idle = idle.total_seconds()
        self._per_connection = settings.SMTP_MESSAGES_PER_CONNECTION
        self._idle: list[_Connection] = []
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._takes: tuple[float, int] | None = None

    async def largest(self) -> int:
        """What the server says that it takes; asked once an hour, and not when it is away."""
        now = asyncio.get_running_loop().time()
        if self._takes is None or now > self._takes[0] + _SIZE_KEPT:
            try:
                async with asyncio.timeout(self.time_limit.total_seconds()):
                    smtp = await self._reach(_Progress())
            except (SMTPException, OSError):
                return _ANY_SIZE
            said = smtp.esmtp_extensions.get("size", "")
            self._part(smtp)
            self._takes = now, int(said) if said.isdecimal() and int(said) else _ANY_SIZE
        return self._takes[1]

    async def send(self, mail: Mail, reference: str, note: Note) -> Receipt:
        """Hand the mail to the server within `time_limit`; its answer is final."""
        progress = _Progress()
        with _in_our_words(mail.what, progress):
            async with asyncio.timeout(self.time_limit.total_seconds()):
                sender = mail.message.sender.envelope_from
                answer = await self._hand_over(sender, mail.address, await mail.mime(), progress)
        return Receipt(mail.message_id, f"{answer.code} {masked(answer.message)}")

    async def find(self, key: str, reference: str) -> Receipt | str:
        raise UncertainError("smtp: a server cannot be asked what it has")

    async def check(self, references: Sequence[str]) -> Mapping[str, Outcome]:
        """Nothing: its answers are final."""
        return {}

    async def answers(self) -> bool:
        """Whether the server can be reached. Does not log in: that is asked for too often."""
        try:
            self._part(await self._reach(_Progress()))
        except (SMTPException, OSError):
            return False
        return True

    async def close(self) -> None:
        """Take leave of the server on every idle connection."""
        while connection := self._take():
            self._part(connection.smtp)
        await asyncio.gather(*self._goodbyes)

    async def _hand_over(
        self, sender: str, recipient: str, mail: bytes, progress: _Progress
    ) -> SMTPResponse:
        connection = await self._addressed(sender, recipient, mail, progress)
        with _closed_on_failure(connection.smtp):
            if not connection.smtp.is_connected:
                raise SMTPServerDisconnected("Connection lost")
            progress.stage = Stage.DATA
            answer = await connection.smtp.data(mail)
        connection.sent += 1
        self._keep(connection)
        return answer

    async def _addressed(
        self, sender: str, recipient: str, mail: bytes, progress: _Progress
    ) -> _Connection:
        """A connection that waits for DATA. An idle one that turns out to be dead is replaced."""
        if connection := self._take():
            try:
                await _address(connection.smtp, sender, recipient, mail, progress)
                return connection
            except SMTPServerDisconnected:
                pass
            except SMTPResponseException as error:
                if error.code != 421:  # how a server ends a connection that it finds too old
                    raise
        connection = await self._connect(progress)
        await _address(connection.smtp, sender, recipient, mail, progress)
        return connection

    async def _connect(self, progress: _Progress) -> _Connection:
        smtp = await self._reach(progress)
        if user := self._settings.SMTP_USER:
            progress.stage = Stage.AUTH
            with _closed_on_failure(smtp):
                await _log_in(smtp, user, self._settings.SMTP_PASSWORD.get_secret_value())
        return _Connection(smtp)

    async def _reach(self, progress: _Progress) -> SMTP:
        settings = self._settings
        smtp = SMTP(
            hostname=settings.SMTP_HOST,
            port=settings.SMTP_PORT,
            # The machine's own name means nothing outside, and looking it up may take seconds.
            local_hostname=settings.MAIL_FROM.rpartition("@")[2],
            timeout=None,  # `send` has one for everything
            use_tls=settings.SMTP_TLS == "tls",
            start_tls=False,
            tls_context=self._tls,
        )
        with _closed_on_failure(smtp):
            progress.stage = Stage.CONNECT
            await smtp.connect()
            if settings.SMTP_TLS == "starttls":
                progress.stage = Stage.STARTTLS
                await smtp.starttls()
            progress.stage = Stage.EHLO
            await smtp.ehlo()
        return smtp

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.expiry:
                connection.expiry.cancel()
            if connection.smtp.is_connected:
                return connection
        return None

    def _keep(self, connection: _Connection) -> None:
        if connection.sent >= self._per_connection or len(self._idle) >= MOST_IDLE:
            self._part(connection.smtp)
            return
        loop = asyncio.get_running_loop()
        connection.expiry = loop.call_later(self._keep_idle, self._expire, connection)
        self._idle.append(connection)

    def _expire(self, connection: _Connection) -> None:
        self._idle.remove(connection)
        self._part(connection.smtp)

    def _part(self, smtp: SMTP) -> None:
        goodbye = asyncio.get_running_loop().create_task(_say_goodbye(smtp))
        self._goodbyes.add(goodbye)
        goodbye.add_done_callback(self._goodbyes.discard)


async def _log_in(smtp: SMTP, user: str, password: str) -> None:
    """One try with one method: several with a wrong password would lock the account sooner."""
    if "plain" in smtp.server_auth_methods:
        await smtp.auth_plain(user, password)
    elif "login" in smtp.server_auth_methods:
        await smtp.auth_login(user, password)
    else:
        raise StoppedError("smtp: the server offers no login with user and password")


async def _address(
    smtp: SMTP, sender: str, recipient: str, mail: bytes, progress: _Progress
) -> None:
    options = [f"SIZE={len(mail)}"] if smtp.supports_extension("size") else []
    encoding = "ascii"
    with _closed_on_failure(smtp):
        if not (mail.isascii() and sender.isascii()):
            if not smtp.supports_extension("smtputf8"):
                blame = StoppedError if recipient.isascii() else PermanentError
                raise blame("smtp: an address with other letters than a-z, and no SMTPUTF8")
            options += ["BODY=8BITMIME", "SMTPUTF8"]
            encoding = "utf-8"
        progress.stage = Stage.MAIL
        await smtp.mail(sender, options=options, encoding=encoding)
        progress.stage = Stage.RCPT
        await smtp.rcpt(recipient, encoding=encoding)


async def _say_goodbye(smtp: SMTP) -> None:
    try:
        with suppress(SMTPException, OSError):
            await smtp.quit(timeout=_GOODBYE_SECONDS)
    finally:
        smtp.close()


@contextmanager
def _closed_on_failure(smtp: SMTP) -> Iterator[None]:
    """After any failure the connection is cut off, and with it what is still in its buffer."""
    try:
        yield
    except BaseException:
        if isinstance(smtp.transport, asyncio.WriteTransport):
            smtp.transport.abort()
        smtp.close()
        raise


@contextmanager
def _in_our_words(what: str, progress: _Progress) -> Iterator[None]:
    try:
        yield
    except SMTPResponseException as error:
        said = f"smtp: {progress.stage}: {error.code} {masked(error.message)}"
        kind = _meaning(progress.stage, error.code, error.message)
        # Not `from error`: it carries the recipient's address, and a traceback would show it.
        raise kind(f"{said} for {what}") from None
    except (SMTPException, OSError) as error:
        said = "timed out" if isinstance(error, TimeoutError) else masked(str(error))
        meaning: type[UtsendelseError] = TransientError
        if progress.stage is Stage.DATA:
            meaning = UncertainError
        elif progress.stage in _NOBODYS_FAULT:
            meaning = ThrottledError
        raise meaning(f"smtp: {progress.stage}: {said} for {what}") from error


#: Postfix judges the sender when it hears of the recipient, Exchange Online after the message.
_SENDER_REFUSED = re.compile(
    r"5\.1\.[78]\b|5\.7\.60\b|5\.2\.\d+ .*SendAsDenied|\S+ <\S*>: Sender address rejected",
    re.IGNORECASE,
)
_LOGIN_WANTED = {530, 534, 535}
#: Said of a recipient, meant of us: we may not send there from here. Nobody should pay for that.
_WE_ARE_REFUSED = re.compile(
    r"5\.7\.(54|501|57|60|64|708)\b|.*\brelay(ing)?\b", re.IGNORECASE | re.DOTALL
)
#: The day's or the tenant's quota is used up; it comes back by itself.
_QUOTA = re.compile(r"5\.1\.90\b|5\.7\.23[0-9]\b|.*SubmissionQuota", re.IGNORECASE | re.DOTALL)
QUOTA_WAIT = timedelta(hours=1)
#: So early that it concerns everybody: the channel waits, and no recipient pays with an attempt.
_NOBODYS_FAULT = {Stage.CONNECT, Stage.STARTTLS, Stage.EHLO, Stage.AUTH}


def _meaning(stage: Stage, code: int, text: str) -> Callable[[str], UtsendelseError]:
    """What to do about an answer that is not the one we hoped for."""
    kind = code // 100
    if code == 421:
        return ThrottledError
    if kind == 5 and _QUOTA.match(text):
        return partial(ThrottledError, retry_after=QUOTA_WAIT)
    ours = _SENDER_REFUSED.match(text) or _WE_ARE_REFUSED.match(text)
    if code in _LOGIN_WANTED or (kind == 5 and ours):
        return StoppedError
    match stage, kind:
        case Stage.MAIL, 4:
            return ThrottledError
        case Stage.MAIL, 5 if code == 552 or text.startswith("5.3.4"):
            return PermanentError  # the message is too large
        case Stage.MAIL | Stage.AUTH, 5:
            return StoppedError
        case Stage.RCPT | Stage.DATA, 5:
            return PermanentError
        case Stage.DATA, 4:
            return TransientError
        case Stage.DATA, _:
            return UncertainError  # neither yes nor no
        case _:
            return ThrottledError if stage in _NOBODYS_FAULT else TransientError
