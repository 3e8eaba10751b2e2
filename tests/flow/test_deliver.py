"""Deliver: once at the most, whatever the provider says and wherever it breaks off."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from pydantic import ValidationError

from shared.domain.campaign import Phase
from shared.domain.delivery import NEVER, OpenDelivery, Outcome, Reason, Status
from shared.errors import (
    DoubtfulError,
    DuplicateError,
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
)
from shared.ledger.rounds import Again
from shared.ports import Promise, Receipt
from tests.flow.edges import Moments, another, item_for, under_way

A_MINUTE = timedelta(minutes=1)


def saying(error: BaseException) -> Callable[[OpenDelivery], Receipt]:
    def answer(_: OpenDelivery) -> Receipt:
        raise error

    return answer


def fine(delivery: OpenDelivery) -> Receipt:
    return Receipt(f"<{delivery.id}@example.org>", "250 OK")


async def the_only(house, campaign):
    [delivery] = await house.deliveries(campaign)
    return delivery


async def opened(house, campaign) -> OpenDelivery:
    found = await house.ledger.deliveries.get_open(
        campaign.id, (await the_only(house, campaign)).id
    )
    assert found
    return found


async def attempts(house, campaign) -> list[tuple]:
    delivery = await the_only(house, campaign)
    rows = await house.ledger.deliveries.attempts(campaign.id, delivery.id)
    return [tuple(row.values[name] for name in ("status", "reason", "detail")) for row in rows]


async def next_round(house, **by) -> None:
    """Some time later: what is due is released and delivered, as `account` has it."""
    house.clock.tick(**by)
    await house.account()
    await house.deliver_all()


# --- once ---


async def test_the_same_item_twice_sends_once(house):
    campaign = await under_way(house)
    item = item_for(await the_only(house, campaign))
    await house.deliver(item)
    await house.deliver(item)
    assert len(house.channel.sent) == 1
    assert (await the_only(house, campaign)).status is Status.SENT


async def test_the_same_item_many_times_at_once_sends_once(house):
    """On several hosts, while the provider takes its time."""
    campaign = await under_way(house)
    item = item_for(await the_only(house, campaign))
    answer = asyncio.Event()

    async def slow(moment: str) -> None:
        await asyncio.sleep(0)
        if moment == "before channel.send":
            await answer.wait()

    hosts = [another(house, slow) for _ in range(5)]
    deliveries = [asyncio.create_task(host.deliver(item)) for host in hosts * 3]
    for _ in range(50):
        await asyncio.sleep(0)
    assert sum(not task.done() for task in deliveries) == 1
    answer.set()
    await asyncio.gather(*deliveries)
    assert len(house.channel.sent) == 1
    assert (await the_only(house, campaign)).status is Status.SENT


async def test_the_same_item_on_another_host_at_any_moment_sends_once(make_house):
    async def scene():
        house = make_house()
        campaign = await under_way(house)
        return house, campaign, item_for(await the_only(house, campaign))

    house, _, item = await scene()
    await another(house, moments := Moments()).deliver(item)
    assert len(moments.passed) > 10
    for at in range(len(moments.passed)):
        house, campaign, item = await scene()

        async def meanwhile(house=house, item=item):
            await another(house, Moments()).deliver(item)

        await another(house, Moments(at, meanwhile)).deliver(item)
        assert len(house.channel.sent) == 1, moments.passed[at]
        assert (await the_only(house, campaign)).status is Status.SENT


@pytest.mark.parametrize("of", ["another campaign", "another delivery"])
async def test_an_item_that_nothing_is_known_of_does_nothing(house, of):
    campaign = await under_way(house)
    item = json.loads(item_for(await the_only(house, campaign)))
    item["campaign" if of == "another campaign" else "delivery"] = "20499-7"
    before = dict(house.tables["deliveries"].rows)
    await house.deliver(json.dumps(item))
    assert not house.channel.sent
    assert house.tables["deliveries"].rows == before


@pytest.mark.parametrize(
    "item",
    [
        "",
        "hei",
        "null",
        "[]",
        "{}",
        '{"campaign": "20417-1"}',
        '{"campaign": "20417-1", "delivery": 7}',
        '{"campaign": ["20417-1"], "delivery": "x"}',
        '{"campaign": "20417-1", "delivery": null}',
        '{"campaign": "20417-1", "delivery": "x", "address": "kari@example.no"}',
        '{"campaign": "20417-1", "delivery": ""}',
        '{"campaign": "../20417-1", "delivery": "x"}',
        '{"campaign": "20417-1", "delivery": "o:x"}',
        '{"campaign": "20417-1", "delivery": "x#?"}',
    ],
)
async def test_a_bad_item_raises_without_its_content_and_leaves_the_ledger_alone(house, item):
    await under_way(house)
    before = {name: dict(table.rows) for name, table in house.tables.items()}
    with pytest.raises(ValidationError) as raised:
        await house.deliver(item)
    assert "kari@example.no" not in str(raised.value)
    assert {name: table.rows for name, table in house.tables.items()} == before
    assert not house.channel.sent


# --- what the provider says ---


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (PermanentError("smtp: RCPT TO: 550"), Status.FAILED, Reason.REFUSED),
        (UncertainError("smtp: DATA: timed out"), Status.UNCERTAIN, Reason.NO_ANSWER),
        (DuplicateError("has it"), Status.SENT, Reason.NONE),
    ],
    ids=["permanent", "uncertain", "duplicate"],
)
async def test_each_final_answer_settles_at_once_and_is_never_tried_again(
    house, error, status, reason
):
    campaign = await under_way(house)
    house.channel.answer = saying(error)
    item = item_for(await the_only(house, campaign))
    await house.deliver(item)
    house.channel.answer = fine
    delivery = await the_only(house, campaign)
    assert (delivery.status, delivery.reason, delivery.attempts) == (status, reason, 1)
    assert (delivery.detail, delivery.settled_at) == (str(error), house.clock())
    assert await attempts(house, campaign) == [(status, reason, str(error))]
    problems = [] if status is Status.SENT else [delivery.id]
    assert await house.ledger.deliveries.problems(campaign.id) == problems
    await house.deliver(item)
    await next_round(house, days=1)
    assert not house.channel.sent


async def test_the_providers_reference_and_words_are_kept(house):
    campaign = await under_way(house)
    await house.deliver(item_for(await the_only(house, campaign)))
    delivery = await the_only(house, campaign)
    assert (delivery.status, delivery.reason) == (Status.SENT, Reason.NONE)
    assert (delivery.reference, delivery.detail) == (f"<{delivery.id}@example.no>", "250 OK")
    assert await attempts(house, campaign) == [(Status.SENT, Reason.NONE, "250 OK")]
    assert await house.ledger.deliveries.problems(campaign.id) == []


async def test_a_provider_that_answers_later_has_it_and_it_is_nobodys_to_send(house):
    campaign = await under_way(house)
    house.channel.answer = lambda d: Receipt("job:1", final=False)
    await house.deliver(item_for(await the_only(house, campaign)))
    assert (await the_only(house, campaign)).status is Status.SUBMITTED
    await next_round(house, days=1)
    assert len(house.channel.sent) == 1


async def test_a_note_between_two_effects_is_kept_and_the_claim_with_it(house):
    campaign = await under_way(house)

    async def send(delivery, message, note):
        await note("ticket:77")
        kept = await opened(house, campaign)
        assert (kept.note, kept.claim) == ("ticket:77", delivery.claim)
        return fine(delivery)

    house.channel.send = send
    await house.deliver(item_for(await the_only(house, campaign)))
    assert (await the_only(house, campaign)).status is Status.SENT


# --- waiting ---


async def test_throttled_closes_the_gate_for_every_host_and_goes_out_when_it_opens(house):
    campaign = await under_way(house, 2)
    first, second = await house.deliveries(campaign)
    other = another(house, Moments())
    await house.account()
    await other.watch.held_until(campaign.id, "email", house.clock())  # knows of an open gate
    house.channel.answer = saying(ThrottledError("smtp: 421", timedelta(minutes=5)))
    await house.deliver(item_for(first))
    until = house.clock() + timedelta(minutes=5)
    put_back = await house.ledger.deliveries.get_open(campaign.id, first.id)
    assert (put_back.claim, put_back.slot, put_back.not_before) == (None, NEVER, until)
    assert put_back.attempt == 0
    assert await house.ledger.deliveries.attempts(campaign.id, first.id) == []

    house.channel.answer = fine
    house.clock.tick(seconds=15)
    await other.deliver(item_for(second))
    assert not house.channel.sent
    held = await house.ledger.deliveries.get_open(campaign.id, second.id)
    assert (held.claim, held.slot, held.not_before) == (None, NEVER, until)

    house.queue.items.clear()
    for _ in range(4):
        await next_round(house, minutes=1)
    assert not house.channel.sent
    await next_round(house, seconds=45)
    assert len(house.channel.sent) == 1  # one finds out,
    await next_round(house, minutes=1)  # and the others follow
    assert len(house.channel.sent) == 2
    assert await house.statuses(campaign) == {Status.SENT: 2}


async def test_the_host_that_was_throttled_holds_the_others_back_at_once(house):
    campaign = await under_way(house, 2)
    first, second = await house.deliveries(campaign)
    house.channel.answer = saying(ThrottledError("smtp: 421", timedelta(minutes=5)))
    await house.deliver(item_for(first))
    house.channel.answer = fine
    await house.deliver(item_for(second))
    assert not house.channel.sent


async def test_throttling_without_end_never_fails_anybody(house):
    campaign = await under_way(house)
    house.channel.answer = saying(ThrottledError("smtp: 421"))
    for _ in range(60):
        await next_round(house, minutes=1)
    assert (await opened(house, campaign)).attempt == 0
    assert await attempts(house, campaign) == []
    house.channel.answer = fine
    await next_round(house, minutes=1)
    delivery = await the_only(house, campaign)
    assert (delivery.status, delivery.attempts) == (Status.SENT, 1)


async def test_a_channel_that_needs_a_person_rests_a_quarter_and_nobody_pays_for_it(house):
    campaign = await under_way(house, 3)
    tried = []

    def refuse(delivery):
        tried.append(delivery.id)
        raise StoppedError("smtp: AUTH: 535")

    house.channel.answer = refuse
    for _ in range(30):
        await next_round(house, minutes=1)
    assert len(tried) == 2  # one at once, one a quarter later
    for delivery in await house.deliveries(campaign):
        assert await house.ledger.deliveries.attempts(campaign.id, delivery.id) == []
    house.channel.answer = fine
    for _ in range(3):
        await next_round(house, minutes=1)
    assert await house.statuses(campaign) == {Status.SENT: 3}
    assert {d.attempts for d in await house.deliveries(campaign)} == {1}


async def test_a_passing_failure_is_tried_later_and_later_and_then_given_up(make_house):
    house = make_house(MAX_ATTEMPTS="4")
    campaign = await under_way(house)
    tried = []

    def fail(_: OpenDelivery) -> Receipt:
        tried.append(house.clock())
        raise TransientError(f"smtp: 450 no. {len(tried)}")

    house.channel.answer = fail
    for _ in range(60):
        await next_round(house, minutes=1)
    waits = [(b - a) / A_MINUTE for a, b in pairwise(tried)]
    assert waits == [1, 2, 4]
    delivery = await the_only(house, campaign)
    assert (delivery.status, delivery.reason) == (Status.FAILED, Reason.GAVE_UP)
    assert (delivery.attempts, delivery.detail) == (4, "smtp: 450 no. 4")
    assert [status for status, *_ in await attempts(house, campaign)] == [
        *[Status.PLANNED] * 3,
        Status.FAILED,
    ]
    assert await house.ledger.deliveries.problems(campaign.id) == [delivery.id]


async def test_a_passing_failure_that_passes_is_sent_and_leaves_the_gate_open(house):
    campaign = await under_way(house, 2)
    first, second = await house.deliveries(campaign)
    house.channel.answer = saying(TransientError("smtp: 450"))
    await house.deliver(item_for(first))
    house.channel.answer = fine
    await house.deliver(item_for(second))
    assert [sent.id for sent in house.channel.sent] == [second.id]
    await house.deliver(item_for(first))  # its own turn has not come
    assert len(house.channel.sent) == 1
    await next_round(house, minutes=1)
    assert await house.statuses(campaign) == {Status.SENT: 2}


# --- may it leave? ---


async def test_who_is_not_on_the_test_list_any_more_is_skipped(house):
    campaign = await under_way(house)
    strict = another(house, Moments(), ONLY_SEND_TO="example.com")
    await strict.deliver(item_for(await the_only(house, campaign)))
    assert not house.channel.sent
    delivery = await the_only(house, campaign)
    assert (delivery.status, delivery.reason) == (Status.SKIPPED, Reason.NOT_ON_TEST_LIST)
    assert not await house.ledger.deliveries.any_open(campaign.id)
    assert await house.ledger.deliveries.problems(campaign.id) == []


@pytest.mark.parametrize("phase", [Phase.PAUSED, Phase.BLOCKED, Phase.CANCELLED])
async def test_nothing_leaves_of_a_campaign_that_does_not_send(house, phase):
    campaign = await under_way(house)
    await house.account()
    stopped = await house.ledger.campaigns.save(replace(campaign, phase=phase))
    await house.deliver_all()
    assert not house.channel.sent
    for _ in range(20):
        await next_round(house, minutes=1)
    assert not house.channel.sent
    assert (await opened(house, campaign)).attempt == 0
    if phase is Phase.CANCELLED:
        return
    await house.ledger.campaigns.save(replace(stopped, phase=Phase.SENDING))
    await next_round(house, minutes=1)
    assert len(house.channel.sent) == 1


async def test_a_pause_acts_on_every_host_within_fifteen_seconds(house):
    campaign = await under_way(house, 2)
    first, second = await house.deliveries(campaign)
    await house.deliver(item_for(first))
    await house.ledger.campaigns.save(campaign.to(Phase.PAUSED))
    house.clock.tick(seconds=15)
    await house.deliver(item_for(second))
    assert [sent.id for sent in house.channel.sent] == [first.id]


async def test_an_item_that_comes_before_the_undo_window_is_over_is_taken_back(house):
    campaign = await under_way(house, starts_at=house.clock() + timedelta(minutes=3))
    item = item_for(await the_only(house, campaign))
    await house.deliver(item)
    assert not house.channel.sent
    await next_round(house, minutes=3)
    assert len(house.channel.sent) == 1


@pytest.mark.parametrize("why", ["paused", "not on the test list"])
async def test_what_another_worker_is_sending_is_left_alone_whatever_has_changed_since(house, why):
    campaign = await under_way(house)
    lease = house.settings.lease
    claimed = await house.ledger.deliveries.claim(
        await opened(house, campaign), house.clock(), lease
    )
    if why == "paused":
        await house.ledger.campaigns.save(campaign.to(Phase.PAUSED))
    host = another(house, Moments(), ONLY_SEND_TO="example.com")
    await host.deliver(item_for(await the_only(house, campaign)))
    assert await opened(house, campaign) == claimed
    assert (await the_only(house, campaign)).status is Status.PLANNED


async def test_a_claim_that_took_too_long_is_put_back_unsent_and_costs_nothing(house):
    """Else the send could outlive the lease, and the sweep would call it lost."""
    campaign = await under_way(house)
    spare = house.settings.lease - house.channel.time_limit

    async def slow(moment: str) -> None:
        if moment == "after deliveries.write" and not house.channel.sent:
            house.clock.tick(seconds=spare.total_seconds())

    await another(house, slow).deliver(item_for(await the_only(house, campaign)))
    assert not house.channel.sent
    back = await opened(house, campaign)
    assert (back.claim, back.slot, back.not_before, back.attempt) == (None, NEVER, NEVER, 0)
    await next_round(house, minutes=1)
    assert (await the_only(house, campaign)).status is Status.SENT


# --- bugs and outages ---


async def test_a_bug_in_the_channel_is_raised_and_the_delivery_is_never_sent_again(house):
    campaign = await under_way(house)
    house.channel.answer = saying(RuntimeError("a bug"))
    item = item_for(await the_only(house, campaign))
    with pytest.raises(RuntimeError, match="a bug"):
        await house.deliver(item)
    house.channel.answer = fine
    await house.deliver(item)  # the queue brings it again
    await house.poison(item)
    for _ in range(8):
        await next_round(house, minutes=1)
    assert not house.channel.sent
    delivery = await the_only(house, campaign)
    assert (delivery.status, delivery.reason) == (Status.UNCERTAIN, Reason.INTERRUPTED)


async def test_a_message_that_is_gone_stops_the_campaign_before_anything_is_claimed(house):
    campaign = await under_way(house)
    house.files.blobs.clear()
    await house.deliver(item_for(await the_only(house, campaign)))
    waiting = await opened(house, campaign)
    assert (waiting.claim, waiting.attempt) == (None, 0)
    stopped = await house.ledger.campaigns.get(campaign.id)
    assert (stopped.phase, stopped.problem) == (Phase.BLOCKED, "message_gone")
    assert not house.channel.sent


#: What a failing call leaves: is it raised, is it sent, and what becomes of it in the end.
OUTAGES = {
    "before deliveries.get 1": (True, Status.SENT),
    "before campaigns.get 1": (True, Status.SENT),
    "before channels.get 1": (True, Status.SENT),
    "before files.get 1": (False, Status.SENT),  # it waits a minute; the queue need not know
    "before deliveries.write 1": (True, Status.SENT),  # not claimed, and the queue brings it again
    "after deliveries.write 1": (False, Status.SENT),  # claimed after all: the row says so
    "before deliveries.write 2": (True, Status.UNCERTAIN),  # sent, and cannot be settled
    "after deliveries.write 2": (False, Status.SENT),  # settled after all
}


@pytest.mark.parametrize("moment", OUTAGES)
async def test_a_storage_outage_at_any_call_sends_once_and_loses_nobody(house, moment):
    raised, status = OUTAGES[moment]
    campaign = await under_way(house)
    item = item_for(await the_only(house, campaign))
    when, number = moment.rsplit(" ", 1)
    seen = []

    async def fail(passed: str) -> None:
        seen.append(passed)
        if passed == when and seen.count(passed) == int(number):
            raise DoubtfulError("503")

    host = another(house, fail)
    if raised:
        with pytest.raises(DoubtfulError):
            await host.deliver(item)
    else:
        await host.deliver(item)
    await host.deliver(item)  # the queue brings it again, or twice
    for _ in range(8):
        await next_round(house, minutes=1)
    assert (await the_only(house, campaign)).status is status
    assert len(house.channel.sent) == 1


async def test_a_settle_that_fails_for_a_moment_only_is_told_by_the_next_try(house):
    """The sweep is late enough for the queue to bring the item, but it is nobody's to send."""
    campaign = await under_way(house)
    item = item_for(await the_only(house, campaign))
    outage = [True]

    async def fail(moment: str) -> None:
        if house.channel.sent and outage[0]:
            raise DoubtfulError("503")

    host = another(house, fail)
    with pytest.raises(DoubtfulError):
        await host.deliver(item)
    outage[0] = False
    await host.deliver(item)
    assert len(house.channel.sent) == 1
    assert (await opened(house, campaign)).claim is not None


# --- late truth ---


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (fine, Status.SENT),
        (saying(PermanentError("550")), Status.FAILED),
        (saying(UncertainError("no answer")), Status.UNCERTAIN),
        (saying(TransientError("450")), Status.UNCERTAIN),
        (saying(ThrottledError("421")), Status.UNCERTAIN),
    ],
    ids=["sent", "failed", "uncertain", "transient", "throttled"],
)
async def test_an_answer_after_the_sweep_is_believed_when_it_is_final(house, answer, status):
    campaign = await under_way(house)

    async def send(delivery, message, note):
        house.clock.tick(minutes=10)
        await house.account()
        assert (await the_only(house, campaign)).status is Status.UNCERTAIN
        return answer(delivery)

    house.channel.send = send
    await house.deliver(item_for(await the_only(house, campaign)))
    delivery = await the_only(house, campaign)
    assert delivery.status is status
    problems = [] if status is Status.SENT else [delivery.id]
    assert await house.ledger.deliveries.problems(campaign.id) == problems


@pytest.mark.parametrize("promise", [Promise.NEITHER, Promise.DEDUPLICATES])
async def test_an_answer_that_comes_in_the_middle_of_the_sweep_is_believed(make_house, promise):
    """Between the sweep's take-over and its verdict the slow worker settles; sent is sent."""

    async def scene():
        house = make_house()
        house.channel.promise = promise
        campaign = await under_way(house)
        delivery = await the_only(house, campaign)
        found = await house.ledger.deliveries.get_open(campaign.id, delivery.id)
        claimed = await house.ledger.deliveries.claim(found, house.clock(), house.settings.lease)
        house.clock.tick(minutes=10)

        async def answer():
            await house.ledger.deliveries.settle(
                claimed, Outcome(Status.SENT, reference="<x>"), house.clock()
            )

        return house, campaign, answer

    house, *_ = await scene()
    await another(house, moments := Moments()).account()
    for at in range(len(moments.passed)):
        house, campaign, answer = await scene()
        await another(house, Moments(at, answer)).account()
        for _ in range(3):
            await next_round(house, minutes=1)
        assert (await the_only(house, campaign)).status is Status.SENT, moments.passed[at]
        assert await house.ledger.deliveries.problems(campaign.id) == []
        assert not await house.ledger.deliveries.any_open(campaign.id)
        assert not house.channel.sent, moments.passed[at]


async def test_sent_is_sent_though_another_worker_has_tried_and_failed_since(house):
    """Its attempt has a number of its own, whatever the others have counted to."""
    house.channel.promise = Promise.DEDUPLICATES
    campaign = await under_way(house)
    deliveries, lease = house.ledger.deliveries, house.settings.lease
    slow = await deliveries.claim(await opened(house, campaign), house.clock(), lease)
    house.channel.answer = saying(TransientError("450"))
    await next_round(house, minutes=10)  # swept,
    await next_round(house, minutes=0)  # and released in the next round
    assert [status for status, *_ in await attempts(house, campaign)] == [Status.PLANNED] * 2
    assert await deliveries.settle(slow, Outcome(Status.SENT), house.clock())
    delivery = await the_only(house, campaign)
    assert (delivery.status, delivery.attempts) == (Status.SENT, 3)
    assert len(await attempts(house, campaign)) == 3
    assert not await deliveries.any_open(campaign.id)


async def test_what_failed_late_can_be_sent_in_the_next_round(house):
    """Its attempts are counted anew, and stand behind those that are there."""
    campaign = await under_way(house)
    deliveries, lease = house.ledger.deliveries, house.settings.lease
    slow = await deliveries.claim(await opened(house, campaign), house.clock(), lease)
    house.clock.tick(minutes=10)
    await house.account()
    await deliveries.settle(slow, Outcome(Status.FAILED, Reason.REFUSED), house.clock())
    again = [Again(one, one.recipient) for one in await house.deliveries(campaign)]
    await house.ledger.rounds.open_again(replace(campaign, round=2), again)
    stored = await house.ledger.campaigns.get(campaign.id)
    await house.ledger.campaigns.save(
        replace(campaign, version=stored.version, listed=stored.listed)
    )
    await next_round(house, minutes=1)
    delivery = await the_only(house, campaign)
    assert (delivery.status, delivery.round) == (Status.SENT, 2)
    assert (delivery.earlier_attempts, delivery.attempts) == (2, 1)
    assert len(await attempts(house, campaign)) == 3
