"""What a campaign of tickets costs in calls to Pureservice, which is what decides its speed.

The real app goes through it minute by minute, at the pace it has in production: discover and
account once each, then the tickets of that minute. Only the minutes are made up.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Literal

from dev.bench.app import App, app_in_process, calls_so_far, now, without_timers
from dev.playground import Playground
from dev.pureservice.seed import FROM_CAMPAIGN, MESSAGE_TYPE, PLACEHOLDERS
from dev.seed import seed
from shared.bootstrap import Services
from shared.domain.campaign import Phase
from shared.domain.recipient import Member, MemberKind

Via = Literal["pureservice", "email"]

#: As in production, where the playground is quick; and tickets are related to the campaign's.
_SETTINGS = {
    "PURESERVICE_RATE": "60",
    "EMAIL_RATE": "30",
    "TICKET_CHECK_SECONDS": "120",
    "TICKET_RELATION": FROM_CAMPAIGN,
}
_GO = "Utsending – klar"
_MINUTE = timedelta(minutes=1)
_COMPANY_EVERY = 6  #: so many of the seed's ordinary members are one company and users
_AT_ONCE = 50
_LONGEST = 600  # minutes; a campaign that takes longer here will never end


@dataclass(frozen=True, slots=True)
class TicketCalls:
    """Calls for one campaign, from the ticket to the report on it; some of them by deliveries."""

    recipients: int
    total: int
    delivering: int
    minutes: int

    @property
    def each(self) -> float:
        return self.total / self.recipients

    def further(self, smaller: "TicketCalls") -> float:
        """What each recipient more has cost."""
        return (self.total - smaller.total) / (self.recipients - smaller.recipients)


def ticket_calls(
    sizes: Sequence[int],
    *,
    via: Via = "pureservice",
    files: bool = True,
    kind: MemberKind = MemberKind.USER,
    again: bool = False,
) -> list[TicketCalls]:
    """The calls of a campaign of each size, all its recipients of this kind and new to us.

    `again`: each is followed by another one to the same recipients, and it is that one that counts.
    """
    with without_timers(**_SETTINGS, TICKET_MESSAGE_VIA=via) as playground:
        return asyncio.run(_measure(playground, sizes, files, kind, again))


async def _measure(
    playground: Playground, sizes: Sequence[int], files: bool, kind: MemberKind, again: bool
) -> list[TicketCalls]:
    members = _members(playground, sum(sizes), kind)
    time, queue = _Time(now()), _Queue()
    measured = []
    for size in sizes:
        some = list(islice(members, size))
        for _ in range(1 + again):
            async with app_in_process(
                playground, clock=time.now, change=lambda services: _with_queue(services, queue)
            ) as app:
                number = await _start(app, some, files)
                calls = await _count(app, time, queue, size)
                made = len(playground.sim("GET", f"copies/{number}"))
                if made != size:
                    raise RuntimeError(f"{made} of {size} tickets were made")
        measured.append(calls)
    return measured


# --- who and what ---


def _members(playground: Playground, count: int, kind: MemberKind) -> Iterator[Member]:
    """As many as that on the lists of a draft, which is never sent."""
    users = kind is MemberKind.USER
    needed = count * _COMPANY_EVERY // (_COMPANY_EVERY - 1 if users else 1) + _COMPANY_EVERY
    body = {"scenario": "ticket", "recipients": needed, "tricky": False, "status": None}
    for member in seed(playground.url, body)["members"]:
        of_kind, _, id_ = member.partition(":")
        if of_kind == kind:
            yield Member(kind, int(id_), member)


async def _start(app: App, members: Sequence[Member], files: bool) -> int:
    """The number of a ticket that asks for a campaign to exactly these."""
    sim = app.playground.sim
    body: dict[str, Any] = {"scenario": "ticket", "recipients": 0, "tricky": False, "status": None}
    draft = seed(app.playground.url, body)
    one_list = draft["lists"][0]
    for first in range(0, len(members), _AT_ONCE):
        await app.services.directory.add(one_list, members[first : first + _AT_ONCE])
    if files:  # the draft has them
        return int(
            sim("POST", "status", ticketId=draft["ticketId"], statusName=_GO)["requestNumber"]
        )
    bare = sim("POST", "ticket", user=PLACEHOLDERS["ticket"], lists=[one_list])
    message = {"customType": MESSAGE_TYPE, "statusName": _GO}
    return int(sim("POST", "message", ticketId=bare["id"], **message)["requestNumber"])


# --- minute by minute ---


@dataclass
class _Time:
    """Stands still until it is told to go on."""

    at: datetime

    def now(self) -> datetime:
        return self.at


@dataclass
class _Queue:
    """The channel's queue; an item waits for its minute and not for its second."""

    items: list[tuple[timedelta, str]] = field(default_factory=list)

    async def put(self, item: str, delay: timedelta) -> None:
        self.items.append((delay, item))

    async def length(self) -> int:
        return len(self.items)

    def of_this_minute(self) -> list[str]:
        due = [item for delay, item in self.items if delay < _MINUTE]
        self.items = [(delay - _MINUTE, item) for delay, item in self.items if delay >= _MINUTE]
        return due


def _with_queue(services: Services, queue: _Queue) -> Services:
    ticket = replace(services.lanes["ticket"], queue=queue)
    return replace(services, lanes={**services.lanes, "ticket": ticket})


async def _count(app: App, time: _Time, queue: _Queue, recipients: int) -> TicketCalls:
    def so_far() -> int:
        return calls_so_far(app.playground)

    before, delivering = so_far(), 0
    for minute in range(1, _LONGEST):
        await app.discover()
        await app.account()
        others = so_far()
        await asyncio.gather(*map(app.deliver_ticket, queue.of_this_minute()))
        delivering += so_far() - others
        time.at += _MINUTE
        active = await app.services.ledger.campaigns.active()
        if not active:
            return TicketCalls(recipients, so_far() - before, delivering, minute)
        if active[0].phase is Phase.BLOCKED:
            break
    raise RuntimeError(f"campaign {active[0].id} is not getting anywhere: {active[0].phase}")
