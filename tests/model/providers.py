"""Providers that do as they are told, and remember what has really reached whom."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

from shared.adapters.pureservice import FAILED
from shared.adapters.ticket import TicketChannel
from shared.domain.delivery import Delivery, OpenDelivery, Outcome, Reason, Status
from shared.domain.message import Message
from shared.domain.recipient import Recipient
from shared.domain.recipient_ticket import RecipientTicket
from shared.errors import UncertainError
from shared.ports import Archived, Note, Promise, Receipt
from tests.flow.conftest import House
from tests.model.stage import THROTTLES, Answer, Fate, Stage


@dataclass(eq=False)
class Request:
    """Something that went out on the network, and may arrive yet."""

    arrive: Callable[[], None]
    until: float  #: it never arrives later than this


@dataclass(eq=False)
class Send:
    until: float
    work: "asyncio.Task[Receipt]"
    given_up: bool = False


@dataclass(eq=False)
class Provider:
    """The outside of both channels: what was asked of it, what is under way, whom it reached.

    `elapsed` is the time that has really passed, in seconds, whatever the clocks say.
    """

    stage: Stage
    elapsed: Callable[[], float]
    mood: Answer = Answer.ACCEPTS  #: what those hear who wait for nobody
    sends: list[Send] = field(default_factory=list)
    under_way: list[Request] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)  #: what was done, by kind

    name = ""
    gates: tuple[str, ...] = ()
    promise = Promise.NEITHER
    time_limit = timedelta(seconds=60)
    first_check, longest_wait = timedelta(minutes=2), timedelta(hours=1)
    #: A request that nobody waits for any more may arrive so many seconds after its send began.
    latest = float("inf")

    @property
    def done(self) -> int:
        """Changes whenever something has been done."""
        return self.effects.total()

    @property
    def asked_at(self) -> str:
        """What the moments begin with at which it is asked for something."""
        return f"before {self.name}."

    def on(self, house: House) -> "Provider":
        """The channel as this host has it."""
        return self

    # --- the channel ---

    async def begins(self, delivery: OpenDelivery) -> str:
        return delivery.note

    async def largest(self) -> int:
        return 20 * 1024 * 1024

    async def try_out(self, message: Message, address: str) -> None:
        """Nobody counts those."""

    async def send(self, delivery: OpenDelivery, message: Message, note: Note) -> Receipt:
        """Ends in an answer or at the time limit, wherever it is then."""
        began = self.elapsed()
        work = asyncio.ensure_future(self._send(delivery, message, note, began))
        send = Send(began + self.time_limit.total_seconds(), work)
        self.sends.append(send)
        try:
            return await work
        except asyncio.CancelledError:
            if send.given_up:
                raise UncertainError("no end to it") from None
            work.cancel()
            raise
        finally:
            self.sends.remove(send)

    async def _send(
        self, delivery: OpenDelivery, message: Message, note: Note, began: float
    ) -> Receipt:
        raise NotImplementedError

    async def archive(self, campaign_id: str, message: Message) -> Archived:
        return Archived(".eml", "message/rfc822", message.text.encode())

    async def asks(self, what: str, arrive: Callable[[], None], began: float) -> None:
        """One request and its answer. Who is cut off has sent it, and it may arrive yet."""

        def arrives() -> None:
            self.effects[what] += 1
            arrive()

        request = Request(arrives, began + self.latest)
        try:
            answer = await self.answer(what)
        except asyncio.CancelledError:
            self.under_way.append(request)
            raise
        if answer.done:
            arrives()
        if answer is Answer.LATE:
            self.under_way.append(request)
        answer.heard()
        await self.stage.wait(f"after {self.name}.{what}")

    async def answer(self, what: str) -> Answer:
        answer = await self.stage.wait(f"before {self.name}.{what}")
        answer = self.mood if isinstance(answer, Fate) else answer
        actor = self.stage.acting
        if actor and answer in THROTTLES:
            actor.told_to_wait = True
        return answer

    # --- what happens outside ---

    def time_passes(self) -> None:
        """Sends that took too long are given up; what is too old on the network is no more."""
        now = self.elapsed()
        for send in self.sends:
            if send.until <= now and not send.given_up:
                send.given_up = True
                send.work.cancel()
        self.under_way = [request for request in self.under_way if request.until > now]

    def arrives(self, request: Request) -> None:
        self.under_way.remove(request)
        request.arrive()

    def hurry(self) -> None:
        """What the provider would do some time is done now."""

    # --- what has become of it ---

    def times(self, one: Delivery) -> int:
        """How often this recipient got it, over all campaigns of the ticket."""
        raise NotImplementedError

    def reached(self, one: Delivery) -> bool:
        raise NotImplementedError


@dataclass(eq=False)
class Mail(Provider):
    """A mail server: nobody can ask it afterwards."""

    mails: Counter[str] = field(default_factory=Counter)

    name = "email"
    gates = ("email",)

    async def _send(
        self, delivery: OpenDelivery, message: Message, note: Note, began: float
    ) -> Receipt:
        def arrive() -> None:
            self.mails[delivery.recipient.address] += 1

        await self.asks("mail", arrive, began)
        return Receipt(f"<{delivery.id}@example.no>", "250 OK")

    def times(self, one: Delivery) -> int:
        return self.mails[one.recipient.address]

    def reached(self, one: Delivery) -> bool:
        return self.times(one) > 0


@dataclass(eq=False)
class Made:
    """A ticket that a recipient has got."""

    ticket: RecipientTicket
    messages: int = 0
    mailed: bool | None = None  #: None: not yet


@dataclass(eq=False)
class Tickets(Provider):
    """A helpdesk that makes a ticket, posts a message on it, and mails that when it pleases.

    It can be asked, but cannot be relied on to refuse a second ticket of the same key. So a
    request that nobody waits for must have arrived, or be lost, before it is asked: lease and
    grace are for that, and none arrives later here.
    """

    made: dict[str, list[Made]] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    name = "ticket"
    gates = ("ticket",)
    promise = Promise.CAN_BE_ASKED
    latest = 100.0

    async def _send(
        self, delivery: OpenDelivery, message: Message, note: Note, began: float
    ) -> Receipt:
        of_this = self.made.setdefault(delivery.id, [])
        if delivery.note:
            made = self._made(delivery)
        else:
            number = next(self._numbers)
            made = Made(RecipientTicket(number, 1000 + number))
            await self.asks("create", lambda: of_this.append(made), began)
            await note(str(made.ticket))

        def post() -> None:
            made.messages += 1

        await self.asks("post", post, began)
        return Receipt(str(made.ticket), final=False)

    def _made(self, delivery: OpenDelivery) -> Made:
        [noted] = [one for one in self.made[delivery.id] if str(one.ticket) == delivery.note]
        return noted

    async def find(self, delivery: OpenDelivery) -> Receipt | str:
        await self._wanted("find")
        there = self.made.get(delivery.id)
        made = there and (self._made(delivery) if delivery.note else there[0])
        found = str(made.ticket) if made else ""
        posted = bool(made and made.messages)
        await self.stage.wait("after ticket.find")
        return Receipt(found, final=False) if posted else found

    async def check(self, submitted: Sequence[OpenDelivery]) -> Mapping[str, Outcome]:
        await self._wanted("check")
        outcomes = {one.id: self._outcome(self._made(one)) for one in submitted}
        await self.stage.wait("after ticket.check")
        return outcomes

    def _outcome(self, made: Made) -> Outcome:
        if made.mailed is None:
            return Outcome(Status.SUBMITTED, Reason.NOT_MAILED)
        if made.mailed:
            return Outcome(Status.SENT)
        return Outcome(Status.FAILED, Reason.MAIL_FAILED)

    async def _wanted(self, what: str) -> None:
        """A look is answered, or it is not; there is nothing to be in doubt of."""
        answer = (await self.answer(what)).to_a_look
        (Answer.DOWN if answer is Answer.REFUSES else answer).heard()

    @property
    def to_mail(self) -> list[Made]:
        every = [made for of_one in self.made.values() for made in of_one]
        return [made for made in every if made.messages and made.mailed is None]

    def hurry(self) -> None:
        for made in self.to_mail:
            made.mailed = True

    def times(self, one: Delivery) -> int:
        made = self.made.get(one.id, [])
        return max(len(made), sum(one.messages for one in made))

    def reached(self, one: Delivery) -> bool:
        return any(one.mailed for one in self.made.get(one.id, []))


@dataclass(eq=False)
class Pureservice(Provider):
    """The real channel of tickets, on the simulator; each of its calls is asked for."""

    channel: TicketChannel | None = None
    house: House | None = None

    name = "ticket"
    gates = ("ticket",)
    promise = Promise.CAN_BE_ASKED
    asked_at = "before wire."
    latest = Tickets.latest

    @property
    def done(self) -> int:
        assert self.house
        return self.house.world.version

    def on(self, house: House) -> Provider:
        mine = copy(self)  # the lists are the same for all
        mine.channel = house.tickets
        return mine

    async def _send(
        self, delivery: OpenDelivery, message: Message, note: Note, began: float
    ) -> Receipt:
        assert self.channel
        return await self.channel.send(delivery, message, note)

    async def find(self, delivery: OpenDelivery) -> Receipt | str:
        assert self.channel
        return await self.channel.find(delivery)

    async def check(self, submitted: Sequence[OpenDelivery]) -> Mapping[str, Outcome]:
        assert self.channel
        return await self.channel.check(submitted)

    async def resume(
        self, again: Sequence[tuple[Delivery, Recipient]]
    ) -> Mapping[str, Receipt | str]:
        assert self.channel
        return await self.channel.resume(again)

    def times(self, one: Delivery) -> int:
        made = self._made(one)
        assert self.house
        return max(len(made), sum(len(self.house.messages_on(ticket)) for ticket in made))

    def reached(self, one: Delivery) -> bool:
        assert self.house
        mails = [mail for ticket in self._made(one) for mail in self.house.on(ticket, "email")]
        return any(mail["status"] != FAILED for mail in mails)  # or about to be sent

    def _made(self, one: Delivery) -> list[dict[str, Any]]:
        """Over all campaigns and rounds: nobody has a ticket here for another reason."""
        assert self.house
        return list(self.house.world.where("ticket", "userId", one.recipient.user))
