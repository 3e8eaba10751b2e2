"""The whole flow in one process: a real Pureservice client on the simulator, storage in memory."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from dev.pureservice import (
    Fault,
    Switches,
    World,
    create_app,
    expected,
    seed_base,
    seed_campaign,
)
from dev.pureservice.behaviour import after_create
from dev.pureservice.seed import (
    AGENT,
    MESSAGE_TYPE,
    add_list,
    add_member,
    add_message,
    add_note,
    add_ticket,
    add_user,
    set_status,
)
from shared.adapters.digipost import Letters
from shared.adapters.pureservice import Pureservice
from shared.adapters.pureservice_users import PureserviceUsers
from shared.adapters.ticket import CALLS, CALLS_FOR_UNKNOWN, TicketChannel
from shared.adapters.typesetter import Typesetter
from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import Delivery, OpenDelivery, Status
from shared.domain.message import Message
from shared.domain.steering import Steering
from shared.domain.window import Window
from shared.flow.account import account
from shared.flow.deliver import deliver
from shared.flow.discover import discover
from shared.flow.enqueue import DeliverItem, Lane, Pace
from shared.flow.frozen import Messages
from shared.flow.poison import poison
from shared.flow.watch import Watch
from shared.flow.wording import log_entry
from shared.ledger import TABLES, Ledger
from shared.ledger.channels import Channels
from shared.ports import Archived, Herald, Note, Promise, Receipt
from tests.examples import settings
from tests.fakes import Clock, MemoryFiles, MemoryQueue, MemoryTable

TYPESETTER = Typesetter()


@dataclass
class RecordingChannel:
    """A channel that keeps what it is given, and answers as `answer` says."""

    sent: list[OpenDelivery] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    answer: Callable[[OpenDelivery], Receipt] = lambda d: Receipt(f"<{d.id}@example.no>", "250 OK")
    name: str = "email"
    gates: tuple[str, ...] = ("email",)
    promise: Promise = Promise.NEITHER
    time_limit: timedelta = timedelta(seconds=60)
    first_check: timedelta = timedelta(minutes=2)
    longest_wait: timedelta = timedelta(hours=1)
    limit: int = 20 * 1024 * 1024
    tried_out: list[tuple[str, Message]] = field(default_factory=list)

    async def begins(self, delivery: OpenDelivery) -> str:
        return delivery.note

    async def largest(self) -> int:
        return self.limit

    async def try_out(self, message: Message, address: str) -> None:
        self.tried_out.append((address, message))

    async def send(self, delivery: OpenDelivery, message: Message, note: Note) -> Receipt:
        receipt = self.answer(delivery)
        self.sent.append(delivery)
        self.messages.append(message)
        return receipt

    async def archive(self, campaign_id: str, message: Message) -> Archived:
        return Archived(".eml", "message/rfc822", message.text.encode())

    @property
    def addresses(self) -> Counter[str]:
        return Counter(delivery.recipient.address.lower() for delivery in self.sent)


class House:
    """Everything the triggers would have, on one clock that only moves when told.

    A house `beside` another is a second installation on the same helpdesk, with its own storage.
    """

    def __init__(self, *, beside: "House | None" = None, **changes: Any) -> None:
        self.clock = beside.clock if beside else Clock(datetime(2026, 11, 23, 8, 0, tzinfo=UTC))
        self.settings = settings(**{"EMAIL_RATE": "0", "PURESERVICE_RATE": "0", **changes})
        if beside:
            self.world, self.simulator = beside.world, beside.simulator
        else:
            self.world = World(now=self.clock, switches=Switches(calls_per_minute=0))
            seed_base(self.world)
            self.simulator = create_app(self.world)
        self.helpdesk = Pureservice(
            self.settings,
            clock=self.clock,
            transport=httpx.ASGITransport(self.simulator),
            sleep=self._sleep,
        )
        self.tables = {name: MemoryTable() for name in TABLES}
        self.ledger = Ledger.on(**self.tables)
        self.files = MemoryFiles()
        self.messages = Messages(self.files)
        self.queue = MemoryQueue()
        self.channel = RecordingChannel(limit=self.settings.MAIL_MAX_MEGABYTES * 1024 * 1024)
        email = Pace(
            "email",
            self.settings.EMAIL_RATE,
            window=Window.of(self.settings.EMAIL_WINDOW),
            per_day=self.settings.EMAIL_DAILY_QUOTA,
        )
        self.lane = Lane(self.channel, self.queue, (email,))
        self.ticket_queue = MemoryQueue()
        self.open_tickets()
        self.watch = Watch(self.ledger, self.windows)
        self.steered = True
        self.heralds: list[Herald] = []

    def open_tickets(self) -> None:
        """The real channel of tickets, on the simulator; what it mails is recorded."""
        wire, rate = self.helpdesk.wire, self.settings.PURESERVICE_RATE
        users = PureserviceUsers(self.settings, wire, self.ledger.users, self.clock)
        self.tickets = TicketChannel(
            self.settings, wire, users, self.files, mail=self.channel, log_entry=log_entry
        )
        paces: tuple[Pace, ...] = (
            Pace(
                "ticket",
                rate,
                CALLS,
                CALLS_FOR_UNKNOWN,
                Window.of(self.settings.TICKET_WINDOW),
                self.settings.TICKET_DAILY_QUOTA,
            ),
        )
        if "email" in self.tickets.gates:
            paces += self.lane.paces
        self.ticket_lane = Lane(self.tickets, self.ticket_queue, paces)

    @property
    def lanes(self) -> dict[str, Lane]:
        """Letters have a lane where they are sent; it has no queue, and jobs are not moved here."""
        lanes = {"email": self.lane, "ticket": self.ticket_lane}
        if self.settings.DIGIPOST_CAMPAIGN_USER:
            letters = Letters(self.settings, TYPESETTER, self.channel, self.files)  # type: ignore[arg-type]
            pace = Pace("digipost", 0, window=Window.of(self.settings.DIGIPOST_WINDOW))
            patience = timedelta(hours=self.settings.DIGIPOST_RESULT_HOURS)
            lanes["digipost"] = Lane(letters, None, (pace,), patience=patience)
        return lanes

    @property
    def windows(self) -> dict[str, Window]:
        paces = [pace for lane in self.lanes.values() for pace in lane.paces]
        return {pace.channel: pace.window for pace in paces}

    async def _sleep(self, seconds: float) -> None:
        self.clock.tick(seconds=seconds)

    # --- what a case worker does ---

    def seed(self, recipients: int = 5, **options: Any) -> int:
        """A campaign ticket; its request number."""
        return seed_campaign(self.world, recipients=recipients, **options)

    def ticket(self, number: int) -> dict[str, Any]:
        found = self.world.find("ticket", requestNumber=number)
        assert found
        return found

    def status(self, number: int) -> str:
        return self.world.get("status", self.ticket(number)["statusId"])["name"]

    def set_status(self, number: int, name: str) -> None:
        set_status(self.world, self.ticket(number), name)

    def write(self, number: int, text: str, **options: Any) -> None:
        add_message(self.world, self.ticket(number), text, **options)

    def make_list(self, name: str, *addresses: str | None, deleted: bool = False) -> dict[str, Any]:
        """A recipient list of users with these addresses; None is a user without any."""
        members = add_list(self.world, name, name.upper(), is_deleted=deleted)
        for address in addresses:
            person = {"firstName": "Åse", "lastName": f"Nr. {self.world.count('user')}"}
            user = add_user(self.world, person, [address] if address else [])
            add_member(self.world, members, "user", user)
        return members

    def campaign_user(self, channel: str) -> int:
        """The made-up user who stands for this channel."""
        users = {channel: user for user, channel in self.settings.campaign_users.items()}
        address = self.world.find("emailaddress", email=users[channel])
        assert address
        return int(address["userId"])

    def open_ticket(
        self,
        *lists: dict[str, Any],
        message: str = "",
        status: str = "",
        channel: str = "email",
        **options: Any,
    ) -> int:
        """A ticket to the made-up user as a case worker makes it; its request number."""
        user_id = self.campaign_user(channel)
        options = {"user_id": user_id, "subject": "Høring om ny veileder", **options}
        ticket = add_ticket(self.world, **options)
        after_create(self.world, "ticket", ticket, by=AGENT)
        number = int(ticket["requestNumber"])
        for one in lists:
            self.link(number, one)
        if message:
            self.write(number, message, custom_type=MESSAGE_TYPE)
        if status:
            self.set_status(number, status)
        return number

    def link(self, number: int, members: dict[str, Any]) -> None:
        add_member(self.world, members, "ticket", self.ticket(number))

    def mails(self, number: int) -> list[dict[str, Any]]:
        """What Pureservice itself has sent, or tried to."""
        return list(self.world.where("email", "ticketId", self.ticket(number)["id"]))

    def copies(self, number: int) -> list[dict[str, Any]]:
        """The tickets that recipients have got from this one, by their keys."""
        beginning = f"{number}-"
        keys = {t["id"]: t.get("customerReference") or "" for t in self.world.all("ticket")}
        ours = sorted((key, id_) for id_, key in keys.items() if key.startswith(beginning))
        return [self.world.get("ticket", id_) or {} for _, id_ in ours]

    def on(self, ticket: dict[str, Any], kind: str) -> list[dict[str, Any]]:
        """What there is of this kind on the ticket."""
        return list(self.world.where(kind, "ticketId", ticket["id"]))

    def messages_on(self, ticket: dict[str, Any]) -> list[dict[str, Any]]:
        """The ordinary messages that have been written from it."""
        written = self.on(ticket, "communication")
        return [row for row in written if (row["type"], row["direction"]) == (2, 2)]

    def trouble(self, kind: Any, **fault: Any) -> None:
        self.simulator.traffic.faults.append(Fault(kind=kind, **fault))

    def note(self, number: int, html: str) -> None:
        """An internal note by a case worker."""
        add_note(self.world, self.ticket(number), html)

    def notes(self, number: int) -> list[str]:
        rows = self.world.where("communication", "ticketId", self.ticket(number)["id"])
        return [row["text"] for row in rows if row["type"] == 1]

    def files_on(self, number: int) -> dict[str, dict[str, Any]]:
        rows = self.world.where("attachment", "ticketId", self.ticket(number)["id"])
        return {row["fileName"]: row for row in rows}

    def expected(self, number: int) -> dict[str, Any]:
        return expected(self.world, number)

    # --- what the triggers do ---

    async def discover(self) -> None:
        await discover(
            helpdesk=self.helpdesk,
            ledger=self.ledger,
            files=self.files,
            lanes=self.lanes,
            settings=self.settings,
            clock=self.clock,
        )

    async def account(self) -> None:
        """As if the statuses had been read lately, unless a test says otherwise."""
        if self.steered:
            await Channels(self.tables["channels"]).steered(Steering(self.clock()))
        await account(
            self.lanes,
            ledger=self.ledger,
            helpdesk=self.helpdesk,
            messages=self.messages,
            settings=self.settings,
            clock=self.clock,
            heralds=self.heralds,
        )

    async def deliver(self, item: str, channel: Any = None) -> None:
        await deliver(
            DeliverItem.model_validate_json(item),
            channel=channel or self.channel,
            ledger=self.ledger,
            messages=self.messages,
            watch=self.watch,
            settings=self.settings,
            clock=self.clock,
        )

    async def deliver_all(self) -> None:
        for lane in self.lanes.values():
            for item in lane.queue.take() if lane.queue else ():
                await self.deliver(item, lane.channel)

    async def poison(self, item: str) -> None:
        await poison(item, ledger=self.ledger, clock=self.clock)

    async def minute(self) -> None:
        """One round of everything, a minute later."""
        self.clock.tick(minutes=1)
        await self.discover()
        await self.deliver_all()
        await self.account()

    async def run(self, minutes: int = 10) -> None:
        for _ in range(minutes):
            await self.minute()

    async def until_done(self, number: int, minutes: int = 90) -> Campaign:
        """The campaign when it is over, which it must be within so many minutes."""
        for _ in range(minutes):
            await self.minute()
            over = [one for one in await self.campaigns(number) if one.phase is Phase.DONE]
            if over:
                return over[-1]
        raise AssertionError([one.phase for one in await self.campaigns(number)])

    # --- what the ledger says ---

    async def campaigns(self, number: int) -> list[Campaign]:
        return await self.ledger.campaigns.on_ticket(number)

    async def campaign(self, number: int) -> Campaign:
        [campaign] = await self.campaigns(number)
        return campaign

    async def deliveries(self, campaign: Campaign) -> list[Delivery]:
        return [delivery async for delivery in self.ledger.deliveries.all(campaign.id)]

    async def statuses(self, campaign: Campaign) -> Counter[Status]:
        return Counter(delivery.status for delivery in await self.deliveries(campaign))


@pytest.fixture
async def make_house() -> AsyncIterator[Callable[..., House]]:
    houses = []

    def make(**changes: Any) -> House:
        houses.append(House(**changes))
        return houses[-1]

    yield make
    for house in houses:
        await house.helpdesk.close()


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house()
