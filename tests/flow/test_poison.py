"""Poison: the queue has given up on an item, and nobody is forgotten or written to twice for it."""

from datetime import timedelta

import pytest

from shared.domain.delivery import NEVER, Reason, Status
from shared.errors import ClashError, DoubtfulError
from tests.flow.edges import Moments, another, item_for, under_way


async def scene(house):
    campaign = await under_way(house)
    await house.account()  # released: it has a slot
    [delivery] = await house.deliveries(campaign)
    [item] = house.queue.take()
    return campaign, delivery, item


async def opened(house, delivery):
    return await house.ledger.deliveries.get_open(delivery.campaign, delivery.id)


async def settled(house, delivery):
    [found] = [d async for d in house.ledger.deliveries.all(delivery.campaign)]
    return found


async def test_unclaimed_is_put_back_and_goes_out(house):
    campaign, delivery, item = await scene(house)
    await house.poison(item)
    kept = await opened(house, delivery)
    assert (kept.slot, kept.poisoned, kept.attempt) == (NEVER, 1, 0)
    assert await house.ledger.deliveries.attempts(campaign.id, delivery.id) == []
    await house.account()
    await house.deliver_all()
    assert (await settled(house, delivery)).status is Status.SENT


async def test_the_third_time_it_has_failed_for_technical_reasons(house, caplog):
    campaign, delivery, _ = await scene(house)
    for _ in range(3):
        await house.poison(item_for(delivery))
        house.clock.tick(minutes=1)
        await house.account()
        house.queue.items.clear()
    found = await settled(house, delivery)
    assert (found.status, found.reason) == (Status.FAILED, Reason.TECHNICAL)
    assert await opened(house, delivery) is None
    assert await house.ledger.deliveries.problems(campaign.id) == [delivery.id]
    assert f"poison.gave_up delivery_id={delivery.id}" in caplog.messages
    await house.deliver(item_for(delivery))
    await house.poison(item_for(delivery))
    assert not house.channel.sent


@pytest.mark.parametrize("times", [2, 3, 10])
async def test_several_items_of_the_same_round_count_once(house, times):
    """An item may be on the queue twice; only rounds are counted, not items."""
    _campaign, delivery, item = await scene(house)
    for _ in range(times):
        await house.poison(item)
    kept = await opened(house, delivery)
    assert (kept.slot, kept.poisoned) == (NEVER, 1)


async def test_claimed_is_left_to_the_sweep(house):
    _campaign, delivery, item = await scene(house)
    deliveries, lease = house.ledger.deliveries, house.settings.lease
    claimed = await deliveries.claim(await opened(house, delivery), house.clock(), lease)
    for _ in range(3):
        await house.poison(item)
    assert await opened(house, delivery) == claimed
    house.clock.tick(minutes=7)
    await house.account()
    found = await settled(house, delivery)
    assert (found.status, found.reason) == (Status.UNCERTAIN, Reason.INTERRUPTED)


async def test_settled_needs_nothing(house):
    _campaign, _delivery, item = await scene(house)
    await house.deliver(item)
    before = dict(house.tables["deliveries"].rows)
    await house.poison(item)
    assert house.tables["deliveries"].rows == before


async def test_an_item_of_a_campaign_that_nobody_knows_is_left_alone(house):
    await house.poison('{"campaign": "20499-1", "delivery": "7"}')
    assert not house.tables["deliveries"].rows


async def test_what_waits_for_its_moment_keeps_waiting(house):
    _campaign, delivery, item = await scene(house)
    later = house.clock() + timedelta(minutes=5)
    await house.ledger.deliveries.take_back(await opened(house, delivery), later)
    await house.poison(item)
    assert (await opened(house, delivery)).not_before == later


@pytest.mark.parametrize(
    "item",
    [
        b"",
        b"kari@example.no",
        b"\xff\xfekari@example.no",
        b'{"kari@example.no": 1}',
        b'{"campaign": "kari@example.no", "delivery": "kari@example.no"}',
        b'{"campaign": "20417-1", "delivery": "7", "address": "kari@example.no"}',
        '{"campaign": "20417-1", "delivery": 7, "to": "kari@example.no"}',
    ],
)
async def test_an_unreadable_item_is_logged_with_the_reason_and_without_its_content(
    house, caplog, item
):
    await under_way(house)
    before = {name: dict(table.rows) for name, table in house.tables.items()}
    await house.poison(item)
    [message] = caplog.messages
    assert message.startswith("poison.unreadable because=")
    assert len(message) > len("poison.unreadable because=")
    assert "kari" not in caplog.text
    assert {name: table.rows for name, table in house.tables.items()} == before


@pytest.mark.parametrize("rounds", [0, 2])
async def test_a_worker_that_claims_at_any_moment_keeps_its_claim(make_house, rounds):
    """The item is poison, but another one of the same delivery is being sent."""

    async def begin():
        house = make_house()
        _campaign, delivery, item = await scene(house)
        for _ in range(rounds):
            await house.poison(item)
            await house.account()
            house.queue.items.clear()
        return house, delivery, item

    house, delivery, item = await begin()
    await another(house, moments := Moments()).poison(item)
    for at in range(len(moments.passed)):
        house, delivery, item = await begin()

        async def meanwhile(house=house, delivery=delivery):
            if now_open := await opened(house, delivery):
                await house.ledger.deliveries.claim(now_open, house.clock(), house.settings.lease)

        await another(house, Moments(at, meanwhile)).poison(item)
        kept = await opened(house, delivery)
        last = at == len(moments.passed) - 1
        if kept is None:  # settled before the worker came
            assert rounds == 2 and last
        else:
            assert kept.claim, moments.passed[at]


async def test_an_outage_is_raised_so_that_the_queue_brings_it_again(house):
    async def fail():
        raise DoubtfulError("503")

    _campaign, delivery, item = await scene(house)
    with pytest.raises(DoubtfulError):
        await another(house, Moments(0, fail)).poison(item)
    for error in (DoubtfulError("503"), ClashError("412")):

        async def deny(error=error):
            raise error

        await another(house, Moments(2, deny)).poison(item)
        assert (await opened(house, delivery)).poisoned == 0
    house.clock.tick(minutes=11)  # not put back, and so due by its slot
    await house.account()
    assert len(house.queue.items) == 1
