"""A run: do what the plan says while the campaign goes on, until it is over."""

import asyncio
import contextlib
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from rich.console import Console

from dev.chaos.ground import Ground
from dev.chaos.letters import Letters
from dev.chaos.plan import Act, Moment, Window
from dev.playground import Child
from shared.bootstrap import Services, bootstrap
from shared.domain.campaign import Phase
from shared.domain.delivery import Delivery, OpenDelivery, Status
from shared.errors import StorageError
from shared.flow.enqueue import DeliverItem

_LOOK_EVERY, _SAY_EVERY = 0.15, 5.0
#: A job is in a window for a few requests to storage.
_LOOK_AT_JOBS_EVERY = 0.05
#: After so many time limits nobody is still at an upload that was broken off.
_PATIENCE_OF_A_PERSON = 2
#: Only one of these is as it should be; nobody will help a campaign out of the others here.
_OVER = frozenset({Phase.DONE, Phase.CANCELLED, Phase.BLOCKED, Phase.PAUSED})
#: What was copied last may be worked on for so long after the campaign is over.
_LAST_ITEMS = 5
_NOTHING_VISIBLE = 3.0
#: From when it is known who goes on by mail until the first has got one.
_NOBODY_MAILED = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """How far the campaign had come when storage last answered us."""

    id: str = ""
    phase: Phase | None = None
    statuses: Counter[Status] = field(default_factory=Counter)
    mailed: Collection[
        str
    ] = ()  #: of letters, those that were on the queue, as they went on by mail

    def share(self, recipients: int) -> float:
        """Of the deliveries, how many have left; what a provider has to answer for has."""
        return (self.statuses.total() - self.statuses[Status.PLANNED]) / recipients

    @property
    def over(self) -> bool:
        return self.phase in _OVER


@dataclass
class Done:
    """What has been done to the campaign."""

    kills: int = 0
    restarts: int = 0
    pauses: int = 0
    copies: int = 0
    seconds: float = 0
    #: The claims that stood after a kill, and after storage came back: whose, and which.
    at_kills: set[tuple[str, str]] = field(default_factory=set)
    at_restarts: set[tuple[str, str]] = field(default_factory=set)

    def __str__(self) -> str:
        return f"{self.kills} kills, {self.restarts} storage restarts, {self.copies} items copied"


@dataclass(frozen=True)
class Ended:
    """The campaign as the ledger has it in the end."""

    phase: Phase | None
    deliveries: list[Delivery]
    #: Those whose worker was killed, or could not reach storage any more, while it had them.
    lost_at_kills: set[str]
    lost_at_restarts: set[str]
    waits_for: str = ""  #: nothing, when it is over


class Run:
    """Two hosts, up when entered, and one campaign that is theirs."""

    def __init__(self, ground: Ground, scenario: str, console: Console) -> None:
        self.done = Done()
        self._ground = ground
        self._scenario = scenario
        self._console = console
        self._number = self._recipients = 0
        self._seen = Seen()
        self._services: Services = bootstrap(ground.read_settings())
        self._places = [_Place() for _ in range(2)]
        self.letters: Letters | None = None
        if scenario == "digipost":
            seconds = self._services.settings.DIGIPOST_TIMEOUT_SECONDS
            simulator = ground.digipost.simulator
            self.letters = Letters(simulator, _PATIENCE_OF_A_PERSON * seconds)
        self._coming_up, self._storage, self._pureservice = (asyncio.Lock() for _ in range(3))

    async def __aenter__(self) -> Self:
        for place in self._places:
            await self._start(place)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._services.close()

    async def carry_out(
        self, moments: Sequence[Moment], number: int, recipients: int, patience: float
    ) -> Ended:
        """Returns when the campaign of this ticket is over, or when patience is."""
        self._number, self._recipients = number, recipients
        waits_for = ""
        try:
            async with asyncio.timeout(patience):
                async with asyncio.TaskGroup() as acts:
                    await self._follow(moments, acts)
                await self._settle_down()
        except TimeoutError:
            waits_for = f"not over after {patience:.0f} s; it waits for {await self._waits_for()}"
        except ExceptionGroup as several:
            raise several.exceptions[0] from several
        return replace(await self._end(), waits_for=waits_for)

    # --- watching ---

    async def _follow(self, moments: Sequence[Moment], acts: asyncio.TaskGroup) -> None:
        began = said = time.monotonic()
        left = list(moments)
        looked = 0.0
        while not self._seen.over:
            if time.monotonic() >= looked + _LOOK_EVERY:
                looked = time.monotonic()
                await self._look()
            await self._look_at_jobs()
            for moment in [one for one in left if self._is_now(one)]:
                left.remove(moment)
                acts.create_task(self._act(moment))
            await self._decide()
            self.done.seconds = time.monotonic() - began
            if time.monotonic() >= said + _SAY_EVERY:
                said = time.monotonic()
                line = f"{self.done.seconds:4.0f} s  {await self._waits_for()}; {self.done}"
                self._console.print(line, highlight=False, soft_wrap=True)
            await asyncio.sleep(_LOOK_AT_JOBS_EVERY if self.letters else _LOOK_EVERY)

    async def _look_at_jobs(self) -> None:
        if self.letters and self._seen.id:
            with contextlib.suppress(StorageError):
                self.letters.jobs = await self._services.ledger.jobs.of(self._seen.id)

    def _is_now(self, moment: Moment) -> bool:
        if self._seen.phase is None:
            return False
        if moment.window is None or self.letters is None:
            return moment.at <= self._seen.share(self._recipients)
        if self._seen.phase is Phase.REPORTING:
            return True
        # any time before an upload will do to break it off
        windows = {moment.window, Window.BUILT} if moment.act is Act.BREAK else {moment.window}
        return any(self.letters.open_from(round(moment.at), window) for window in windows)

    async def _decide(self) -> None:
        """What a person must, on a host that is up."""
        ups = [place.host for place in self._places if place.host and not place.lock.locked()]
        if self.letters and ups:
            await asyncio.to_thread(self.letters.decide, self._seen.id, ups[0].url)

    async def _look(self) -> None:
        ledger = self._services.ledger
        try:
            found = await ledger.campaigns.on_ticket(self._number)
            if found:
                rows = [one async for one in ledger.deliveries.all(found[-1].id)]
                statuses = Counter(one.status for one in rows)
                settled = [one for one in rows if one.status is not Status.PLANNED]
                mailed = [one.id for one in settled if self.letters and one.channel == "email"]
                self._seen = Seen(found[-1].id, found[-1].phase, statuses, mailed)
        except StorageError:
            return  # it is away just now

    async def _waits_for(self) -> str:
        seen = self._seen
        if seen.phase is None:
            return "the campaign to be found"
        settled = seen.statuses.total() - seen.statuses[Status.PLANNED]
        settled -= seen.statuses[Status.SUBMITTED]
        said = f"{seen.phase}: {settled} of {self._recipients} settled"
        if submitted := seen.statuses[Status.SUBMITTED]:
            said += f", {submitted} to be answered for"
        try:
            if claims := await self._claims():
                last = max(one.claim.until for one in claims if one.claim) - datetime.now(UTC)
                said += f", {len(claims)} claimed (the last for {last.total_seconds():.0f} s more)"
        except StorageError:
            said += ", storage is away"
        return said

    async def _claims(self) -> list[OpenDelivery]:
        """Every claim that stands, however fresh."""
        some_day = datetime.now(UTC) + timedelta(days=1)
        return await self._services.ledger.deliveries.overdue(
            self._seen.id, some_day, timedelta(), self._recipients
        )

    async def _settle_down(self) -> None:
        """Until nothing is on the queue any more: what comes too late must do nothing.

        And until Digipost has done all that it was given, asked for or not.
        """
        while self.letters and not self.letters.digipost_is_done:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(_LOOK_EVERY)
        queue = self._services.lanes["ticket" if self._scenario == "ticket" else "email"].queue
        deadline = time.monotonic() + _LAST_ITEMS
        while queue and time.monotonic() < deadline:
            try:
                if not await queue.length():
                    break
            except StorageError:
                pass
            await asyncio.sleep(_LOOK_EVERY)

    # --- acting ---

    async def _act(self, moment: Moment) -> None:
        await asyncio.sleep(moment.wait)
        if self._seen.over:
            return
        match moment.act:
            case Act.KILL:
                await self._kill(self._place_of(moment), moment.seconds)
            case Act.RESTART:
                async with self._storage:
                    await asyncio.to_thread(self._ground.restart_storage, moment.seconds)
                self.done.restarts += 1
                self.done.at_restarts |= await self._standing()
            case Act.PAUSE:
                async with self._pureservice:
                    await self._ground.pause_pureservice(moment.seconds)
                self.done.pauses += 1
            case Act.COPY:
                await self._copy(stale=moment.window is None and moment.at == 1)
            case Act.BREAK:
                if self.letters:
                    self.letters.break_next()

    def _place_of(self, moment: Moment) -> "_Place":
        """Where it is to be, or the other where that is down already."""
        ups = [place for place in self._places if not place.lock.locked()]
        wanted = self._places[moment.host]
        if self.letters and moment.window and moment.window is not Window.ONWARDS:
            at_it = self.letters.at_it(moment.window, [p.host for p in ups if p.host])
            wanted = next((place for place in ups if place.host is at_it), wanted)
        return wanted if wanted in ups or not ups else ups[0]

    async def _kill(self, place: "_Place", down: float) -> None:
        """Kill the one there, and put another in its place."""
        async with place.lock:
            if self._seen.over or place.host is None:
                return
            await asyncio.to_thread(place.host.kill)
            self.done.kills += 1
            if self.letters:
                await self._look_at_jobs()
                self.letters.left_behind += Counter(
                    one.state for one in self.letters.jobs if one.open
                )
                await asyncio.to_thread(self._ground.free_timers)
            await asyncio.sleep(self._ground.proxy.longest)
            self.done.at_kills |= await self._standing()
            await asyncio.sleep(down)
            await self._start(place)

    async def _standing(self) -> set[tuple[str, str]]:
        while True:
            try:
                return {(one.id, one.claim.token) for one in await self._claims() if one.claim}
            except StorageError:
                await asyncio.sleep(_LOOK_EVERY)

    async def _start(self, place: "_Place") -> None:
        async with self._coming_up:
            place.host = await asyncio.to_thread(self._ground.new_host)

    async def _copy(self, stale: bool) -> None:
        settings = self._services.settings
        by_ticket = self._scenario == "ticket"
        queue = settings.DELIVER_TICKET_QUEUE if by_ticket else settings.DELIVER_EMAIL_QUEUE
        deadline = time.monotonic() + (_NOBODY_MAILED if self.letters else _NOTHING_VISIBLE)
        while time.monotonic() < deadline:
            once = [self._item(one) for one in self._seen.mailed]
            if copied := await asyncio.to_thread(self._ground.copy_items, queue, stale, once):
                self.done.copies += copied
                return
            await asyncio.sleep(_LOOK_EVERY)

    def _item(self, delivery: str) -> str:
        """As it lies on the queue."""
        item = DeliverItem(campaign=self._seen.id, delivery=delivery)
        return b64encode(item.model_dump_json().encode()).decode("ascii")

    # --- when it is over ---

    async def _end(self) -> Ended:
        await self._look()
        await self._look_at_jobs()
        deliveries = self._services.ledger.deliveries
        killed = await self._lost(self.done.at_kills)
        return Ended(
            phase=self._seen.phase,
            deliveries=[one async for one in deliveries.all(self._seen.id)],
            lost_at_kills=killed,
            lost_at_restarts=await self._lost(self.done.at_restarts) - killed,
        )

    async def histories(self, deliveries: Collection[str]) -> str:
        """All that the ledger knows of these, but whose they are."""
        told = []
        for one in [one async for one in self._services.ledger.deliveries.all(self._seen.id)]:
            if one.id in deliveries:
                told.append(f"{one.id} {one.status} {one.reason} {one.reference} {one.detail}")
                attempts = await self._services.ledger.deliveries.attempts(self._seen.id, one.id)
                told += [f"    {attempt.key[-3:]} {dict(attempt.values)}" for attempt in attempts]
        return "\n".join(told)

    async def _lost(self, claims: set[tuple[str, str]]) -> set[str]:
        """Of these claims, those that their worker never brought to an end."""
        lost = set()
        for delivery, token in claims:
            attempts = await self._services.ledger.deliveries.attempts(self._seen.id, delivery)
            if token not in {one.values.get("token") for one in attempts}:
                lost.add(delivery)
        return lost


@dataclass
class _Place:
    """Where a host runs. Held while it is killed and another comes up."""

    host: Child | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
