"""The register: what Digipost has answered about each member, and what the next answer changes."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.addressee import Identity, Known
from shared.domain.delivery import NEVER
from shared.domain.job_receipt import RecipientAnswer, RecipientReason, RecipientResult


class Standing(StrEnum):
    USER = "user"  #: has Digipost
    KNOWN = "known"  #: a known person or company, without Digipost
    UNKNOWN = "unknown"  #: nobody was found, or several
    BAD_DATA = "bad_data"  #: what we gave is wrong, and must be put right first


@dataclass(frozen=True, slots=True)
class Answer:
    """What an open delivery keeps of Digipost's answer: how they stand, and what they are found by.

    >>> str(Answer(Standing.USER, "ola.nordmann#1AB2"))
    'user:ola.nordmann#1AB2'
    """

    standing: Standing
    value: str = ""  #: the Digipost address of a user, the alias of who is known

    def __str__(self) -> str:
        return f"{self.standing}:{self.value}"

    @classmethod
    def of(cls, text: str) -> "Answer | None":
        """As it was written; None when nobody has been asked."""
        standing, _, value = text.partition(":")
        return cls(Standing(standing), value) if text else None

    @property
    def known(self) -> Known:
        is_user = self.standing is Standing.USER
        return Known(self.value, "") if is_user else Known("", self.value)


@dataclass(frozen=True, slots=True)
class Entry:
    """One member in the register."""

    member: str  #: `user:31` or `company:9`
    standing: Standing
    digipost_address: str = ""
    alias: str = ""
    reasons: tuple[RecipientReason, ...] = ()
    washed: bool = False  #: found although the name or address was inexact
    by: Identity | None = None  #: what we had asked by
    asked_at: datetime = NEVER  #: when Digipost had worked it through
    job: str = ""
    fingerprint: str = ""  #: of what we knew of the member when we asked

    @property
    def known(self) -> Known:
        return Known(self.digipost_address, self.alias)

    @property
    def answer(self) -> Answer:
        is_user = self.standing is Standing.USER
        return Answer(self.standing, self.digipost_address if is_user else self.alias)

    def is_fresh(self, now: datetime, greatest_age: timedelta) -> bool:
        return self.asked_at + greatest_age > now


@dataclass(frozen=True, slots=True)
class Survey:
    """One round of asking about everybody, and how far it has come."""

    number: int
    nonce: str  #: makes the ids of its jobs its own
    began_at: datetime
    list_id: int = 0  #: the list that is read next
    start: int = 0  #: and from where on it
    read: bool = False  #: every list is read, and every job is made
    over: bool = False  #: and every job has ended
    version: str = ""


_STANDING = {
    RecipientAnswer.USER: Standing.USER,
    RecipientAnswer.IDENTIFIED: Standing.KNOWN,
    RecipientAnswer.UNIDENTIFIED: Standing.UNKNOWN,
    RecipientAnswer.INVALID: Standing.BAD_DATA,
}


def standing_of(result: RecipientResult) -> Standing | None:
    """What an answer means; None for a word that we do not know, which changes nothing.

    Who has Digipost, and at no address that we are told, can be written to by what they were
    found by.
    """
    return _STANDING.get(result.answer)


def learnt(before: Entry | None, asked: Entry, result: RecipientResult) -> Entry | None:
    """The entry after this answer; `asked` says who, by what, when, and in which job.

    An answer that is older than what we have changes nothing, and neither does one that we do not
    understand. Where somebody was asked for by an address or alias and not found, both go: Digipost
    may have blocked them after a letter that came to the wrong person. Both go as well where the
    member is somebody else by now.
    """
    standing = standing_of(result)
    if standing is None or (before and before.asked_at > asked.asked_at):
        return before
    address = alias = ""
    if before and before.fingerprint == asked.fingerprint:
        address, alias = before.digipost_address, before.alias
    if standing is Standing.USER:
        address = result.digipost_address or address
    elif standing is Standing.KNOWN:
        address, alias = "", result.alias or alias
    elif asked.by in {Identity.DIGIPOST_ADDRESS, Identity.ALIAS} and standing is Standing.UNKNOWN:
        address = alias = ""
    if RecipientReason.DIGIPOST_ADDRESS in result.reasons:
        address = ""
    return replace(
        asked,
        standing=standing,
        digipost_address=address,
        alias=alias,
        reasons=result.reasons,
        washed=result.washed,
    )
