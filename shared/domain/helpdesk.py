"""What we know of Pureservice: tickets, their messages and files, and the names we look up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.domain.message import Classification
from shared.domain.recipient import Member


@dataclass(frozen=True, slots=True)
class Ticket:
    id: int
    request_number: int
    end_user: str  #: the address that the ticket's end user had when it was made
    subject: str
    status_id: int
    deleted: bool
    modified: datetime  #: the latest of created and modified
    modified_by: int | None
    mark: str  #: the field that carries marks, as it is
    solution: str
    zone_id: int | None
    team_id: int | None


@dataclass(frozen=True, slots=True)
class Attachment:
    id: int
    name: str
    content_type: str
    size: int | None
    visible: bool
    embedded: bool
    content_id: str = ""


@dataclass(frozen=True, slots=True)
class InternalNote:
    """An internal note on a ticket: ours, or a case worker's."""

    html: str
    written: datetime


@dataclass(frozen=True, slots=True)
class Candidate:
    """A communication or e-mail on the ticket that may be the message to send."""

    key: str  #: `communication:731` or `email:88`
    id: int
    subject: str
    html: str
    author: int | None
    changed: datetime
    files: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Original:
    """What recipients' tickets take after. No classification: not all that a ticket must have."""

    description: str
    classification: Classification | None
    fields: tuple[tuple[str, Any], ...]
    end_user_name: str


@dataclass(frozen=True, slots=True)
class TicketState:
    """How it stands with a recipient's ticket. `key` is what `ticket_key` made."""

    id: int
    number: int
    key: str
    status_id: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class MemberPage:
    """One page of a list.

    `fingerprint` changes with who is on the page, and with whether and where each is written to;
    not with their names and fields.
    """

    members: tuple[Member, ...]
    fingerprint: str
    last: bool


@dataclass(frozen=True, slots=True)
class Names:
    """The ids behind the names in our settings, looked up once in a while.

    A status or relation that is not configured is None. The sets hold every id that carries the
    name.
    """

    ready: int | None
    running: int | None
    attention: int | None
    solved: int
    review: int | None
    list_type: int
    ticket_relations: frozenset[int]
    member_relations: frozenset[int]
    zones: Mapping[int, str]
    teams: Mapping[int, str]
    statuses: Mapping[int, str]
    pause: int | None = None
    cancel: int | None = None
    recipient_status: int | None = None  #: what each recipient's ticket gets
    recipient_relation: int | None = None  #: from the campaign's ticket to theirs
    user_relations: frozenset[int] = frozenset()  #: these two are `member_relations` by kind
    company_relations: frozenset[int] = frozenset()
