"""A letter job: one file for Digipost, with many letters or many questions about recipients."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import NAMESPACE_URL, uuid5

from shared.domain.addressee import Addressee, Identity, Known, PostalAddress, identify
from shared.domain.delivery import NEVER

_NAMESPACE = uuid5(NAMESPACE_URL, "utsendelse/letter")


class JobKind(StrEnum):
    SPLIT = "split"  #: who of these is in Digipost? Nothing is sent
    SEND = "send"  #: letters


class JobState(StrEnum):
    DRAFT = "draft"  #: it is gathering its deliveries
    READY = "ready"  #: it has all of them, and is to be built and uploaded
    UPLOADING = "uploading"  #: it is built and noted; it may be on its way, or there
    UNKNOWN = "unknown"  #: the upload was broken off: it may be there, or not
    UPLOADED = "uploaded"  #: it is there, whole
    RECEIVED = "received"  #: Digipost has it in correct form
    PROVISIONAL = "provisional"  #: Digipost has worked it through and not yet delivered it
    ANSWERED = "answered"  #: the result is in our store, and not yet in the ledger
    DONE = "done"  #: the result is in the ledger
    FAILED = "failed"  #: Digipost refused all of it: nothing was delivered, as far as it says
    ABANDONED = "abandoned"  #: it was never uploaded, or needed no more; its deliveries are free


_WITH_DIGIPOST = frozenset({JobState.UPLOADED, JobState.RECEIVED, JobState.PROVISIONAL})
_FINAL = frozenset({JobState.ANSWERED, JobState.FAILED})

#: Which state may follow which. A receipt may come in any order, or before we know of the upload.
MOVES: Mapping[JobState, frozenset[JobState]] = {
    JobState.DRAFT: frozenset({JobState.READY, JobState.ABANDONED}),
    # a receipt may be for an upload before the one that it is ready for
    JobState.READY: frozenset({JobState.UPLOADING, JobState.UNKNOWN, JobState.ABANDONED})
    | _WITH_DIGIPOST
    | _FINAL,
    JobState.UPLOADING: frozenset({JobState.READY, JobState.UNKNOWN}) | _WITH_DIGIPOST | _FINAL,
    JobState.UNKNOWN: frozenset({JobState.READY, JobState.ABANDONED}) | _WITH_DIGIPOST | _FINAL,
    JobState.UPLOADED: frozenset(
        {JobState.RECEIVED, JobState.PROVISIONAL, JobState.UNKNOWN, JobState.ABANDONED}
    )
    | _FINAL,
    JobState.RECEIVED: frozenset({JobState.PROVISIONAL, JobState.UNKNOWN, JobState.ABANDONED})
    | _FINAL,
    JobState.PROVISIONAL: frozenset({JobState.UNKNOWN, JobState.ABANDONED}) | _FINAL,
    JobState.ANSWERED: frozenset({JobState.DONE}),
    JobState.DONE: frozenset(),
    # for as long as it has its deliveries: see `LETTING_GO`
    JobState.FAILED: frozenset({JobState.ANSWERED}),
    JobState.ABANDONED: frozenset(),
}

#: Nothing more happens to these.
ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.ABANDONED})
#: Not even begun to be uploaded: such a job can be called off.
NOT_UPLOADED = frozenset({JobState.DRAFT, JobState.READY})


#: A step: it is uploaded again although Digipost may have it. A refusal is no final answer then,
#: since it may be the second that is refused because the first has come through.
MAY_BE_THERE = "may_be_there"
#: And it was, so that a person must look.
REFUSED_ONCE = "refused_once"
#: It was refused, and its campaign stopped because of that. It keeps its deliveries meanwhile.
HELD = "held"
#: The campaign goes on without it: its deliveries are let go of, and then they all are.
LETTING_GO, LET_GO = "letting_go", "let_go"
#: After that Digipost said that it was delivered. No more letters until a person has looked.
CONTRADICTED = "contradicted"
#: A person has given it up; its deliveries are uncertain, or about to be.
GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Job:
    """One job, as the ledger has it. `id` is Digipost's `jobb-id`, ours for ever and unique."""

    id: str
    partition: str  #: the campaign's id, or `register`
    kind: JobKind
    number: int  #: which job of the partition it is, from 1
    round: int = 1
    state: JobState = JobState.DRAFT
    created_at: datetime = NEVER
    letters: int = 0  #: how many deliveries it has, or recipients it asks about
    zip_name: str = ""  #: of the last upload
    uploads: int = 0  #: how often it was begun to be uploaded
    size: int = 0  #: of the zip file
    sha256: str = ""  #: of the zip file
    uploaded_at: datetime = NEVER  #: when the last upload was begun
    changed_at: datetime = NEVER  #: when it came to this state
    not_before: datetime = NEVER  #: what failed in passing is tried again then
    receipt: str = ""  #: where the final receipt is in our store
    error: str = ""  #: Digipost's code and words, when it failed
    steps: frozenset[str] = frozenset()  #: what people have been told
    version: str = ""

    @property
    def open(self) -> bool:
        return self.state not in ENDED

    @property
    def may_be_with_digipost(self) -> bool:
        return self.open and self.state not in NOT_UPLOADED

    def to(self, state: JobState, now: datetime, **changes: object) -> "Job":
        """The job in its next state. Raises ValueError for a move that is not allowed."""
        if state not in MOVES[self.state]:
            raise ValueError(f"job {self.id}: {self.state} cannot become {state}")
        return replace(self, state=state, changed_at=now, **changes)  # type: ignore[arg-type]

    def did(self, step: str) -> "Job":
        return replace(self, steps=self.steps | {step})

    def undid(self, step: str) -> "Job":
        return replace(self, steps=self.steps - {step})

    def leaves(self, now: datetime, *, letters: int, size: int, sha256: str) -> "Job":
        """The job with its file, which is about to be uploaded under a name of its own.

        An earlier file of the same name may be in Digipost's hands.
        """
        uploads = self.uploads + 1
        return self.to(
            JobState.UPLOADING,
            now,
            letters=letters,
            zip_name=f"{self.id.replace('.', '-')}-{uploads}.zip",
            uploads=uploads,
            size=size,
            sha256=sha256,
            uploaded_at=now,
        )

    def again(self, now: datetime) -> "Job":
        """The job, to be uploaded once more: what people were told of the last time is over."""
        return replace(self.to(JobState.READY, now), steps=frozenset({MAY_BE_THERE}))


def job_id(installation: str, partition: str, nonce: str, kind: JobKind, number: int) -> str:
    """E.g. `kommune.20417-1.3fa9c2d1.send-2`: it tells whose it is, and of which campaign.

    The nonce keeps a ledger that was lost and made anew from using an id a second time.
    """
    return f"{installation}.{partition}.{nonce[:8]}.{kind}-{number}"


def receipts_of(partition: str) -> str:
    """The folder, in our own store, of the receipts for the partition's jobs."""
    return f"{partition}/digipost"


def partition_of(job: str, installation: str) -> str | None:
    """The partition that a job of ours is in; None when it is another installation's."""
    parts = job.split(".")
    return parts[1] if len(parts) == 4 and parts[0] == installation else None


def document_uuid(job: str, letter: str, number: int) -> str:
    """The id of a letter's document in this job: the main one is 0, attachments count from 1."""
    return str(uuid5(_NAMESPACE, f"{job}/{letter}/{number}"))


class Authentication(StrEnum):
    """What a reader must log in with."""

    PASSWORD = "password"
    TWO_FACTOR = "two_factor"


class Sensitivity(StrEnum):
    """Whether alerts by e-mail and SMS may tell whom it is from and what it is about."""

    NORMAL = "normal"
    SENSITIVE = "sensitive"


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for a letter's documents; None is not given, and inherits.

    Opening receipts and colour print are left out on purpose: they would be two more fields here.
    """

    subject: str | None = None  #: at most 100 characters
    sms_at: tuple[datetime, ...] | None = None  #: an SMS then, if it is still unread
    sms_after_hours: tuple[int, ...] | None = None  #: and so many hours after
    authentication: Authentication | None = None
    sensitivity: Sensitivity | None = None


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What holds for a job."""

    sender: int  #: the sender's account in Digipost
    job: str  #: `jobb-id`
    broker: int | None = None  #: the account of whoever sends on their behalf
    name: str = ""  #: at most 80 characters
    auto_approve: bool = False  #: otherwise somebody must approve it in Digipost's portal
    deliver_at: datetime | None = None  #: send jobs only
    client: str = ""


@dataclass(frozen=True, slots=True)
class JobRecipient:
    """Somebody in a job: our own id of them, and the one thing that Digipost finds them by."""

    id: str  #: `kunde-id`: the delivery, or the member in the register
    by: Identity
    value: str = field(default="", repr=False)  #: unless by name and address
    addressee: Addressee | None = None  #: for name and address

    @classmethod
    def found(cls, id_: str, addressee: Addressee, known: Known | None) -> "JobRecipient | None":
        """By the surest that there is; None when there is nothing to go by."""
        identity = identify(addressee, known)
        if identity is None:
            return None
        by, value = identity
        return cls(id_, by, value, addressee if by is Identity.NAME_AND_ADDRESS else None)


@dataclass(frozen=True, slots=True)
class Print:
    """What a letter is printed with when its recipient is not in Digipost."""

    name: str
    address: PostalAddress
    return_name: str
    return_address: PostalAddress


@dataclass(frozen=True, slots=True)
class JobDocument:
    """A file of the job. Many letters may show the same one."""

    id: str
    file: str  #: its path in the zip file
    settings: Settings = Settings()


@dataclass(frozen=True, slots=True)
class JobLetter:
    """A letter of the job: each of its documents by a uuid of this letter's own."""

    id: str  #: `brev/@id`: the delivery
    recipient: JobRecipient
    documents: tuple[tuple[str, str], ...]  #: (uuid, document id); the main one first
    settings: Settings = Settings()  #: of the main document, in this letter only
    print: Print | None = None
