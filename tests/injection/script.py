"""A script: what people do, and what must have come of it whatever went wrong meanwhile."""

import email
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain.campaign import LETTERS, Campaign, Phase
from shared.domain.delivery import Delivery, Reason, Status
from shared.flow.wording import REFERENCE
from tests.flow.conftest import House
from tests.injection.moments import Moment, Trouble
from tests.injection.town import Accident, Town

SOLVED = "Løst"
#: So many rounds people wait for something before they find something else to do.
PATIENCE = 3


@dataclass(frozen=True)
class Deed:
    """What a person does as soon as they see what they wait for; again, if it answers False."""

    when: Callable[[Town, int], bool]
    do: Callable[[Town, int], Awaitable[bool] | None]
    maybe: bool = False  #: when something goes wrong, it may never come to it
    again: bool = False  #: and it is done whenever they see that


async def nothing_more(town: Town, number: int) -> bool:
    return True


@dataclass(frozen=True, eq=False)
class Script:
    name: str
    scene: Callable[[Town], int]  #: sets it up; the number of the campaign's ticket
    people: tuple[Deed, ...] = ()
    watchful: tuple[Deed, ...] = ()  #: what is done from the beginning, whenever they see that
    accidents: tuple[Accident, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    # what must have come of it
    statuses: frozenset[str] = frozenset({SOLVED})  #: that the ticket may have
    phases: tuple[Phase, ...] = (Phase.DONE,)  #: of its campaigns
    planned: tuple[int, ...] = (2,)  #: for each of them
    outcomes: frozenset[Status] = frozenset({Status.SENT})
    in_doubt: int = 0  #: so many are uncertain, by accident
    at_most: int = 1  #: so many messages to each
    files: bool = True  #: go with the report
    patience: int = PATIENCE
    over: Callable[[Town, int], Awaitable[bool]] = nothing_more
    by_line: bool = False  #: trouble at each line will do: its every call is tried elsewhere too

    def __str__(self) -> str:
        return self.name

    async def play(self, town: Town, number: int) -> None:
        """Rounds of everything, until all is done that was to be done.

        There is a minute between them, and more when nothing has happened for some: then all waits
        are over.
        """
        self._prepare(town, number)
        waiting, happened, idle = deque(self.people), 0, 0
        standing = [*self.watchful]
        for _ in range(60):
            for deed in standing:
                if deed.when(town, number) and (answer := deed.do(town, number)) is not None:
                    await answer
            while waiting and waiting[0].when(town, number):
                answer = waiting[0].do(town, number)
                if answer is not None and not await answer:
                    break
                done = waiting.popleft()
                standing += [done] if done.again else []
            await town.round()
            quiet = town.house.status(number) in self.statuses and not await at_work(town)
            content = all(deed.maybe and town.course.wrong for deed in waiting)
            if content and quiet and await self.over(town, number):
                return
            before, happened = happened, len(town.course.met) - len(waiting)
            idle = idle + 1 if happened == before else 0
            town.house.clock.tick(minutes=1 if idle < self.patience else 11)
        phases = [str(one.phase) for one in await campaigns(town, number)]
        status = town.house.status(number)
        raise AssertionError(f"not over: {status}, {phases}, {len(waiting)} things to do")

    def _prepare(self, town: Town, number: int) -> None:
        town.accidents.extend(self.accidents)

        def accident(moment: Moment) -> Trouble | None:
            if not (town.accidents and str(moment).startswith(town.accidents[0].at)):
                return None
            happens = town.accidents.popleft()
            if happens.people:
                happens.people(town, number)
            return happens.trouble

        town.course.accident = accident

    async def check(self, town: Town, number: int, in_doubt: int) -> None:
        """What holds whatever went wrong, with so many in doubt at the most."""
        assert town.house.status(number) in self.statuses
        found = await campaigns(town, number)
        assert tuple(campaign.phase for campaign in found) == self.phases
        for campaign, planned in zip(found, self.planned, strict=True):
            if campaign.has_begun:
                assert not await town.eyes.ledger.deliveries.any_open(campaign.id)
            rows = [one async for one in town.eyes.ledger.deliveries.all(campaign.id)]
            # another delivery has taken their place, to another address
            deliveries = [one for one in rows if one.reason is not Reason.REPLACED]
            counted = campaign.phase is not Phase.CANCELLED or planned
            assert len(deliveries) == planned and (not counted or campaign.planned == planned)
            statuses = Counter(one.status for one in deliveries)
            assert set(statuses) <= self.outcomes | {Status.UNCERTAIN}, statuses
            assert statuses[Status.UNCERTAIN] <= in_doubt, statuses
            self.check_reached(rows, reached(town, campaign, rows))
        self.check_told(town.house, number, found)

    def check_reached(self, deliveries: Iterable[Delivery], got: Counter[str]) -> None:
        """Nobody twice; who is said to have got it has, and who is said not to has not."""
        assert set(got) <= {one.id for one in deliveries}
        assert max(got.values(), default=0) <= self.at_most, got
        for one in deliveries:
            if one.status is not Status.UNCERTAIN:
                left = one.status is Status.SENT or one.reason is Reason.BOUNCED
                assert bool(got[one.id]) == left, one.status

    def check_told(self, house: House, number: int, found: Iterable[Campaign]) -> None:
        """The ticket has one of everything."""
        said, files = said_on(house, number), attached_to(house, number)
        assert set(said.values()) <= {1}, said
        assert set(files.values()) <= {1}, files
        for campaign in found:
            if campaign.phase is Phase.DONE:
                for part in ("start", "rapport"):
                    assert any(f"{campaign.run}/{part}-" in name for name in said), said
                for kind in ("mottakere", "melding") if self.files else ():
                    assert any(name.startswith(f"{kind}-{campaign.id}.") for name in files), files


async def campaigns(town: Town, number: int) -> list[Campaign]:
    return await town.eyes.ledger.campaigns.on_ticket(number)


async def at_work(town: Town) -> bool:
    return bool(await town.eyes.ledger.campaigns.active())


def said_on(house: House, number: int) -> Counter[str]:
    """What we have written on the ticket, by its name, and how often."""
    texts = [*house.notes(number), house.ticket(number).get("solution") or ""]
    return Counter(name for text in texts for name in REFERENCE.findall(text))


def attached_to(house: House, number: int) -> Counter[str]:
    return Counter(row["fileName"] for row in house.on(house.ticket(number), "attachment"))


def reached(town: Town, campaign: Campaign, deliveries: Iterable[Delivery]) -> Counter[str]:
    """How many messages there are for each delivery of the campaign, wherever they went."""
    found = mails(town, campaign, deliveries)
    if campaign.channel in {"ticket", LETTERS}:
        found += messages(town.house, campaign, deliveries)
    ours = {one.id for one in deliveries}
    return found + Counter({id_: n for id_, n in town.office.delivered.items() if id_ in ours})


def mails(town: Town, campaign: Campaign, deliveries: Iterable[Delivery]) -> Counter[str]:
    found: Counter[str] = Counter()
    addresses = {one.id: one.recipient.address for one in deliveries}
    for mail in town.mailbox.mails:
        message = email.message_from_bytes(mail.original_content or b"")
        campaign_id, delivery, *_ = message["Message-ID"].strip("<>").split(".")
        if campaign_id == campaign.id:  # and not an alert
            assert not addresses[delivery] or mail.rcpt_tos == [addresses[delivery]]
            found[delivery] += 1
    return found


def messages(house: House, campaign: Campaign, deliveries: Iterable[Delivery]) -> Counter[str]:
    """Of the tickets that each delivery has; a round has one for it at the most."""
    found: Counter[str] = Counter()
    addresses = {one.id: one.recipient.address for one in deliveries}
    keys = Counter(copy["customerReference"] for copy in house.copies(campaign.request_number))
    assert set(keys.values()) <= {1}, keys
    for copy in house.copies(campaign.request_number):
        of, _, delivery = copy["customerReference"].partition(" ")
        delivery = delivery.partition(".")[0]  # and the round, from the second on
        if of == campaign.id:
            assert not addresses[delivery] or copy["emailAddress"] == addresses[delivery]
            assert len(house.messages_on(copy)) == len(house.on(copy, "email"))
            found[delivery] += len(house.messages_on(copy))
    users = Counter(row["email"] for row in house.world.all("emailaddress"))
    assert set(users.values()) == {1}
    return found
