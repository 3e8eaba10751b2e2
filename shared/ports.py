"""What the flow and the ledger need of the outside. Adapters fit these by shape.

A port lists what is called and nothing else. What may be raised is in `shared/errors.py`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from shared.domain.campaign import RecipientList
from shared.domain.delivery import OpenDelivery
from shared.domain.helpdesk import Attachment, Candidate, MemberPage, Names, Ticket
from shared.domain.message import Message

Clock = Callable[[], datetime]

#: A column's value. Times are stored as text that sorts; see `shared/ledger/rows.py`.
Value = str | int | bool


@dataclass(frozen=True, slots=True)
class Row:
    key: str
    values: Mapping[str, Value]
    version: str  #: the ETag


@dataclass(frozen=True, slots=True)
class Insert:
    key: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Merge:
    """Change these columns, if the row still has this version (any, when None)."""

    key: str
    values: Mapping[str, Value]
    version: str | None


@dataclass(frozen=True, slots=True)
class Put:
    """Insert or replace, whatever was there."""

    key: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Delete:
    key: str
    version: str | None


Write = Insert | Merge | Put | Delete


@dataclass(frozen=True, slots=True)
class Where:
    """`column op value`, with op one of eq, ne, lt, le, gt, ge."""

    column: str
    op: str
    value: Value


class Table(Protocol):
    """A table of rows in partitions, ordered by key within each: Azure Table Storage's shape."""

    async def get(self, partition: str, key: str) -> Row | None: ...

    async def write(self, partition: str, *writes: Write) -> list[str]:
        """All or nothing, at most 100; returns the new versions (empty for a delete).

        Raises ClashError or DoubtfulError. After either the row must be read before anybody says
        what happened: a client's own retry of a committed write clashes with itself.
        """
        ...

    def query(
        self,
        partition: str,
        first: str,
        last: str,
        where: Sequence[Where] = (),
        columns: Sequence[str] = (),
        limit: int | None = None,
    ) -> AsyncIterator[Row]:
        """Rows with first ≤ key < last, in order; all columns when none are named."""
        ...


class Queue(Protocol):
    """A channel's queue. Its items only say "have a look"."""

    async def put(self, item: str, delay: timedelta) -> None: ...

    async def length(self) -> int:
        """About how many items wait, hidden ones included."""
        ...


class Files(Protocol):
    """Frozen messages and their attachments."""

    async def put(self, name: str, data: bytes) -> None: ...

    async def get(self, name: str) -> bytes | None: ...


class Helpdesk(Protocol):
    """Pureservice, as far as a campaign needs it.

    Reads raise TransientError, StoppedError (key refused) or PermanentError (no such thing).
    Writes raise TransientError (not even reached), ThrottledError, StoppedError, PermanentError or
    UncertainError, and are never repeated by the adapter.
    """

    async def names(self) -> Names:
        """The ids behind the configured names. Raises SetupError for one that does not exist."""
        ...

    async def campaign_tickets(self) -> list[Ticket]:
        """Every open ticket whose end user is one of the made-up users: one call per 500."""
        ...

    async def ticket(self, ticket_id: int) -> Ticket: ...

    async def change_ticket(
        self,
        ticket_id: int,
        *,
        mark: str | None = None,
        status_id: int | None = None,
        silent: bool = False,
        solution: str | None = None,
    ) -> None:
        """Change just what is given. `silent`: visible to the end user, but no mail about it."""
        ...

    async def communications_to_send(self, ticket_id: int) -> list[Candidate]:
        """The entries of the self-made communication type, oldest first."""
        ...

    async def failed_emails(self, ticket_id: int) -> list[Candidate]:
        """Ordinary messages to a made-up user that could not be delivered, oldest first.

        Mails that Pureservice made by itself (`isInitial`, `isSystem`) are never among them.
        """
        ...

    async def mark_email_sent(self, email_id: int) -> None: ...

    async def attachments(self, ticket_id: int) -> list[Attachment]: ...

    async def download(self, attachment: Attachment) -> bytes:
        """The file, whole. Raises PermanentError when what comes back cannot be the file."""
        ...

    async def attach(self, ticket_id: int, name: str, content_type: str, data: bytes) -> None:
        """A file on the ticket that end users do not see."""
        ...

    async def notes(self, ticket_id: int) -> list[str]:
        """The HTML of the ticket's internal notes."""
        ...

    async def add_note(self, ticket_id: int, html: str) -> None: ...

    async def lists(self, ticket_id: int) -> list[RecipientList]:
        """The recipient lists related to the ticket by the configured relation, by id."""
        ...

    async def members(self, list_id: int, start: int) -> MemberPage:
        """One page of up to 500 members, with their default addresses; the same order each time."""
        ...


class Promise(Enum):
    """What a channel can do about a send that ended without an outcome."""

    DEDUPLICATES = "repeating with the same key is harmless"
    NEITHER = "only a person can find out"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The evidence that a provider has a delivery; `final` is False when it answers later."""

    reference: str
    detail: str = ""
    final: bool = True


@dataclass(frozen=True, slots=True)
class Archived:
    """What was sent, as a file to keep."""

    suffix: str
    content_type: str
    data: bytes


Note = Callable[[str], Awaitable[None]]


class Channel(Protocol):
    """A way to reach a recipient."""

    name: str
    promise: Promise
    time_limit: timedelta  #: a send that has not ended by then is given up

    async def send(self, delivery: OpenDelivery, message: Message, note: Note) -> Receipt:
        """Hand it to the provider, within `time_limit`. Raises one of our errors otherwise.

        A send with two effects calls `note` with the first one's reference before the second.
        """
        ...

    async def archive(self, campaign_id: str, message: Message) -> Archived:
        """The message as recipients got it, but addressed to nobody."""
        ...
