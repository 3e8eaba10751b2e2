"""E-mail by Azure Communication Services (ACS): over HTTPS, asked about afterwards.

A send is an operation with an id of ours, and a repetition with the same id is no second mail.
An answer only says that it was accepted; what became of it is asked for later, one call for each.

before the request   no token, no connection: nothing was sent, and it concerns everybody
request sent         an answer decides; without one, the operation is looked up by its id

Not documented, and so not relied on: for how long an id is remembered; what a repetition is
answered with (by Microsoft's guidelines the same 202, or 400 when the body differs).
"""

import asyncio
import base64
import logging
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from io import BytesIO
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
)
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from pydantic import BaseModel, ValidationError

from shared.adapters import mime
from shared.adapters.retry_after import wait_asked_for
from shared.adapters.transport import Mail
from shared.domain.delivery import Outcome, Reason, Status
from shared.domain.html import encodable, masked, one_line, safe_file_name
from shared.domain.message import File
from shared.domain.pictures import shown
from shared.errors import (
    PermanentError,
    SetupError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.ports import Clock, Note, Promise, Receipt
from shared.settings import Settings

log = logging.getLogger(__name__)

# At INFO it writes several lines for every request.
logging.getLogger("azure").setLevel(logging.WARNING)

API_VERSION = "2025-09-01"
#: "10 MB" a request, read as the smaller of what it can mean. It has its files in base64 as a mail
#: has them, but without line breaks, and æøå takes as much in JSON as in quoted-printable: a mail
#: of so many bytes is a request of about as many, or fewer.
LARGEST = 10_000_000
#: So many look-ups a minute are allowed (and 200 an hour), unless the quota was raised.
AT_ONCE = 60
#: What is larger would hold up everybody else while it is written, and aiohttp warns of it.
_IN_ONE_PIECE = 1 << 18
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_CONTENT_TYPE = re.compile(r"(?!multipart/|message/)[a-z]+/[a-z0-9.+_-]+", re.IGNORECASE)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(slots=True)
class _Progress:
    """Whether a request has gone out: from then on they may have it."""

    asked: bool = False

    def hook(self, request: PipelineRequest[Any]) -> None:
        """Called by the client when the request has its signature or token."""
        self.asked = True
        body = request.http_request.data
        if isinstance(body, str) and len(body) > _IN_ONE_PIECE:  # ASCII, as JSON is written
            request.http_request.data = BytesIO(body.encode())


class _Problem(BaseModel):
    code: str | None = None
    message: str | None = None
    target: str | None = None

    def __str__(self) -> str:
        return masked(" ".join(word for word in (self.code, self.message) if word))

    def all(self) -> str:
        return f"{self.code} {self.target} {self.message}"


class _Operation(BaseModel):
    status: str  #: NotStarted, Running, Succeeded, Failed, Canceled; the list may grow
    error: _Problem | None = None


class _Refusal(BaseModel):
    error: _Problem = _Problem()


class AcsTransport:
    """Hands each mail to ACS and returns at once.

    The sender's name is what is configured at ACS for its address, and so is where bounces go:
    a message can give neither.
    """

    name = "acs"
    promise = Promise.DEDUPLICATES

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        transport: AsyncHttpTransport[Any, Any] | None = None,
    ) -> None:
        self.time_limit = timedelta(seconds=settings.ACS_TIMEOUT_SECONDS)
        self._clock = clock
        endpoint, key = _place(settings)
        # slow to load, and most have another transport
        from azure.communication.email.aio import EmailClient
        from azure.identity.aio import ManagedIdentityCredential

        client_id = settings.AzureWebJobsStorage__clientId or None
        self._identity = None if key else ManagedIdentityCredential(client_id=client_id)
        credential = key or self._identity
        assert credential
        options: dict[str, Any] = {"transport": transport} if transport else {}
        self._client = EmailClient(
            endpoint,
            credential,
            api_version=API_VERSION,
            # The ledger repeats, with the same id. A client that waits out a 429 holds a worker.
            retry_total=0,
            permit_redirects=False,
            # So that a connection that is never made is told from an answer that never comes.
            connection_timeout=self.time_limit.total_seconds() / 2,
            **options,
        )

    async def largest(self) -> int:
        return LARGEST

    async def send(self, mail: Mail, reference: str, note: Note) -> Receipt:
        """Hand it over within `time_limit`. *Accepted* is all that can be said of it then."""
        async with self._in_our_words(mail.what, UncertainError) as progress:
            try:
                # Without polling: what comes back would ask on only if somebody waited for it.
                await self._client.begin_send(
                    _message(mail),
                    operation_id=mail.key,
                    polling=False,
                    raw_request_hook=progress.hook,
                )
            except HttpResponseError as error:
                if not await self._is_there(mail, error, progress):
                    raise
        return Receipt(mail.key, "accepted", final=False)

    async def find(self, key: str, reference: str) -> Receipt | str:
        """Whether ACS has it. Where it has not, the same key again does no harm in any case."""
        async with self._in_our_words(f"operation {key}", TransientError) as progress:
            operation = await self._look(key, progress)
        return Receipt(key, operation.status, final=False) if operation else ""

    async def check(self, references: Sequence[str]) -> Mapping[str, Outcome]:
        """One call for each, and no more than are allowed in a minute; the first error ends it.

        Raises TransientError when nothing is known by then.
        """
        outcomes: dict[str, Outcome] = {}
        what = f"{len(references)} operations"
        try:
            async with self._in_our_words(what, TransientError) as progress:
                for reference in references[:AT_ONCE]:
                    operation = await self._look(reference, progress)
                    outcomes[reference] = _outcome(reference, operation)
        except TransientError as error:
            if not outcomes:
                raise
            log.info("acs.checked only=%s because=%s", len(outcomes), error)
        return outcomes

    async def answers(self) -> bool:
        """Whether anybody answers there. Not with a look-up: those are counted."""
        progress = _Progress()
        try:
            async with asyncio.timeout(self.time_limit.total_seconds()):
                await self._get("/", progress)
        except HttpResponseError:
            return progress.asked  # else it is the identity that failed
        except _NO_ANSWER:
            return False
        return True

    async def close(self) -> None:
        await self._client.close()
        if self._identity:
            await self._identity.close()

    async def _is_there(self, mail: Mail, error: HttpResponseError, progress: _Progress) -> bool:
        """Whether it was refused for being there already. Nothing says how ACS would put that."""
        if not progress.asked or error.status_code not in (400, 409):
            return False
        try:
            return error.status_code == 409 or await self._look(mail.key, progress) is not None
        except AzureError:
            said = f"acs: {error.status_code}, and no answer to whether it is there"
            raise UncertainError(f"{said} for {mail.what}") from None

    async def _look(self, operation: str, progress: _Progress) -> _Operation | None:
        """The operation as it is; None when ACS knows none by that id.

        Now and then it is said to deny one that it has: Azure/azure-sdk-for-python#35849.
        """
        path = f"/emails/operations/{quote(operation, safe='')}"
        response = await self._get(path, progress, {"api-version": API_VERSION})
        if response.status_code in (400, 404):
            return None
        if response.status_code != 200:
            raise HttpResponseError(response=response)
        return _Operation.model_validate_json(response.content)

    async def _get(
        self, path: str, progress: _Progress, params: Mapping[str, str] | None = None
    ) -> AsyncHttpResponse:
        # The client itself can only wait for an operation's end. What this public method sends is
        # signed and treated like the client's own requests.
        request = HttpRequest("GET", path, params=params, headers={"Accept": "application/json"})
        return await self._client.send_request(request, raw_request_hook=progress.hook)

    @asynccontextmanager
    async def _in_our_words(
        self, what: str, doubt: type[UtsendelseError]
    ) -> AsyncIterator[_Progress]:
        """Ends after `time_limit`. `doubt` is what it means when no answer tells."""
        progress = _Progress()
        try:
            async with asyncio.timeout(self.time_limit.total_seconds()):
                yield progress
        except HttpResponseError as error:
            # Not `from error`: it carries the answer, which may hold an address.
            if not progress.asked:
                from azure.identity import CredentialUnavailableError

                nobody = isinstance(error, CredentialUnavailableError)
                kind: _Kind = StoppedError if nobody else ThrottledError
                raise kind(f"acs: no token: {type(error).__name__} for {what}") from None
            problem = _problem(error)
            kind = _meaning(error, problem, doubt, self._clock())
            if kind is PermanentError and doubt is TransientError:
                kind = doubt  # it was only asked about
            said = f"acs: {error.status_code} {problem}".rstrip()
            raise kind(f"{said} for {what}") from None
        except ValidationError:
            raise doubt(f"acs: an answer that cannot be read for {what}") from None
        except _NO_ANSWER as error:
            kind = doubt if progress.asked and not _unreached(error) else ThrottledError
            said = "timed out" if isinstance(error, TimeoutError) else masked(str(error))
            raise kind(f"acs: {said} for {what}") from error


_Kind = Callable[[str], UtsendelseError]
#: The last of them when it is said to be packed and is not: the client lets that through.
_NO_ANSWER = (AzureError, TimeoutError, zlib.error)


def _place(settings: Settings) -> tuple[str, AzureKeyCredential | None]:
    """Where ACS is, and the key to it; None when this app is known there by its identity.

    Not left to the client: it makes https of http, which the simulator does not speak.
    """
    text = settings.ACS_CONNECTION_STRING.get_secret_value()
    if not text:
        return settings.ACS_ENDPOINT.rstrip("/"), None
    given = {name.strip().lower(): value for name, _, value in map(_pair, text.split(";"))}
    endpoint, key = given.get("endpoint", "").strip().rstrip("/"), given.get("accesskey", "")
    url = urlsplit(endpoint)
    if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
        raise SetupError("ACS_CONNECTION_STRING has no https endpoint")
    try:
        if not base64.b64decode(key, validate=True):
            raise SetupError("ACS_CONNECTION_STRING has no accesskey")
    except ValueError:
        raise SetupError("ACS_CONNECTION_STRING has an accesskey that is not base64") from None
    return endpoint, AzureKeyCredential(key)


def _pair(text: str) -> tuple[str, str, str]:
    return text.partition("=")


def _message(mail: Mail) -> dict[str, Any]:
    """The mail as ACS wants it, in words that are the same each time it is made."""
    message, name = mail.message, one_line(mail.name)
    sender = message.sender
    html = mime.document(message) if message.html else ""
    return {
        "senderAddress": sender.address,
        "recipients": {
            "to": [{"address": mail.address, **({"displayName": name} if name else {})}]
        },
        **({"replyTo": [{"address": sender.reply_to}]} if sender.reply_to else {}),
        "content": {
            "subject": one_line(message.subject),
            "plainText": _text(message.text),
            **({"html": _text(html)} if html else {}),
        },
        "headers": {
            # Replaced by one of theirs if they do not like it; otherwise reports have it.
            "Message-ID": mail.message_id,
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "OOF, AutoReply",
            "Content-Language": one_line(message.lang),
        },
        **({"attachments": _attachments(mail.files, shown(html))} if mail.files else {}),
        "userEngagementTrackingDisabled": True,
    }


def _attachments(files: Sequence[tuple[File, bytes]], wanted: Iterable[str]) -> list[Any]:
    """The files; with its content id where the HTML shows it, and no id twice: that is refused.

    So is a type that ACS does not know, and which it knows it tells only in part.
    """
    left = set(wanted)
    made = []
    for file, data in files:
        known = _CONTENT_TYPE.fullmatch(file.content_type)
        attachment = {
            "name": safe_file_name(file.name),
            "contentType": file.content_type if known else "application/octet-stream",
            "contentInBase64": base64.b64encode(data).decode(),
        }
        content_id = file.content_id.strip().strip("<>")
        if content_id in left:
            left.remove(content_id)
            attachment["contentId"] = content_id
        made.append(attachment)
    return made


def _text(text: str) -> str:
    return _CONTROLS.sub("", encodable(text))


def _outcome(reference: str, operation: _Operation | None) -> Outcome:
    if operation is None:  # forgotten, denied for the moment, or never had: only a person can say
        detail = "acs: knows no such operation"
        return Outcome(Status.SUBMITTED, Reason.NO_ANSWER, reference, detail)
    match operation.status:
        case "Succeeded":
            return Outcome(Status.SENT, reference=reference, detail="acs: Succeeded")
        case "Failed" | "Canceled":
            detail = f"acs: {operation.status} {operation.error or ''}".strip()
            return Outcome(Status.FAILED, Reason.REFUSED, reference, detail)
        case _:
            detail = f"acs: {masked(operation.status)}"
            return Outcome(Status.SUBMITTED, Reason.STILL_QUEUED, reference, detail)


def _unreached(error: BaseException) -> bool:
    """Whether there was no connection to ask over.

    ServiceRequestError alone does not mean that: a connection that is lost before the answer is
    called the same.
    """
    if isinstance(error, ServiceRequestTimeoutError):
        return True
    inner = getattr(error, "inner_exception", None)
    return isinstance(error, ServiceRequestError) and isinstance(
        inner, aiohttp.ClientConnectorError
    )


#: It is we who may not send, whoever the mail is to.
_OURS = re.compile(
    r"DomainNotLinked|InvalidSender|sender ?(address|domain|username|email)|api-?version",
    re.IGNORECASE,
)
_QUOTA = re.compile(r"TooManyRequests|quota", re.IGNORECASE)
#: Seen now and then from a good clock, and gone with the next request: firezone/firezone#12835.
#: The exact words are not known.
_CLOCK = re.compile(r"clock|skew|drift|x-ms-date|time ?stamp", re.IGNORECASE)


def _meaning(
    error: HttpResponseError, problem: _Problem, doubt: type[UtsendelseError], now: datetime
) -> _Kind:
    """What to do about an answer that is not the one we hoped for."""
    status, said = error.status_code or 0, problem.all()
    wait = partial(ThrottledError, retry_after=_retry_after(error, now))
    match status:
        case 429:
            return wait
        case 401 | 403:
            return wait if _CLOCK.search(said) else StoppedError
        case 400 | 409 | 413 | 415 | 422:
            if _QUOTA.search(said):
                return wait
            return StoppedError if _OURS.search(said) else PermanentError
        case 408:
            return doubt
        case _ if 300 <= status < 500:
            return StoppedError  # 404 is a sender's domain that is not linked, or a wrong address
        case _:
            return doubt


def _problem(error: HttpResponseError) -> _Problem:
    """What the answer says is wrong, as far as it can be read."""
    try:
        return _Refusal.model_validate_json(error.response.text() if error.response else "").error
    except (ValidationError, AzureError):
        return _Problem()


def _retry_after(error: HttpResponseError, now: datetime) -> timedelta:
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    return wait_asked_for(headers.get("Retry-After"), now)
