"""The model: two hosts, a queue, a provider, a person, and everything that may happen to them.

Real steps on the real ledger; what happens next is for Hypothesis to choose, one call at a time.
After each step, and when the system has been left alone until all is over, the promises hold.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from uuid import uuid4

from azure.data.tables.aio import TableClient
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.adapters.azure_table import RETRIES, AzureTable
from shared.domain.campaign import ENDED, Campaign, Phase
from shared.domain.delivery import PROBLEMS, Delivery, OpenDelivery, Reason, Status
from shared.domain.pace import FRESH_FOR
from shared.errors import UtsendelseError
from shared.flow.enqueue import Lane, Pace
from shared.flow.wording import REFERENCE
from shared.ledger import Ledger
from shared.ledger.delivery_rows import read_delivery, read_open
from shared.ledger.rows import after
from shared.ports import Insert, Merge, Row, Table, Write
from tests.flow.conftest import House
from tests.flow.edges import Edge, another, our_files, under_way
from tests.model.events import TO_THE_PROVIDER, ClockHops, Event, happenings
from tests.model.providers import Mail, Provider, Tickets
from tests.model.stage import Actor, Answer, Crew, Fate, Item, ModelQueue, Network, Stage

ATTEMPTS = 3
SOLVED = "Løst"
#: By then all that waits has been tried again, several times.
_ROUNDS, _BETWEEN = 60, 1300


@dataclass
class Tally:
    """What has been run, over all examples."""

    examples: int = 0
    steps: int = 0
    calls: int = 0


class Host:
    """A host of ours: its memory is lost when it dies."""

    def __init__(self, house: House, name: str, stage: Stage, provider: Provider) -> None:
        self.crew = Crew(name)
        self.at = another(house, stage.meet)
        queue = Edge("queue", house.queue, stage.meet)
        self.lane = Lane(
            provider.on(self.at), queue, (Pace(provider.name, house.settings.EMAIL_RATE),)
        )
        if provider.name == "email":
            self.at.lane = self.lane
        else:
            self.at.ticket_lane = self.lane


class Model(RuleBasedStateMachine):
    """A campaign from the first release to the report."""

    channel: ClassVar[str]
    tally: ClassVar[Tally]
    storage: ClassVar[str] = ""  #: Azurite's connection string; "": in memory
    timers: ClassVar[Sequence[str]] = ["account"]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.open_things = AsyncExitStack()
        self.stage = Stage()
        self.fine = False  #: nothing has gone wrong, and nothing is going on
        self.hopped = 0.0  #: so many seconds the clocks are behind
        self.writes = 0
        self.checked: object = None
        self.takes: Counter[str] = Counter()  #: claims of each delivery
        self.given_back: Counter[str] = Counter()  #: of these, given back since we had to wait
        self.held_since: dict[str, float] = {}  #: campaigns that are not *sending*
        self.begun: dict[Actor, float] = {}
        self.wrong: list[BaseException] = []

    # --- the scene ---

    @initialize(recipients=st.sampled_from([1, 2, 8]), rate=st.sampled_from(["0", "30"]))
    def begin(self, recipients: int, rate: str) -> None:
        self.planned = recipients
        self.house = House(
            MAX_ATTEMPTS=ATTEMPTS,
            EMAIL_RATE=rate,
            PURESERVICE_RATE=rate,
            TICKET_MESSAGE_VIA="pureservice",
        )
        self.start = self.house.clock.now
        self.queue = ModelQueue()
        self.house.queue = self.house.ticket_queue = self.queue  # type: ignore[assignment]
        self.provider = self.make_provider()
        self.do(self.set_out())

    def make_provider(self) -> Provider:
        made = Mail if self.channel == "email" else Tickets
        return made(self.stage, self.elapsed)

    async def set_out(self) -> None:
        self.open_things.push_async_callback(self.house.helpdesk.close)
        tables: Mapping[str, Table] = self.house.tables
        if self.storage:
            tables = {name: await self._table() for name in tables}
            self.house.ledger = Ledger.on(**tables)
        self.deliveries = tables["deliveries"]
        await self.make_campaign()
        self.house.tables = {  # type: ignore[assignment]
            name: Network(table, self.stage, self.seen) for name, table in tables.items()
        }
        self.hosts = [self.new_host(name) for name in "AB"]

    async def _table(self) -> Table:
        name = f"t{uuid4().hex}"
        client = TableClient.from_connection_string(self.storage, name, **RETRIES)
        await self.open_things.enter_async_context(client)
        await client.create_table()
        return AzureTable(client)

    async def make_campaign(self) -> None:
        """One as it is when it begins to send: nothing has been released."""
        self.number = self.house.open_ticket(status=self.house.settings.STATUS_RUNNING)
        await under_way(
            self.house,
            self.planned,
            number=self.number,
            channel=self.channel,
            ticket_id=self.house.ticket(self.number)["id"],
            solved_status=self.status_id(SOLVED),
        )

    def status_id(self, name: str) -> int:
        ticket = self.house.ticket(self.number)
        kind = ticket["requestTypeId"]
        status = self.house.world.find("status", name=name, requestTypeId=kind)
        assert status
        return int(status["id"])

    def new_host(self, name: str) -> Host:
        return Host(self.house, name, self.stage, self.provider)

    def elapsed(self) -> float:
        """Seconds that have really passed."""
        return (self.house.clock.now - self.start).total_seconds() + self.hopped

    def do(self, what: Coroutine[Any, Any, None]) -> None:
        """Anything that happens. What goes wrong in it ends the example."""
        self.fine = False
        self.loop.run(what)
        for wrong in self.wrong:
            raise wrong
        self.fine = True

    # --- what is seen from outside ---

    def seen(self, partition: str, writes: Sequence[Write]) -> None:
        """A write that has been done: is it a claim, or a campaign that goes or stops?"""
        self.writes += 1
        for write in writes:
            if not isinstance(write, Insert | Merge):
                continue
            kind, _, id_ = write.key.partition(":")
            if kind == "c" and "phase" in write.values:
                self.note_phase(id_, Phase(str(write.values["phase"])))
            elif kind == "o" and "token" in write.values and "attempt" in write.values:
                if write.values["token"]:
                    self.taken(partition, id_)
                else:
                    self.put_back(id_)

    def note_phase(self, campaign: str, phase: Phase) -> None:
        if phase is Phase.SENDING:
            self.held_since.pop(campaign, None)
        else:
            self.held_since.setdefault(campaign, self.elapsed())

    def taken(self, campaign: str, delivery: str) -> None:
        self.takes[delivery] += 1
        actor = self.stage.acting
        if actor is None:
            return
        actor.claim, actor.told_to_wait = (delivery, self.takes[delivery]), False
        held = self.held_since.get(campaign)
        if actor.name == "worker" and held is not None:
            known = held + FRESH_FOR.total_seconds()
            if self.begun[actor] > known:
                self.wrong.append(AssertionError("claimed, though it was known not to be sending"))

    def put_back(self, delivery: str) -> None:
        """Whoever was told to wait, before anybody else has taken it: that costs no attempt."""
        actor = self.stage.acting
        if actor and actor.told_to_wait and actor.claim == (delivery, self.takes[delivery]):
            self.given_back[delivery] += 1

    # --- who is at work ---

    def enters(
        self,
        host: Host,
        name: str,
        work: Callable[[], Coroutine[Any, Any, None]],
        free: bool,
        over: Callable[[Actor], None] = lambda actor: None,
    ) -> Actor:
        def ended(actor: Actor) -> None:
            del self.begun[actor]
            assert actor.task
            error = None if actor.task.cancelled() else actor.task.exception()
            if error and not isinstance(error, UtsendelseError):
                self.wrong.append(error)
            over(actor)

        actor = self.stage.enters(name, host.crew, work, ended, free=free)
        self.begun[actor] = self.elapsed()
        return actor

    def timer(self, host: Host, name: str, free: bool = False) -> Actor:
        return self.enters(host, name, getattr(host.at, name), free)

    def worker(self, host: Host, item: Item, free: bool = False) -> Actor:
        item.hidden, item.dequeued = True, item.dequeued + 1

        def over(actor: Actor) -> None:
            if actor.failed:
                self.queue.give_up(item)
            else:
                self.queue.finish(item)

        async def work() -> None:
            await host.at.deliver(item.text, host.lane.channel)

        return self.enters(host, "worker", work, free, over)

    def poisoner(self, host: Host, item: Item, free: bool = False) -> Actor:
        self.queue.poison.remove(item)

        def over(actor: Actor) -> None:
            if actor.failed:
                self.queue.poison.append(item)

        async def work() -> None:
            await host.at.poison(item.text)

        return self.enters(host, "poison", work, free, over)

    async def run_free(self, host: Host, timer: str) -> None:
        self.timer(host, timer, free=True)
        await self.stage.quiet()

    async def round(self, host: Host, items: int | None = None) -> None:
        """All that a minute brings on this host, with nobody waiting; so many items at most."""
        for item in self.queue.visible[:items]:
            self.worker(host, item, free=True)
            await self.stage.quiet()
        for item in list(self.queue.poison):
            self.poisoner(host, item, free=True)
            await self.stage.quiet()
        for timer in self.timers:
            await self.run_free(host, timer)

    # --- what may happen ---

    @rule(event=happenings(["account"], ["go", "go", "go", "pause", "pause", "cancel"]))
    def next(self, event: Event) -> None:
        """One thing happens; nothing, where that cannot be."""
        self.do(event.happen(self))

    async def go_on(self, actor: Actor, far: int, fate: Fate, answer: Answer) -> None:
        """As far as so many calls, of which the last has this fate.

        Or, for `TO_THE_PROVIDER`, until that has answered, and no further.
        """
        await self.stage.quiet()
        for left in reversed(range(far)):
            waiting = self.stage.of(actor)
            if waiting is None:
                return
            asks = waiting.moment.startswith(self.provider.asked_at)
            becomes = answer if asks else Fate.DONE if left else fate
            note(f"    {actor}: {waiting.moment}: {becomes.name}")
            await self.stage.let_go(waiting, becomes)
            if asks and far == TO_THE_PROVIDER:
                return

    async def pass_time(self, seconds: float) -> None:
        self.house.clock.tick(seconds=seconds)
        self.provider.time_passes()
        await self.stage.quiet()

    def hop(self, by: timedelta) -> None:
        self.hopped -= by.total_seconds()
        self.house.clock.now += by

    async def wish(self, wish: str) -> None:
        """What a person wants is done, as far as it can be."""
        for campaign in await self.house.campaigns(self.number):
            if wanted := _as_wanted(campaign, wish):
                await self.house.ledger.campaigns.save(wanted)
                self.note_phase(wanted.id, wanted.phase)
                self.writes += 1

    # --- what holds ---

    @invariant()
    def all_is_well(self) -> None:
        self.tally.steps += 1
        self.do(self.check())

    async def check(self) -> None:
        """What has changed since it was last looked at."""
        now = self.writes, self.provider.done
        if now != self.checked:
            for campaign in await self.house.campaigns(self.number):
                if _is_fixed(campaign):
                    await self.check_campaign(campaign)
        self.checked = now

    async def check_campaign(self, campaign: Campaign) -> None:
        rows: dict[str, dict[str, Row]] = {"d": {}, "o": {}, "p": {}}
        async for row in self.deliveries.query(campaign.id, "d:", after("p:")):
            kind, _, id_ = row.key.partition(":")
            rows[kind][id_] = row
        accounts = [read_delivery(campaign.id, row) for row in rows["d"].values()]
        assert len(accounts) == campaign.planned == self.planned, "somebody is lost"
        assert rows["p"].keys() == {one.id for one in accounts if one.status in PROBLEMS}
        for one in accounts:
            row = rows["o"].pop(one.id, None)
            self.check_delivery(one, row and read_open(campaign.id, row))
        assert not rows["o"], "open, and nobody's"

    def check_delivery(self, one: Delivery, opened: OpenDelivery | None) -> None:
        assert self.provider.times(one) <= 1, "somebody is written to twice"
        is_open = one.status in {Status.PLANNED, Status.SUBMITTED}
        assert is_open == bool(opened), f"{one.status}, but its o: says otherwise"
        reached = self.provider.reached(one)
        assert reached or one.status is not Status.SENT, "not sent, whatever they say"
        lost = {Status.FAILED, Status.SKIPPED, Status.CANCELLED}
        assert not reached or one.status not in lost, f"sent, and they say {one.status}"
        own = self.takes[one.id] - self.given_back[one.id]
        free = opened and opened.claim is None
        assert not free or opened.attempt <= own, "throttling has cost an attempt"
        assert one.attempts <= own, "throttling has cost an attempt"
        assert one.reason is not Reason.GAVE_UP or own >= ATTEMPTS, "given up too early"

    # --- and in the end ---

    def teardown(self) -> None:
        try:
            if self.fine:
                self.do(self.left_alone())
        finally:
            self.loop.run(self.stage.everybody_off())
            self.loop.run(self.open_things.aclose())
            self.loop.close()
            self.tally.examples += 1
            self.tally.calls += self.stage.calls

    async def left_alone(self) -> None:
        """All that was late arrives, everybody goes on, and all are kind from now on."""
        if self.hopped:
            await ClockHops().happen(self)
        for request in list(self.provider.under_way):
            self.provider.arrives(request)
        await self.stage.everybody_off()
        for arrives in self.stage.astray:
            await arrives()
        for _ in range(_ROUNDS):
            for host in self.hosts:
                await self.pass_time(_BETWEEN)
                await self.round(host)
                self.provider.hurry()
                await self.check()
            if await self.is_over():
                break
            await self.wish("go")
        await self.check_the_end()

    async def is_over(self) -> bool:
        campaigns = await self.house.campaigns(self.number)
        return bool(campaigns) and not any(campaign.active for campaign in campaigns)

    async def check_the_end(self) -> None:
        for campaign in await self.house.campaigns(self.number):
            assert campaign.phase in ENDED, campaign.phase
            if campaign.has_begun:  # or it was withdrawn, and nothing of it will ever leave
                assert not await self.house.ledger.deliveries.any_open(campaign.id)
            if _is_fixed(campaign):
                self.check_reports(campaign)
        assert not await self.house.ledger.campaigns.active()

    def check_reports(self, campaign: Campaign) -> None:
        if not campaign.called_off:
            assert self.house.status(self.number) == SOLVED
        told = self.told()
        assert told[f"[utsendelse {campaign.run}/rapport-{campaign.round}]"] == 1
        assert set(told.values()) == {1}, f"told twice: {told}"
        files = our_files(self.house, self.number)
        assert set(files.values()) == {1}, f"a file twice: {files}"

    def told(self) -> Counter[str]:
        """The names of all that we have written on the ticket."""
        solution = self.house.ticket(self.number).get("solution") or ""
        texts = [*self.house.notes(self.number), solution]
        return Counter(name for text in texts for name in REFERENCE.findall(text))


def _is_fixed(campaign: Campaign) -> bool:
    """Everybody is planned, and has not been forgotten before the first was sent."""
    undone = campaign.phase is Phase.CANCELLED and not campaign.called_off
    return campaign.has_begun and not undone


def _as_wanted(campaign: Campaign, wish: str) -> Campaign | None:
    """The campaign as steering would leave it; None when there is nothing to change."""
    stopped = campaign.phase in {Phase.PAUSED, Phase.BLOCKED}
    if wish == "cancel" and (stopped or campaign.phase is Phase.SENDING):
        return campaign.to(Phase.CANCELLING, called_off=True, stops=campaign.stops + 1)
    if wish == "pause" and campaign.phase is Phase.SENDING:
        return campaign.to(Phase.PAUSED, stops=campaign.stops + 1)
    if wish == "go" and stopped:
        return campaign.to(campaign.blocked_from or Phase.SENDING)
    return None
