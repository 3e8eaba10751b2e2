"""A bounce: a message that was taken on, and came back. What it says, and what it means to us."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BounceKind(StrEnum):
    HARD = "hard"  #: it came back for good: the address is no good
    REFUSED = "refused"  #: it came back for good, for the message's, our or their server's sake
    SOFT = "soft"  #: it is late, and still being tried


#: It never arrived, and nobody tries any more.
FINAL = frozenset({BounceKind.HARD, BounceKind.REFUSED})

#: The second and third number of a status (RFC 3463) that says that the address is no good, as far
#: as anybody can say: writing there again is of no use before somebody has mended it. Left out on
#: purpose: x.1.0 and x.4.x (says little: Exchange uses x.4.1 for unknown addresses and for much
#: else), x.1.7 and x.1.8 (*our* address), x.2.2 (full), x.7.x (policy, spam: about us).
NO_SUCH_ADDRESS = frozenset(
    {
        "1.1",  # no such mailbox
        "1.2",  # no such domain
        "1.3",  # not an address
        "1.6",  # moved, and nobody knows where to
        "1.10",  # the domain takes no mail (RFC 7505); Exchange: no such recipient
        "2.1",  # the mailbox is closed
    }
)


def kind_of(action: str, status: str) -> BounceKind | None:
    """What an Action (RFC 3464) with this status means; None: it arrived, or went elsewhere.

    A temporary trouble that was tried for too long (`failed` with 4.x.x) is final all the same.

    >>> kind_of("failed", "5.1.1"), kind_of("failed", "4.4.7"), kind_of("delayed", "4.4.1")
    (<BounceKind.HARD: 'hard'>, <BounceKind.REFUSED: 'refused'>, <BounceKind.SOFT: 'soft'>)
    """
    if action == "delayed":
        return BounceKind.SOFT
    if action == "failed" or (not action and status.startswith("5.")):
        grade, _, about = status.partition(".")
        hard = grade == "5" and about in NO_SUCH_ADDRESS
        return BounceKind.HARD if hard else BounceKind.REFUSED
    return None


@dataclass(frozen=True, slots=True)
class Posted:
    """Which sending a message came of."""

    campaign: str
    delivery: str
    round: int


_MESSAGE_ID = re.compile(
    r"<(?P<campaign>[1-9]\d{0,9}-[1-9]\d{0,4})"
    r"\.(?P<delivery>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"\.(?P<round>[1-9]\d{0,4})@[^<>@\s]{1,255}>",
    re.ASCII,
)


def posted(message_id: str) -> Posted | None:
    """What a Message-ID of ours says; None when it is another's.

    >>> posted("<20417-1.3f2a8c1e-0000-5000-8000-000000000001.2@example.org>")
    Posted(campaign='20417-1', delivery='3f2a8c1e-0000-5000-8000-000000000001', round=2)
    """
    match = _MESSAGE_ID.fullmatch(message_id.strip())
    return Posted(match["campaign"], match["delivery"], int(match["round"])) if match else None


@dataclass(frozen=True, slots=True)
class Bounce:
    """What came back of which sending. `addresses` are those that the report names, if it does."""

    campaign: str
    delivery: str
    round: int
    kind: BounceKind
    source: str  #: who told us: `acs`, `mailbox`
    at: datetime  #: when it came back
    detail: str = ""  #: the other side's words, `masked`
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Returned:
    """What somebody says of one recipient of a mail that came back."""

    references: tuple[str, ...]  #: names that may be the lost mail's, the surest first
    kind: BounceKind
    detail: str = ""  #: the other side's words, `masked`
    addresses: tuple[str, ...] = ()  #: whom it is about: as we wrote it, as it came to be


@dataclass(frozen=True, slots=True)
class Report:
    """A mail that tells of others that came back; of none, when it turns out to be another."""

    received: datetime
    returned: tuple[Returned, ...] = ()
