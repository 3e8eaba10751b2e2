"""A campaign: one message on one ticket, carried to every recipient of the ticket's lists."""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.delivery import NEVER

#: The channel on which many deliveries share a job. Those it does not reach may go on to others.
LETTERS = "digipost"


class Phase(StrEnum):
    FOUND = "found"  #: a ticket asks for it; nothing has been read or marked
    EXPANDING = "expanding"  #: the ticket is ours; message and recipients are being fixed
    APPROVED = "approved"  #: everything is fixed; the start is told, and may be regretted
    SENDING = "sending"  #: deliveries are released and sent
    PAUSED = "paused"  #: nothing new is released
    REPORTING = "reporting"  #: nothing is open; the report is on its way to the ticket
    DONE = "done"  #: reported
    REOPENING = "reopening"  #: those not reached are being opened again
    CANCELLING = "cancelling"  #: called off; what nobody has taken on is closed, the rest ends
    CANCELLED = "cancelled"  #: called off
    BLOCKED = "blocked"  #: waits for a person to put something right


#: Which phase may follow which; *blocked* is left the way it was entered (`Campaign.to`).
MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.FOUND: frozenset({Phase.EXPANDING, Phase.BLOCKED, Phase.CANCELLED}),
    Phase.EXPANDING: frozenset({Phase.APPROVED, Phase.BLOCKED, Phase.CANCELLED}),
    Phase.APPROVED: frozenset({Phase.SENDING, Phase.BLOCKED, Phase.CANCELLED}),
    Phase.SENDING: frozenset({Phase.PAUSED, Phase.REPORTING, Phase.BLOCKED, Phase.CANCELLING}),
    Phase.PAUSED: frozenset({Phase.SENDING, Phase.REPORTING, Phase.BLOCKED, Phase.CANCELLING}),
    Phase.REPORTING: frozenset({Phase.DONE, Phase.CANCELLED, Phase.BLOCKED}),
    Phase.DONE: frozenset({Phase.REOPENING}),
    Phase.REOPENING: frozenset({Phase.SENDING, Phase.DONE}),
    Phase.CANCELLING: frozenset({Phase.REPORTING}),
    Phase.CANCELLED: frozenset({Phase.REOPENING}),
    Phase.BLOCKED: frozenset(
        {
            Phase.FOUND,
            Phase.EXPANDING,
            Phase.APPROVED,
            Phase.SENDING,
            Phase.PAUSED,
            Phase.REPORTING,
            Phase.CANCELLING,
            Phase.CANCELLED,
        }
    ),
}

#: Nothing has been released: such a campaign may begin again from scratch, or be called off.
BEFORE_SENDING = frozenset({Phase.FOUND, Phase.EXPANDING, Phase.APPROVED})

#: Deliveries may be on their way. Stopped or not, what has begun must be seen to its end.
UNDER_WAY = frozenset({Phase.SENDING, Phase.PAUSED, Phase.CANCELLING})

#: The work is over; such a campaign is looked at again only when somebody asks for it.
ENDED = frozenset({Phase.DONE, Phase.CANCELLED})


class Pause(StrEnum):
    """Why a campaign is paused, and with it what makes it go on."""

    BY_HAND = ""  #: an operator has changed the phase; goes on at a new go
    ASKED = "asked"  #: the case worker has set the status; goes on when it is set back
    TAKEN = "taken"  #: the ticket was solved, deleted or given away; goes on when it is back
    FAILURES = "failures"  #: too many failed; goes on when a person has acted on what we wrote


@dataclass(frozen=True, slots=True)
class RecipientList:
    """A recipient list as the ticket names it. A list marked for deletion is named, never read."""

    id: int
    name: str
    deleted: bool = False
    linked_at: datetime = field(default=NEVER, compare=False)  #: known only when just read


@dataclass(frozen=True, slots=True)
class Edge:
    """Fingerprints of a list's first and last page, and where the last one began."""

    first: str
    last_start: int
    last: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the reading of the recipient lists has come.

    `page` numbers the pages over all lists, and goes on counting when all is read anew. Rows
    planned from page N carry N, so that a page that was half written before a crash can be told
    from one that was finished, and this reading from an older one. `edges` has one entry per list
    begun. `tail` is the last relation read: where the next page has to join on.
    """

    list_index: int = 0
    start: int = 0
    page: int = 0
    memberships: int = 0
    edges: tuple[Edge, ...] = ()
    tail: int = 0
    row: str = ""  #: the last row that was read, where it is the ledger that is gone through

    def anew(self) -> "Cursor":
        """At the beginning, for another reading of the same lists."""
        return Cursor(page=self.page + 1)

    def past(self, members: int, fingerprint: str, last: bool, tail: int = 0) -> "Cursor":
        """The cursor behind a page with that many members."""
        first = fingerprint if self.start == 0 else self.edges[-1].first
        done = self.edges if self.start == 0 else self.edges[:-1]
        return Cursor(
            list_index=self.list_index + last,
            start=0 if last else self.start + members,
            page=self.page + 1,
            memberships=self.memberships + members,
            edges=(*done, Edge(first, self.start, fingerprint)),
            tail=tail,
        )


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign. `id` is readable: the ticket's number and which campaign on it this is."""

    id: str
    ticket_id: int
    request_number: int
    channel: str
    found_at: datetime
    nonce: str  #: goes into the mark; a ledger that was lost and made anew cannot know it
    phase: Phase = Phase.FOUND
    blocked_from: Phase | None = None
    problem: str = ""  #: why it is blocked: the name of a text
    detail: dict[str, str] = field(default_factory=dict)
    times_blocked: int = 0
    round: int = 1
    message: str = ""  #: which message of the ticket it carries, e.g. `communication:731`
    api_user: int = 0  #: who we are in Pureservice, learnt from our own mark
    lists: tuple[RecipientList, ...] = ()
    cursor: Cursor = Cursor()
    planned: int = 0
    unknown: int = 0  #: how many of those planned the helpdesk has no user for, that we know of
    left_out: int = 0
    starts_at: datetime = NEVER  #: nothing leaves before this
    solved_status: int = 0  #: what the report sets; looked up at the start, when it was there
    finished_at: datetime = NEVER
    related_to: int = 0  #: the last recipient's ticket that has been related to the campaign's
    reviews: int = 0  #: how often we have told who has answered
    steps: frozenset[str] = frozenset()  #: what has been done and must not be done twice
    paused_for: Pause = Pause.BY_HAND
    stops: int = 0  #: how often it was stopped on its way: paused or called off
    stopped_at: datetime = NEVER
    called_off: bool = False
    judged_from: datetime = NEVER  #: what failed before this is not held against it
    open_then: int = 0  #: how many were open then
    correction_of: str = ""  #: the campaign whose recipients this one goes to
    text_print: str = ""  #: fingerprint of what it says
    who_print: str = ""  #: fingerprint of those planned
    ticket_seen: str = ""  #: the ticket's `modified` after our last word: a stop, or a review
    listed: bool = False  #: the stored row stands in the index of active campaigns
    version: str = ""  #: the stored row's ETag

    @property
    def active(self) -> bool:
        return self.phase not in ENDED

    @property
    def has_begun(self) -> bool:
        """Whether anybody may have got anything, wherever it stands now."""
        if self.phase is Phase.CANCELLED:
            return self.called_off
        phase = self.blocked_from if self.phase is Phase.BLOCKED else self.phase
        return phase is not None and phase not in BEFORE_SENDING and bool(self.planned)

    @property
    def can_be_steered(self) -> bool:
        """Whether the case worker's word on it counts now; one that reopens hears it afterwards."""
        return self.has_begun and self.phase is not Phase.REOPENING

    @property
    def may_have_open(self) -> bool:
        """Whether deliveries may be open, and some of them begun."""
        phase = self.blocked_from if self.phase is Phase.BLOCKED else self.phase
        return phase in UNDER_WAY

    def takes(self, channel: str) -> bool:
        """Whether deliveries of it may leave on this channel."""
        return self.channel in {channel, LETTERS}

    @property
    def run(self) -> str:
        """What our notes are told apart by: another ledger may have used the same `id`."""
        return f"{self.id}/{self.nonce}"

    @property
    def took(self) -> timedelta:
        """From when the first might leave until nothing was open, in minutes as a clock shows."""
        starts, finished = (
            at.replace(second=0, microsecond=0) for at in (self.starts_at, self.finished_at)
        )
        return finished - starts

    @property
    def ordinal(self) -> int:
        return int(self.id.rpartition("-")[2])

    def to(self, phase: Phase, **changes: object) -> "Campaign":
        """The campaign in its next phase. Raises ValueError for a move that is not allowed."""
        over = Phase.CANCELLING if self.has_begun else Phase.CANCELLED
        astray = self.phase is Phase.BLOCKED and phase not in {self.blocked_from, over}
        if phase not in MOVES[self.phase] or astray:
            raise ValueError(f"campaign {self.id}: {self.phase} cannot become {phase}")
        if phase is Phase.BLOCKED:
            changes["blocked_from"] = self.phase
        return replace(self, phase=phase, **changes)  # type: ignore[arg-type]

    def afresh(self, now: datetime) -> "Campaign":
        """As if it had just been found: nothing fixed, whatever may have been mended since."""
        return replace(
            self,
            phase=Phase.FOUND,
            found_at=now,
            message="",
            lists=(),
            cursor=self.cursor.anew(),
            starts_at=NEVER,
            correction_of="",
            steps=self.steps - {"announced", "regretted"},
        )

    def did(self, step: str, **changes: object) -> "Campaign":
        """The campaign with one more step recorded as done."""
        return replace(self, steps=self.steps | {step}, **changes)  # type: ignore[arg-type]


def campaign_id(request_number: int, ordinal: int) -> str:
    """E.g. `20417-1`: the first campaign on ticket 20417."""
    return f"{request_number}-{ordinal}"


@dataclass(frozen=True, slots=True)
class Mark:
    """What we write on the ticket, so that no other installation carries the same campaign."""

    installation: str
    campaign: str
    nonce: str

    def __str__(self) -> str:
        return f"utsendelse:{self.installation}:{self.campaign}:{self.nonce}"


_MARK = re.compile(r"\butsendelse:([^:\s]+):([^:\s]+):([^:\s]+)")


def marks_in(text: str | None) -> list[Mark]:
    """All marks in the ticket's field, ours and others'."""
    return [Mark(*found) for found in _MARK.findall(text or "")]


def with_mark(text: str | None, mark: Mark) -> str:
    """The field with this mark in place of any other; what case workers wrote there stays."""
    rest = _MARK.sub("", text or "").strip()
    return f"{rest} {mark}".strip()
