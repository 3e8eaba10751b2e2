"""Audience: whom a campaign may write to, as things stand now. Each member is asked about here."""

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.domain.campaign import LETTERS
from shared.domain.letter import Letter
from shared.domain.placeholders import MissingValueError
from shared.domain.recipient import (
    ABOUT_FLAWS,
    AllowList,
    LeftOutReason,
    Member,
    Recipient,
    letter_recipient_of,
    recipient_of,
)
from shared.ledger import Ledger
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Barred:
    """Why somebody gets nothing; in `detail`, what is missing."""

    reason: LeftOutReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Audience:
    """The test list, the suppressed, the made-up users, and what the message must know of each."""

    allowed: AllowList
    made_up: Mapping[str, str]
    suppressed: Container[str]
    letter: Letter | None  #: None while nobody can tell what the message says
    channel: str = ""
    ways: Collection[str] = ()  #: for those whom a letter does not reach

    def recipient(self, member: Member) -> Recipient | Barred:
        """The member as a recipient, or why they cannot be one. Knows nothing of duplicates."""
        if self.channel == LETTERS:
            recipient = letter_recipient_of(
                member, self.allowed, self.made_up, mail_will_do=self._mail_will_do
            )
        else:
            recipient = recipient_of(member, self.allowed, self.made_up)
        if isinstance(recipient, LeftOutReason):
            return Barred(recipient, _flaws(member) if recipient in ABOUT_FLAWS else "")
        if recipient.address in self.suppressed and self.channel != LETTERS:
            return Barred(LeftOutReason.SUPPRESSED)
        if self.letter is None:
            return recipient.with_only(())
        try:
            self.letter.to(recipient)
        except MissingValueError as error:
            return Barred(LeftOutReason.MISSING_VALUE, error.name)
        return recipient.with_only(self.letter.about_recipient)

    def _mail_will_do(self, address: str) -> bool:
        """Whether there is another way to somebody than a letter: a mail, or a ticket with one."""
        by_mail = not {"email", "ticket"}.isdisjoint(self.ways)
        return by_mail and address not in self.suppressed


def _flaws(member: Member) -> str:
    return ",".join(member.addressee.flaws) if member.addressee else ""


async def audience(
    letter: Letter | None, ledger: Ledger, settings: Settings, now: datetime, channel: str = ""
) -> Audience:
    """The audience of this message on this channel, with the addresses that are suppressed now."""
    suppressed = await ledger.suppressions.live(now)
    return Audience(
        settings.allowed, settings.campaign_users, suppressed, letter, channel, settings.ways_on
    )
