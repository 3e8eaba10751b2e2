"""How Pureservice is spoken to: headers, pages, patience, errors, and the shape of its answers.

What is asked, and what the answers mean to us, is in `pureservice.py`.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self, TypeVar

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from shared.adapters.retry_after import wait_asked_for
from shared.errors import (
    PermanentError,
    SetupError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
)
from shared.ports import Clock
from shared.settings import Settings

VERSION = "0.1.0"

#: Wrapped answers, with what was included in `linked`; any other Accept may bring bare ones.
JSON_API = "application/vnd.api+json"
ANYTHING = "*/*"

PAGE = 500  #: the most that Pureservice gives at a time
#: A server that cuts its pages shorter than asked for cuts them at a multiple of this, if at all.
ROUND = 5
SMALLEST_CUT = 25
LARGEST_ANSWER = 50 * 1024 * 1024

ATTEMPTS = 3
#: A read waits this long for its turn; anything longer is for the caller to plan.
SHORT_WAIT = timedelta(seconds=5)

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
ADDRESS = re.compile(r"[^\s\"'<>]+@[^\s\"'<>]+")

# httpx tells every URL at info, and our filters have addresses in them.
logging.getLogger("httpx").setLevel(logging.WARNING)

Params = Mapping[str, str | int]
Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")


def quoted(text: str) -> str:
    r"""The text as a string in a filter, which it can neither end nor spread over lines.

    >>> print(quoted('Kari "K"\n'))
    "Kari \"K\" "
    """
    escaped = _CONTROL.sub(" ", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# -- answers: most things may be missing, null or empty, and numbers may be text


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _present(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value is not None and value != ""}


Time = Annotated[datetime, AfterValidator(_utc)]


class Lenient(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        coerce_numbers_to_str=True,
        frozen=True,
        hide_input_in_errors=True,  # they end up in logs
    )

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: Any) -> Any:
        return _present(data) if isinstance(data, dict) else data


class Thing(Lenient):
    """Any row. What its links say, its fields say too: `attachments.ids` as `attachmentsIds`."""

    id: int

    @model_validator(mode="before")
    @classmethod
    def _links_as_fields(cls, data: Any) -> Any:
        links = data.get("links") if isinstance(data, dict) else None
        if not isinstance(links, dict):
            return data
        told = {
            f"{name}{part.title()}": link[part]
            for name, link in links.items()
            if isinstance(link, dict)
            for part in ("id", "ids")
            if link.get(part) is not None
        }
        return told | _present(data)


class Dated(Thing):
    created: Time
    modified: Time | None = None
    created_by_id: int | None = None
    modified_by_id: int | None = None

    @property
    def changed(self) -> datetime:
        """The latest of created and modified."""
        return max(self.created, self.modified or self.created)


class Named(Thing):
    name: str = ""
    disabled: bool = False
    core_status: int | None = None  #: of a status


class TicketRow(Dated):
    model_config = ConfigDict(extra="allow")  # settings name some fields, see `text`

    request_number: int
    status_id: int
    user_id: int | None = None
    subject: str = ""
    description: str = ""
    solution: str = ""
    email_address: str = ""
    is_marked_for_deletion: bool = False
    request_type_id: int | None = None
    ticket_type_id: int | None = None
    priority_id: int | None = None
    source_id: int | None = None
    assigned_department_id: int | None = None
    assigned_team_id: int | None = None
    assigned_agent_id: int | None = None
    category1_id: int | None = None
    category2_id: int | None = None
    category3_id: int | None = None

    def text(self, field: str) -> str:
        """A field that is not named here, as text."""
        return str((self.model_extra or {}).get(field, ""))


class MessageRow(Dated):
    """A communication or an e-mail."""

    ticket_id: int | None = None
    type: int | None = None
    direction: int | None = None
    subject: str = ""
    text: str = ""  #: a communication's HTML, an e-mail's plain text
    html: str = ""
    to: str = ""
    message_id: str = ""  #: of a communication: the id of the e-mail it became, perhaps
    status: int | None = None
    status_message: str = ""
    is_initial: bool = False
    is_system: bool = False
    attachments_ids: tuple[int, ...] | None = None  #: None when nothing was said


class AttachmentRow(Thing):
    name: str = ""
    file_name: str = ""
    content_type: str = "application/octet-stream"
    content_length: int | None = None
    is_visible: bool = False
    embedded: bool = False
    content_id: str = ""


class RelationRow(Thing):
    type_id: int
    to_asset_id: int | None = None
    to_user_id: int | None = None
    to_company_id: int | None = None
    to_ticket_id: int | None = None
    created: Time | None = None


class AssetRow(Thing):
    type_id: int
    name: str = ""
    unique_id: str = ""
    is_marked_for_deletion: bool = False


class ContactRow(Thing):
    """A user or a company, and the fields that a tenant gives a meaning of its own: `cf_1` …"""

    custom: Mapping[str, Any] = {}
    disabled: bool = False
    email_address_id: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _custom_fields(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {**data, "custom": {k: v for k, v in data.items() if k.startswith("cf_")}}

    def own(self, field: str) -> str:
        """Such a field as text: they are known to be text, dates or numbers."""
        value = self.custom.get(field)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # an identity number has no decimals
        known = isinstance(value, str | int | float) and not isinstance(value, bool)
        return str(value) if known else ""


class UserRow(ContactRow):
    first_name: str = ""
    middle_name: str = ""
    last_name: str = ""
    title: str = ""
    company_id: int | None = None
    address_id: int | None = None
    phonenumber_id: int | None = None

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.first_name, self.middle_name, self.last_name)))


class CompanyRow(ContactRow):
    model_config = ConfigDict(extra="allow")  # a setting says which field has the category

    name: str = ""
    organization_number: str = ""


class PlaceRow(Thing):
    """A postal address. Who lives there is for others to say."""

    street_address: str = ""
    postal_code: str = ""
    city: str = ""
    country: str = ""


class PhoneRow(Thing):
    number: str = ""
    normalized_number: str = ""
    type: int | None = None
    user_id: int | None = None


class AddressRow(Thing):
    email: str | None = None
    user_id: int | None = None
    company_id: int | None = None

    @property
    def owner_id(self) -> int | None:
        return self.user_id if self.company_id is None else self.company_id


class Rows(Lenient):
    """Rows under Pureservice's own words for them."""

    tickets: tuple[TicketRow, ...] = ()
    communications: tuple[MessageRow, ...] = ()
    emails: tuple[MessageRow, ...] = ()
    attachments: tuple[AttachmentRow, ...] = ()
    relationships: tuple[RelationRow, ...] = ()
    assets: tuple[AssetRow, ...] = ()
    users: tuple[UserRow, ...] = ()
    companies: tuple[CompanyRow, ...] = ()
    emailaddresses: tuple[AddressRow, ...] = ()
    companyemailaddresses: tuple[AddressRow, ...] = ()
    physicaladdresses: tuple[PlaceRow, ...] = ()
    phonenumbers: tuple[PhoneRow, ...] = ()
    statuses: tuple[Named, ...] = ()
    assettypes: tuple[Named, ...] = ()
    relationshiptypes: tuple[Named, ...] = ()
    departments: tuple[Named, ...] = ()
    teams: tuple[Named, ...] = ()


def _joined(first: Rows, second: Rows) -> dict[str, Any]:
    return {name: getattr(first, name) + getattr(second, name) for name in Rows.model_fields}


class Answer(Rows):
    """What a read brought, and in `linked` what it was asked to include."""

    linked: Rows = Rows()

    @classmethod
    def of(cls, body: bytes, plural: str) -> Self:
        """Raises ValueError when it cannot be read."""
        return cls.model_validate(_wrapped(body, plural))

    def and_then(self, more: "Answer") -> "Answer":
        linked = self.linked.model_copy(update=_joined(self.linked, more.linked))
        return self.model_copy(update={**_joined(self, more), "linked": linked})

    def and_linked(self) -> Rows:
        """What it brought, and what came along with it, without a difference."""
        return Rows.model_construct(**_joined(self, self.linked))

    def keys(self, plural: str) -> list[int]:
        return [row.id for row in getattr(self, plural)]


class Made(Thing):
    """What was made: of all that a row has, only this is sure to be in the answer."""

    request_number: int | None = None
    email_address: str = ""  #: of a ticket: where Pureservice writes to its end user
    customer_reference: str = ""
    attachments: tuple[AttachmentRow, ...] = ()  #: when they were asked for, and came

    @classmethod
    def of(cls, body: bytes, plural: str) -> Self:
        """Raises ValueError when there is not exactly one, or it cannot be read."""
        data = _wrapped(body, plural)
        match data[plural], data.get("linked"):
            case [{} as row], {"attachments": attachments}:
                return cls.model_validate({**row, "attachments": attachments})
            case [{} as row], _:
                return cls.model_validate(row)
        raise ValueError(f"not one of {plural} in the answer")


def _wrapped(body: bytes, plural: str) -> dict[str, Any]:
    """Wrapped or bare, a list or one alone. Raises ValueError when it is none of these."""
    data = json.loads(body)
    if isinstance(data, dict) and plural not in data and "id" in data:
        data = [data]
    if isinstance(data, list):
        data = {plural: data}
    if not isinstance(data, dict) or plural not in data:
        raise ValueError(f"no {plural} in the answer")
    if isinstance(data[plural], dict):
        data[plural] = [data[plural]]
    return data


# -- calls


class Wire:
    """Reads are tried a few times; writes once, and their answers matter only when they are no."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        key = settings.PURESERVICE_KEY.get_secret_value().strip()
        if not (key.isascii() and key.isprintable()):
            raise SetupError("PURESERVICE_KEY: has characters that no key has")
        by_key = settings.PURESERVICE_AUTH == "key"
        self._clock = clock
        self._sleep = sleep
        self._page_starts: dict[tuple[str, str, int], int] = {}
        self._client = httpx.AsyncClient(
            base_url=f"{str(settings.PURESERVICE_URL).rstrip('/')}/"
            f"{settings.PURESERVICE_PREFIX.strip('/')}",
            headers={
                "User-Agent": f"utsendelse/{VERSION}",
                **({"X-Authorization-Key": key} if by_key else {"Authorization": f"Bearer {key}"}),
            },
            timeout=httpx.Timeout(settings.PURESERVICE_TIMEOUT_SECONDS, connect=10),
            limits=httpx.Limits(max_connections=8, max_keepalive_connections=4),
            transport=transport,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def one(self, path: str, plural: str, **query: str) -> Answer:
        """A read of something by its id."""
        return await self._read(path, plural, query)

    async def page(self, path: str, plural: str, start: int, **query: str) -> tuple[Answer, bool]:
        """Up to 500 rows in the order of their ids, and whether they are the last.

        A short page is the last, unless its length is round: then the server may have cut it
        shorter than we asked, and one more call tells. Raises PermanentError when the server gives
        the same page again.
        """
        limits: Params = {"start": start, "limit": PAGE, "sort": "id ASC"}
        answer = await self._read(path, plural, {**query, **limits})
        ids = answer.keys(plural)
        maybe_cut = len(ids) >= SMALLEST_CUT and len(ids) % ROUND == 0
        last = len(ids) < PAGE and not maybe_cut
        which = query.get("filter", "")
        if ids and ids[0] == self._page_starts.pop((path, which, start), None):
            raise PermanentError(f"pureservice: GET {path} begins anew at {start}: it has no pages")
        if not last:
            self._page_starts[path, which, start + len(ids)] = ids[0]
        return answer, last

    async def all(self, path: str, plural: str, **query: str) -> Answer:
        """Every page of it, as one answer."""
        answer, last = await self.page(path, plural, 0, **query)
        while not last:
            more, last = await self.page(path, plural, len(answer.keys(plural)), **query)
            answer = answer.and_then(more)
        return answer

    async def any_of(
        self, path: str, plural: str, terms: Sequence[str], *, of: str = "", **query: str
    ) -> Answer:
        """Every row that one of the terms finds, of those that `of` allows.

        In halves where the filter is refused: how long one may be is not known.
        """
        either = " OR ".join(terms)
        narrowed = f"{of} AND ({either})" if of else either
        try:
            return await self.all(path, plural, filter=narrowed, **query)
        except PermanentError:
            if len(terms) < 2:
                raise
            half = len(terms) // 2
            first = await self.any_of(path, plural, terms[:half], of=of, **query)
            return first.and_then(await self.any_of(path, plural, terms[half:], of=of, **query))

    async def file(self, path: str) -> tuple[str, bytes]:
        """A file's media type and bytes."""

        async def once() -> tuple[str, bytes]:
            async with self._exchange("GET", path, accept=ANYTHING) as response:
                return _media_type(response), await _whole(response)

        return await self._patiently(once)

    async def create(
        self,
        path: str,
        plural: str,
        row: Mapping[str, Any],
        *,
        include: str = "",
        linked: Mapping[str, Any] | None = None,
        flat: bool = False,
    ) -> Made:
        """What was made of this row. Raises UncertainError when nobody can say whether it was."""
        body = row if flat else {plural: [row], **({"linked": linked} if linked else {})}
        params = {"include": include} if include else None
        async with self._writing("POST", path, body, params=params) as response:
            try:
                return Made.of(await _whole(response), plural)
            except PermanentError as error:  # too large to be read, but it was made
                raise UncertainError(str(error)) from error

    async def write(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = JSON_API,
        accept: str = JSON_API,
    ) -> None:
        """Done when it returns. Raises UncertainError when nobody can say whether it was."""
        async with self._writing(method, path, body, content_type, accept) as response:
            with suppress(httpx.RequestError):  # the status has said it all
                await response.aread()

    @asynccontextmanager
    async def _writing(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        content_type: str = JSON_API,
        accept: str = JSON_API,
        params: Params | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """The answer to a write, which is never repeated."""
        async with self._exchange(
            method,
            path,
            accept=accept,
            params=params,
            content=None if body is None else json.dumps(body).encode(),
            content_type=None if body is None else content_type,
        ) as response:
            if "html" in _media_type(response):
                raise UncertainError(f"pureservice: {method} {path}: a web page answered")
            yield response

    async def _read(self, path: str, plural: str, params: Params) -> Answer:
        async def once() -> Answer:
            async with self._exchange("GET", path, accept=JSON_API, params=params) as response:
                return Answer.of(await _whole(response), plural)

        return await self._patiently(once)

    async def _patiently(self, once: Callable[[], Awaitable[T]]) -> T:
        return await AsyncRetrying(
            retry=retry_if_exception(_soon_over),
            wait=_pause,
            stop=stop_after_attempt(ATTEMPTS),
            sleep=self._sleep,
            reraise=True,
        )(once)

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        accept: str,
        params: Params | None = None,
        content: bytes | None = None,
        content_type: str | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """A successful answer, still to be read. Everything else becomes one of our errors.

        They name the method and the path with its ids: a query or a body has addresses in it.
        """
        call = f"pureservice: {method} {path}"
        doubt = TransientError if method == "GET" else UncertainError
        headers = {"Accept": accept} | ({"Content-Type": content_type} if content_type else {})
        try:
            async with self._client.stream(
                method, path, params=params, content=content, headers=headers
            ) as response:
                if not response.is_success:
                    raise await self._refusal(call, response, doubt)
                yield response
        except _NOT_SENT as error:
            raise TransientError(f"{call}: not reached ({type(error).__name__})") from error
        except httpx.RequestError as error:
            raise doubt(f"{call}: no answer ({type(error).__name__})") from error
        except ValueError as error:  # JSON's and pydantic's too
            raise doubt(f"{call}: an answer that cannot be read") from error

    async def _refusal(
        self, call: str, response: httpx.Response, doubt: type[TransientError | UncertainError]
    ) -> Exception:
        status = response.status_code
        what = f"{call}: {status}{await _message(response)}"
        if status == 403 and response.request.method != "GET":
            # not in this zone, perhaps: the others have done nothing wrong
            return TransientError(f"{what}: check the rights and zones of PURESERVICE_KEY")
        if status in {401, 403}:
            return StoppedError(f"{what}: check PURESERVICE_KEY, its expiry, rights and zones")
        if response.is_redirect:
            return StoppedError(
                f"{what}, sent elsewhere, as to a log-in page: check PURESERVICE_URL,"
                " PURESERVICE_PREFIX, PURESERVICE_AUTH and PURESERVICE_KEY"
            )
        if status == 429:
            return ThrottledError(
                what, wait_asked_for(response.headers.get("Retry-After"), self._clock())
            )
        return doubt(what) if response.is_server_error else PermanentError(what)


def _soon_over(error: BaseException) -> bool:
    if isinstance(error, ThrottledError):
        return error.retry_after <= SHORT_WAIT
    return isinstance(error, TransientError) and not isinstance(error, StoppedError)


_backoff = wait_exponential(multiplier=0.5, max=4) + wait_random(max=0.5)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ThrottledError):
        return error.retry_after.total_seconds()
    return _backoff(state)


def _media_type(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Type", "")).casefold()


async def _whole(response: httpx.Response) -> bytes:
    """The body. Raises RemoteProtocolError when it was cut off, PermanentError when too large."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise PermanentError(f"pureservice: GET {response.url.path}: more than we can hold")
    promised = response.headers.get("Content-Length")
    packed = "Content-Encoding" in response.headers  # then it is the packed length
    if promised is not None and not packed and int(promised) != len(body):
        raise httpx.RemoteProtocolError("the answer was cut off")
    return bytes(body)


async def _message(response: httpx.Response) -> str:
    """The server's own words, fit for a log: on one line, cut short, no addresses."""
    with suppress(ValueError, KeyError, TypeError, httpx.RequestError, PermanentError):
        words = str(json.loads(await _whole(response))["message"])
        return f" ({ADDRESS.sub('…@…', _CONTROL.sub(' ', words))[:200]})"
    return ""
