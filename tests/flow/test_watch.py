"""Watch: a pause or a closed gate acts everywhere within fifteen seconds, and costs little."""

from collections import Counter
from datetime import timedelta

import pytest

from shared.domain.campaign import Phase
from shared.domain.pace import FRESH_FOR
from shared.errors import ClashError, DoubtfulError
from shared.flow.watch import Watch
from tests.flow.edges import Moments, another, under_way

QUARTER = timedelta(minutes=15)


async def held(watch: Watch, house, campaign="20417-1"):
    return await watch.held_until(campaign, ("email",), house.clock())


async def test_a_campaign_that_sends_on_an_open_channel_may_go(house):
    await under_way(house)
    assert await held(house.watch, house) is None


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.SENDING])
async def test_a_campaign_in_any_other_phase_is_held(house, phase):
    await under_way(house, phase=phase)
    assert await held(house.watch, house) == house.clock()


async def test_a_campaign_that_nobody_knows_is_held(house):
    assert await held(house.watch, house) == house.clock()


async def test_a_campaign_is_held_until_its_undo_window_is_over(house):
    await under_way(house, starts_at=house.clock() + timedelta(seconds=10))
    assert await held(house.watch, house) is not None
    house.clock.tick(seconds=10)
    assert await held(house.watch, house) is None  # known from memory: it need not be read again


async def test_a_closed_gate_holds_until_it_opens(house):
    await under_way(house)
    until = house.clock() + QUARTER
    await house.watch.close_gate("email", until, "421", house.clock())
    assert await held(house.watch, house) == until
    house.clock.tick(minutes=15)
    assert await held(house.watch, house) is None


async def test_the_gate_of_one_channel_is_no_other_channels(house):
    await under_way(house)
    await house.watch.close_gate("ticket", house.clock() + QUARTER, "429", house.clock())
    assert await held(house.watch, house) is None


async def test_what_is_known_is_asked_for_again_after_fifteen_seconds_and_not_before(house):
    campaign = await under_way(house)
    host = another(house, moments := Moments())
    for _ in range(15):
        assert await held(host.watch, house) is None
        house.clock.tick(seconds=1)
    reads = Counter(moments.passed)
    assert reads["before campaigns.get"] == reads["before channels.get"] == 1
    await house.ledger.campaigns.save(campaign.to(Phase.PAUSED))
    assert await held(host.watch, house) == house.clock()
    assert Counter(moments.passed)["before campaigns.get"] == 2


@pytest.mark.parametrize("what", ["pause", "gate"])
async def test_another_host_knows_within_fifteen_seconds(house, what):
    campaign = await under_way(house)
    other = another(house, Moments())
    assert await held(other.watch, house) is None
    if what == "pause":
        await house.ledger.campaigns.save(campaign.to(Phase.PAUSED))
    else:
        await house.watch.close_gate("email", house.clock() + QUARTER, "421", house.clock())
    house.clock.tick(seconds=FRESH_FOR.total_seconds())
    assert await held(other.watch, house) is not None


async def test_what_is_kept_in_memory_has_an_end(house):
    for n in range(3_000):
        await held(house.watch, house, f"{n}-1")
    assert len(house.watch._campaigns) <= 1_001


# --- closing ---


async def test_two_hosts_that_close_it_keep_the_later_moment(house):
    now = house.clock()
    for first, second in ((5, 15), (15, 5)):
        name = f"channel{first}"
        await house.watch.close_gate(name, now + timedelta(minutes=first), "a", now)
        await another(house, Moments()).watch.close_gate(
            name, now + timedelta(minutes=second), "b", now
        )
        state = await house.ledger.channels.get(name)
        assert state.gate_until == now + QUARTER
        assert state.gate_reason == ("b" if second == 15 else "a")


async def test_closing_finds_its_way_when_slots_are_taken_at_any_moment(make_house):
    async def scene():
        house = make_house(EMAIL_RATE="30")
        await under_way(house, 10)
        return house, house.clock() + QUARTER

    house, until = await scene()
    host = another(house, moments := Moments())
    await host.watch.close_gate("email", until, "421", house.clock())
    for at in range(len(moments.passed)):
        house, until = await scene()
        host = another(house, Moments(at, house.account))
        await host.watch.close_gate("email", until, "421", house.clock())
        assert await held(host.watch, house) == until
        state = await house.ledger.channels.get("email")
        assert state.gate_until == until
        assert len(house.queue.items) in (0, 10)
        assert bool(house.queue.items) == (state.next_slot > house.clock())


async def test_a_gate_that_was_closed_though_the_answer_said_otherwise_is_closed(house):
    async def lie():
        raise ClashError("412")

    await under_way(house)
    host = another(house, moments := Moments(then=lie))
    moments.at = 3  # after the write: read, read, write, written
    until = house.clock() + QUARTER
    await host.watch.close_gate("email", until, "421", house.clock())
    assert moments.passed[3] == "after channels.write"
    assert await held(host.watch, house) == until


async def test_an_outage_while_closing_is_raised(house):
    async def fail():
        raise DoubtfulError("503")

    host = another(house, Moments(2, fail))
    with pytest.raises(DoubtfulError):
        await host.watch.close_gate("email", house.clock() + QUARTER, "421", house.clock())


async def test_a_clock_that_goes_back_keeps_nothing_fresh(house):
    campaign = await under_way(house)
    assert await house.watch.held_until(campaign.id, ("email",), house.clock()) is None
    stored = await house.ledger.campaigns.get(campaign.id)
    await house.ledger.campaigns.save(stored.to(Phase.PAUSED))
    house.clock.tick(hours=-1)
    assert await house.watch.held_until(campaign.id, ("email",), house.clock()) is not None
