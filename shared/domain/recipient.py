"""Who a campaign reaches: list members, their addresses, and why some are left out."""

import re
import unicodedata
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate

import email_validator
from email_validator import EmailNotValidError, validate_email

from shared.domain.addressee import POSTAL_FLAWS, Addressee, Flaw

# `.local` and the like: whether they can be reached is for the transport, and the made-up users
# live there. The library documents this list as the place to say so.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


#: What a message may say of its recipient, as `{{ recipient.company }}`; settings may add to it.
RECIPIENT_VALUES = frozenset(
    {"name", "first_name", "last_name", "email", "company", "organization_number", "title"}
)


class MemberKind(StrEnum):
    USER = "user"
    COMPANY = "company"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a recipient list, as Pureservice knows it."""

    kind: MemberKind
    id: int
    name: str
    address: str | None = None  #: the default e-mail address, as registered
    disabled: bool = False
    relation: int = 0  #: the relation that makes it a member; the same member may have several
    fields: tuple[tuple[str, str], ...] = ()  #: what else is known of them, by `tidy_values`
    addressee: Addressee | None = None  #: where letters are sent; with the national id, if any

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody a delivery goes to. Never has a national identity number, whoever makes it."""

    member: str  #: `user:31` or `company:9`
    name: str
    address: str  #: ready for an envelope: trimmed, the domain in ASCII; a letter needs none
    user: int = 0  #: who they are as a user of the helpdesk, where that is known
    values: tuple[tuple[str, str], ...] = ()  #: what a message may say of them, by name
    addressee: Addressee | None = None  #: whom a letter is for; None on other channels

    def __post_init__(self) -> None:
        if self.addressee and self.addressee.national_id:
            object.__setattr__(self, "addressee", self.addressee.without_national_id())

    @property
    def kind(self) -> MemberKind:
        return MemberKind(self.member.partition(":")[0])

    @property
    def erased(self) -> bool:
        """Whether all that is left of them is that there was somebody. Never to be written to."""
        return not self.address and self.addressee is None

    def with_only(self, names: Container[str]) -> "Recipient":
        """The same, without the values that nobody asks for: what is not needed is not kept."""
        return replace(self, values=tuple(pair for pair in self.values if pair[0] in names))


class LeftOutReason(StrEnum):
    DUPLICATE = "duplicate"
    NO_ADDRESS = "no_address"
    INVALID_ADDRESS = "invalid_address"
    DISABLED = "disabled"
    NOT_ON_TEST_LIST = "not_on_test_list"
    CAMPAIGN_USER = "campaign_user"  #: one of the made-up users: a ticket for it is a campaign
    SUPPRESSED = "suppressed"  #: the address is on the list of those that are not written to
    MISSING_VALUE = "missing_value"  #: the message mentions something that we do not know of them
    GONE = "gone"  #: once written to, and not in the helpdesk any more
    NO_IDENTITY = "no_identity"  #: no number, no postal address, or nobody's name: for a letter
    NO_POSTAL_ADDRESS = "no_postal_address"  #: the one there is cannot be used, and no number is
    INVALID_NATIONAL_ID = "invalid_national_id"  #: and nothing else to find them by
    INVALID_ORGANIZATION_NUMBER = "invalid_organization_number"  #: and nothing else to find it by


#: Of these, the detail is what is wrong with what is registered: `Flaw`s with commas between.
ABOUT_FLAWS = frozenset(
    {
        LeftOutReason.NO_IDENTITY,
        LeftOutReason.NO_POSTAL_ADDRESS,
        LeftOutReason.INVALID_NATIONAL_ID,
        LeftOutReason.INVALID_ORGANIZATION_NUMBER,
    }
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A membership that gets no delivery of its own, and why."""

    list_id: int
    member: Member
    reason: LeftOutReason
    page: int = 0  #: which page of the reading it was found on
    detail: str = ""  #: what is missing, for example


#: The most that is kept of a value. All of them together have 32,768 characters in the ledger.
VALUE_LENGTH = 1_000

#: Control characters, and halves of a character.
_UNPRINTABLE = {"Cc", "Cs"}
_SPACES = re.compile(r"\s+")
# Bidirectional controls and zero-width marks: invisible, and make one name look like another. And
# what is no character, which XML cannot hold.
_INVISIBLE = re.compile(
    "[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufdd0-\ufdef\ufffe\uffff]"
)


def tidy_name(name: str) -> str:
    """The name on one line, without control characters or marks that hide or reverse text."""
    visible = "".join(c for c in name if c.isspace() or unicodedata.category(c) not in _UNPRINTABLE)
    return _SPACES.sub(" ", _INVISIBLE.sub("", visible)).strip()


def tidy_values(values: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """In the order of their names, each on one line and cut short; blank ones are left out."""
    tidy = ((name, _cut(tidy_name(value))) for name, value in values)
    return tuple(sorted(pair for pair in tidy if pair[1]))


def _cut(text: str) -> str:
    """As much of it as fits in the ledger, where some characters take the room of two."""
    if 2 * len(text) <= VALUE_LENGTH:
        return text
    room = accumulate(2 if c > "\uffff" or c in '"\\' else 1 for c in text)
    return text[: sum(taken <= VALUE_LENGTH for taken in room)].rstrip()


def normalise_address(raw: str) -> str | None:
    """The address as an envelope takes it, or None when it is not an address.

    Spaces around it go, the domain is lower-cased and turned into ASCII (IDNA).
    """
    try:
        address = validate_email(
            _INVISIBLE.sub("", raw).strip(),
            check_deliverability=False,
            globally_deliverable=False,
        )
    except EmailNotValidError:
        return None
    return f"{address.local_part}@{address.ascii_domain.lower()}"


def address_key(address: str) -> str:
    """What tells two e-mail recipients apart: case never does, in practice, in either part."""
    return address.lower()


def person_key(address: str) -> str:
    """What one person is found by, however they or their list spell the address."""
    return address_key(normalise_address(address) or address.strip())


def recipient_key(channel: str, recipient: Recipient) -> str:
    """What tells recipients apart on this channel.

    Two companies that share a mailbox are one e-mail, but two tickets.
    """
    return address_key(recipient.address) if channel == "email" else recipient.member


def readable_address(address: str) -> str:
    """A normalised address as people write it: not with its domain in ASCII.

    >>> readable_address("post@xn--blbr-roah.example")
    'post@blåbær.example'
    """
    if "xn--" not in address:
        return address
    known = validate_email(address, check_deliverability=False, globally_deliverable=False)
    return f"{address.rpartition('@')[0]}@{known.domain}"


def spellings(address: str) -> list[str]:
    """The ways in which a normalised address may have been registered."""
    decoded = readable_address(address)
    return sorted({address, address.lower(), decoded, decoded.lower()})


@dataclass(frozen=True, slots=True)
class AllowList:
    """Who may be written to at all: addresses, domains, or `*` for everybody.

    >>> AllowList.of("kari@a.no, b.no").allows("ola@B.no")
    True
    """

    entries: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "AllowList":
        return cls(frozenset(_entry(e.strip()) for e in text.split(",") if e.strip()))

    @property
    def everybody(self) -> bool:
        return "*" in self.entries

    def allows(self, address: str) -> bool:
        key = address_key(address)
        domain = key.rpartition("@")[2]
        return not self.entries.isdisjoint({"*", key, domain, f"@{domain}"})


def _entry(text: str) -> str:
    """An address or a domain, written as those are that it is compared with."""
    local, at, domain = text.rpartition("@")
    address = normalise_address(f"{local or 'anybody'}@{domain}")
    return address_key(f"{local}{at}{address.rpartition('@')[2]}" if address else text)


def recipient_of(
    member: Member, allowed: AllowList, campaign_users: Container[str] = ()
) -> Recipient | LeftOutReason:
    """The member as a recipient, or why they cannot be one. Knows nothing of duplicates."""
    if member.disabled:
        return LeftOutReason.DISABLED
    if not (member.address and member.address.strip()):
        return LeftOutReason.NO_ADDRESS
    address = normalise_address(member.address)
    if address is None:
        return LeftOutReason.INVALID_ADDRESS
    if address_key(address) in campaign_users:
        return LeftOutReason.CAMPAIGN_USER
    if not allowed.allows(address):
        return LeftOutReason.NOT_ON_TEST_LIST
    user = member.id if member.kind is MemberKind.USER else 0
    return Recipient(str(member), tidy_name(member.name), address, user, member.fields)


def letter_recipient_of(
    member: Member,
    allowed: AllowList,
    campaign_users: Container[str] = (),
    *,
    mail_will_do: Callable[[str], bool] = lambda address: False,
) -> Recipient | LeftOutReason:
    """The member as one who gets a letter, or why they cannot get one.

    Who cannot be found in Digipost is one all the same where another way to them is open: e-mail to
    the address, if it will do. Whoever has no address that a test list may name is on it only
    where everybody is.
    """
    if member.disabled:
        return LeftOutReason.DISABLED
    address = normalise_address(member.address or "") or ""
    if address and address_key(address) in campaign_users:
        return LeftOutReason.CAMPAIGN_USER
    if not (allowed.allows(address) if address else allowed.everybody):
        return LeftOutReason.NOT_ON_TEST_LIST
    addressee = member.addressee or Addressee(tidy_name(member.name), email=address)
    if not addressee.can_be_found and not (address and mail_will_do(address)):
        return _not_found_by(addressee)
    user = member.id if member.kind is MemberKind.USER else 0
    return Recipient(str(member), tidy_name(member.name), address, user, member.fields, addressee)


def _not_found_by(addressee: Addressee) -> LeftOutReason:
    """What is best put right first."""
    flaws = set(addressee.flaws)
    if Flaw.NATIONAL_ID in flaws:
        return LeftOutReason.INVALID_NATIONAL_ID
    if Flaw.ORGANIZATION_NUMBER in flaws:
        return LeftOutReason.INVALID_ORGANIZATION_NUMBER
    return LeftOutReason.NO_POSTAL_ADDRESS if flaws & POSTAL_FLAWS else LeftOutReason.NO_IDENTITY


def placeholder_values(recipient: Recipient) -> dict[str, str]:
    """What `recipient.…` stands for in a message. What is not known of them is not there."""
    address = readable_address(recipient.address)
    known = {**dict(recipient.values), "name": recipient.name, "email": address}
    return {name: value for name, value in known.items() if value}
