"""Who a letter is for, as Digipost and the post know people: identity, name and postal address."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from hashlib import sha256

from stdnum.exceptions import ValidationError
from stdnum.no import fodselsnummer, orgnr

from shared.domain.countries import country_code

#: Eleven digits, written as national identity numbers are; not the end of a UUID.
_NATIONAL_ID = re.compile(
    r"\b\d{6}[ .-]?\d{5}\b|(?<![\d-])(?<!-[0-9a-f])\d{6}[ .-]?\d{5}(?!\d)", re.IGNORECASE
)


class Identity(StrEnum):
    """What Digipost is told of somebody, the surest first."""

    NATIONAL_ID = "national_id"
    ORGANIZATION_NUMBER = "organization_number"
    DIGIPOST_ADDRESS = "digipost_address"
    ALIAS = "alias"
    NAME_AND_ADDRESS = "name_and_address"


class Flaw(StrEnum):
    """What is wrong with what is registered of somebody; never the thing itself."""

    NATIONAL_ID = "national_id"  #: check digits or date are wrong
    ORGANIZATION_NUMBER = "organization_number"  #: check digit or length is wrong
    NO_LINES = "no_lines"  #: an address without a street, box or place
    TOO_LONG = "too_long"  #: more than print has room for
    NO_POSTAL_CODE = "no_postal_code"
    POSTAL_CODE = "postal_code"  #: not one that Norway has
    NO_CITY = "no_city"
    COUNTRY = "country"  #: a name that we do not know


#: Flaws of the postal address, which is then not used.
POSTAL_FLAWS = frozenset(Flaw) - {Flaw.NATIONAL_ID, Flaw.ORGANIZATION_NUMBER}


@dataclass(frozen=True, slots=True)
class PostalAddress:
    """Where the post brings a letter. `country` is ISO 3166-1 alpha-2; `NO` when none is known.

    In Norway two lines at most, with postal code and city beside them. Abroad, postal code and
    city stand in the lines as the country has them, and there are one to four; where the two are
    known by themselves they are here as well, for whoever is to be found by them.
    """

    lines: tuple[str, ...]
    postal_code: str = ""  #: in Norway four digits, zeros kept
    city: str = ""
    country: str = "NO"

    @property
    def in_norway(self) -> bool:
        return self.country == "NO"


@dataclass(frozen=True, slots=True)
class Addressee:
    """What is known of a recipient that a letter can be addressed by.

    `national_id` is never stored, logged or queued: it is read again when a job is built.
    `has_national_id` is what the ledger knows of it.
    """

    name: str
    first_name: str = ""
    middle_name: str = ""
    last_name: str = ""
    national_id: str = field(default="", repr=False, compare=False)
    has_national_id: bool = False
    organization_number: str = ""
    birth_date: date | None = None
    phone: str = ""  #: with country code, e.g. +4799999999
    email: str = ""
    postal: PostalAddress | None = None
    flaws: tuple[Flaw, ...] = ()  #: why something that is registered was not used

    def without_national_id(self) -> "Addressee":
        """As it may be kept: that there is a number, and not which."""
        return replace(self, national_id="") if self.national_id else self

    @property
    def can_be_found(self) -> bool:
        """Whether Digipost can be asked about them, by something."""
        numbered = self.has_national_id or bool(self.organization_number)
        return numbered or bool(self.name and self.postal)


@dataclass(frozen=True, slots=True)
class Known:
    """What Digipost has answered about somebody before: an address, an alias, or neither."""

    digipost_address: str = ""
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A postal address as somebody has registered it."""

    lines: Sequence[str] = ()
    postal_code: str = ""
    city: str = ""
    country: str = ""

    @property
    def is_given(self) -> bool:
        """Whether there is anything of it. A country alone is where everybody is."""
        return any(part.strip() for part in (*self.lines, self.postal_code, self.city))


def addressee_of(
    *,
    name: str,
    first_name: str = "",
    middle_name: str = "",
    last_name: str = "",
    national_id: str = "",
    organization_number: str = "",
    birth_date: str = "",
    phone: str = "",
    email: str = "",
    place: Place = Place(),
) -> Addressee:
    """What can be used of what is registered; what cannot is left out, and is among the flaws."""
    number = valid_national_id(national_id)
    organization = valid_organization_number(organization_number)
    postal = postal_address(place)
    flaws: list[Flaw] = []
    if national_id.strip() and not number:
        flaws.append(Flaw.NATIONAL_ID)
    if organization_number.strip() and not organization:
        flaws.append(Flaw.ORGANIZATION_NUMBER)
    if isinstance(postal, tuple):
        flaws += postal
    return Addressee(
        name=name,
        first_name=first_name,
        middle_name=middle_name,
        last_name=last_name,
        national_id=number or "",
        has_national_id=bool(number),
        organization_number=organization or "",
        birth_date=day_of_birth(birth_date),
        phone=phone_number(phone),
        email=email,
        postal=postal if isinstance(postal, PostalAddress) else None,
        flaws=tuple(flaws),
    )


#: What synthetic numbers have added to the month of birth: the tax authority's, a test register's,
#: NAV's (and the health service's own).
_SYNTHETIC = (80, 65, 40)


def valid_national_id(text: str) -> str | None:
    """A fødselsnummer or D-number, also a synthetic one, as eleven digits; None when it is not one.

    A leading zero comes back: spreadsheets and number fields drop it.
    """
    number = fodselsnummer.compact(text)
    if len(number) == 10:
        number = number.zfill(11)
    if not re.fullmatch("[0-9]{11}", number):
        return None
    if number[9] != fodselsnummer.calc_check_digit1(number):
        return None
    if number[10] != fodselsnummer.calc_check_digit2(number):
        return None
    month = int(number[2:4])
    added = next((added for added in _SYNTHETIC if month > added), 0)
    try:
        fodselsnummer.get_birth_date(f"{number[:2]}{month - added:02}{number[4:]}")
    except ValidationError:
        return None
    return number


def valid_organization_number(text: str) -> str | None:
    """As nine digits; None when it is not one. `NO 988 077 917 MVA` is one."""
    bare = re.sub(r"^\s*NO|MVA\s*$", "", text.upper())
    try:
        number = orgnr.validate(re.sub(r"[\s.]", "", bare))
    except ValidationError:
        return None
    return number if number.isascii() else None


def phone_number(text: str) -> str:
    """With country code, e.g. `+4799999999`; "" when it is not a number that can be called.

    >>> phone_number("99 99 99 99"), phone_number("0046 8 123 456"), phone_number("ukjent")
    ('+4799999999', '+468123456', '')
    """
    bare = re.sub(r"[\s().\-/]", "", text)
    bare = re.sub(r"^00", "+", bare)
    if re.fullmatch("[2-9][0-9]{7}", bare):
        return f"+47{bare}"
    return bare if re.fullmatch(r"\+[1-9][0-9]{6,14}", bare) else ""


_DAYS = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%d%m%Y")


def day_of_birth(text: str) -> date | None:
    """`1988-11-02` (with or without a time), `2.11.1988`; None when it is not a whole date."""
    bare = re.split(r"[T ]", text.strip())[0]
    for form in _DAYS:
        try:
            return datetime.strptime(bare, form).date()  # noqa: DTZ007 - a day has no time zone
        except ValueError:
            continue
    return None


#: The room that print has.
_LINE, _CITY = 100, 80


def postal_address(place: Place) -> PostalAddress | tuple[Flaw, ...]:
    """The address, or what is wrong with it; nothing when nothing of it is registered.

    A line may have several in it, and those that are too many go together on the last one.
    """
    if not place.is_given:
        return ()
    street = [tidy for line in place.lines for part in line.splitlines() if (tidy := _tidy(part))]
    code, city = _tidy(place.postal_code), _tidy(place.city)
    land = country_code(place.country)
    if land is None:
        return (Flaw.COUNTRY,)
    if land != "NO":
        return _abroad(street, code, city, land)
    code = re.sub("(?i)^(NO|N)[- ]?", "", code).replace(" ", "")
    if re.fullmatch("[0-9]{3}", code):
        code = code.zfill(4)  # number fields drop the zero
    fitted = _fitted(street, 2)
    flaws = (
        (Flaw.NO_LINES, not street),
        (Flaw.TOO_LONG, _too_long(fitted, city)),
        (Flaw.NO_POSTAL_CODE, not code),
        (Flaw.POSTAL_CODE, bool(code) and not re.fullmatch("(?!0000)[0-9]{4}", code)),
        (Flaw.NO_CITY, not city),
    )
    found = tuple(flaw for flaw, it_is in flaws if it_is)
    return found or PostalAddress(fitted, code, city)


def _abroad(
    street: Sequence[str], code: str, city: str, land: str
) -> PostalAddress | tuple[Flaw, ...]:
    """One to four lines, the last of them with the city, in front of which most have the code."""
    place = " ".join(filter(None, (code, city)))
    # without code and city, all of it may stand in the lines
    lines = (*_fitted(street, 3), place) if place else _fitted(street, 4)
    flaws = (
        (Flaw.NO_LINES, not street),
        (Flaw.TOO_LONG, _too_long(lines, city)),
        (Flaw.NO_CITY, len(lines) < 2),
    )
    found = tuple(flaw for flaw, it_is in flaws if it_is)
    return found or PostalAddress(lines, code, city, land)


def _fitted(lines: Sequence[str], most: int) -> tuple[str, ...]:
    if len(lines) <= most:
        return tuple(lines)
    return (*lines[: most - 1], ", ".join(lines[most - 1 :]))


def _too_long(lines: Sequence[str], city: str) -> bool:
    return any(len(line) > _LINE for line in lines) or len(city) > _CITY


def _tidy(text: str) -> str:
    """On one line, without control characters."""
    return " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())


def without_national_ids(text: str) -> str:
    """The text as it may be kept or told, though somebody's number stands in it."""
    return _NATIONAL_ID.sub("[skjult nummer]", text)


def identify(addressee: Addressee, known: Known | None) -> tuple[Identity, str] | None:
    """By what somebody is found, and its value ("" for name and address); None: by nothing.

    A number comes first. It cannot lead to an address that was closed, nor to the person whose
    number stood here by mistake when Digipost was asked.
    """
    known = known or Known()
    for identity, value in (
        (Identity.NATIONAL_ID, addressee.national_id),
        (Identity.ORGANIZATION_NUMBER, addressee.organization_number),
        (Identity.DIGIPOST_ADDRESS, known.digipost_address),
        (Identity.ALIAS, known.alias),
    ):
        if value:
            return identity, value
    return (Identity.NAME_AND_ADDRESS, "") if addressee.name and addressee.postal else None


def asked_by(addressee: Addressee, known: Known | None) -> Identity | None:
    """By what somebody was found, told without the number, which nobody keeps."""
    number = "known" if addressee.has_national_id else ""
    found = identify(replace(addressee, national_id=number), known)
    return found[0] if found else None


def fingerprint(addressee: Addressee) -> str:
    """Tells whether it is still the same person behind an id. Nothing can be read out of it.

    Of a national identity number only that there is one: there are so few that a hash of it would
    say which.
    """
    postal = addressee.postal
    told = [
        addressee.name.casefold(),
        [*postal.lines, postal.postal_code, postal.city, postal.country] if postal else [],
        addressee.birth_date.isoformat() if addressee.birth_date else "",
        addressee.has_national_id,
        addressee.organization_number,
    ]
    return sha256(json.dumps(told).encode()).hexdigest()[:16]
