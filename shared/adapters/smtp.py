"""E-mail over SMTP. What a failure means depends on how far the conversation had come.

before DATA   nothing was sent: the recipient, the sender or the moment is refused
DATA begun    an answer decides; without one nobody knows, and a person must look
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Hashable, Iterator
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

from shared.adapters import mime
from shared.adapters.frozen_files import content_of
from shared.domain.delivery import OpenDelivery
from shared.domain.html import one_line
from shared.domain.message import Message
from shared.errors import (
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.ports import Archived, Clock, Files, Note, Promise, Receipt
from shared.settings import Settings

MOST_IDLE = 8
#: Some servers end a connection after about as many.
MESSAGES_PER_CONNECTION = 100
#: Well before servers and firewalls forget an idle connection.
IDLE = timedelta(seconds=20)
#: How many campaigns' contents are kept in memory, attachments included.
BODIES = 3
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


class SmtpChannel:
    """Sends each delivery in one SMTP transaction of its own, over connections that are reused.

    A server cannot be asked what it has, nor told to ignore a repetition.
    """

    name = "email"
    gates: tuple[str, ...] = ("email",)
    promise = Promise.NEITHER

    def __init__(
        self,
        settings: Settings,
        files: Files,
        clock: Clock,
        *,
        tls: ssl.SSLContext | None = None,
        idle: timedelta = IDLE,
        per_connection: int = MESSAGES_PER_CONNECTION,
    ) -> None:
        self.time_limit = timedelta(seconds=settings.SMTP_TIMEOUT_SECONDS)
        self._settings = settings
        self._files = files
        self._clock = clock
        self._tls = tls or ssl.create_default_context()
        self._keep_idle = idle.total_seconds()
        self._per_connection = per_connection
        self._idle: list[_Connection] = []
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._bodies: dict[Hashable, asyncio.Task[bytes]] = {}

    async def send(self, delivery: OpenDelivery, message: Message, note: Note) -> Receipt:
        """Hand the mail to the server within `time_limit`; its answer is final."""
        progress = _Progress()
        with _in_our_words(f"delivery {delivery.id}", progress):
            async with asyncio.timeout(self.time_limit.total_seconds()):
                content = await self._body(message)
                mail = mime.build(delivery, message, content, self._clock())
                sender, recipient = message.sender.envelope_from, delivery.recipient.address
                answer = await self._hand_over(sender, recipient, mail, progress)
        return Receipt(
            mime.message_id(delivery, message.sender), f"{answer.code} {_masked(answer.message)}"
        )

    async def post(
        self, what: str, sender: str, recipient: str, mail: bytes, time_limit: timedelta
    ) -> None:
        """Hand over a mail that is no delivery; errors call it `what`, and are those of `send`."""
        progress = _Progress()
        with _in_our_words(what, progress):
            async with asyncio.timeout(time_limit.total_seconds()):
                await self._hand_over(sender, recipient, mail, progress)

    async def archive(self, campaign_id: str, message: Message) -> Archived:
        """The mail as an `.eml` without a recipient."""
        copy = mime.archive_copy(message, await self._body(message), self._clock())
        return Archived(".eml", "message/rfc822", copy)

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

    async def _body(self, message: Message) -> bytes:
        """What everybody gets, made once however many workers ask for it at the same time."""
        content = (message.html, message.text, message.files)  # not the subject: it may have a tag
        task = self._bodies.pop(content, None)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(self._make_body(message))
        self._bodies[content] = task  # the last one used is the last to go
        while len(self._bodies) > BODIES:
            del self._bodies[next(iter(self._bodies))]
        return await asyncio.shield(task)

    async def _make_body(self, message: Message) -> bytes:
        files = [(file, await content_of(file, self._files, "smtp")) for file in message.files]
        return await asyncio.to_thread(mime.body, message, files)


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
        said = f"smtp: {progress.stage}: {error.code} {_masked(error.message)}"
        kind = _meaning(progress.stage, error.code, error.message)
        # Not `from error`: it carries the recipient's address, and a traceback would show it.
        raise kind(f"{said} for {what}") from None
    except (SMTPException, OSError) as error:
        said = "timed out" if isinstance(error, TimeoutError) else _masked(str(error))
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


def _masked(text: str) -> str:
    """The server's words on one line, shortened, without anything that may hold an address."""
    words = one_line(text).split()
    kept = " ".join("…" if "@" in word or "%40" in word else word for word in words)
    return kept if len(kept) <= 200 else f"{kept[:200]}…"
