"""How Microsoft Graph is spoken to: who we are, one request at a time, and what an answer means.

Nothing is ever repeated or followed elsewhere: what to do next depends on whether the mail may
have gone, and only the caller knows. What is asked is in `graph.py` and `graph_inbox.py`.
"""

import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from shared.adapters.retry_after import wait_asked_for
from shared.errors import (
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.ports import Clock
from shared.settings import Settings

#: Exchange Online takes this many requests at a time of an app for a mailbox.
CONCURRENT = 4
#: The day's or the hour's quota is used up; it comes back by itself.
QUOTA_WAIT = timedelta(hours=1)

# httpx tells every URL at info, and ours have mailboxes in them; azure.identity every token's use.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("azure").setLevel(logging.WARNING)

Answer = TypeVar("Answer", bound=BaseModel)


class Step(StrEnum):
    CONTENT = "content"
    TOKEN = "token"
    DRAFT = "draft"
    ATTACH = "attachment"
    SEND = "send"  #: from here on it may have gone
    FIND = "look-up"
    INBOX = "inbox"


@dataclass(slots=True)
class Progress:
    step: Step = Step.CONTENT


class Told(BaseModel):
    """A part of an answer. What is not named is ignored; what is wrong is never shown."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, hide_input_in_errors=True)


class Refusal(Exception):
    """An answer that is not the one we hoped for: its status and code, never its words."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.code = _code(response)
        self.retry_after = response.headers.get("Retry-After")
        request = response.headers.get("request-id", "")
        named = f" (request {request})" if re.fullmatch(r"[0-9a-fA-F-]{8,40}", request) else ""
        super().__init__(f"{self.status} {self.code}".strip() + named)


class Graph:
    """Microsoft Graph as this app: by its client secret where there is one, else its identity."""

    def __init__(
        self,
        settings: Settings,
        transport: httpx.AsyncBaseTransport | None,
        credential: AsyncTokenCredential | None,
    ) -> None:
        self.url = str(settings.GRAPH_URL).rstrip("/")
        self._origin = httpx.URL(self.url).copy_with(path="/", query=None)
        self._credential = credential or _credential(settings)
        self._scope = f"{str(self._origin).rstrip('/')}/.default"
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            timeout=settings.GRAPH_TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=CONCURRENT, max_keepalive_connections=CONCURRENT),
            transport=transport,
        )

    def mailbox(self, address: str, *path: str) -> str:
        """The address of something in a mailbox. Its parts are names and ids, never paths."""
        return "/".join([self.url, "users", *(quote(part, safe="") for part in (address, *path))])

    def is_here(self, url: str) -> bool:
        """Whether this is Graph itself: our token goes nowhere else."""
        try:
            return httpx.URL(url).copy_with(path="/", query=None, fragment=None) == self._origin
        except httpx.InvalidURL:
            return False

    def is_as_safe(self, url: str) -> bool:
        """Whether what goes there is encrypted, as it is to Graph."""
        try:
            return httpx.URL(url).scheme == self._origin.scheme
        except httpx.InvalidURL:
            return False

    async def ask(
        self, progress: Progress, step: Step, method: str, url: str, *expected: int, **request: Any
    ) -> httpx.Response:
        """The answer, if its status is one of those expected. Raises Refusal."""
        async with self.stream(progress, step, method, url, *expected, **request) as response:
            await response.aread()
        return response

    @asynccontextmanager
    async def stream(
        self,
        progress: Progress,
        step: Step,
        method: str,
        url: str,
        *expected: int,
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> AsyncIterator[httpx.Response]:
        """As `ask`, but the body is still to be read."""
        progress.step = Step.TOKEN
        token = await self._credential.get_token(self._scope)
        progress.step = step
        own = {"Authorization": f"Bearer {token.token}", "Prefer": 'IdType="ImmutableId"'}
        every = own | dict(headers or {})
        async with self._client.stream(method, url, headers=every, **request) as response:
            await _expect(response, expected)
            yield response

    async def put(
        self, progress: Progress, url: str, data: bytes, first: int, size: int
    ) -> httpx.Response:
        """A part of a file to where an upload session wants it, which must not see our token."""
        progress.step = Step.ATTACH
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"bytes {first}-{first + len(data) - 1}/{size}",
        }
        response = await self._client.put(url, content=data, headers=headers)
        await _expect(response, (200, 201))
        return response

    async def is_up(self) -> bool:
        """Whether anything answers there. Asks for nothing, and without a token."""
        try:
            await self._client.get(f"{self.url}/me")
        except httpx.HTTPError:
            return False
        return True

    async def close(self) -> None:
        await self._client.aclose()
        await self._credential.close()


def with_query(url: str, query: Mapping[str, str]) -> str:
    """The URL with its query as OData spells it, where a space is no plus."""
    return f"{url}?{urlencode(query, safe='$,', quote_via=quote)}"


def told(model: type[Answer], response: httpx.Response) -> Answer:
    """What a successful answer says. Raises Refusal when it says nothing we can use."""
    try:
        return model.model_validate_json(response.content)
    except ValidationError:
        raise Refusal(response) from None


@contextmanager
def in_our_words(what: str, progress: Progress, clock: Clock) -> Iterator[None]:
    """One of our errors for whatever goes wrong with Graph, by how far it had come."""
    try:
        yield
    except Refusal as refusal:
        kind = _meaning(progress.step, refusal, clock())
        raise kind(f"graph: {progress.step}: {refusal} for {what}") from None
    except ClientAuthenticationError as error:
        status = getattr(error.response, "status_code", None) or 0
        trouble = ThrottledError if status == 429 or status >= 500 else StoppedError
        # Not `from error`: what it quotes of the answer is not ours to judge.
        raise trouble(f"graph: {progress.step}: {_said(error)} for {what}") from None
    except (AzureError, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        lost = _lost(progress.step, error)
        raise lost(f"graph: {progress.step}: {_said(error)} for {what}") from error


#: Never got as far as asking: safe even for a send.
_NOT_ASKED = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_QUOTA = {
    "ErrorExceededMessageLimit",
    "ErrorExceededHourlyMessageLimit",
    "ErrorExceededMaxRecipientLimit",
}
#: About us or the mailbox, whatever the status: a person has to put it right.
_A_PERSON_MUST_ACT = {
    "ErrorAccessDenied",
    "ErrorAccountSuspend",
    "ErrorInvalidUser",
    "ErrorMessageSubmissionBlocked",
    "ErrorQuotaExceeded",  # the mailbox itself is full
    "ErrorSendAsDenied",
    "MailboxNotEnabledForRESTAPI",
    "MailboxNotSupportedForRESTAPI",
}

Kind = Callable[[str], UtsendelseError]


def _meaning(step: Step, refusal: Refusal, now: datetime) -> Kind:
    """What to do about an answer that is not the one we hoped for.

    A 429 is documented as a request that was not carried out, also when it was to send. Somebody
    has seen one for mail that did arrive, with a client that repeats by itself; so a send that
    begins with a reference always looks first.
    """
    status, code = refusal.status, refusal.code
    if 400 <= status < 500 and code in _QUOTA:
        return partial(ThrottledError, retry_after=QUOTA_WAIT)
    wait = partial(ThrottledError, retry_after=wait_asked_for(refusal.retry_after, now))
    if status == 429:
        return wait
    if status in (401, 403) or (400 <= status < 500 and code in _A_PERSON_MUST_ACT):
        return StoppedError
    match step, status:
        case Step.SEND, 400 | 413:
            return PermanentError
        case Step.SEND, _:
            return UncertainError  # 404: it may be in Sent Items. 5xx: "504, yet delivered"
        case _, 503:
            return wait
        case ((Step.DRAFT | Step.INBOX), 404):
            return StoppedError  # there is no such mailbox
        case ((Step.DRAFT | Step.ATTACH), 400 | 413):
            return PermanentError
        case _:
            return TransientError


def _lost(step: Step, error: Exception) -> Kind:
    """What to do when there was no answer."""
    if step is Step.TOKEN or isinstance(error, _NOT_ASKED):
        return ThrottledError
    return UncertainError if step is Step.SEND else TransientError


async def _expect(response: httpx.Response, expected: tuple[int, ...]) -> None:
    if response.status_code not in expected:
        await response.aread()
        raise Refusal(response)


def _code(response: httpx.Response) -> str:
    """The error's code, if it looks like one. Its message may name anybody."""
    try:
        code = response.json()["error"]["code"]
    except (ValueError, LookupError, TypeError, httpx.ResponseNotRead):
        return ""
    return code if re.fullmatch(r"[A-Za-z0-9_.]{1,80}", str(code)) else ""


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "timed out"
    reason = re.search(r"AADSTS\d+", str(error))
    return type(error).__name__ + (f" {reason[0]}" if reason else "")


def _credential(settings: Settings) -> AsyncTokenCredential:
    # slow to load, and most have another transport
    from azure.identity.aio import ClientSecretCredential, ManagedIdentityCredential

    if secret := settings.GRAPH_CLIENT_SECRET.get_secret_value():
        return ClientSecretCredential(settings.GRAPH_TENANT_ID, settings.GRAPH_CLIENT_ID, secret)
    return ManagedIdentityCredential(client_id=settings.AzureWebJobsStorage__clientId or None)
