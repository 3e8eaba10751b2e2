"""Enqueue: at the channel's pace, never two for one slot, and nobody forgotten."""

import json
from collections import Counter
from datetime import timedelta

import pytest

from shared.domain.campaign import Phase
from shared.domain.delivery import Outcome, Status
from shared.domain.pace import PORTION
from shared.errors import ClashError, DoubtfulError
from shared.flow.enqueue import enqueue
from tests.flow.edges import Moments, Stop, another, stop, under_way


@pytest.fixture
def house(make_house):
    return make_house(EMAIL_RATE="30")


async def release(host) -> int:
    """What `account` does every minute."""
    return await release_of(host, host.lane)


async def release_of(host, lane) -> int:
    active = await host.ledger.campaigns.active()
    campaigns = [campaign for campaign in active if campaign.channel == lane.channel.name]
    return await enqueue(lane, campaigns, ledger=host.ledger, now=host.clock())


def delays(house, queue=None) -> list[float]:
    return [delay.total_seconds() for _, delay in (queue or house.queue).items]


def queued(house) -> Counter:
    """How many items each delivery has on the queue."""
    return Counter(json.loads(item)["delivery"] for item, _ in house.queue.items)


# --- pace ---


async def test_two_minutes_worth_is_on_the_queue_and_then_a_minutes_worth_each_minute(house):
    await under_way(house, 200)
    assert await release(house) == 60
    assert delays(house) == [2 * n for n in range(60)]
    assert await release(house) == 0
    house.clock.tick(minutes=1)
    assert await release(house) == 30
    assert delays(house)[60:] == [60 + 2 * n for n in range(30)]
    assert max(queued(house).values()) == 1


async def test_a_host_that_slept_does_not_make_up_for_it(house):
    await under_way(house, 500)
    await release(house)
    house.clock.tick(hours=1)
    house.queue.items.clear()
    assert await release(house) == 60
    assert delays(house) == [2 * n for n in range(60)]


@pytest.mark.parametrize(
    ("rate", "released", "gap"), [("60", 60, 1), ("15", 15, 4), ("1", 1, 60), ("600", 600, 0.1)]
)
async def test_a_changed_rate_acts_on_the_very_next_release(house, rate, released, gap):
    await under_way(house, 1_000)
    await release(house)
    house.queue.items.clear()
    house.clock.tick(minutes=1)
    host = another(house, Moments(), EMAIL_RATE=int(rate))
    assert await release(host) == released
    assert delays(house) == pytest.approx([60 + gap * n for n in range(released)])


async def test_without_a_rate_a_portion_is_on_the_queue_at_most(make_house):
    house = make_house(EMAIL_RATE="0")
    await under_way(house, 2_500)
    assert await release(house) == PORTION
    assert set(delays(house)) == {0}
    assert await release(house) == 0
    del house.queue.items[:300]
    assert await release(house) == 300
    assert len(house.queue.items) == PORTION
    assert max(queued(house).values()) == 1


async def test_a_small_campaign_does_not_wait_for_a_large_one(house):
    large = await under_way(house, 500, number=20417)
    small = await under_way(house, 3, number=20418)
    await release(house)
    on_queue = Counter(json.loads(item)["campaign"] for item, _ in house.queue.items)
    assert on_queue == {large.id: 57, small.id: 3}
    assert {d.id for d in await house.deliveries(small)} <= set(queued(house))


async def test_what_is_released_of_several_campaigns_is_noted_for_each(house):
    """Else the second campaign's would be released anew every minute and eat up the slots."""
    first = await under_way(house, 100, number=20417)
    second = await under_way(house, 100, number=20418)
    for _ in range(3):
        await release(house)
        house.clock.tick(minutes=1)
    assert max(queued(house).values()) == 1
    assert len(queued(house)) == 120
    for campaign in (first, second):
        assert len(await house.ledger.deliveries.due(campaign.id, house.clock(), 500)) == 40


# --- what is not released ---


async def test_nothing_leaves_before_the_undo_window_is_over(house):
    later = house.clock() + timedelta(minutes=3)
    await under_way(house, 3, starts_at=later)
    assert await release(house) == 0
    house.clock.tick(seconds=179)
    assert await release(house) == 0
    house.clock.tick(seconds=1)
    assert await release(house) == 3


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.SENDING])
async def test_nothing_is_released_of_a_campaign_that_is_not_sending(house, phase):
    await under_way(house, 3, phase=phase, blocked_from=Phase.SENDING)
    assert await release(house) == 0
    assert not house.queue.items


@pytest.mark.parametrize("rate", ["0", "30"])
async def test_a_closed_gate_releases_nothing_and_an_open_one_goes_on(make_house, rate):
    house = make_house(EMAIL_RATE=rate)
    await under_way(house, 3)
    until = house.clock() + timedelta(minutes=15)
    await house.watch.close_gate("email", until, "421", house.clock())
    house.clock.tick(minutes=14)
    assert await release(house) == 0
    house.clock.tick(minutes=1)
    assert await release(house) == 1  # to find out whether anything goes through
    await house.deliver_all()
    house.clock.tick(minutes=1)
    assert await release(house) == 2


async def test_a_gate_that_closes_while_slots_are_taken_stays_closed(house):
    """The slots are given back by losing: the row has changed."""
    await under_way(house, 3)

    async def close():
        until = house.clock() + timedelta(minutes=15)
        await house.watch.close_gate("email", until, "421", house.clock())

    host = another(house, moments := Moments(then=close))
    moments.at = (await moments_of_a_release(house)).index("before channels.write")
    assert await release(host) == 0
    assert not house.queue.items
    assert (await house.ledger.channels.get("email")).gate_closed(house.clock())


async def test_what_waits_for_its_moment_or_is_claimed_or_settled_is_not_released(house):
    campaign = await under_way(house, 4)
    waits, claimed, settled, free = await house.ledger.deliveries.due(
        campaign.id, house.clock(), 10
    )
    deliveries, now = house.ledger.deliveries, house.clock()
    await deliveries.take_back(waits, now + timedelta(minutes=5))
    await deliveries.claim(claimed, now, timedelta(minutes=5))
    await house.deliver(f'{{"campaign": "{campaign.id}", "delivery": "{settled.id}"}}')
    assert await release(house) == 1
    assert queued(house) == {free.id: 1}


# --- two hosts, and crashes ---


async def moments_of_a_release(house) -> list[str]:
    """The moments that a release passes; afterwards it is as if there had been none."""
    before = {name: dict(table.rows) for name, table in house.tables.items()}
    await release(another(house, moments := Moments()))
    for name, table in house.tables.items():
        table.rows = before[name]
    house.queue.items.clear()
    return moments.passed


@pytest.mark.parametrize("recipients", [40, 70])
async def test_slots_are_never_given_twice_though_two_hosts_release_at_once(make_house, recipients):
    count = len(await moments_of_a_release(await with_campaign(make_house, recipients)))
    assert count > 10
    for at in range(0, count, 2):
        house = await with_campaign(make_house, recipients)

        async def second_host(house=house):
            await release(another(house, Moments()))

        await release(another(house, Moments(at, second_host)))
        taken = sorted(delays(house))
        assert taken == [2 * n for n in range(len(taken))], at
        assert min(recipients, 60) <= len(taken) <= 60, at
        await house.deliver_all()  # a delivery may be on the queue twice: that sends it once
        assert set(house.channel.addresses.values()) == {1}, at
        assert len(house.channel.sent) == min(recipients, 60), at


async def with_campaign(make_house, recipients: int):
    house = make_house(EMAIL_RATE="30")
    await under_way(house, recipients)
    return house


async def test_a_release_that_breaks_off_anywhere_wastes_slots_and_loses_or_doubles_nobody(
    make_house,
):
    recipients = 20
    count = len(await moments_of_a_release(await with_campaign(make_house, recipients)))
    for at in range(count):
        house = await with_campaign(make_house, recipients)
        [campaign] = await house.ledger.campaigns.active()
        with pytest.raises(Stop):
            await release(another(house, Moments(at, stop)))
        began = house.clock()
        taken = {delay + began for _, delay in house.queue.items}
        for _ in range(15):
            await house.deliver_all()
            house.clock.tick(minutes=1)
            await release(house)
            later = {delay + house.clock() for _, delay in house.queue.items}
            assert not taken & later, at
            taken |= later
        assert await house.statuses(campaign) == {Status.SENT: recipients}, at
        assert set(house.channel.addresses.values()) == {1}, at


async def test_what_was_noted_and_got_no_item_is_due_ten_minutes_after_its_slot(house):
    await under_way(house, 3)
    at = (await moments_of_a_release(house)).index("before queue.put")
    with pytest.raises(Stop):
        await release(another(house, Moments(at, stop)))
    house.queue.items.clear()  # a hundred are put at a time; none of them got through
    house.clock.tick(minutes=10)
    assert await release(house) == 0  # the first slot was now: just not over for long enough
    house.clock.tick(seconds=1)
    assert await release(house) == 1
    house.clock.tick(seconds=4)
    assert await release(house) == 2


# --- storage that fails ---


@pytest.mark.parametrize("error", [ClashError("412"), DoubtfulError("503")], ids=["clash", "doubt"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_nothing_is_put_when_it_is_not_known_whose_the_slots_are(house, error, when):
    async def fail():
        raise error

    await under_way(house, 3)
    at = (await moments_of_a_release(house)).index(f"{when} channels.write")
    host = another(house, Moments(at, fail))
    if isinstance(error, ClashError):
        assert await release(host) == 0
    else:
        with pytest.raises(DoubtfulError):
            await release(host)
    assert not house.queue.items
    assert await release(house) == 3


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_note_that_failed_does_not_keep_the_items_back(house, when):
    async def fail():
        raise DoubtfulError("503")

    await under_way(house, 3)
    at = (await moments_of_a_release(house)).index(f"{when} deliveries.write")
    assert await release(another(house, Moments(at, fail))) == 3
    assert len(house.queue.items) == 3
    house.clock.tick(minutes=1)
    assert await release(house) == 0  # noted one by one


# --- what a delivery costs, and more than one pace ---


@pytest.fixture
def make_tickets(make_house):
    """A house where tickets keep pace, with so many calls a minute."""

    def make(calls="60", via="pureservice", **changes):
        return make_house(
            PURESERVICE_RATE=calls,
            TICKET_MESSAGE_VIA=via,
            TICKET_REPLY_TO="servicedesk@example.org",
            **changes,
        )

    return make


@pytest.mark.parametrize(
    ("companies", "a_minute", "apart"), [(0, 30, 2), (500, 12, 5)], ids=["users", "companies"]
)
async def test_sixty_calls_a_minute_are_thirty_users_or_twelve_companies(
    make_tickets, companies, a_minute, apart
):
    house = make_tickets()
    await under_way(house, 500, channel="ticket", unknown=companies)
    assert await release_of(house, house.ticket_lane) == 2 * a_minute
    assert delays(house, house.ticket_queue) == [apart * n for n in range(2 * a_minute)]
    assert await release_of(house, house.ticket_lane) == 0
    for _ in range(5):
        house.clock.tick(minutes=1)
        assert await release_of(house, house.ticket_lane) == a_minute


async def test_users_and_companies_together_take_the_slots_that_they_cost(make_tickets):
    house = make_tickets()
    campaign = await under_way(house, 200, channel="ticket", unknown=60)
    await release_of(house, house.ticket_lane)
    costs = {one.id: 2 if one.recipient.user else 5 for one in await house.deliveries(campaign)}
    spent = 0
    for item, delay in house.ticket_queue.items:
        assert delay == timedelta(seconds=spent)
        spent += costs[json.loads(item)["delivery"]]
    assert 120 <= spent < 125  # the last hangs over
    state = await house.ledger.channels.get("ticket")
    assert state.next_slot == house.clock() + timedelta(seconds=spent)


@pytest.mark.parametrize("calls", ["1", "2"])
async def test_who_costs_more_than_there_is_room_for_goes_all_the_same_and_the_next_waits(
    make_tickets, calls
):
    house = make_tickets(calls)
    campaign = await under_way(house, 4, channel="ticket", unknown=4)
    began, slots = house.clock(), []
    for _ in range(20):
        await release_of(house, house.ticket_lane)
        slots += [house.clock() - began + delay for _, delay in house.ticket_queue.items]
        for item in house.ticket_queue.take():
            opened = await house.ledger.deliveries.get_open(
                campaign.id, json.loads(item)["delivery"]
            )
            await house.ledger.deliveries.settle(opened, Outcome(Status.SENT), house.clock())
        house.clock.tick(minutes=1)
    assert slots == [n * 5 * timedelta(minutes=1) / int(calls) for n in range(4)]


async def test_a_small_campaign_of_tickets_does_not_wait_for_a_large_one(make_tickets):
    house = make_tickets()
    large = await under_way(house, 500, number=20417, channel="ticket", unknown=500)
    small = await under_way(house, 3, number=20418, channel="ticket")
    await release_of(house, house.ticket_lane)
    campaigns = Counter(json.loads(item)["campaign"] for item, _ in house.ticket_queue.items)
    assert campaigns[small.id] == 3
    assert campaigns[large.id] == 23  # 3 × 2 calls, and 114 of 5 each


@pytest.mark.parametrize(
    ("calls", "mails", "released", "apart"),
    [("60", "10", 20, 6), ("60", "300", 60, 2), ("0", "30", 60, 2), ("60", "0", 60, 2)],
    ids=["mail is slower", "calls are slower", "calls unlimited", "mail unlimited"],
)
async def test_a_ticket_we_mail_from_takes_slots_of_both_and_the_slower_pace_counts(
    make_tickets, calls, mails, released, apart
):
    house = make_tickets(calls, via="email", EMAIL_RATE=mails)
    await under_way(house, 500, channel="ticket")
    assert await release_of(house, house.ticket_lane) == released
    assert delays(house, house.ticket_queue) == [apart * n for n in range(released)]
    ticket, email = [await house.ledger.channels.get(name) for name in ("ticket", "email")]
    minute = timedelta(minutes=1)
    if calls != "0":
        assert ticket.next_slot == house.clock() + released * 2 * minute / int(calls)
    if mails != "0":
        assert email.next_slot == house.clock() + released * minute / int(mails)


async def test_mails_from_tickets_and_other_mails_never_have_the_same_slot(make_tickets):
    house = make_tickets(via="email", EMAIL_RATE="30")
    await under_way(house, 10, number=20417, channel="ticket")
    await under_way(house, 10, number=20418)
    assert await release_of(house, house.ticket_lane) == 10
    assert await release_of(house, house.lane) == 10
    assert delays(house, house.ticket_queue) == [2 * n for n in range(10)]
    assert delays(house) == [20 + 2 * n for n in range(10)]


@pytest.mark.parametrize(
    ("closed", "via", "tickets", "mails"),
    [
        ("email", "email", 0, 0),
        ("email", "pureservice", 3, 0),
        ("ticket", "email", 0, 3),
        ("ticket", "pureservice", 0, 3),
    ],
)
async def test_each_lane_waits_for_its_own_gates(make_tickets, closed, via, tickets, mails):
    house = make_tickets(via=via)
    await under_way(house, 3, number=20417, channel="ticket")
    await under_way(house, 3, number=20418)
    until = house.clock() + timedelta(minutes=5)
    await house.watch.close_gate(closed, until, "wait", house.clock())
    assert await release_of(house, house.ticket_lane) == tickets
    assert await release_of(house, house.lane) == mails
    house.clock.tick(minutes=5)
    # one at a time, on what was closed, until something has gone through
    assert await release_of(house, house.ticket_lane) == (0 if tickets else 1)
    assert await release_of(house, house.lane) == (0 if mails else 1)


async def test_a_helpdesk_that_throttles_closes_the_gate_for_tickets_alone(make_tickets):
    house = make_tickets(via="email", EMAIL_RATE="0")
    number = house.seed(recipients=4, scenario="ticket", tricky=False)
    await house.discover()
    house.trouble("status", status=429, retry_after=120, method="POST", path="/ticket")
    await house.deliver_all()
    assert not house.channel.sent
    now = house.clock()
    assert (await house.ledger.channels.get("ticket")).gate_until == now + timedelta(minutes=2)
    assert not (await house.ledger.channels.get("email")).gate_closed(now)
    campaign = await house.campaign(number)
    assert {one.attempts for one in await house.deliveries(campaign)} == {0}
    campaign = await house.until_done(number)
    assert await house.statuses(campaign) == {Status.SENT: 4}
    assert {one.attempts for one in await house.deliveries(campaign)} == {1}


async def test_a_release_with_two_paces_that_breaks_off_anywhere_doubles_and_loses_nobody(
    make_tickets,
):
    async def scene():
        house = make_tickets(via="email", EMAIL_RATE="30")
        return house, await under_way(house, 10, channel="ticket")

    house, _ = await scene()
    host = another(house, moments := Moments())
    await release_of(host, host.ticket_lane)
    assert moments.passed.count("before channels.write") == 2
    for at, moment in enumerate(moments.passed):
        house, campaign = await scene()
        host = another(house, Moments(at, stop))
        with pytest.raises(Stop):
            await release_of(host, host.ticket_lane)
        for _ in range(14):
            house.clock.tick(minutes=1)
            await release_of(house, house.ticket_lane)
        items = Counter(json.loads(item)["delivery"] for item, _ in house.ticket_queue.items)
        assert set(items) == {one.id for one in await house.deliveries(campaign)}, moment
        began = house.clock() - timedelta(minutes=14)
        assert (await house.ledger.channels.get("email")).next_slot > began


@pytest.mark.parametrize("which", [0, 1], ids=["the first", "the second"])
async def test_a_pace_that_another_host_was_quicker_to_take_of_releases_nothing(
    make_tickets, which
):
    house = make_tickets(via="email", EMAIL_RATE="30")
    await under_way(house, 10, channel="ticket")
    seen = 0

    async def clash(moment):
        nonlocal seen
        if moment == "before channels.write":
            seen += 1
            if seen == which + 1:
                raise ClashError("412")

    host = another(house, clash)
    assert await release_of(host, host.ticket_lane) == 0
    assert not house.ticket_queue.items
    assert await release_of(house, house.ticket_lane) == 10


async def test_a_few_tickets_that_we_mail_from_do_not_wait_for_ten_thousand_mails(make_tickets):
    house = make_tickets(via="email", EMAIL_RATE="30")
    await under_way(house, 500, number=20417)
    await under_way(house, 3, number=20418, channel="ticket")
    for _ in range(5):
        await house.account()
        house.clock.tick(minutes=1)
    assert len(house.ticket_queue.items) == 3
    assert len(house.queue.items) >= 4 * 30
