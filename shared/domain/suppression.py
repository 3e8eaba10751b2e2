"""A suppression: an address that is not to be written to, why, and for how long."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from shared.domain.delivery import NEVER
from shared.domain.recipient import address_key, person_key


class SuppressionReason(StrEnum):
    HARD_BOUNCE = "hard_bounce"  #: mail to it came back: there is no such address
    UNSUBSCRIBED = "unsubscribed"  #: its owner wants no more
    COMPLAINT = "complaint"  #: its owner has called a mail of ours unwanted
    BY_HAND = "by_hand"  #: an operator has said so


@dataclass(frozen=True, slots=True)
class Suppression:
    """Which address it is can be found out by whoever knows the address, and by nobody else."""

    print: str  #: `address_print` of the address
    reason: SuppressionReason
    source: str  #: who told us: `acs`, `mailbox`, `api`
    since: datetime
    expires: datetime = NEVER  #: NEVER: it does not

    def lasts(self, now: datetime) -> bool:
        """Whether it counts at this time."""
        return self.expires == NEVER or now < self.expires

    def joined(self, other: "Suppression", now: datetime) -> "Suppression":
        """What holds when the other comes on top of this one: whichever lasts longer.

        So a bounce never shortens what a person has set, and the same again changes nothing.
        """
        if not self.lasts(now):
            return other
        if self.expires == NEVER or self.expires >= other.expires != NEVER:
            return self
        return replace(other, since=min(self.since, other.since))


class Suppressed:
    """The addresses that are suppressed at some time, in little room: sixteen bytes of each.

    >>> "kari@a.no" in Suppressed([address_print("Kari@a.no")])
    True
    """

    def __init__(self, prints: Iterable[str] = ()) -> None:
        self._known = {_first_half(one) for one in prints}

    def __contains__(self, address: object) -> bool:
        """Of an address that is normalised, as that of every recipient is."""
        return bool(self._known) and _first_half(_print(str(address))) in self._known


def address_print(address: str) -> str:
    """The fingerprint an address is known by, however its case and its domain are spelt.

    >>> address_print("Kari@Blåbær.example") == address_print("kari@xn--blbr-roah.example ")
    True
    """
    return _print(person_key(address))


def _print(address: str) -> str:
    return sha256(address_key(address).encode("utf-8", "surrogatepass")).hexdigest()


def _first_half(print_: str) -> bytes:
    return bytes.fromhex(print_[:32])
