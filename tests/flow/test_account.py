"""Account: what fell between is swept up, what is complete is reported, and little is asked."""

from collections import Counter
from contextlib import nullcontext
from datetime import timedelta

import pytest

from shared.domain.campaign import Phase
from shared.domain.delivery import Outcome, Reason, Status
from shared.errors import DoubtfulError, TransientError
from shared.ports import Promise
from tests.flow.edges import Moments, another, item_for, under_way

SECOND = timedelta(seconds=1)


@pytest.fixture
async def lost(house):
    """A campaign on a real ticket with one delivery, claimed by a worker that never came back."""
    number = house.seed(recipients=1, tricky=False)
    await house.discover()
    campaign = await house.campaign(number)
    [one] = await house.deliveries(campaign)
    found = await house.ledger.deliveries.get_open(campaign.id, one.id)
    assert await house.ledger.deliveries.claim(found, house.clock(), house.settings.lease)
    house.queue.items.clear()
    return number


async def the_only(house, number):
    [delivery] = await house.deliveries(await house.campaign(number))
    return delivery


# --- interrupted ---


async def test_a_lost_claim_is_uncertain_after_lease_and_grace_and_not_a_moment_before(house, lost):
    over = house.clock() + house.settings.lease + house.settings.grace
    while house.clock() <= over:
        await house.account()
        assert (await the_only(house, lost)).status is Status.PLANNED
        assert (await house.campaign(lost)).phase is Phase.SENDING
        house.clock.now += min(timedelta(seconds=45), max(over - house.clock(), SECOND / 1000))
    await house.account()
    delivery = await the_only(house, lost)
    assert (delivery.status, delivery.reason) == (Status.UNCERTAIN, Reason.INTERRUPTED)
    campaign = await house.campaign(lost)
    assert await house.ledger.deliveries.problems(campaign.id) == [delivery.id]
    assert campaign.phase is Phase.DONE
    assert not house.queue.items
    assert not house.channel.sent


async def test_a_lost_claim_is_repeated_where_the_provider_knows_a_repetition(house, lost):
    house.channel.promise = Promise.DEDUPLICATES
    house.clock.tick(minutes=6)
    await house.account()
    assert not house.queue.items
    house.clock.tick(seconds=1)
    await house.account()  # put back,
    await house.account()  # and released in the next round
    assert len(house.queue.items) == 1
    await house.deliver_all()
    delivery = await the_only(house, lost)
    assert (delivery.status, delivery.attempts, len(house.channel.sent)) == (Status.SENT, 3, 1)


@pytest.mark.parametrize("promise", [Promise.NEITHER, Promise.DEDUPLICATES])
async def test_two_sweepers_at_any_moment_settle_once(make_house, promise):
    async def scene():
        house = make_house()
        house.channel.promise = promise
        campaign = await under_way(house, 3)
        for one in await house.ledger.deliveries.due(campaign.id, house.clock(), 10):
            await house.ledger.deliveries.claim(one, house.clock(), house.settings.lease)
        house.clock.tick(minutes=7)
        return house, campaign

    house, campaign = await scene()
    await another(house, moments := Moments()).account()
    for at in range(len(moments.passed)):
        house, campaign = await scene()
        await another(house, Moments(at, another(house, Moments()).account)).account()
        rows = house.tables["deliveries"].rows
        kinds = Counter(key.partition(":")[0] for _, key in rows)
        if promise is Promise.NEITHER:
            assert await house.statuses(campaign) == {Status.UNCERTAIN: 3}, moments.passed[at]
            assert (kinds["o"], kinds["p"]) == (0, 3)
            assert kinds["a"] == 3
        else:
            assert await house.statuses(campaign) == {Status.PLANNED: 3}
            assert (kinds["o"], kinds["a"]) == (3, 3)
            for delivery in await house.deliveries(campaign):
                found = await house.ledger.deliveries.get_open(campaign.id, delivery.id)
                assert (found.claim, found.attempt) == (None, 2), moments.passed[at]


async def test_more_than_a_thousand_lost_claims_are_all_swept(house):
    campaign = await under_way(house, 1_100)
    for one in await house.ledger.deliveries.due(campaign.id, house.clock(), 2_000):
        await house.ledger.deliveries.claim(one, house.clock(), house.settings.lease)
    house.clock.tick(minutes=7)
    for _ in range(2):
        await house.account()
    assert await house.statuses(campaign) == {Status.UNCERTAIN: 1_100}


# --- complete ---


@pytest.mark.parametrize("waiting", ["on the queue", "claimed", "put back", "submitted"])
async def test_a_campaign_is_not_complete_while_anybody_waits(house, waiting):
    campaign = await under_way(house, 2)
    first, second = await house.deliveries(campaign)
    await house.deliver(item_for(first))
    deliveries, now = house.ledger.deliveries, house.clock()
    found = await deliveries.get_open(campaign.id, second.id)
    match waiting:
        case "claimed":
            await deliveries.claim(found, now, house.settings.lease)
        case "put back":
            await deliveries.take_back(found, now + timedelta(days=1))
        case "submitted":
            claimed = await deliveries.claim(found, now, house.settings.lease)
            await deliveries.submit(claimed, Outcome(Status.SUBMITTED), now, now)
    await house.account()
    assert (await house.ledger.campaigns.get(campaign.id)).phase is Phase.SENDING


async def test_nothing_is_complete_before_the_undo_window_is_over(house):
    campaign = await under_way(house, 0, starts_at=house.clock() + SECOND)
    await house.account()
    assert (await house.ledger.campaigns.get(campaign.id)).phase is Phase.SENDING
    house.clock.tick(seconds=1)
    await house.account()
    assert (await house.ledger.campaigns.get(campaign.id)).phase is not Phase.SENDING


async def test_a_campaign_that_changes_at_any_moment_is_completed_by_the_next_round(make_house):
    """Complete is said under the version that was read before looking."""

    async def scene():
        house = make_house()
        number = house.seed(recipients=1, tricky=False)
        await house.discover()
        await house.deliver_all()
        return house, number

    house, number = await scene()
    await another(house, moments := Moments()).account()
    paused = 0
    for at in range(moments.passed.index("after campaigns.write")):
        house, number = await scene()

        async def pause(house=house, number=number):
            campaign = await house.campaign(number)
            await house.ledger.campaigns.save(campaign.to(Phase.PAUSED))

        await another(house, Moments(at, pause)).account()
        campaign = await house.campaign(number)
        assert campaign.phase is Phase.PAUSED, moments.passed[at]
        assert house.status(number) == "Utsending – pågår"
        await house.ledger.campaigns.save(campaign.to(Phase.SENDING))
        await house.account()
        assert (await house.campaign(number)).phase is Phase.DONE
        paused += 1
    assert paused > 5


async def test_two_hosts_that_complete_at_once_leave_one_report(make_house):
    async def scene():
        house = make_house()
        number = house.seed(recipients=1, tricky=False)
        await house.discover()
        await house.deliver_all()
        return house, number

    house, number = await scene()
    await another(house, moments := Moments()).account()
    for at in range(0, len(moments.passed), 3):
        house, number = await scene()
        await another(house, Moments(at, another(house, Moments()).account)).account()
        await house.account()
        assert (await house.campaign(number)).phase is Phase.DONE, moments.passed[at]
        assert house.status(number) == "Løst"
        assert house.ticket(number)["solution"].count("<h2>") == 1
        assert len(house.notes(number)) == 1  # what was told at the start


async def test_what_is_over_is_never_looked_at_again(house):
    number = house.seed(recipients=2, tricky=False)
    await house.run(2)
    assert (await house.campaign(number)).phase is Phase.DONE
    await another(house, moments := Moments()).account()
    calls = [moment for moment in moments.passed if moment.startswith("before")]
    # what is active, whether the statuses are known, and who is to be told of what
    assert calls == ["before campaigns.query", "before channels.get", "before campaigns.query"]


# --- one that fails does not stop the others ---


@pytest.mark.parametrize("error", [DoubtfulError("503"), RuntimeError("a bug")], ids=["503", "bug"])
async def test_a_campaign_whose_rows_cannot_be_reached_does_not_stop_another(house, error):
    numbers = [house.seed(recipients=2, tricky=False) for _ in range(2)]
    await house.discover()
    await house.deliver_all()
    bad = await house.campaign(numbers[0])
    deliveries = house.tables["deliveries"]
    query = deliveries.query

    def fail(partition, *args, **options):
        if partition == bad.id:
            raise error
        return query(partition, *args, **options)

    deliveries.query = fail
    with nullcontext() if isinstance(error, DoubtfulError) else pytest.raises(ExceptionGroup):
        await house.account()
    assert [house.status(number) for number in numbers] == ["Utsending – pågår", "Løst"]
    deliveries.query = query
    await house.account()
    assert house.status(numbers[0]) == "Løst"


async def test_a_queue_that_cannot_be_reached_does_not_stop_a_report(house):
    async def fail(moment: str) -> None:
        if moment == "before queue.put":
            raise DoubtfulError("queue")

    number = house.seed(recipients=1, tricky=False)
    await house.discover()
    await house.deliver_all()
    waiting = await under_way(house, 2, number=30000)
    await another(house, fail).account()
    assert (await house.campaign(number)).phase is Phase.DONE
    house.clock.tick(minutes=11)
    await house.account()
    await house.deliver_all()
    assert await house.statuses(waiting) == {Status.SENT: 2}


async def test_a_ticket_that_cannot_be_reached_does_not_stop_anothers_report(house):
    numbers = [house.seed(recipients=1, tricky=False) for _ in range(2)]
    await house.discover()
    await house.deliver_all()
    bad = house.ticket(numbers[0])["id"]
    attachments = house.helpdesk.attachments

    async def fail(ticket_id):
        if ticket_id == bad:
            raise TransientError("503")
        return await attachments(ticket_id)

    house.helpdesk.attachments = fail
    await house.account()
    assert [house.status(number) for number in numbers] == ["Utsending – pågår", "Løst"]
    house.helpdesk.attachments = attachments
    await house.account()
    assert house.status(numbers[0]) == "Løst"


async def test_a_bug_in_one_report_is_raised_after_the_others_are_done(house):
    numbers = [house.seed(recipients=1, tricky=False) for _ in range(2)]
    await house.discover()
    await house.deliver_all()
    first = await house.campaign(numbers[0])
    archive = house.channel.archive

    async def bug(campaign_id, message):
        if campaign_id == first.id:
            raise RuntimeError("a bug")
        return await archive(campaign_id, message)

    house.channel.archive = bug
    with pytest.raises(ExceptionGroup, match="account") as raised:
        await house.account()
    assert [type(bug) for bug in raised.value.exceptions] == [RuntimeError]
    assert house.status(numbers[1]) == "Løst"
    house.channel.archive = archive
    await house.account()
    assert house.status(numbers[0]) == "Løst"


# --- what a round costs ---


@pytest.mark.parametrize("still_open", [0, 1])
async def test_a_round_costs_the_same_whatever_is_settled(make_house, still_open):
    """Counted in calls and in rows that come back: a page more would be a request more."""

    async def cost(settled: int) -> tuple[Counter, int]:
        house = make_house()
        campaign = await under_way(house, settled + still_open)
        due = await house.ledger.deliveries.due(campaign.id, house.clock(), 5_000)
        for one in due[:settled]:
            claimed = await house.ledger.deliveries.claim(one, house.clock(), house.settings.lease)
            await house.ledger.deliveries.settle(claimed, Outcome(Status.SENT), house.clock())
        for one in due[settled:]:
            later = house.clock() + timedelta(hours=1)
            await house.ledger.deliveries.take_back(one, later)
        rows = 0
        query = house.tables["deliveries"].query

        async def counted(*args, **options):
            nonlocal rows
            async for row in query(*args, **options):
                rows += 1
                yield row

        async def unreachable(ticket_id):
            raise TransientError("the report is another story")

        house.tables["deliveries"].query = counted
        house.helpdesk.attachments = unreachable
        await another(house, moments := Moments()).account()
        after = await house.ledger.campaigns.get(campaign.id)
        assert after.phase is (Phase.SENDING if still_open else Phase.REPORTING)
        return Counter(m for m in moments.passed if m.startswith("before")), rows

    calls, rows = await cost(2)
    assert (calls, rows) == await cost(2_000)
    assert calls.total() <= 20
    assert rows == 2 * still_open  # is anything open, and how much
