"""What the flow and the ledger need of the outside. Adapters fit these by shape.

A port lists what is called and nothing else. What may be raised is in `shared/errors.py`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import BinaryIO, Protocol

from shared.domain.addressee import PostalAddress
from shared.domain.alert import Notice
from shared.domain.bounce import Report
from shared.domain.campaign import RecipientList
from shared.domain.delivery import Delivery, OpenDelivery, Outcome
from shared.domain.helpdesk import (
    Attachment,
    Candidate,
    InternalNote,
    MemberPage,
    Names,
    Original,
    Ticket,
    TicketState,
)
from shared.domain.job_receipt import JobReceipt
from shared.domain.letter_job import (
    JobDocument,
    JobKind,
    JobLetter,
    JobRecipient,
    JobSettings,
)
from shared.domain.letter_job import Settings as LetterSettings
from shared.domain.lists import ListRule, NamedList
from shared.domain.message import Message
from shared.domain.recipient import Member, MemberKind, Recipient

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

    async def remove_all(self, campaign: str) -> None:
        """Every file of the campaign, in whatever folder below it. None is as good."""
        ...


class Claims(Protocol):
    """Claims on things that two workers must not do at the same time, on any host."""

    async def take(self, what: str, now: datetime, lease: timedelta) -> str | None:
        """A claim that is ours until now + lease; None while somebody else may be at it."""
        ...

    async def release(self, what: str, claim: str) -> None:
        """It is done. Never called when it may still be going on: then the lease runs out."""
        ...


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

    async def original(self, ticket_id: int) -> Original:
        """What the recipients' tickets take over from this one."""
        ...

    async def written_text(self, ticket_id: int, email_id: int) -> str | None:
        """What the case worker wrote of this e-mail, without the helpdesk's template around it.

        None when it cannot be told.
        """
        ...

    async def recipient_tickets(self, campaign: str) -> list[TicketState]:
        """Every ticket whose key begins with the campaign's id: one call per 500."""
        ...

    async def related_tickets(self, ticket_id: int) -> set[int]:
        """The tickets that are related to this one as its recipients' tickets."""
        ...

    async def relate_tickets(self, ticket_id: int, others: Sequence[int]) -> None:
        """Relate these to it, in one call."""
        ...

    async def mark_email_sent(self, email_id: int) -> None: ...

    async def attachments(self, ticket_id: int) -> list[Attachment]: ...

    async def download(self, attachment: Attachment) -> bytes:
        """The file, whole. Raises PermanentError when what comes back cannot be the file."""
        ...

    async def attach(self, ticket_id: int, name: str, content_type: str, data: bytes) -> None:
        """A file on the ticket that end users do not see."""
        ...

    async def notes(self, ticket_id: int) -> list[InternalNote]:
        """The ticket's internal notes, oldest first."""
        ...

    async def add_note(self, ticket_id: int, html: str) -> None: ...

    async def lists(self, ticket_id: int) -> list[RecipientList]:
        """The recipient lists related to the ticket by the configured relation, by id."""
        ...

    async def users_at(self, addresses: Sequence[str]) -> Mapping[str, int]:
        """The users whom the helpdesk would write to at these addresses: one call per 20.

        Whoever is not there has no such user, or one that must not be written to.
        """
        ...

    async def people(self, members: Sequence[str]) -> Mapping[str, Member]:
        """These as they are today, by `user:31` or `company:9`: one call per 64 of a kind.

        Who is not there any more does not come back.
        """
        ...

    async def members(self, list_id: int, start: int) -> MemberPage:
        """One page of up to 500 members, with their default addresses; the same order each time."""
        ...


class Promise(Enum):
    """What a channel can do about a send that ended without an outcome."""

    DEDUPLICATES = "repeating with the same key is harmless"
    CAN_BE_ASKED = "a look-up shows how far it came"
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


class Medium(Protocol):
    """A way to reach recipients, as far as a campaign must know before any delivery leaves."""

    name: str

    async def largest(self) -> int:
        """How many bytes a message may come to, as it goes out."""
        ...

    async def try_out(self, message: Message, address: str) -> None:
        """The message as a mail to somebody who prepares it: it is no delivery, and may come twice.

        Raises as `send` does.
        """
        ...

    async def archive(self, campaign_id: str, message: Message) -> Archived:
        """The message as recipients got it, but addressed to nobody."""
        ...


class Channel(Medium, Protocol):
    """One that sends each delivery by itself. `gates` are the channels that must be open, its own
    first.
    """

    gates: tuple[str, ...]
    promise: Promise
    time_limit: timedelta  #: a send that has not ended by then is given up

    async def begins(self, delivery: OpenDelivery) -> str:
        """What is noted with the claim, before anything is sent: by which way it goes."""
        ...

    async def send(self, delivery: OpenDelivery, message: Message, note: Note) -> Receipt:
        """Hand it to the provider, within `time_limit`. Raises one of our errors otherwise.

        A send with two effects calls `note` with the first one's reference before the second.
        """
        ...


class Repeat(str):
    """A note to go on from where nobody knows whether it was sent: repeating is harmless there.

    Anything else might send it twice.
    """


class Asked(Protocol):
    """The rest of a channel that CAN_BE_ASKED what became of a delivery.

    All raise TransientError when nobody answers just now.
    """

    first_check: timedelta  #: what answers later is asked about after that
    longest_wait: timedelta  #: and is *uncertain* when there is no answer by then

    async def find(self, delivery: OpenDelivery) -> Receipt | str:
        """How far an interrupted send came: all the way, or to this note ("": nothing was done).

        Asked only when the send can no longer be alive. Raises UncertainError when not even
        asking can tell.
        """
        ...

    async def check(self, submitted: Sequence[OpenDelivery]) -> Mapping[str, Outcome]:
        """What has become of these, by id. *Submitted*, with a reason, is what is not settled yet.

        What does not come back has not been looked at.
        """
        ...

    async def resume(
        self, again: Sequence[tuple[Delivery, Recipient]]
    ) -> Mapping[str, Receipt | str]:
        """From where a new round goes on with these, by id: a note, as `find` gives it.

        Each was not sent, and is for this recipient as they are today. A Receipt: it did go out
        after all.
        """
        ...


class Inbox(Protocol):
    """A mailbox that mails come back to. Raises as `Helpdesk` does."""

    def reports(self, since: datetime) -> AsyncIterator[Report]:
        """What came in since then and may be a report, the oldest first."""
        ...


class RecipientLists(Protocol):
    """The recipient lists and the companies that may be on them.

    Raises as `Helpdesk` does; writes are never repeated by the adapter either.
    """

    async def lists(self) -> list[NamedList]:
        """Every list that is in use. Raises SetupError as `Helpdesk.names` does."""
        ...

    async def companies(self, rule: ListRule) -> list[Member]:
        """The companies that belong on the rule's list, without those that are disabled."""
        ...

    async def members(self, list_id: int, kind: MemberKind) -> list[Member]:
        """The list's relations to users or to companies, by the configured relation type alone.

        Raises SetupError when that name is not configured, or stands for more than one type.
        """
        ...

    async def add(self, list_id: int, members: Sequence[Member]) -> None:
        """All in one call; they are of one kind."""
        ...

    async def remove(self, member: Member) -> None:
        """Remove the relation that makes it a member, and no other."""
        ...


class Herald(Protocol):
    """A way to reach people outside the helpdesk."""

    name: str  #: becomes part of a column's name

    async def tell(self, notice: Notice) -> None:
        """They are told when it returns, which it does within seconds. Raises one of our errors."""
        ...

    async def close(self) -> None: ...


class JobArea(Protocol):
    """The area where letter jobs are left and receipts are fetched, over SFTP.

    All raise TransientError when nobody answers, and StoppedError when the key or the server's own
    key is not accepted; in both cases nothing was written.
    """

    async def upload(self, kind: JobKind, name: str, file: BinaryIO, size: int) -> None:
        """The file is there, whole: its size was read back.

        Raises UncertainError when it was begun and nobody knows how it ended, PermanentError when
        the server refuses it.
        """
        ...

    async def size_of(self, kind: JobKind, name: str) -> int | None:
        """How large the uploaded file is there; None when it is not there (any more)."""
        ...

    async def receipts(self, kind: JobKind) -> dict[str, int]:
        """What lies in the folder of receipts: by name, and in that order, how many bytes each."""
        ...

    async def fetch(self, kind: JobKind, name: str, limit: int) -> bytes:
        """The receipt file. Raises PermanentError when it is gone, or larger than `limit` bytes."""
        ...

    async def remove(self, kind: JobKind, name: str) -> None:
        """It is not there any more; it may have been gone before."""
        ...

    async def answers(self) -> bool: ...


class Parcel(Protocol):
    """A job's file, ready to be uploaded."""

    file: BinaryIO
    size: int  #: in bytes
    sha256: str
    letters: int  #: or recipients that are asked about

    def close(self) -> None: ...


class JobFile(Protocol):
    """A job's file in the making; what it holds in memory does not grow with the letters.

    Everything blocks, and is for a thread. BlockedError when a rule of Digipost's is broken.
    """

    def add_file(self, path: str, data: bytes) -> None: ...

    def begin_split(self, settings: JobSettings) -> None: ...

    def add_recipients(self, recipients: Iterable[JobRecipient]) -> None: ...

    def begin_send(
        self, settings: JobSettings, shared: LetterSettings, documents: Iterable[JobDocument]
    ) -> None: ...

    def add_letters(self, letters: Iterable[JobLetter]) -> None: ...

    def finish(self) -> Parcel: ...

    def close(self) -> None:
        """Nothing of it is left, unless it was finished."""
        ...


class LetterService(JobArea, Protocol):
    """Digipost: files for it, the area they are left in, and what its receipts say."""

    def new_file(self) -> JobFile: ...

    def read_receipt(self, name: str, data: bytes) -> JobReceipt:
        """Raises PermanentError, which says why, for one that cannot be read."""
        ...


class Typesetter(Protocol):
    """Letters on paper. It blocks, and is for a thread."""

    def letter(self, message: Message, pictures: Mapping[str, bytes]) -> bytes:
        """The message as a PDF, always the same one for the same message.

        `pictures` are those that the text shows, by their content ids.
        """
        ...


@dataclass(frozen=True, slots=True)
class PaperLetter:
    """A letter for the sender's own printer."""

    name: str
    address: PostalAddress
    message: Message  #: as this recipient gets it


class LetterMedium(Medium, Typesetter, Protocol):
    """Letters, which are looked at as they will be on paper."""

    async def on_paper(self, letters: Sequence[PaperLetter]) -> bytes:
        """One PDF with all of them, each behind a page with the address, and with its attachments
        as far as they are PDFs.

        Raises PermanentError when it cannot be made, or a file is gone from storage.
        """
        ...
