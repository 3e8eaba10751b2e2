"""One ticket per recipient, in trouble: who waits, who does not, who is not written to."""

import json
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
import pytest

from dev.pureservice.seed import MESSAGE_TYPE, PDF, add_file
from shared.adapters.pureservice import Pureservice
from shared.domain.campaign import Campaign, Phase, RecipientList
from shared.domain.delivery import OpenDelivery, Outcome, Reason, Status
from shared.domain.helpdesk import MemberPage
from shared.domain.recipient import Member, MemberKind
from shared.errors import ThrottledError, TransientError
from shared.flow.account import LONGEST_ROUND
from shared.flow.expand import LOOK_UPS_PER_TICK, expand
from shared.flow.verify import AT_ONCE
from tests.flow.edges import another, everybody_of, under_way

READY = "Utsending – klar"
BY_MAIL = {"TICKET_MESSAGE_VIA": "email", "TICKET_REPLY_TO": "servicedesk@example.org"}


def asked_for(house, *addresses, message="<p>Hei alle</p>", status=READY, **options):
    members = house.make_list("en", *addresses)
    options = {"channel": "ticket", "message": message, "status": status, **options}
    return house.open_ticket(members, **options)


class Between(httpx.AsyncBaseTransport):
    """Answers what `answer` has an answer to; the rest is for the simulator."""

    def __init__(self, simulator, answer: Callable[[httpx.Request], httpx.Response | None]):
        self._inner = httpx.ASGITransport(simulator)
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._answer(request) or await self._inner.handle_async_request(request)


async def with_something_between(house, answer):
    await house.helpdesk.close()
    house.helpdesk = Pureservice(
        house.settings,
        clock=house.clock,
        transport=Between(house.simulator, answer),
        sleep=house._sleep,
    )
    house.open_tickets()


# --- one that is refused, one that is slow, and all the others ---


async def test_a_zone_that_the_key_may_not_write_to_keeps_no_other_zone_waiting(make_house):
    house, closed = make_house(PURESERVICE_RATE="60"), True

    def refused(request: httpx.Request) -> httpx.Response | None:
        theirs = request.method == "POST" and b"Stengt sone" in request.content
        return httpx.Response(403, json={"message": "nei"}) if theirs and closed else None

    await with_something_between(house, refused)
    shut = asked_for(house, "a@example.no", "b@example.no", subject="Stengt sone")
    opened = asked_for(house, "kari@example.no", "ola@example.no")
    await house.discover()
    await house.deliver_all()
    assert (len(house.copies(shut)), len(house.copies(opened))) == (0, 2)
    assert not (await house.ledger.channels.get("ticket")).gate_closed(house.clock())
    held = await house.campaign(shut)
    for one in await house.deliveries(held):
        waiting = await house.ledger.deliveries.get_open(held.id, one.id)
        assert (waiting.attempt, waiting.claim) == (1, None)
        assert waiting.not_before > house.clock()
    await house.until_done(opened, minutes=10)
    assert (await house.campaign(shut)).phase is Phase.SENDING
    closed = False
    await house.until_done(shut)
    assert [len(house.messages_on(copy)) for copy in house.copies(shut)] == [1, 1]


@dataclass
class Provider:
    """Answers that each mail has gone, in its own time, and keeps when it was asked what."""

    house: object
    seconds: float = 0
    says: Exception | None = None
    asked: list[tuple[str, str, datetime]] = field(default_factory=list)

    def __post_init__(self):
        self.house.tickets.find, self.house.tickets.check = self.find, self.check

    async def find(self, delivery: OpenDelivery) -> str:
        self._note("find", delivery)
        return delivery.note

    async def check(self, submitted: Sequence[OpenDelivery]) -> dict[str, Outcome]:
        self._note("check", submitted[0])
        return {one.id: Outcome(Status.SENT) for one in submitted}

    def _note(self, what: str, one: OpenDelivery) -> None:
        self.asked.append((what, one.campaign, self.house.clock()))
        self.house.clock.tick(seconds=self.seconds)
        if self.says:
            raise self.says


async def under_check(house, recipients=1, *, lost=0, number=20417) -> Campaign:
    """A campaign whose messages were posted half an hour ago; so many had lost their worker."""
    campaign = await under_way(house, recipients + lost, channel="ticket", number=number)
    deliveries, now = house.ledger.deliveries, house.clock() - timedelta(minutes=30)
    for n, one in enumerate(await house.deliveries(campaign)):
        opened = await deliveries.get_open(campaign.id, one.id)
        claimed = await deliveries.claim(opened, now, house.settings.lease)
        if n >= lost:
            posted = Outcome(Status.SUBMITTED, reference="5002/20418")
            await deliveries.submit(claimed, posted, now, now)
    return campaign


async def test_mails_are_released_before_anybody_asks_a_helpdesk_that_hangs(house):
    began, put_at = house.clock(), []

    def hang(request: httpx.Request) -> None:
        house.clock.tick(seconds=30)
        raise httpx.ReadTimeout("no answer", request=request)

    for number in (20417, 20418):
        await under_check(house, lost=2, number=number)
    await under_way(house, 3, number=30000)
    await with_something_between(house, hang)

    async def meet(moment: str) -> None:
        if moment == "before queue.put":
            put_at.append(house.clock())

    await another(house, meet).account()
    assert put_at == [began] * 3
    assert house.clock() > began


@pytest.mark.parametrize(
    ("campaigns", "recipients", "lost"),
    [(4, 1, 0), (1, 4 * AT_ONCE, 0), (1, 0, 4)],
    ids=["many campaigns", "one with many mails", "one that was interrupted often"],
)
async def test_a_slow_helpdesk_is_asked_nothing_more_when_the_round_has_lasted_long(
    house, campaigns, recipients, lost
):
    for n in range(campaigns):
        await under_check(house, recipients, lost=lost, number=20417 + n)
    provider, began = Provider(house, seconds=50), house.clock()
    await house.account()
    assert [when - began for *_, when in provider.asked] == [
        timedelta(seconds=seconds) for seconds in (0, 50, 100)
    ]
    assert timedelta(seconds=100) < LONGEST_ROUND < timedelta(seconds=150)
    house.clock.tick(minutes=1)
    await house.account()
    assert len(provider.asked) == 4  # and the last of it comes then


async def test_no_report_is_begun_when_the_round_has_lasted_long(house):
    number = house.seed(recipients=1, tricky=False)
    await house.discover()
    await house.deliver_all()
    await under_check(house, number=30000)
    slow = Provider(house, seconds=LONGEST_ROUND.total_seconds())
    await house.account()
    assert ((await house.campaign(number)).phase, len(slow.asked)) == (Phase.REPORTING, 1)
    await house.account()
    assert (await house.campaign(number)).phase is Phase.DONE


async def test_each_minute_another_campaign_is_asked_about_first(house):
    campaigns = [(await under_check(house, number=20417 + n)).id for n in range(4)]
    provider, firsts = Provider(house, says=TransientError("503")), []
    for _ in campaigns:
        await house.account()
        firsts.append(provider.asked[0][1])
        provider.asked.clear()
        house.clock.tick(minutes=1)
    assert sorted(firsts) == campaigns


async def test_nobody_is_asked_or_looked_up_while_the_gate_is_closed(house):
    await under_check(house, 2, lost=2)
    provider = Provider(house)
    until = house.clock() + timedelta(minutes=5)
    await house.watch.close_gate("ticket", until, "429", house.clock())
    for _ in range(4):
        house.clock.tick(minutes=1)
        await house.account()
    assert provider.asked == []
    house.clock.tick(minutes=1)
    await house.account()
    assert Counter(what for what, *_ in provider.asked) == {"find": 2, "check": 1}


async def test_a_mail_server_that_throttles_closes_its_own_gate_and_tickets_wait_for_it(make_house):
    house = make_house(**BY_MAIL)
    answer = house.channel.answer

    def throttled(delivery):
        raise ThrottledError("smtp: 421 later", timedelta(minutes=20))

    house.channel.answer = throttled
    number = asked_for(house, "kari@example.no", "ola@example.no", "nils@example.no")
    await house.discover()
    await house.deliver_all()
    email, ticket = [await house.ledger.channels.get(gate) for gate in ("email", "ticket")]
    assert (email.gate_until, email.gate_reason) == (
        house.clock() + timedelta(minutes=20),
        "smtp: 421 later",
    )
    assert not ticket.gate_closed(house.clock())
    house.channel.answer = answer
    made = len(house.copies(number))
    await house.run(19)
    assert (len(house.copies(number)), house.channel.sent) == (made, [])
    await house.until_done(number, minutes=15)
    assert len(house.copies(number)) == len(house.channel.sent) == 3


# --- what the copies are ---


async def test_a_self_made_field_of_any_shape_survives_in_store_and_is_posted_with_the_copies(
    house,
):
    posted = []

    def keep(request: httpx.Request) -> None:
        if request.method == "POST" and request.url.path.endswith("/ticket/"):
            posted.extend(json.loads(request.content)["tickets"])

    await with_something_between(house, keep)
    fields = {"cf_2": ["A", "Å"], "cf_3": {"valg": ["Blåbær"], "antall": 2}, "cf_4": 7}
    asked_for(house, "kari@example.no", **fields)
    await house.run(2)
    [row] = posted
    assert {name: row.get(name) for name in fields} == fields


async def test_a_message_that_cannot_be_read_is_a_bug_that_tells_nothing_of_it(house):
    campaign = await under_way(house, 1)
    house.files.blobs[f"{campaign.id}/message.json"] = b'{"subject": "Hemmelig", "html": 7}'
    with pytest.raises(LookupError, match=f"campaign {campaign.id}: .* cannot be read") as raised:
        await house.messages.of(campaign.id)
    assert "Hemmelig" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("copying", ["works", "refused"])
async def test_an_ordinary_file_that_has_a_content_id_is_no_picture_on_the_copies(house, copying):
    house.world.switches = house.world.switches.model_copy(update={"attachment_copy": copying})
    number = asked_for(house, "kari@example.no", status="")
    values = {"contentId": "part1.abc@outlook", "embedded": False}
    add_file(house.world, house.ticket(number), "brev.pdf", PDF, **values)
    house.set_status(number, READY)
    await house.until_done(number)
    [copy] = house.copies(number)
    [file] = house.on(copy, "attachment")
    assert (file["fileName"], file["isVisible"]) == ("brev.pdf", True)
    assert not (file.get("embedded") or file.get("contentId"))


# --- who is not written to ---


@pytest.mark.parametrize("trouble", [None, "drop_after_write"], ids=["at once", "looked up later"])
@pytest.mark.parametrize("way", [{}, BY_MAIL], ids=["pureservice", "email"])
async def test_a_default_address_that_is_changed_to_one_off_the_test_list_is_not_written_to(
    make_house, way, trouble
):
    """Pureservice writes to its user's address of the moment, whatever it was on the list."""
    house = make_house(ONLY_SEND_TO="kari@example.no, ola@example.no", UNDO_SECONDS="60", **way)
    number = asked_for(house, "kari@example.no", "ola@example.no")
    await house.discover()
    changed = house.world.find("emailaddress", email="kari@example.no")
    house.world.change("emailaddress", changed["id"], {"email": "direktøren@example.com"})
    if trouble:
        house.trouble(trouble, method="POST", path="/ticket", times=2)
    campaign = await house.until_done(number)
    outcomes = {one.recipient.address: one for one in await house.deliveries(campaign)}
    kari, ola = outcomes["kari@example.no"], outcomes["ola@example.no"]
    assert (kari.status, kari.reason) == (Status.FAILED, Reason.NOT_ON_TEST_LIST)
    assert ola.status is Status.SENT
    [theirs] = [c for c in house.copies(number) if c["emailAddress"] != "ola@example.no"]
    assert kari.reference == f"{theirs['id']}/{theirs['requestNumber']}"
    assert house.messages_on(theirs) == house.on(theirs, "email") == []
    assert "kari@example.no" not in house.channel.addresses


async def test_a_ledger_made_anew_does_not_take_earlier_tickets_for_its_own(house, make_house):
    """The storage was lost, and the mark taken away; the answer to the new ticket never came."""
    number = asked_for(house, "kari@example.no", message="<p>Gammel</p>")
    await house.until_done(number)
    anew = make_house(beside=house)
    ticket = house.ticket(number)
    [entry] = [row for row in house.on(ticket, "communication") if row.get("customTypeId")]
    house.world.change("communication", entry["id"], {"customTypeId": None})
    house.world.change("ticket", ticket["id"], {"customerReference": "", "solution": ""})
    anew.write(number, "<p>Ny</p>", custom_type=MESSAGE_TYPE)
    anew.set_status(number, READY)
    anew.trouble("drop_before", method="POST", path="/ticket")
    await anew.until_done(number)
    said = sorted(row["text"] for c in house.copies(number) for row in house.messages_on(c))
    assert said == ["<p>Gammel</p>", "<p>Ny</p>"]
    keys = Counter(copy["customerReference"] for copy in house.copies(number))
    assert sorted(keys.values()) == [1, 1]


# --- companies by the thousand ---


class Companies:
    """A helpdesk with one list of companies, none of whose addresses belongs to a user."""

    def __init__(self, number: int):
        self.members_ = [
            Member(MemberKind.COMPANY, n, f"Firma {n}", f"{n}@example.no", relation=n)
            for n in range(1, number + 1)
        ]
        self.looked_up: list[str] = []

    async def lists(self, ticket_id):
        return [RecipientList(610, "Alle firmaer")]

    async def members(self, list_id, start):
        page = tuple(self.members_[start : start + 500])
        return MemberPage(page, repr([m.id for m in page]), len(page) < 500)

    async def users_at(self, addresses):
        self.looked_up += addresses
        return {}


async def test_so_many_companies_are_looked_up_in_a_tick_and_the_rest_at_the_next(house):
    everybody = 2 * LOOK_UPS_PER_TICK + 100
    helpdesk = Companies(everybody)
    campaign = await under_way(house, 0, channel="ticket", phase=Phase.EXPANDING)
    told = []
    while campaign.phase is Phase.EXPANDING:
        before = len(helpdesk.looked_up)
        campaign = await expand(
            campaign, helpdesk=helpdesk, ledger=house.ledger, audience=everybody_of(house)
        )
        told.append(len(helpdesk.looked_up) - before)
    assert max(told) < LOOK_UPS_PER_TICK + 500  # a page is never left half read
    assert len(told) >= 2
    assert len(helpdesk.looked_up) == len(set(helpdesk.looked_up)) == everybody
    assert (campaign.planned, campaign.unknown) == (everybody, everybody)
