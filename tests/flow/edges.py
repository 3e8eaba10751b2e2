"""Hosts whose every call to the outside can be met, and campaigns already under way on them."""

import copy
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import Delivery, delivery_id
from shared.domain.message import Message, Sender
from shared.domain.recipient import LeftOut, Recipient
from shared.flow.audience import Audience
from shared.flow.enqueue import DeliverItem, Lane
from shared.flow.frozen import Messages, store_message
from shared.flow.watch import Watch
from shared.ledger import Ledger

if TYPE_CHECKING:
    from tests.flow.conftest import House

#: Told of every call, as `before deliveries.write` and `after deliveries.write`. It may raise.
Meet = Callable[[str], Awaitable[None]]


class Stop(BaseException):
    """The process ends here: nothing of ours catches this, as nothing catches a power cut."""


class Edge:
    """A port as it is, except that every call over it is met before and after it is done."""

    def __init__(self, name: str, port: Any, meet: Meet) -> None:
        self._name = name
        self._port = port
        self._meet = meet

    def __getattr__(self, attribute: str) -> Any:
        call = getattr(self._port, attribute)
        if attribute == "wire":
            return Edge("wire", call, self._meet)
        what = f"{self._name}.{attribute}"
        if inspect.isasyncgenfunction(call):

            async def rows(*args: Any, **options: Any) -> AsyncIterator[Any]:
                await self._meet(f"before {what}")
                async for row in call(*args, **options):
                    yield row

            return rows
        if inspect.iscoroutinefunction(call):

            async def answer(*args: Any, **options: Any) -> Any:
                await self._meet(f"before {what}")
                result = await call(*args, **options)
                await self._meet(f"after {what}")
                return result

            return answer
        return call


class Moments:
    """Counts every moment, and lets `then` happen at number `at`, once."""

    def __init__(self, at: int | None = None, then: Callable[[], Awaitable[None]] | None = None):
        self.at = at
        self.then = then
        self.passed: list[str] = []

    async def __call__(self, moment: str) -> None:
        self.passed.append(moment)
        if len(self.passed) - 1 == self.at and self.then:
            await self.then()


async def stop() -> None:
    raise Stop


def another(house: "House", meet: Meet, **changes: Any) -> "House":
    """A host beside this one or after it: the same clock, helpdesk, storage, queue and channel.

    It has kept nothing in memory but what the helpdesk's client has, and every call is met.
    """
    host = copy.copy(house)
    host.settings = house.settings.model_copy(update=changes)
    host.helpdesk = Edge("helpdesk", house.helpdesk, meet)  # type: ignore[assignment]
    host.ledger = Ledger.on(
        **{name: Edge(name, table, meet) for name, table in house.tables.items()}
    )
    host.files = Edge("files", house.files, meet)  # type: ignore[assignment]
    host.messages = Messages(host.files)
    host.channel = Edge("channel", house.channel, meet)  # type: ignore[assignment]
    paces = tuple(replace(p, per_minute=host.settings.EMAIL_RATE) for p in house.lane.paces)
    host.lane = Lane(host.channel, Edge("queue", house.queue, meet), paces)
    host.ticket_queue = Edge("queue", house.ticket_queue, meet)  # type: ignore[assignment]
    host.open_tickets()
    host.watch = Watch(host.ledger, host.windows)
    return host


MESSAGE = Message("Høring", "<p>Hei</p>", "Hei", Sender("ikke-svar@example.org"))


async def under_way(
    house: "House",
    recipients: int = 1,
    *,
    number: int = 20417,
    phase: Phase = Phase.SENDING,
    left_out: tuple[LeftOut, ...] = (),
    channel: str = "email",
    unknown: int = 0,
    **changes: Any,
) -> Campaign:
    """A campaign as `start` leaves it, with no ticket behind it; nothing is released.

    So many of its recipients are companies with no user in the helpdesk that we know of.
    """
    campaign = Campaign(
        id=f"{number}-1",
        ticket_id=number,
        request_number=number,
        channel=channel,
        found_at=house.clock(),
        nonce="ab12cd34",
        phase=phase,
        starts_at=house.clock(),
        planned=recipients,
        unknown=unknown,
        left_out=len(left_out),
    )

    def recipient(n: int) -> Recipient:
        kind, user = ("company", 0) if n < unknown else ("user", n + 1)
        return Recipient(f"{kind}:{n}", f"Åse Nr. {n}", f"{n}@example.no", user)

    deliveries = [
        Delivery(
            id=delivery_id(campaign.id, f"{n}@example.no"),
            campaign=campaign.id,
            recipient=recipient(n),
            channel=channel,
        )
        for n in range(recipients)
    ]
    await store_message(campaign.id, MESSAGE, house.files)
    await house.ledger.deliveries.plan(campaign.id, deliveries, left_out)
    stored = await house.ledger.campaigns.create(replace(campaign, **changes))
    assert stored
    return stored


def everybody_of(house: "House") -> Audience:
    """An audience that nobody is barred from but by the settings."""
    return Audience(house.settings.allowed, house.settings.campaign_users, (), None)


def item_for(delivery: Delivery) -> str:
    """Its item on the queue."""
    return DeliverItem(campaign=delivery.campaign, delivery=delivery.id).model_dump_json()


def our_files(house: "House", number: int) -> Counter[str]:
    """What the report has attached to the ticket, and how many of each."""
    attached = house.world.where("attachment", "ticketId", house.ticket(number)["id"])
    names = Counter(row["fileName"] for row in attached)
    return Counter({n: k for n, k in names.items() if n.startswith(("mottakere-", "melding-"))})
