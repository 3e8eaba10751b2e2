"""Who in Pureservice is meant by each row of a spreadsheet? Asks in portions, and never guesses."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from dev.check.findings import Finding, warning
from dev.lists.spreadsheet import Line, is_organization_number
from shared.adapters.pureservice_wire import Answer, CompanyRow, UserRow, Wire, quoted
from shared.domain.recipient import Member, MemberKind, normalise_address, spellings, tidy_name
from shared.flow.lists import Allowance

#: So much is asked for in one call: a longer URL may be more than the server takes.
_MOST = 20
_LONGEST = 1_500

Owner = UserRow | CompanyRow


class _Index(defaultdict[str, dict[tuple[type, int], Owner]]):
    """Users and companies by a key, each of them once. An empty key leads to nobody."""

    def __init__(self) -> None:
        super().__init__(dict)

    def put(self, key: str, owner: Owner) -> None:
        if key:
            self[key][type(owner), owner.id] = owner

    def of(self, key: str) -> list[Owner]:
        return list(self.get(key, {}).values())


@dataclass(slots=True)
class Lookup:
    """Finds members by their rows; `kinds` are those that may be on a list."""

    wire: Wire
    allowance: Allowance
    kinds: Collection[MemberKind]
    progress: Callable[[str, int, int], None]
    _numbers: _Index = field(default_factory=_Index)
    _names: _Index = field(default_factory=_Index)
    _addresses: _Index = field(default_factory=_Index)

    async def find(self, lines: Collection[Line]) -> list[tuple[Line, Member | Finding]]:
        """For each row who is meant, or what is wrong with it and what to do about it."""
        await self._ask_numbers({line.organization_number for line in lines} - {""})
        rest = [line for line in lines if not self._numbers.of(line.organization_number)]
        await self._ask_names({line.name for line in lines} - {""})
        rest = [line for line in rest if not self._names.of(_name_key(line.name))]
        await self._ask_addresses({line.address for line in rest} - {""})
        return [(line, self._meant(line)) for line in lines]

    # -- questions

    async def _ask_numbers(self, numbers: Iterable[str]) -> None:
        terms = [f"organizationNumber == {quoted(number)}" for number in sorted(numbers)]
        async for answer in self._answers("/company/", "companies", terms, "organisasjonsnumre"):
            for row in answer.companies:
                self._numbers.put(_number(row), row)

    async def _ask_names(self, names: Iterable[str]) -> None:
        terms = [f"name == {quoted(name)}" for name in sorted(names)]
        async for answer in self._answers("/company/", "companies", terms, "navn"):
            for row in answer.companies:
                self._names.put(_name_key(row.name), row)

    async def _ask_addresses(self, written: Iterable[str]) -> None:
        known = {normalise_address(one) for one in written} - {None}
        ways = {way for one in known if one for way in spellings(one)} | set(written)
        terms = [f"email == {quoted(way)}" for way in sorted(ways)]
        async for answer in self._answers(
            "/emailaddress/", "emailaddresses", terms, "adresser til brukere", include="user"
        ):
            users = {user.id: user for user in answer.linked.users}
            for row in answer.emailaddresses:
                if row.email and (user := users.get(row.user_id or 0)):
                    self._addresses.put(_address_key(row.email), user)
        async for answer in self._answers(
            "/companyemailaddress/",
            "companyemailaddresses",
            terms,
            "adresser til firmaer",
            include="company",
        ):
            companies = {company.id: company for company in answer.linked.companies}
            for row in answer.companyemailaddresses:
                if row.email and (company := companies.get(row.company_id or 0)):
                    self._addresses.put(_address_key(row.email), company)

    async def _answers(
        self, path: str, plural: str, terms: list[str], what: str, **query: str
    ) -> AsyncIterator[Answer]:
        done = 0
        for portion in _portions(terms):
            await self.allowance.turn()
            yield await self.wire.all(path, plural, filter=" OR ".join(portion), **query)
            done += len(portion)
            self.progress(what, done, len(terms))

    # -- answers

    def _meant(self, line: Line) -> Member | Finding:
        for told, found, by in (
            (line.organization_number, self._numbers.of(line.organization_number), "nummeret"),
            (line.name, self._names.of(_name_key(line.name)), "navnet"),
            (line.address, self._addresses.of(_address_key(line.address)), "adressen"),
        ):
            if told and found:
                return self._disagreement(line, found) or self._only(line, by, found)
        return _unknown(line)

    def _disagreement(self, line: Line, found: list[Owner]) -> Finding | None:
        """A row whose name is that of another company than its number says."""
        named = self._names.of(_name_key(line.name))
        if not named or {_told(one) for one in named} & {_told(one) for one in found}:
            return None
        return _trouble(
            line,
            f"nummeret eller adressen hører til {_told(found[0])}, men navnet er «{line.name}».",
            "Rett det som er feil i filen.",
        )

    def _only(self, line: Line, by: str, found: list[Owner]) -> Member | Finding:
        """The one that is in use, unless it has another organisation number than the row."""
        number = line.organization_number
        fitting = [one for one in found if not number or _number(one) in ("", number)]
        if not fitting:
            return _trouble(
                line,
                f"{by} hører til et firma med et annet organisasjonsnummer ({_number(found[0])}).",
                "Rett nummeret i filen, eller på firmaet i Pureservice.",
            )
        enabled = [one for one in fitting if not one.disabled]
        if len(enabled) > 1:
            return _trouble(
                line,
                f"{by} passer på {len(enabled)}: {', '.join(_told(one) for one in enabled)}.",
                "Fyll ut organisasjonsnummer eller navn som bare den ene har, eller legg til den"
                " rette i Pureservice.",
            )
        if not enabled:
            return _trouble(
                line,
                f"{_told(fitting[0])} er deaktivert i Pureservice.",
                "Aktiver den der, eller ta raden ut av filen.",
            )
        [owner] = enabled
        kind = _kind(owner)
        if kind not in self.kinds:
            return _trouble(
                line,
                f"{_told(owner)} kan ikke stå på listen.",
                f"Sett LIST_{kind.upper()}_RELATION til relasjonstypen for slike medlemmer.",
            )
        return Member(kind, owner.id, owner.name)


def _unknown(line: Line) -> Finding:
    number = line.organization_number
    if line.empty:
        return _trouble(
            line,
            "organisasjonsnummer, navn og e-post er tomme.",
            "Fyll ut ett av dem, eller ta raden ut.",
        )
    if number and not is_organization_number(number):
        return _trouble(
            line,
            f"«{number}» finnes ikke i Pureservice, og er heller ikke et organisasjonsnummer.",
            "Det skal være ni sifre, og det siste er et kontrollsiffer. Har Excel gjort om"
            " nummeret, så formater kolonnen som tekst.",
        )
    told = " / ".join(tidy_name(one) for one in (number, line.name, line.address) if one)
    return _trouble(
        line,
        f"finner ikke «{told}» i Pureservice.",
        "Se etter skrivefeil, eller registrer firmaet eller brukeren der først. Navn slås bare opp"
        " blant firmaer; personer finnes på e-postadressen.",
    )


def _trouble(line: Line, what: str, advice: str) -> Finding:
    return warning(f"Linje {line.number}: {what}", advice)


def _told(owner: Owner) -> str:
    kind = "firma" if isinstance(owner, CompanyRow) else "bruker"
    return f"«{tidy_name(owner.name)}» ({kind} {owner.id})"


def _kind(owner: Owner) -> MemberKind:
    return MemberKind.COMPANY if isinstance(owner, CompanyRow) else MemberKind.USER


def _number(owner: Owner) -> str:
    return re.sub(r"\s", "", owner.organization_number) if isinstance(owner, CompanyRow) else ""


def _name_key(name: str) -> str:
    return name.strip().casefold()


def _address_key(address: str) -> str:
    return (normalise_address(address) or address.strip()).lower()


def _portions(terms: Iterable[str]) -> Iterator[list[str]]:
    portion: list[str] = []
    length = 0
    for term in terms:
        width = len(quote(term)) + len(quote(" OR "))
        if portion and (len(portion) == _MOST or length + width > _LONGEST):
            yield portion
            portion, length = [], 0
        portion.append(term)
        length += width
    if portion:
        yield portion
