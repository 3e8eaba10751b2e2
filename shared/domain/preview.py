"""What a preview tells of, and what is remembered of it until the campaign starts."""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256

from shared.domain.campaign import Campaign
from shared.domain.message import Message


@dataclass(frozen=True, slots=True)
class Seen:
    """A campaign ticket as we saw it last, and what its last preview showed, if it had one."""

    status: int = 0  #: the last status that is not the one that asks for a preview; 0: unknown
    asked_at: str = ""  #: the ticket's `modified` when a preview was asked for; "": none is due
    told_at: str = ""  #: the ticket's `modified` after the preview; "": it has had none
    text_print: str = ""
    who_print: str = ""
    planned: int = 0
    tried_at: str = ""  #: the `asked_at` of the preview that its last test message was sent for


@dataclass(frozen=True, slots=True)
class Changes:
    """What is not as the preview showed it. No recipients known: it could not count them all."""

    text: bool
    recipients: bool | None
    before: int
    now: int


def changes_since(seen: Seen, campaign: Campaign) -> Changes | None:
    """What has changed on the way from preview to start; None when there was no preview.

    >>> from datetime import datetime
    >>> campaign = Campaign("1-1", 1, 1, "email", datetime(2026, 1, 1), "", planned=3)
    >>> changes_since(Seen(told_at="2026-01-01"), campaign)
    Changes(text=False, recipients=None, before=0, now=3)
    """
    if not seen.told_at:
        return None
    return Changes(
        text=seen.text_print != campaign.text_print,
        recipients=seen.who_print != campaign.who_print if seen.who_print else None,
        before=seen.planned,
        now=campaign.planned,
    )


def text_print(message: Message) -> str:
    """Fingerprint of all that recipients see: words, sender, files, what tickets take over."""
    seen = {name: value for name, value in asdict(message).items() if name != "facts"}
    told = json.dumps(seen, ensure_ascii=True, default=str)
    return sha256(told.encode()).hexdigest()[:32]


class Who:
    """Fingerprint of (member, address) of everybody added, in whatever order they come.

    >>> one, other = Who(), Who()
    >>> one.add("user:1", "a@b.no"), one.add("user:2", "c@d.no")
    (None, None)
    >>> other.add("user:2", "c@d.no"), other.add("user:1", "a@b.no")
    (None, None)
    >>> one.print == other.print
    True
    """

    def __init__(self) -> None:
        self._total = 0

    def add(self, member: str, address: str) -> None:
        digest = sha256(f"{member}|{address}".encode()).digest()
        self._total = (self._total + int.from_bytes(digest[:16])) % (1 << 128)

    @property
    def print(self) -> str:
        return f"{self._total:032x}"
