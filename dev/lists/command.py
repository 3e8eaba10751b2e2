"""`python -m dev lists`."""

import argparse
import asyncio
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

import dev.lists
from dev.check.command import load, unreadable
from dev.check.findings import Finding, missing, warning
from dev.host.app import AppError
from dev.lists.lookup import Lookup
from dev.lists.spreadsheet import Line, SpreadsheetError, read
from dev.setup import ROOT
from shared.adapters.pureservice import Pureservice
from shared.adapters.pureservice_lists import PureserviceLists
from shared.domain.lists import (
    Change,
    LeftAlone,
    NamedList,
    Why,
    decide,
    headcount,
    the_list,
)
from shared.domain.recipient import Member, MemberKind, tidy_name
from shared.errors import (
    SetupError,
    StoppedError,
    ThrottledError,
    UncertainError,
    UtsendelseError,
)
from shared.flow.lists import (
    Added,
    Allowance,
    Plan,
    Refused,
    Removed,
    Sleep,
    carry_out,
    plan,
    rules,
)
from shared.ports import Clock
from shared.settings import Settings, read_settings

Say = Callable[[str], None]

#: Long work says how far it has come, and not more often than this.
_EVERY = timedelta(seconds=5)


def main(argv: list[str]) -> int:
    """Print what would change, or with `--update` what was; 0 when nobody needs to act."""
    parser = argparse.ArgumentParser(
        prog="python -m dev lists",
        description=dev.lists.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="default local.settings.json")
    parser.add_argument("--update", action="store_true", help="do it")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="who is to be on the list")
    parser.add_argument("--list", metavar="UNIQUE NAME", help="the list, together with --csv")
    parser.add_argument(
        "--remove", action="store_true", help="with --csv: remove those not in the file, too"
    )
    options = parser.parse_args(argv)
    if bool(options.csv) != bool(options.list):
        parser.error("--csv and --list belong together")
    if options.remove and not options.csv:
        parser.error("--remove goes with --csv; rules remove by themselves")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for names that the console cannot show

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        lines = read(options.csv) if options.csv else None
        say(load(options.settings, ROOT / "local.settings.json"))
        settings = read_settings()
    except (SpreadsheetError, AppError) as error:
        say(str(error))
        return 1
    except SetupError as error:
        for finding in unreadable(error):
            say(str(finding))
        return 1
    sheet = Sheet(lines, options.list, options.remove) if lines else None
    return 0 if asyncio.run(lists(settings, sheet, update=options.update, say=say)) else 1


@dataclass(frozen=True, slots=True)
class Sheet:
    """A spreadsheet's rows, the list they are for, and whether those not in it must go."""

    lines: Sequence[Line]
    unique_name: str
    remove: bool = False


async def lists(
    settings: Settings,
    sheet: Sheet | None = None,
    *,
    update: bool,
    say: Say,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Clock = lambda: datetime.now(UTC),
    sleep: Sleep = asyncio.sleep,
) -> bool:
    """Show what would change, and with `update` change it; True when nobody needs to act."""
    key = settings.PURESERVICE_KEY.get_secret_value()

    def tell(text: str) -> None:
        say(text.replace(key, "***"))  # a server may repeat what it was given

    try:
        helpdesk = Pureservice(settings, clock=clock, transport=transport, sleep=sleep)
    except SetupError as error:
        say(str(_trouble(error)))
        return False
    work = _Work(
        settings=settings,
        helpdesk=helpdesk,
        directory=PureserviceLists(settings, helpdesk.wire, helpdesk.names),
        allowance=Allowance(settings.PURESERVICE_RATE, clock, sleep),
        update=update,
        say=tell,
        clock=clock,
    )
    what = f"Listen «{sheet.unique_name}» etter filen" if sheet else "Lister etter LIST_RULES"
    say(f"{what}. " + ("Endringene blir gjort." if update else "Ingenting blir endret."))
    try:
        await (work.sheet(sheet) if sheet else work.rules())
    except UtsendelseError as error:
        work.attention(_trouble(error))
    finally:
        await helpdesk.close()
    if not update and work.changes:
        say("\nDette var en forhåndsvisning. Kjør på nytt med --update for å gjøre det.")
    return work.in_order


@dataclass(slots=True)
class _Work:
    settings: Settings
    helpdesk: Pureservice
    directory: PureserviceLists
    allowance: Allowance
    update: bool
    say: Say
    clock: Clock
    in_order: bool = True
    changes: int = 0
    _last_said: datetime = field(init=False)

    def __post_init__(self) -> None:
        self._last_said = self.clock()

    def attention(self, finding: Finding) -> None:
        self.in_order = False
        self.say(str(finding))

    def progress(self, what: str, done: int, total: int) -> None:
        if done < total and self.clock() >= self._last_said + _EVERY:
            self._last_said = self.clock()
            self.say(f"  … {done} av {total} {what}")

    async def rules(self) -> None:
        """Every list of LIST_RULES; one that fails does not stop the others."""
        if not self.settings.COMPANY_CATEGORY_FIELD and any(
            isinstance(rule, str) for rule in self.settings.LIST_RULES.values()
        ):
            self.attention(
                missing(
                    "COMPANY_CATEGORY_FIELD er ikke satt.",
                    "Sett den til feltet på firmaene der kategorien står, cf_1 til cf_9.",
                )
            )
            return
        todo = rules(self.settings)
        known = await self.directory.lists()
        for rule in todo:
            self.say(f"\n{rule.unique_name.strip()}")
            try:
                planned = await plan(
                    rule,
                    known,
                    directory=self.directory,
                    allowance=self.allowance,
                    at_most=self.settings.LISTS_REMOVE_AT_MOST,
                )
                await self._go_through(planned, known)
            except (SetupError, StoppedError, ThrottledError):
                raise
            except UtsendelseError as error:
                self.attention(_trouble(error))

    async def sheet(self, sheet: Sheet) -> None:
        """The list as the spreadsheet has it."""
        known = await self.directory.lists()
        on = the_list(sheet.unique_name, known)
        if isinstance(on, LeftAlone):
            await self._go_through(Plan(sheet.unique_name, on), known)
            return
        relations = {
            MemberKind.USER: self.settings.LIST_USER_RELATION,
            MemberKind.COMPANY: self.settings.LIST_COMPANY_RELATION,
        }
        kinds = [kind for kind, relation in relations.items() if relation.strip()]
        self.say(f"Slår opp {len(sheet.lines)} rader i Pureservice.")
        found = await Lookup(self.helpdesk.wire, self.allowance, kinds, self.progress).find(
            sheet.lines
        )
        troubles = [meant for _, meant in found if isinstance(meant, Finding)]
        wanted = [meant for _, meant in found if isinstance(meant, Member)]
        for trouble in troubles:
            self.attention(trouble)
        if not wanted:
            self.attention(warning("Ingen av radene kan brukes, så listen blir som den er."))
            return

        async def read() -> list[Member]:
            members = []
            for kind in kinds:
                await self.allowance.turn()
                members += await self.directory.members(on.id, kind)
            return members

        members = await read()
        removing = sheet.remove and not troubles
        at_most = self.settings.LISTS_REMOVE_AT_MOST if removing else 100
        decision = decide(members, wanted, at_most)
        if isinstance(decision, Change) and not removing:
            self._stay(decision.remove, blocked=sheet.remove)
            decision = Change(add=decision.add)
        if isinstance(decision, Change) and len(decision) and await read() != members:
            decision = LeftAlone(Why.CHANGING)
        await self._go_through(Plan(on.unique_name, decision, on, tuple(members)), known)

    def _stay(self, members: Sequence[Member], *, blocked: bool) -> None:
        """Say who is on the list and not in the file. `blocked`: they were to be removed."""
        if not members:
            return
        self.say(f"\n{headcount(members)} på listen er ikke i filen, og blir stående der:")
        for told in dict.fromkeys(_told(member) for member in members):
            self.say(f"    {told}")
        if blocked:
            self.say("  Ingen blir tatt bort før alle radene i filen er i orden.")
        else:
            self.say("  Med --remove blir de tatt bort.")

    async def _go_through(self, planned: Plan, known: Sequence[NamedList]) -> None:
        """Show what is planned, and do it if that was asked for."""
        match planned:
            case Plan(decision=LeftAlone() as left):
                self.attention(self._left_alone(planned, left, known))
            case Plan(decision=Change() as change, on=NamedList() as on):
                self._show(on, change, planned.members)
                self.changes += len(change)
                if self.update and len(change):
                    await self._carry_out(on, change)

    def _left_alone(self, planned: Plan, left: LeftAlone, known: Sequence[NamedList]) -> Finding:
        name = planned.unique_name.strip()
        match left.why:
            case Why.NO_LIST:
                others = ", ".join(sorted(f"«{one.unique_name}»" for one in known)) or "ingen"
                return missing(
                    f"Det finnes ingen mottakerliste med det unike navnet «{name}».",
                    f"Lag den i Pureservice, eller rett navnet. Disse finnes: {others}.",
                )
            case Why.SEVERAL_LISTS:
                return warning(
                    f"Flere mottakerlister har det unike navnet «{name}»; store og små bokstaver"
                    " regnes som like.",
                    "Gi dem ulike navn i Pureservice.",
                )
            case Why.NOBODY:
                return warning(
                    "Regelen finner ingen firmaer, så listen blir som den er.",
                    "Stemmer LIST_RULES og COMPANY_CATEGORY_FIELD med det som står på firmaene i"
                    " Pureservice?",
                )
            case Why.TOO_MANY:
                return warning(
                    f"{left.leaving} av {headcount(planned.members)} ville falt ut. Det er mer enn"
                    f" LISTS_REMOVE_AT_MOST tillater ({self.settings.LISTS_REMOVE_AT_MOST}"
                    " prosent), så listen blir som den er.",
                    "Er det riktig, så sett LISTS_REMOVE_AT_MOST høyere for denne ene kjøringen.",
                )
            case Why.CHANGING:
                return warning("Listen ble endret mens den ble lest.", "Kjør på nytt.")

    def _show(self, on: NamedList, change: Change, members: Iterable[Member]) -> None:
        coming, leaving = len(change.add), headcount(change.remove)
        comes_and_goes = f"{coming} skal inn, {leaving} skal ut"
        self.say(
            f"  {tidy_name(on.name)}: {headcount(members)} på listen,"
            f" {comes_and_goes if len(change) else 'ingen skal inn eller ut'}."
        )
        for sign, some in (("+", change.add), ("-", change.remove)):
            for told in dict.fromkeys(_told(member) for member in some):
                self.say(f"  {sign} {told}")
        for told in dict.fromkeys(_told(member) for member in change.surplus):
            self.say(f"  = {told} står der flere ganger, og blir stående én gang")

    async def _carry_out(self, on: NamedList, change: Change) -> None:
        done: Counter[str] = Counter()
        try:
            async for step in carry_out(
                on.id, change, directory=self.directory, allowance=self.allowance
            ):
                match step:
                    case Added(members):
                        done["added"] += len(members)
                    case Removed():
                        done["removed"] += 1
                    case Refused(member, because):
                        done["refused"] += 1
                        self.attention(
                            warning(
                                f"{_told(member)}: Pureservice sa nei ({because}).",
                                "Finnes den fortsatt der? De andre er tatt med som de skal.",
                            )
                        )
                self.progress("endringer", done.total(), len(change))
        finally:
            self.say(
                f"  Gjort: {done['added']} lagt til, {done['removed']} tatt bort,"
                f" {len(change) - done['added'] - done['removed']} gjenstår."
            )


def _told(member: Member) -> str:
    kind = "firma" if member.kind is MemberKind.COMPANY else "bruker"
    return f"{tidy_name(member.name) or 'Uten navn'} ({kind} {member.id})"


def _trouble(error: UtsendelseError) -> Finding:
    """What went wrong, and what to do. Nothing is ever done twice by running again."""
    match error:
        case SetupError():
            return missing(
                f"Innstillingene stemmer ikke med Pureservice: {error}",
                "python -m dev check sier hva som må rettes.",
            )
        case StoppedError():
            return missing(
                f"Pureservice slipper oss ikke inn ({error}).",
                "python -m dev check sier hva som må rettes.",
            )
        case ThrottledError():
            return warning(
                f"Pureservice ber oss vente ({error}).",
                "Kjør på nytt om et par minutter. Det som er gjort, blir ikke gjort om igjen.",
            )
        case UncertainError():
            return warning(
                f"Svaret fra Pureservice kom bort ({error}). Den siste endringen kan være gjort.",
                "Kjør på nytt. Listen blir lest om igjen, så ingenting blir gjort to ganger.",
            )
    return warning(
        f"Pureservice svarte ikke som ventet ({error}).",
        "Kjør på nytt om litt. Varer det, så se hva python -m dev check sier.",
    )
