"""Lists: keep recipient lists in step with the companies that belong on them, by difference.

A list is complete at every moment: what is missing is added before anything is removed. Whatever
stops a run, the next one reads anew and does what is still to be done.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.domain.lists import (
    Change,
    LeftAlone,
    ListRule,
    NamedList,
    Why,
    decide,
    headcount,
    portions,
    same_name,
    the_list,
)
from shared.domain.recipient import Member, MemberKind
from shared.errors import (
    PermanentError,
    SetupError,
    StoppedError,
    ThrottledError,
    TransientError,
    UtsendelseError,
)
from shared.ports import Clock, RecipientLists
from shared.settings import Settings

log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]

#: So many are added in one call.
PORTION = 50
#: As much as one run writes, and as long as it begins anything new: the host ends it after five
#: minutes, and the last call may take its time.
WRITES_PER_RUN = 150
LONGEST_RUN = timedelta(minutes=3)
#: A list of which so many were refused one by one is given up until the next run.
REFUSALS = 50


async def lists(
    *,
    directory: RecipientLists,
    settings: Settings,
    clock: Clock,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Bring each list of LIST_RULES in step, or with `LISTS=preview` log what that would take.

    A list that fails does not stop the others; a helpdesk that asks us to wait stops the run.
    Raises SetupError when a configured name does not exist, StoppedError when our key is refused.
    """
    if settings.LISTS == "off":
        return
    run = _Run(
        directory,
        Allowance(settings.PURESERVICE_RATE, clock, sleep, WRITES_PER_RUN, clock() + LONGEST_RUN),
        settings,
    )
    bugs = []
    try:
        await run.allowance.turn()
        known = await directory.lists()
        for rule in _another_first_each_day(rules(settings), clock()):
            try:
                await run.keep(rule, known)
            except (SetupError, StoppedError, ThrottledError):
                raise
            except UtsendelseError as error:
                log.warning("lists.postponed list=%s because=%s", rule.unique_name, error)
            except Exception as bug:
                log.exception("lists.failed list=%s", rule.unique_name)
                bugs.append(bug)
    except StoppedError:
        raise
    except TransientError as error:
        log.warning("lists.stopped because=%s", error)
    if bugs:
        raise ExceptionGroup("lists", bugs)


def rules(settings: Settings) -> list[ListRule]:
    """LIST_RULES, in their order. Raises SetupError when two of them are about the same list."""
    found: list[ListRule] = []
    for name, rule in settings.LIST_RULES.items():
        if any(same_name(name, other.unique_name) for other in found):
            raise SetupError(f"LIST_RULES: has two rules for the list {name.strip()!r}")
        if isinstance(rule, str):
            found.append(ListRule(name, category=rule))
        else:
            found.append(ListRule(name, filter=rule.filter))
    return found


def _another_first_each_day(rules: Sequence[ListRule], now: datetime) -> list[ListRule]:
    """So that no list waits for ever behind those that use up each run."""
    first = now.toordinal() % len(rules) if rules else 0
    return [*rules[first:], *rules[:first]]


@dataclass(slots=True)
class Allowance:
    """Lets calls through one at a time, evenly spaced by the rate (0: at once).

    Says when a run has written enough, or lasted long enough; without a limit it never does.
    """

    per_minute: int
    clock: Clock
    sleep: Sleep
    writes_left: int | None = None
    until: datetime | None = None
    _next: datetime | None = field(default=None, init=False)

    @property
    def over(self) -> bool:
        return self.writes_left == 0 or (self.until is not None and self.clock() >= self.until)

    async def turn(self) -> None:
        """Wait for the next turn."""
        if not self.per_minute:
            return
        gap = timedelta(minutes=1) / self.per_minute
        if self._next and (wait := min(self._next - self.clock(), gap)) > timedelta():
            await self.sleep(wait.total_seconds())
        self._next = self.clock() + gap

    async def write(self) -> bool:
        """Wait for the next turn; False when the run is over, and nothing more may be written."""
        if self.over:
            return False
        await self.turn()
        if self.writes_left is not None:
            self.writes_left -= 1
        return True


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of one list, and who is on it now."""

    unique_name: str
    decision: Change | LeftAlone
    on: NamedList | None = None
    members: tuple[Member, ...] = ()


async def plan(
    rule: ListRule,
    known: Iterable[NamedList],
    *,
    directory: RecipientLists,
    allowance: Allowance,
    at_most: int,
) -> Plan:
    """What the rule asks of its list. What would change it is read twice and must stay the same.

    A page that shifts while it is read looks as if somebody had left.
    """
    on = the_list(rule.unique_name, known)
    if isinstance(on, LeftAlone):
        return Plan(rule.unique_name, on)

    async def read() -> tuple[list[Member], list[Member]]:
        await allowance.turn()
        members = await directory.members(on.id, MemberKind.COMPANY)
        await allowance.turn()
        return members, await directory.companies(rule)

    members, wanted = await read()
    decision = decide(members, wanted, at_most)
    if isinstance(decision, Change) and len(decision) and await read() != (members, wanted):
        decision = LeftAlone(Why.CHANGING)
    return Plan(rule.unique_name, decision, on, tuple(members))


@dataclass(frozen=True, slots=True)
class Added:
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Removed:
    member: Member


@dataclass(frozen=True, slots=True)
class Refused:
    """Pureservice did not want this one; the others go on."""

    member: Member
    because: PermanentError


Step = Added | Removed | Refused


async def carry_out(
    list_id: int, change: Change, *, directory: RecipientLists, allowance: Allowance
) -> AsyncIterator[Step]:
    """Each step as soon as it is done. Ends early when the run is over.

    Raises what a call raises, and repeats none of them: a portion that was refused is tried one by
    one, since nothing came of it.
    """
    refusals = 0
    waiting = portions(change.add, PORTION)
    while waiting:
        if not await allowance.write():
            return
        members = waiting.pop(0)
        try:
            await directory.add(list_id, members)
        except PermanentError as error:
            if len(members) > 1:
                waiting[:0] = portions(members, 1)
                continue
            yield Refused(members[0], error)
            if (refusals := refusals + 1) >= REFUSALS:
                raise
        else:
            yield Added(tuple(members))
    for member in change.gone:
        if not await allowance.write():
            return
        try:
            await directory.remove(member)
        except PermanentError as error:
            yield Refused(member, error)
            if (refusals := refusals + 1) >= REFUSALS:
                raise
        else:
            yield Removed(member)


@dataclass(frozen=True, slots=True)
class _Run:
    """What the step holds in its hands while it goes from list to list."""

    directory: RecipientLists
    allowance: Allowance
    settings: Settings

    async def keep(self, rule: ListRule, known: Sequence[NamedList]) -> None:
        if self.allowance.over:
            log.info("lists.not_reached list=%s", rule.unique_name)
            return
        at_most = self.settings.LISTS_REMOVE_AT_MOST
        planned = await plan(
            rule, known, directory=self.directory, allowance=self.allowance, at_most=at_most
        )
        match planned:
            case Plan(decision=LeftAlone(why=Why.TOO_MANY) as left):
                log.warning(
                    "lists.left_alone list=%s because=%s: %d of %d members would go, and"
                    " LISTS_REMOVE_AT_MOST=%d percent",
                    rule.unique_name,
                    left.why,
                    left.leaving,
                    headcount(planned.members),
                    at_most,
                )
            case Plan(decision=LeftAlone() as left):
                log.warning("lists.left_alone list=%s because=%s", rule.unique_name, left.why)
            case Plan(decision=Change() as change, on=NamedList() as on):
                if self.settings.LISTS == "preview":
                    _tell(on, change)
                else:
                    await self._update(on, change)

    async def _update(self, on: NamedList, change: Change) -> None:
        done: Counter[type[Step]] = Counter()
        try:
            async for step in carry_out(
                on.id, change, directory=self.directory, allowance=self.allowance
            ):
                done[type(step)] += _log(on, step)
        finally:
            left = len(change) - done.total()
            log.info(
                "lists.done list=%s list_id=%d added=%d removed=%d refused=%d left=%d",
                on.unique_name,
                on.id,
                done[Added],
                done[Removed],
                done[Refused],
                left,
            )


def _log(on: NamedList, step: Step) -> int:
    """One line for what was done; how many it was done to."""
    match step:
        case Added(members):
            log.info("lists.added list_id=%d companies=%s", on.id, _ids(members))
            return len(members)
        case Removed(member):
            log.info(
                "lists.removed list_id=%d companies=%d relation=%d",
                on.id,
                member.id,
                member.relation,
            )
        case Refused(member, because):
            log.warning(
                "lists.refused list_id=%d companies=%d because=%s", on.id, member.id, because
            )
    return 1


def _tell(on: NamedList, change: Change) -> None:
    """What an update would do, in as many lines as it would write."""
    for members in portions(change.add, PORTION):
        log.info("lists.would_add list_id=%d companies=%s", on.id, _ids(members))
    for members in portions(change.gone, PORTION):
        log.info("lists.would_remove list_id=%d companies=%s", on.id, _ids(members))
    log.info(
        "lists.preview list=%s list_id=%d to_add=%d to_remove=%d",
        on.unique_name,
        on.id,
        len(change.add),
        len(change.gone),
    )


def _ids(members: Iterable[Member]) -> str:
    return ",".join(str(member.id) for member in members)
