"""A delivery: one recipient's share of a campaign, from planned to settled."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import NAMESPACE_URL, uuid5

from shared.domain.recipient import Recipient

_NAMESPACE = uuid5(NAMESPACE_URL, "utsendelse/delivery")

#: Sorts before every real time; what a column holds when there is none.
NEVER = datetime(1, 1, 1, tzinfo=UTC)


class Status(StrEnum):
    PLANNED = "planned"  #: in the ledger, nobody has it
    CLAIMED = "claimed"  #: a worker has it; a provider may or may not
    SUBMITTED = "submitted"  #: a provider has it and answers later
    SENT = "sent"  #: the provider has taken it on
    FAILED = "failed"  #: it was not sent; the reason says why
    UNCERTAIN = "uncertain"  #: we do not know; a person must look
    SKIPPED = "skipped"  #: left out when its turn came; the reason says why
    CANCELLED = "cancelled"  #: the campaign was called off before its turn


#: Which status may follow which. `uncertain → sent | failed` is late truth or a person's word,
#: `sent → failed` a bounce, `failed → sent` and `cancelled → sent` are what a worker heard that was
#: taken for dead, and the ways back to `planned` are a put-back claim and a new round.
MOVES: dict[Status, frozenset[Status]] = {
    Status.PLANNED: frozenset(
        {Status.CLAIMED, Status.FAILED, Status.SKIPPED, Status.CANCELLED},
    ),
    Status.CLAIMED: frozenset(
        {
            Status.PLANNED,
            Status.SUBMITTED,
            Status.SENT,
            Status.FAILED,
            Status.UNCERTAIN,
            Status.SKIPPED,
            Status.CANCELLED,
        },
    ),
    Status.SUBMITTED: frozenset({Status.SENT, Status.FAILED, Status.UNCERTAIN}),
    Status.UNCERTAIN: frozenset({Status.SENT, Status.FAILED}),
    Status.SENT: frozenset({Status.FAILED}),
    Status.FAILED: frozenset({Status.PLANNED, Status.SENT}),
    Status.SKIPPED: frozenset({Status.PLANNED}),
    Status.CANCELLED: frozenset({Status.PLANNED, Status.SENT}),
}

#: Somebody may have to look at these: they have a `p:` row.
PROBLEMS = frozenset({Status.FAILED, Status.UNCERTAIN})


class Reason(StrEnum):
    """Why a delivery ended as it did, if that is not plain. `detail` has the provider's words."""

    NONE = ""
    REFUSED = "refused"  #: the provider said no, for good
    INTERRUPTED = "interrupted"  #: the worker vanished while the provider may have had it
    NO_ANSWER = "no_answer"  #: the provider never answered
    GAVE_UP = "gave_up"  #: still failing after the last attempt
    TECHNICAL = "technical"  #: our own side kept failing
    NOT_ON_TEST_LIST = "not_on_test_list"  #: ONLY_SEND_TO does not let it through
    NO_USER = "no_user"  #: the address is that of a user who must not or cannot be written to
    MAIL_FAILED = "mail_failed"  #: the helpdesk tried to send the message, and could not
    NOT_MAILED = "not_mailed"  #: the helpdesk has the message, and no mail has come of it
    STILL_QUEUED = "still_queued"  #: the helpdesk has had the mail in its outbox for too long
    SETTLED_BY_HAND = "settled_by_hand"  #: it was uncertain; a person has found out
    REPLACED = "replaced"  #: another delivery has taken its place; the reference says which
    BOUNCED = "bounced"  #: it was sent, and came back
    SUPPRESSED = "suppressed"  #: the address is on the list of those that are not written to
    ERASED = "erased"  #: its recipient asked to be forgotten before their turn came
    NOT_IN_DIGIPOST = "not_in_digipost"  #: Digipost knows nobody there who could be written to
    BAD_IDENTITY = "bad_identity"  #: Digipost says that what we know of the recipient is wrong
    BAD_DOCUMENT = "bad_document"  #: Digipost does not take the letter's document
    NOT_PRINTED = "not_printed"  #: document or address are not fit for print
    NO_RESULT = "no_result"  #: the job's result says nothing of it, or what we cannot read
    NO_IDENTITY = "no_identity"  #: there was nothing left to find the recipient by


def delivery_id(run: str, recipient_key: str) -> str:
    """The id that this recipient's delivery has in this campaign, whoever asks and however often.

    `run` is the campaign as this ledger knows it: a ledger made anew must not find what an earlier
    one has left in the helpdesk, and take it for its own.

    `recipient_key` is what the channel tells recipients apart by: the normalised address for
    e-mail, the member for tickets and letters. Never a national identity number.
    """
    return str(uuid5(_NAMESPACE, f"{run}|{recipient_key}"))


@dataclass(frozen=True, slots=True)
class Claim:
    """Who has the delivery, and until when nobody else may take it."""

    token: str
    until: datetime


@dataclass(frozen=True, slots=True)
class OpenDelivery:
    """What is left to do: exists only until the delivery is settled, and carries what a send needs.

    `slot` is when it was last released for, `not_before` when it may be claimed at the earliest,
    `note` the provider's reference between two effects, `submitted_at` since when a provider has it
    that answers later, `poisoned` how often the queue gave up.
    """

    id: str
    campaign: str
    recipient: Recipient
    round: int = 1
    attempt: int = 0
    claim: Claim | None = None
    slot: datetime = NEVER
    not_before: datetime = NEVER
    note: str = ""
    submitted_at: datetime = NEVER
    poisoned: int = 0
    channel: str = ""  #: where it is another than the campaign's, it has gone on to that one
    answer: str = ""  #: what Digipost has said of the recipient in this round: `Answer` as text
    version: str = ""  #: the stored row's ETag

    @property
    def submitted(self) -> bool:
        return self.submitted_at != NEVER

    def claimable(self, now: datetime) -> bool:
        """True when a worker may take it. An expired claim is for the sweep, never for a worker."""
        return self.claim is None and not self.submitted and self.not_before <= now


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, in our words and the provider's."""

    status: Status
    reason: Reason = Reason.NONE
    reference: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The account of one recipient. `status` is *planned* for as long as it is open."""

    id: str
    campaign: str
    recipient: Recipient
    channel: str
    status: Status = Status.PLANNED
    round: int = 1
    attempts: int = 0
    reason: Reason = Reason.NONE
    reference: str = ""
    detail: str = ""
    settled_at: datetime = NEVER
    page: int = 0  #: which page of the reading it was planned from
    earlier_attempts: int = 0  #: those of earlier rounds
    version: str = ""

    @property
    def replaced(self) -> bool:
        """Whether another delivery stands for its recipient by now: then it counts no more."""
        return self.reason is Reason.REPLACED


def retry_delay(attempt: int) -> timedelta:
    """How long to wait after a transient failure: 1, 2, 4 … minutes, an hour at the most.

    >>> retry_delay(1), retry_delay(3)
    (datetime.timedelta(seconds=60), datetime.timedelta(seconds=240))
    """
    return timedelta(minutes=min(2 ** (attempt - 1), 60))
