"""What is outside of the app, and stays when it is gone: storage, the helpdesk, mails and time.

And the host, which calls the app's triggers in rounds: one process after another, each with nothing
in memory, on the same storage.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any, Protocol, Self

import httpx
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import AioHttpTransport
from azure.functions import QueueMessage
from pydantic import SecretStr

from dev.host.app import Function
from shared.bootstrap import Services, bootstrap
from shared.domain.bounce import Report
from shared.errors import UtsendelseError
from tests.flow.conftest import House
from tests.injection.digipost import Area, Gate, Office
from tests.injection.loop import Loop
from tests.injection.memory_storage import Waiting
from tests.injection.moments import Course, Line, Stop, Trouble
from tests.injection.transports import (
    HelpdeskTransport,
    Inbox,
    Mailbox,
    MailGate,
    StorageSession,
)

#: What a function may raise that is not a bug of ours.
OUTAGE = (UtsendelseError, AzureError)
#: What becomes of a message whose function failed, or whose host is gone: `host.json`, and Azure.
FAILED_AGAIN, GONE_AGAIN = timedelta(seconds=30), timedelta(minutes=10)
MOST_DEQUEUES = 5
#: Timers that are not called each round: once a day, and when people want it to be Sunday.
DAILY, WEEKLY = {"forget"}, {"register"}


@dataclass(frozen=True)
class App:
    """The app as Azure would import it. Each process puts its own services there."""

    functions: Sequence[Function]
    module: ModuleType


@dataclass(frozen=True)
class Accident:
    """What happens once, at the first moment whose words begin so: what people do, and trouble."""

    at: str
    trouble: Trouble | None = None
    people: "Callable[[Town, int], object] | None" = None


class Storage(Protocol):
    """A storage account, empty at first."""

    connection_string: str

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def request(self, method: str, url: str, **options: Any) -> Any: ...

    async def take(self, queue: str) -> list[Waiting]: ...


@dataclass
class Town:
    app: App
    house: House  #: the helpdesk, with what people do there; its clock is everybody's
    storage: Storage
    course: Course
    mailbox: Mailbox = field(default_factory=Mailbox)
    came_back: list[Report] = field(default_factory=list)  #: reports of mails that were lost
    area: Area = field(default_factory=Area)  #: where letters are left
    messages: defaultdict[str, list[Waiting]] = field(default_factory=lambda: defaultdict(list))
    start_anew: bool = False  #: the app has been set up anew
    giving_up: int = 0  #: so many items go to the poison queue before one is served
    accidents: deque[Accident] = field(default_factory=deque)  #: to happen one after another
    pocket: dict[str, Any] = field(default_factory=dict)  #: what people keep in mind
    rounds: int = 0
    ended: int = 0  #: so many processes have
    _called: dict[str, datetime] = field(default_factory=dict)  #: when a timer was, to its end
    _process: AsyncExitStack | None = None

    def __post_init__(self) -> None:
        self.office = Office(self.area)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        loop.on_jump = lambda seconds: self.house.clock.tick(seconds=seconds)
        self._loop = loop
        self._line = Line(self.course)
        self.eyes = self._services(Line(Course()))  #: how it stands in storage
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()
        await self.eyes.helpdesk.close()

    # --- processes ---

    def _services(self, line: Line, mail_port: int = 1) -> Services:
        """New ones, which have nothing in memory."""
        house, account = self.house, self.storage
        changes = {
            "SMTP_PORT": mail_port,
            "AzureWebJobsStorage": SecretStr(account.connection_string),
        }
        session = StorageSession(account, line)
        return bootstrap(
            house.settings.model_copy(update=changes),
            clock=house.clock,
            storage_transport=AioHttpTransport(session=session, session_owner=False),
            helpdesk_transport=HelpdeskTransport(httpx.ASGITransport(house.simulator), line),
        )

    async def _start(self) -> None:
        gate = MailGate(self.mailbox, self._line)
        services = self._services(self._line, self._loop.listen(gate.connect))
        services = replace(
            services,
            inbox=Inbox(self.came_back, self._line),
            digipost=Gate(self.area, self._line),
        )
        self.app.module.services = services  # type: ignore[attr-defined]
        self._process = AsyncExitStack()
        self._process.push_async_callback(services.helpdesk.close)
        self._process.callback(gate.close)

    async def _end(self) -> None:
        if self._process:
            await self._process.aclose()
        self._process = None

    async def call(self, name: str, argument: object = None) -> Any:
        """What the function answers the host. Raises Stop when the process ended, and whatever
        the function raises."""
        if self.start_anew:
            await self._end()
            self.start_anew = False
        if not self._process:
            await self._start()
        [function] = [one for one in self.app.functions if one.name == name]
        self._line.task = asyncio.create_task(function.call(argument))
        try:
            return await self._line.task
        except (Stop, asyncio.CancelledError):
            assert self._line.stopped
            self.ended += 1
            await self._end()
            self._line = Line(self.course)
            raise Stop from None

    # --- the host ---

    async def round(self) -> None:
        """Every timer once, and every message that is visible. What raises is called again later.

        What is neither an outage nor foreseen is a bug, and ends the test.
        """
        self.rounds += 1
        for function in self.app.functions:
            if function.kind == "timerTrigger" and self._is_due(function.name):
                with suppress(Stop, *OUTAGE):
                    await self.call(function.name)
                    self._called[function.name] = self.house.clock()
            elif function.kind == "queueTrigger":
                await self._serve(function.name, function.trigger["queueName"])
            if self.office.begins():
                await self._tell_who_is_who()
                self.office.a_round()

    def _is_due(self, timer: str) -> bool:
        day_ago = self.house.clock() - timedelta(days=1)
        today = timer in DAILY and self._called.get(timer, day_ago) > day_ago
        return timer not in WEEKLY and not today

    async def _tell_who_is_who(self) -> None:
        """Digipost knows people; it is asked about deliveries, and about members."""
        stands, world = self.office.stands, self.house.world
        for row in world.all("emailaddress"):
            self.office.people[f"user:{row.get('userId')}"] = stands.get(row["email"], "user")
        for campaign in await self.eyes.ledger.campaigns.active():
            async for one in self.eyes.ledger.deliveries.all(campaign.id):
                self.office.people[one.id] = stands.get(one.recipient.address, "user")

    async def _serve(self, function: str, queue: str) -> None:
        now = self.house.clock()
        waiting = self.messages[queue]
        waiting += await self.storage.take(queue)
        for message in [one for one in waiting if one.visible <= now]:
            waiting.remove(message)
            message.dequeued += 1
            if self.giving_up and not queue.endswith("-poison"):
                self.giving_up -= 1
                self._give_up(queue, message)
                continue
            try:
                await self.call(function, QueueMessage(body=message.text.encode()))
                continue
            except OUTAGE:
                message.visible = now + FAILED_AGAIN
            except Stop:
                message.visible = now + GONE_AGAIN
            if message.dequeued >= MOST_DEQUEUES and not queue.endswith("-poison"):
                self._give_up(queue, message)
            else:
                waiting.append(message)

    def _give_up(self, queue: str, message: Waiting) -> None:
        """To the poison queue with it, as when its function has failed too often."""
        self.messages[f"{queue}-poison"].append(Waiting(message.text, self.house.clock()))
