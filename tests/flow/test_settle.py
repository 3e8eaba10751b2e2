"""Settle by hand: a person's word ends a doubt, and late truth beats it."""

import itertools
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.delivery import Delivery, Outcome, Reason, Status
from shared.domain.orders import Verdict, orders_in
from shared.errors import DoubtfulError
from shared.flow.settle import Settled, last_word, settle_by_hand
from shared.ledger.rounds import Again
from tests.flow.edges import Moments, Stop, another, stop, under_way

SENT = Outcome(Status.SENT, reference="<1@example.no>", detail="250 OK")
FAILED = Outcome(Status.FAILED, Reason.REFUSED, detail="550")
UNCERTAIN = Outcome(Status.UNCERTAIN, Reason.NO_ANSWER, "<1@example.no>")


async def scene(house, *outcomes: Outcome):
    """A campaign whose recipients `0@example.no` and so on ended so; and a minute has passed."""
    campaign = await under_way(house, len(outcomes))
    for n, outcome in enumerate(outcomes):
        claimed = await claim(house, await by(house, campaign, n))
        await house.ledger.deliveries.settle(claimed, outcome, house.clock())
    house.clock.tick(minutes=1)
    return campaign


async def by(house, campaign, n: int) -> Delivery:
    return {d.recipient.address: d for d in await house.deliveries(campaign)}[f"{n}@example.no"]


async def claim(house, delivery: Delivery):
    opened = await house.ledger.deliveries.get_open(delivery.campaign, delivery.id)
    return await house.ledger.deliveries.claim(opened, house.clock(), house.settings.lease)


async def settle(host, campaign, *verdicts: Verdict, **options) -> Settled:
    return await settle_by_hand(
        campaign.id, verdicts, ledger=host.ledger, clock=host.clock, **options
    )


def sent(house, n: int | None = None, **later: float) -> Verdict:
    address = "" if n is None else f"{n}@example.no"
    return Verdict(address, True, house.clock() + timedelta(**later))


def not_sent(house, n: int | None = None, **later: float) -> Verdict:
    address = "" if n is None else f"{n}@example.no"
    return Verdict(address, False, house.clock() + timedelta(**later))


async def statuses(house, campaign) -> list[Status]:
    known = {d.recipient.address: d.status for d in await house.deliveries(campaign)}
    return [known[address] for address in sorted(known)]


async def test_a_word_on_all_settles_what_is_uncertain_and_nothing_else(house):
    campaign = await scene(house, SENT, FAILED, UNCERTAIN, UNCERTAIN)
    assert await settle(house, campaign, not_sent(house)) == Settled(not_sent=2)
    assert await statuses(house, campaign) == ["sent", "failed", "failed", "failed"]
    reasons = [(await by(house, campaign, n)).reason for n in (1, 2, 3)]
    assert reasons == [Reason.REFUSED, Reason.SETTLED_BY_HAND, Reason.SETTLED_BY_HAND]


async def test_a_word_on_one_settles_that_one(house):
    campaign = await scene(house, UNCERTAIN, UNCERTAIN)
    assert await settle(house, campaign, sent(house, 1)) == Settled(sent=1, left=1)
    assert await statuses(house, campaign) == ["uncertain", "sent"]
    [problem] = await house.ledger.deliveries.problems(campaign.id)
    assert problem == (await by(house, campaign, 0)).id


async def test_a_note_on_the_ticket_says_it(house):
    campaign = await scene(house, UNCERTAIN, UNCERTAIN)
    note = "<p>Usikre: ikke sendt</p><p>usikker 1@EXAMPLE.no: sendt</p>"
    orders = orders_in([(note, house.clock())])
    assert await settle(house, campaign, *orders.verdicts) == Settled(sent=1, not_sent=1)
    assert await statuses(house, campaign) == ["failed", "sent"]


async def test_only_those_that_are_named_by_their_ids(house):
    campaign = await scene(house, UNCERTAIN, UNCERTAIN, UNCERTAIN)
    only = {(await by(house, campaign, 1)).id, "en annen"}
    assert await settle(house, campaign, sent(house), only=only) == Settled(sent=1, left=2)
    assert await statuses(house, campaign) == ["uncertain", "sent", "uncertain"]


async def test_however_the_words_come_and_how_often_they_come_to_the_same(make_house):
    """Written in any order, seen together or apart, once or again."""

    def words(house):
        """What was written when; the last word on the first is «not sent», on the second «sent»."""
        return (
            not_sent(house, 0, seconds=1),
            not_sent(house, seconds=2),
            sent(house, 1, seconds=3),
            sent(house, seconds=4),
            not_sent(house, seconds=5),
        )

    for sizes in ((5,), (1, 1, 1, 2), (2, 3), (4, 1), (3, 2)):
        for order in itertools.islice(itertools.permutations(range(5)), 0, None, 7):
            house = make_house()
            campaign = await scene(house, UNCERTAIN, UNCERTAIN)
            given = words(house)
            seen: list[Verdict] = []
            if len(sizes) == 1:
                await settle(house, campaign, *(given[n] for n in order))
            for size in sizes if len(sizes) > 1 else ():
                seen += given[len(seen) : len(seen) + size]
                await settle(house, campaign, *seen)
                await settle(house, campaign, *seen)
            assert await statuses(house, campaign) == ["failed", "sent"], (sizes, order)


async def test_the_same_words_again_write_nothing(house):
    campaign = await scene(house, UNCERTAIN, UNCERTAIN, UNCERTAIN)
    said = (not_sent(house), sent(house, 1))
    await settle(house, campaign, *said)
    host = another(house, moments := Moments())
    assert await settle(host, campaign, *said) == Settled()
    assert "before deliveries.write" not in moments.passed


@pytest.mark.parametrize(("problems", "reads"), [(0, 0), (3, 3)])
async def test_it_costs_what_is_in_doubt_and_no_words_cost_nothing(house, problems, reads):
    campaign = await scene(house, *[SENT] * 20, *[FAILED] * 20, *[UNCERTAIN] * problems)
    host = another(house, moments := Moments())
    await settle(host, campaign)
    assert moments.passed == []
    await settle(host, campaign, not_sent(house))
    assert moments.passed.count("before deliveries.query") == 1
    assert moments.passed.count("before deliveries.get") == reads
    assert moments.passed.count("before deliveries.write") == reads
    for again in (not_sent(house), sent(house, hours=-1)):
        host = another(house, moments := Moments())
        await settle(host, campaign, again)
        assert moments.passed == ["before deliveries.query"]


async def test_a_word_that_is_older_than_the_doubt_is_about_something_else(house):
    said = not_sent(house, seconds=-1)
    campaign = await scene(house, UNCERTAIN)
    assert await settle(house, campaign, said) == Settled(left=1)
    assert await statuses(house, campaign) == ["uncertain"]


async def test_not_sent_can_be_taken_back_and_sent_cannot(house):
    campaign = await scene(house, UNCERTAIN, UNCERTAIN)
    await settle(house, campaign, not_sent(house, 0), sent(house, 1))
    house.clock.tick(minutes=1)
    taken_back = (sent(house, 0), not_sent(house, 1))
    assert await settle(house, campaign, *taken_back) == Settled(sent=1)
    assert await statuses(house, campaign) == ["sent", "sent"]


async def test_not_sent_opens_it_for_a_repair_and_takes_no_part_in_it(house):
    campaign = await scene(house, UNCERTAIN, UNCERTAIN)
    said = (not_sent(house),)
    await settle(house, campaign, *said)
    again = [Again(one, one.recipient) for one in await house.deliveries(campaign)]
    await house.ledger.rounds.open_again(replace(campaign, round=2), again)
    assert await statuses(house, campaign) == ["planned", "planned"]
    host = another(house, moments := Moments())
    assert await settle(host, campaign, *said, sent(house)) == Settled()
    assert "before deliveries.write" not in moments.passed
    house.clock.tick(minutes=1)
    claimed = await claim(house, await by(house, campaign, 0))
    await house.ledger.deliveries.settle(claimed, UNCERTAIN, house.clock())
    # the words before were on the first round
    assert await settle(house, campaign, *said) == Settled(left=1)
    assert await settle(house, campaign, *said, sent(house)) == Settled(sent=1)


async def taken_for_dead(house):
    """A campaign to one, who is uncertain; and the claim of a worker that is still at it."""
    campaign = await under_way(house, 1)
    slow = await claim(house, await by(house, campaign, 0))
    house.clock.tick(hours=1)
    sweep = await house.ledger.deliveries.take_over(
        slow, house.clock(), house.settings.lease, house.settings.grace
    )
    await house.ledger.deliveries.settle(sweep, UNCERTAIN, house.clock())
    house.clock.tick(minutes=1)
    return campaign, slow


@pytest.mark.parametrize("said", [sent, not_sent])
@pytest.mark.parametrize("late", [SENT, FAILED])
async def test_late_truth_that_comes_after_can_only_say_that_it_was_sent(house, said, late):
    campaign, slow = await taken_for_dead(house)
    await settle(house, campaign, said(house))
    await house.ledger.deliveries.settle(slow, late, house.clock())
    was_sent = said is sent or late is SENT
    assert await statuses(house, campaign) == ["sent" if was_sent else "failed"]
    assert bool(await house.ledger.deliveries.problems(campaign.id)) is not was_sent


@pytest.mark.parametrize("late", [SENT, FAILED])
async def test_late_truth_that_comes_first_is_left_alone(house, late):
    campaign, slow = await taken_for_dead(house)

    async def hears() -> None:
        await house.ledger.deliveries.settle(slow, late, house.clock())

    copy_of = another(house, moments := Moments())
    rows = dict(house.tables["deliveries"].rows)
    await settle(copy_of, campaign, sent(house))
    for at, moment in enumerate(moments.passed):
        if moment.startswith("after") and moment.endswith("write"):
            continue
        house.tables["deliveries"].rows.clear()
        house.tables["deliveries"].rows.update(rows)
        host = another(house, Moments(at, hears))
        verdict = not_sent(house) if late is SENT else sent(house)
        assert await settle(host, campaign, verdict) == Settled(), moment
        account = await by(house, campaign, 0)
        assert (account.status, account.reason) == (late.status, late.reason), moment
        problems = await house.ledger.deliveries.problems(campaign.id)
        assert len(problems) == (late is FAILED), moment


async def test_one_that_is_changed_otherwise_meanwhile_is_settled_all_the_same(house):
    campaign = await scene(house, UNCERTAIN)
    id_ = (await by(house, campaign, 0)).id

    async def erased() -> None:
        await house.ledger.erasure.erase(campaign.id, id_)

    host = another(house, moments := Moments(2, erased))
    assert await settle(host, campaign, not_sent(house)) == Settled(not_sent=1)
    assert moments.passed[1:4] == [
        "before deliveries.get",
        "after deliveries.get",
        "before deliveries.write",
    ]
    [account] = await house.deliveries(campaign)
    assert (account.status, account.recipient.erased) == (Status.FAILED, True)


async def test_a_crash_at_any_call_leaves_something_that_the_same_words_finish(make_house):
    async def fail() -> None:
        raise DoubtfulError("503")

    house = make_house()
    campaign = await scene(house, UNCERTAIN, UNCERTAIN)
    await settle(another(house, moments := Moments()), campaign, not_sent(house), sent(house, 1))
    assert moments.passed.count("before deliveries.write") == 2
    for then in (stop, fail):
        for at, moment in enumerate(moments.passed):
            house = make_house()
            campaign = await scene(house, UNCERTAIN, UNCERTAIN)
            said = (not_sent(house), sent(house, 1))
            with suppress(Stop, DoubtfulError):
                await settle(another(house, Moments(at, then)), campaign, *said)
            await settle(house, campaign, *said)
            assert await statuses(house, campaign) == ["failed", "sent"], f"{at} {moment}"
            history = [
                len(await house.ledger.deliveries.attempts(campaign.id, one.id))
                for one in await house.deliveries(campaign)
            ]
            assert history == [2, 2], f"{at} {moment}"


async def test_a_campaign_that_nobody_knows_has_nothing_to_settle(house):
    verdict = Verdict("", True, house.clock())
    assert (
        await settle_by_hand("1-1", [verdict], ledger=house.ledger, clock=house.clock) == Settled()
    )


async def test_the_log_names_no_person(house, caplog):
    campaign = await scene(house, UNCERTAIN)
    with caplog.at_level(logging.DEBUG):
        await settle(house, campaign, sent(house, 0), by="http")
    assert "settle.by_hand campaign_id=20417-1 sent=1 not_sent=0 left=0 by=http" in caplog.text
    assert "example.no" not in caplog.text


def test_of_two_words_at_the_same_time_the_one_further_down_counts(house):
    up, down = not_sent(house, 0), sent(house, 0)
    assert last_word("0@example.no", house.clock(), [up, down]) is down
    assert last_word("0@example.no", house.clock(), [down, up]) is up
    assert last_word("1@example.no", house.clock(), [down, up]) is None
