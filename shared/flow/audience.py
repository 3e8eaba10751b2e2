"""Audience: whom a campaign may write to, as things stand now. Each member is asked about here."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.domain.letter import Letter
from shared.domain.placeholders import MissingValueError
from shared.domain.recipient import AllowList, LeftOutReason, Member, Recipient, recipient_of
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

    def recipient(self, member: Member) -> Recipient | Barred:
        """The member as a recipient, or why they cannot be one. Knows nothing of duplicates."""
        recipient = recipient_of(member, self.allowed, self.made_up)
        if isinstance(recipient, LeftOutReason):
            return Barred(recipient)
        if recipient.address in self.suppressed:
            return Barred(LeftOutReason.SUPPRESSED)
        if self.letter is None:
            return recipient.with_only(())
        try:
            self.letter.to(recipient)
        except MissingValueError as error:
            return Barred(LeftOutReason.MISSING_VALUE, error.name)
        return recipient.with_only(self.letter.about_recipient)


async def audience(
    letter: Letter | None, ledger: Ledger, settings: Settings, now: datetime
) -> Audience:
    """The audience of this message, with the addresses that are suppressed now."""
    suppressed = await ledger.suppressions.live(now)
    return Audience(settings.allowed, settings.campaign_users, suppressed, letter)
