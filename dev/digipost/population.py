"""Who is in Digipost, who is known, and how each is found.

People are added by a test, over `/_sim/people`, or come from rules, so that anyone can try the
unhappy path. The rules are for those who are in no table:

    fødselsnummer           check digits wrong: UGYLDIG_FOEDSELSNUMMER; else by the last digit:
                            0-6 a user · 7-8 known, and no user (alias) · 9 nobody
    organisasjonsnummer     the same digits; UGYLDIG_ORGANISASJONSNUMMER
    digipostadresse         without `#`: UGYLDIG_DIGIPOSTADRESSE; with `ukjent` in it or blocked:
                            nobody; else its user
    person-alias            with `ukjent` in it or blocked: nobody; else known, and no user
    name and address        a user, unless a word in the name says otherwise:
                            Ikkebruker: known · Ukjent: nobody · Fleretreff: FLERE_TREFF ·
                            Reservert: nobody, by name and address at least · Vasket: found, with
                            vasket true · Ugyldig: UGYLDIG_NAVN_ADRESSE · Uspesifisert: USPESIFISERT
                            Abroad: nobody, since Posten's register is of Norway.
                            No street: MANGELFULL_ADRESSE. Not four digits: UGYLDIG_POSTNUMMER.
                            Not ddMMyy: UGYLDIG_FOEDSELSDATO.

An empty kunde-id, or one with blanks around it, is UGYLDIG_KUNDEID. `outcomes` says what a certain
kunde-id is answered with, whoever it is.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Literal

from pydantic import BaseModel, ConfigDict
from stdnum.no import fodselsnummer, orgnr

from .jobs import Recipient

_NORWAY = {"", "NO", "NORGE", "NORWAY"}
USER, KNOWN, NOBODY, INVALID = "DIGIPOST", "IDENTIFISERT", "UIDENTIFISERT", "UGYLDIG"
Status = Literal["DIGIPOST", "IDENTIFISERT", "UIDENTIFISERT", "UGYLDIG"]


class Person(BaseModel):
    """Somebody of flesh and blood, or an organisation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["user", "known", "unknown", "reserved"] = "user"
    national_id: str = ""
    organization_number: str = ""
    street: str = ""
    postal_code: str = ""
    birth_date: str = ""  #: ddMMyy
    phone: str = ""
    email: str = ""
    digipost_address: str = ""  #: made up where it is empty
    alias: str = ""


class Outcome(BaseModel):
    """What a kunde-id is answered with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Status
    address: str = ""
    alias: str = ""
    reasons: tuple[str, ...] = ()
    washed: bool | None = None


@dataclass
class Population:
    people: list[Person] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)  #: by kunde-id
    blocked: set[str] = field(default_factory=set)  #: addresses and aliases

    def add(self, *people: Person) -> None:
        self.people += people

    def block(self, key: str) -> None:
        """After a mis-delivery: the address or alias leads nowhere any more."""
        self.blocked.add(key)

    def joins(self, name: str) -> None:
        """Those of the name become users."""
        self._change(name, "user")

    def leaves(self, name: str) -> None:
        self._change(name, "known")

    def _change(self, name: str, kind: Literal["user", "known"]) -> None:
        self.people = [
            one.model_copy(update={"kind": kind}) if one.name == name else one
            for one in self.people
        ]

    def find(self, asked: Recipient) -> Outcome:
        if asked.id != asked.id.strip() or not asked.id:
            return _invalid("UGYLDIG_KUNDEID")
        if asked.id in self.outcomes:
            return self.outcomes[asked.id]
        if asked.by == "foedselsnummer":
            return self._by_number(asked.value, "national_id", "UGYLDIG_FOEDSELSNUMMER")
        if asked.by == "organisasjonsnummer":
            return self._by_number(
                asked.value, "organization_number", "UGYLDIG_ORGANISASJONSNUMMER"
            )
        if asked.by == "navn":
            return self._by_name(asked)
        return self._by_key(asked)

    def _by_number(self, number: str, attribute: str, wrong: str) -> Outcome:
        valid = _national_id if attribute == "national_id" else orgnr.is_valid
        if not valid(number):
            return _invalid(wrong)
        for person in self.people:
            if getattr(person, attribute) == number:
                return self._found(person, None)
        kind = {"7": KNOWN, "8": KNOWN, "9": NOBODY}.get(number[-1], USER)
        return self._by_rule(kind, "bruker", number, None)

    def _by_key(self, asked: Recipient) -> Outcome:
        """By a Digipost address or an alias."""
        key = asked.value
        if asked.by == "digipostadresse" and not re.fullmatch(r"[^#\s]+#[0-9A-Za-z]{4,}", key):
            return _invalid("UGYLDIG_DIGIPOSTADRESSE")
        if key in self.blocked or "ukjent" in key.lower():
            return Outcome(status=NOBODY)
        for person in self.people:
            if key in (self._address(person), self._alias(person)):
                return self._found(person, None)
        if asked.by == "digipostadresse":
            return Outcome(status=USER, address=key)
        return Outcome(status=KNOWN, alias=key)

    def _by_name(self, asked: Recipient) -> Outcome:
        words = set(re.findall(r"\w+", asked.name.lower()))
        if not words or "ugyldig" in words:
            return _invalid("UGYLDIG_NAVN_ADRESSE")
        if "uspesifisert" in words:
            return _invalid("USPESIFISERT")
        if asked.country.upper() not in _NORWAY:
            return Outcome(status=NOBODY)
        if not re.fullmatch("[0-9]{4}", asked.postal_code):
            return _invalid("UGYLDIG_POSTNUMMER")
        if asked.birth_date and not _ddmmyy(asked.birth_date):
            return _invalid("UGYLDIG_FOEDSELSDATO")
        found = list(self._matching(asked))
        if len(found) > 1 or "fleretreff" in words:
            return Outcome(status=NOBODY, reasons=("FLERE_TREFF",))
        if found:
            person, washed = found[0]
            if person.kind == "reserved":
                return Outcome(status=NOBODY)
            return self._found(person, washed)
        if any(_same(one.name, asked.name) for one in self.people) or words & {
            "ukjent",
            "reservert",
        }:
            return Outcome(status=NOBODY)
        if not any(line.strip() for line in asked.lines):
            return Outcome(status=NOBODY, reasons=("MANGELFULL_ADRESSE",))
        kind = KNOWN if "ikkebruker" in words else USER
        seed = "|".join((asked.name.lower(), *asked.lines, asked.postal_code))
        return self._by_rule(kind, asked.name, seed, "vasket" in words)

    def _matching(self, asked: Recipient) -> Iterable[tuple[Person, bool]]:
        """Those it can be, and whether the address had to be washed."""
        named = [one for one in self.people if _same(one.name, asked.name)]
        if asked.birth_date and (asked.phone or asked.email):
            for one in named:
                reached = (asked.phone and one.phone == asked.phone) or (
                    asked.email and one.email.lower() == asked.email.lower()
                )
                if reached and one.birth_date == asked.birth_date:
                    yield one, False
                    return
        street = " ".join(asked.lines)
        for one in named:
            if one.birth_date and asked.birth_date and one.birth_date != asked.birth_date:
                continue
            if _washed(one.street) == _washed(street) and one.postal_code == asked.postal_code:
                yield one, one.street != street or one.name != asked.name

    def _found(self, person: Person, washed: bool | None) -> Outcome:
        if person.kind == "unknown":
            return Outcome(status=NOBODY)
        if person.kind == "known":
            return Outcome(status=KNOWN, alias=self._alias(person), washed=washed)
        return Outcome(status=USER, address=self._address(person), washed=washed)

    def _by_rule(self, kind: str, name: str, seed: str, washed: bool | None) -> Outcome:
        if kind == NOBODY:
            return Outcome(status=NOBODY)
        if kind == KNOWN:
            return Outcome(status=KNOWN, alias=self._free(_an_alias, seed), washed=washed)
        address = self._free(lambda salted: _an_address(name, salted), seed)
        return Outcome(status=USER, address=address, washed=washed)

    def _address(self, person: Person) -> str:
        return person.digipost_address or self._free(
            lambda seed: _an_address(person.name, seed), _seed(person)
        )

    def _alias(self, person: Person) -> str:
        return person.alias or self._free(_an_alias, _seed(person))

    def _free(self, make: Callable[[str], str], seed: str) -> str:
        """One that is not blocked: who was, gets another."""
        number = 0
        while (made := make(f"{seed}|{number}")) in self.blocked:
            number += 1
        return made


def _seed(person: Person) -> str:
    return "|".join((person.name, person.national_id, person.organization_number, person.street))


def _invalid(reason: str) -> Outcome:
    return Outcome(status=INVALID, reasons=(reason,))


def _an_address(name: str, seed: str) -> str:
    plain = name.lower().translate(str.maketrans("æøåéü", "aoaeu"))
    words = re.findall("[a-z0-9]+", plain) or ["bruker"]
    return f"{'.'.join(words)}#{sha256(seed.encode()).hexdigest()[:4].upper()}"


def _an_alias(seed: str) -> str:
    digest = sha256(seed.encode()).hexdigest()
    letters = "".join(chr(ord("a") + int(one, 16)) for one in digest[:20])
    return f"{letters}#{digest[20:24].upper()}"


def _national_id(number: str) -> bool:
    if not re.fullmatch("[0-9]{11}", number):
        return False
    return bool(
        number[9] == fodselsnummer.calc_check_digit1(number)
        and number[10] == fodselsnummer.calc_check_digit2(number)
    )


def _ddmmyy(text: str) -> bool:
    try:
        datetime.strptime(text, "%d%m%y")  # noqa: DTZ007 - a day has no time zone
    except ValueError:
        return False
    return len(text) == 6


def _same(one: str, other: str) -> bool:
    return " ".join(one.lower().split()) == " ".join(other.lower().split())


def _washed(street: str) -> str:
    """As the address wash sees it: `Storgt. 1 b` is Storgata 1B."""
    text = re.sub(r"(gt\.?|gata|gaten|gate)(?=\s|$)", "gata", street.lower())
    text = re.sub(r"(v\.|vn\.?|veien|vegen|vei|veg)(?=\s|$)", "veien", text)
    return re.sub(r"[\s.,]", "", text)
