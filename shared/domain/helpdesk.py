"""What we know of Pureservice: tickets, their messages and files, and the names we look up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.domain.recipient import Member


@dataclass(frozen=True, slots=True)
class Ticket:
    id: int
    request_number: int
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
class MemberPage:
    """One page of a list. `fingerprint` changes when anything on the page does."""

    members: tuple[Member, ...]
    fingerprint: str
    last: bool


@dataclass(frozen=True, slots=True)
class Names:
    """The ids behind the names in our settings, looked up once in a while.

    A status that is not configured is None. `list_relations` holds every id that carries the name.
    """

    ready: int | None
    running: int | None
    attention: int | None
    solved: int
    list_type: int
    ticket_relations: frozenset[int]
    member_relations: frozenset[int]
    zones: Mapping[int, str]
    teams: Mapping[int, str]
