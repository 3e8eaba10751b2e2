"""Verify: nothing counts as sent that has not been seen leaving, and little is asked to see it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
import pytest

from shared.domain.delivery import OpenDelivery, Outcome, Reason, Status
from shared.errors import PermanentError, TransientError
from shared.flow.verify import AT_ONCE, verify
from shared.ports import Promise
from tests.flow.edges import Moments, another, under_way

MINUTE = timedelta(minutes=1)
GONE_OUT = Outcome(Status.SENT)
NOT_MAILED = Outcome(Status.SUBMITTED, Reason.NOT_MAILED)
BOUNCED = Outcome(Status.FAILED, Reason.MAIL_FAILED, detail="550 ukjent mottaker")
READY = "Utsending – klar"


@dataclass
class Provider:
    """Answers about each delivery as `answer` says, and keeps what it was asked."""

    answer: Callable[[OpenDelivery], Outcome | None] = lambda one: GONE_OUT
    asked: list[list[str]] = field(default_factory=list)
    first_check = longest_wait = timedelta()

    async def find(self, delivery: OpenDelivery) -> str:
        raise AssertionError("nothing was interrupted")

    async def check(self, submitted: Sequence[OpenDelivery]) -> Mapping[str, Outcome]:
        self.asked.append([one.id for one in submitted])
        answers = {one.id: self.answer(one) for one in submitted}
        return {id_: outcome for id_, outcome in answers.items() if outcome}


def always(outcome: Outcome | None) -> Provider:
    return Provider(lambda one: outcome)


async def submitted(house, recipients: int, to_come: int = 0, **options):
    """A campaign whose messages have just been posted, but for those to come."""
    campaign = await under_way(house, recipients + to_come, channel="ticket", **options)
    for one in (await house.deliveries(campaign))[:recipients]:
        await submit(house, campaign, one.id)
    return campaign


async def submit(house, campaign, id_: str) -> None:
    deliveries, now = house.ledger.deliveries, house.clock()
    opened = await deliveries.get_open(campaign.id, id_)
    claimed = await deliveries.claim(opened, now, house.settings.lease)
    posted = Outcome(Status.SUBMITTED, reference="5002/20418")
    await deliveries.submit(claimed, posted, now, now + house.settings.first_check)


async def look(house, campaign, provider: Provider) -> None:
    patience = house.settings.first_check, house.settings.longest_wait
    provider.first_check, provider.longest_wait = patience
    await verify(campaign, provider, ledger=house.ledger, clock=house.clock)


async def the_only(house, campaign):
    [delivery] = await house.deliveries(campaign)
    return delivery


# --- when it asks ---


async def test_full_portions_are_asked_about_at_once_and_the_rest_waits_no_longer_than_at_first(
    house,
):
    campaign, provider = await submitted(house, 2 * AT_ONCE + 5, to_come=1), Provider()
    house.clock.now += house.settings.first_check - MINUTE / 60
    await look(house, campaign, provider)
    assert provider.asked == []
    house.clock.tick(seconds=1)
    await look(house, campaign, provider)
    assert [len(portion) for portion in provider.asked] == [AT_ONCE, AT_ONCE]
    house.clock.now += house.settings.first_check - MINUTE / 60
    await look(house, campaign, provider)
    assert len(provider.asked) == 2
    house.clock.tick(seconds=1)
    await look(house, campaign, provider)
    assert [len(portion) for portion in provider.asked] == [AT_ONCE, AT_ONCE, 5]
    assert await house.statuses(campaign) == {Status.SENT: 2 * AT_ONCE + 5, Status.PLANNED: 1}


async def test_a_rest_that_nothing_can_fill_does_not_wait(house):
    campaign, provider = await submitted(house, AT_ONCE + 5), Provider()
    house.clock.now += house.settings.first_check
    await look(house, campaign, provider)
    assert [len(portion) for portion in provider.asked] == [AT_ONCE, 5]
    assert await house.statuses(campaign) == {Status.SENT: AT_ONCE + 5}
    assert not await house.ledger.deliveries.any_open(campaign.id)


async def ages_when_asked(house, provider: Provider, recipients: int) -> list[float]:
    campaign = await submitted(house, recipients)
    began, ages = house.clock(), []
    for _ in range(12 * 60):
        house.clock.tick(seconds=10)
        before = len(provider.asked)
        await look(house, campaign, provider)
        ages += [(house.clock() - began) / MINUTE] * (len(provider.asked) - before)
    return ages


async def test_what_has_no_answer_is_asked_about_at_twice_its_age_and_a_last_time_in_the_end(house):
    assert await ages_when_asked(house, always(NOT_MAILED), AT_ONCE) == [2, 4, 8, 16, 32, 60]


@pytest.mark.parametrize("minutes", ["1", "3", "5", "90"])
async def test_the_last_look_is_when_the_wait_is_over(make_house, minutes):
    house = make_house(TICKET_WAIT_MINUTES=minutes)
    ages = await ages_when_asked(house, always(NOT_MAILED), AT_ONCE)
    assert ages == {"1": [2], "3": [2, 3], "5": [2, 4, 5], "90": [2, 4, 8, 16, 32, 64, 90]}[minutes]


async def test_a_delivery_alone_is_asked_about_too(house):
    ages = await ages_when_asked(house, always(NOT_MAILED), 1)
    assert ages[0] == 2  # nothing more can come to fill its portion
    assert 60 <= ages[-1] <= 62
    assert len(ages) <= 6


@pytest.mark.parametrize(
    ("slow", "calls"), [(0, 1), (1, 2), (4, 5)], ids=["at once", "twice", "late"]
)
async def test_five_hundred_cost_little_more_than_their_number_of_portions(house, slow, calls):
    """Thirty a minute are posted; each has its answer at the first, second or fifth look."""
    seen: dict[str, int] = {}

    def answer(one: OpenDelivery) -> Outcome:
        seen[one.id] = seen.get(one.id, 0) + 1
        return GONE_OUT if seen[one.id] > slow else NOT_MAILED

    provider = Provider(answer)
    campaign = await under_way(house, 500, channel="ticket")
    waiting = [one.id for one in await house.deliveries(campaign)]
    while waiting or await house.ledger.deliveries.any_open(campaign.id):
        for id_ in waiting[:30]:
            await submit(house, campaign, id_)
        del waiting[:30]
        house.clock.tick(minutes=1)
        await look(house, campaign, provider)
    assert await house.statuses(campaign) == {Status.SENT: 500}
    assert len(provider.asked) <= calls * (500 / AT_ONCE + 1) + 2


async def test_a_thousand_that_wait_are_all_asked_about(house):
    campaign, provider = await submitted(house, 1_010), Provider()
    for _ in range(3):
        house.clock.now += house.settings.first_check
        await look(house, campaign, provider)
    assert await house.statuses(campaign) == {Status.SENT: 1_010}


async def test_nobody_is_asked_about_who_was_not_submitted(house):
    campaign, provider = await under_way(house, 3, channel="ticket"), Provider()
    [claimed, _, settled] = await house.ledger.deliveries.due(campaign.id, house.clock(), 10)
    await house.ledger.deliveries.claim(claimed, house.clock(), house.settings.lease)
    await house.ledger.deliveries.settle(settled, GONE_OUT, house.clock())
    house.clock.tick(hours=3)
    await look(house, campaign, provider)
    assert provider.asked == []


# --- what comes of it ---


@pytest.mark.parametrize("outcome", [GONE_OUT, BOUNCED], ids=["sent", "failed"])
async def test_an_answer_settles_and_keeps_which_ticket_it_was(house, outcome):
    campaign = await submitted(house, 1)
    house.clock.tick(minutes=4)
    await look(house, campaign, always(outcome))
    delivery = await the_only(house, campaign)
    assert (delivery.status, delivery.reason) == (outcome.status, outcome.reason)
    assert (delivery.reference, delivery.detail) == ("5002/20418", outcome.detail)
    assert delivery.attempts == 1
    problems = await house.ledger.deliveries.problems(campaign.id)
    assert problems == ([delivery.id] if outcome is BOUNCED else [])


@pytest.mark.parametrize("reason", [Reason.NOT_MAILED, Reason.STILL_QUEUED])
async def test_what_has_no_answer_when_the_wait_is_over_is_uncertain_and_says_why(house, reason):
    campaign, provider = await submitted(house, 1), always(Outcome(Status.SUBMITTED, reason))
    for _ in range(59):
        house.clock.tick(minutes=1)
        await look(house, campaign, provider)
    assert (await the_only(house, campaign)).status is Status.SUBMITTED
    for _ in range(3):
        house.clock.tick(minutes=1)
        await look(house, campaign, provider)
    delivery = await the_only(house, campaign)
    assert (delivery.status, delivery.reason) == (Status.UNCERTAIN, reason)
    assert delivery.reference == "5002/20418"
    assert await house.ledger.deliveries.problems(campaign.id) == [delivery.id]


async def test_what_is_submitted_without_a_reason_has_gone_out_and_is_sent_in_the_end(house):
    """Only what we wanted to write about it is still missing."""
    campaign, provider = await submitted(house, 1), always(Outcome(Status.SUBMITTED))
    for _ in range(62):
        assert (await the_only(house, campaign)).status is Status.SUBMITTED
        house.clock.tick(minutes=1)
        await look(house, campaign, provider)
        if not await house.ledger.deliveries.any_open(campaign.id):
            break
    assert (await the_only(house, campaign)).status is Status.SENT


async def test_who_does_not_come_back_has_not_been_looked_at_and_is_asked_about_for_ever(house):
    """E.g. because the provider answers so many questions an hour."""
    campaign, provider = await submitted(house, 1), always(None)
    for _ in range(120):
        house.clock.tick(minutes=1)
        await look(house, campaign, provider)
    assert await house.ledger.deliveries.any_open(campaign.id)
    assert len(provider.asked) == 60
    provider.answer = lambda one: GONE_OUT
    house.clock.tick(minutes=2)
    await look(house, campaign, provider)
    assert (await the_only(house, campaign)).status is Status.SENT


# --- a provider that does not answer ---


async def test_a_look_that_fails_changes_nothing_and_is_taken_again(house):
    answers = [TransientError("503"), None]

    def answer(one: OpenDelivery) -> Outcome:
        if error := answers.pop(0):
            raise error
        return GONE_OUT

    campaign, provider = await submitted(house, 1), Provider(answer)
    house.clock.tick(minutes=4)
    before = dict(house.tables["deliveries"].rows)
    with pytest.raises(TransientError):
        await look(house, campaign, provider)
    assert house.tables["deliveries"].rows == before
    house.clock.tick(minutes=1)
    await look(house, campaign, provider)
    assert (await the_only(house, campaign)).status is Status.SENT


async def test_a_provider_that_refuses_to_say_keeps_no_campaign_open_for_ever(house):
    def answer(one: OpenDelivery) -> Outcome:
        raise PermanentError("GET /email/: 400")

    campaign, provider = await submitted(house, 1), Provider(answer)
    for _ in range(62):
        house.clock.tick(minutes=1)
        await look(house, campaign, provider)
    delivery = await the_only(house, campaign)
    assert (delivery.status, delivery.reason) == (Status.UNCERTAIN, Reason.NO_ANSWER)
    assert delivery.detail == "GET /email/: 400"
    assert len(provider.asked) <= 6


async def test_a_look_that_fails_stops_neither_the_next_portion_nor_another_campaign(house):
    """`account` takes what fails apart."""
    bad = await submitted(house, 1, number=20417)
    other = await submitted(house, 1, number=20418)
    waiting = await under_way(house, 2, number=20419)

    def answer(one: OpenDelivery) -> Outcome:
        if one.campaign == bad.id:
            raise TransientError("503")
        return GONE_OUT

    house.tickets.check = Provider(answer).check
    house.clock.tick(minutes=4)
    await house.account()
    assert await house.statuses(bad) == {Status.SUBMITTED: 1}
    assert await house.statuses(other) == {Status.SENT: 1}
    assert len(house.queue.items) == 2
    assert await house.statuses(waiting) == {Status.PLANNED: 2}


# --- what happens meanwhile ---


async def test_what_another_host_settles_while_we_ask_stays_settled(house):
    """It knows more: ours has given up, and would say *uncertain*."""
    campaign = await submitted(house, 2)
    first, second = await house.deliveries(campaign)
    house.clock.tick(minutes=70)

    class Slow(Provider):
        async def check(self, portion):
            known = await super().check(portion)
            await look(house, campaign, always(GONE_OUT))
            return known

    await look(house, campaign, Slow(lambda one: NOT_MAILED))
    assert await house.statuses(campaign) == {Status.SENT: 2}
    assert await house.ledger.deliveries.problems(campaign.id) == []
    assert not await house.ledger.deliveries.any_open(campaign.id)
    assert {first.id, second.id} == {one.id for one in await house.deliveries(campaign)}


@pytest.mark.parametrize("ours", [GONE_OUT, NOT_MAILED], ids=["an answer", "none"])
async def test_two_hosts_that_ask_at_any_moment_settle_once(make_house, ours):
    async def scene():
        house = make_house()
        campaign = await submitted(house, 3)
        house.clock.tick(minutes=4)
        return house, campaign

    house, campaign = await scene()
    await look(another(house, moments := Moments()), campaign, always(ours))
    for at in range(len(moments.passed)):
        house, campaign = await scene()
        beside = another(house, Moments())

        async def meanwhile(beside=beside, campaign=campaign):
            await look(beside, campaign, always(GONE_OUT))

        await look(another(house, Moments(at, meanwhile)), campaign, always(ours))
        house.clock.tick(minutes=10)
        await look(house, campaign, always(GONE_OUT))
        assert await house.statuses(campaign) == {Status.SENT: 3}, moments.passed[at]
        keys = [key.partition(":")[0] for _, key in house.tables["deliveries"].rows]
        assert (keys.count("o"), keys.count("p"), keys.count("a")) == (0, 0, 3)


# --- with Pureservice ---


def asked_for(house, *addresses: str) -> int:
    members = house.make_list("en", *addresses)
    return house.open_ticket(members, channel="ticket", message="<p>Hei</p>", status=READY)


async def test_a_mail_that_left_one_that_failed_one_that_waits_and_one_that_never_was(house):
    number = asked_for(
        house, "kari@example.no", "a+bounce@example.no", "b+stuck@example.no", "c+lost@example.no"
    )
    await house.run(12)
    campaign = await house.campaign(number)
    outcomes = {one.recipient.address: one for one in await house.deliveries(campaign)}
    assert {who.partition("@")[0]: one.status for who, one in outcomes.items()} == {
        "kari": Status.SENT,
        "a+bounce": Status.FAILED,
        "b+stuck": Status.SUBMITTED,
        "c+lost": Status.SUBMITTED,
    }
    campaign = await house.until_done(number, minutes=60)
    assert campaign.took >= timedelta(minutes=60)
    outcomes = {one.recipient.address: one for one in await house.deliveries(campaign)}
    reasons = {who: (one.status, one.reason) for who, one in outcomes.items()}
    assert reasons == {
        "kari@example.no": (Status.SENT, Reason.NONE),
        "a+bounce@example.no": (Status.FAILED, Reason.MAIL_FAILED),
        "b+stuck@example.no": (Status.UNCERTAIN, Reason.STILL_QUEUED),
        "c+lost@example.no": (Status.UNCERTAIN, Reason.NOT_MAILED),
    }
    assert "ukjent mottaker" in outcomes["a+bounce@example.no"].detail
    assert "@" not in outcomes["a+bounce@example.no"].detail.replace("…@…", "")
    solution = " ".join(house.ticket(number)["solution"].split())
    assert "4 av 4 mottakere har fått hver sin sak, og meldingen er sendt fra 1 av dem" in solution
    for words in (
        "Pureservice fikk ikke sendt meldingen",
        "Meldingen ligger på saken, men Pureservice har ikke sendt den",
        "Meldingen ligger fortsatt i utboksen til Pureservice",
        "Åpne mottakerens sak for å se om meldingen er sendt",
    ):
        assert solution.count(words) == 1
    assert len(house.copies(number)) == 4


@pytest.mark.parametrize("wait", ["10", "60"])
async def test_where_pureservice_mails_nothing_that_is_posted_everybody_is_uncertain(
    make_house, wait
):
    house = make_house(TICKET_WAIT_MINUTES=wait)
    house.world.switches = house.world.switches.model_copy(update={"message_sends_mail": False})
    number = asked_for(house, "kari@example.no", "ola@example.no")
    await house.run(int(wait))
    assert (await house.campaign(number)).phase == "sending"
    campaign = await house.until_done(number, minutes=6)
    reasons = {(one.status, one.reason) for one in await house.deliveries(campaign)}
    assert reasons == {(Status.UNCERTAIN, Reason.NOT_MAILED)}
    solution = house.ticket(number)["solution"]
    assert "men meldingen er ikke bekreftet sendt fra noen av dem" in solution
    assert "har gått ut fra mottakerens sak" not in solution


async def test_what_an_agent_writes_to_a_recipient_meanwhile_is_a_mail_too(house):
    """Any mail out of the ticket that was sent will do: the recipient has heard from us."""
    number = asked_for(house, "b+stuck@example.no")
    await house.run(2)
    [copy] = house.copies(number)
    [queued] = [mail for mail in house.on(copy, "email") if mail["direction"] == 2]
    house.world.change("email", queued["id"], {"status": 4})
    await house.until_done(number)
    assert await house.statuses(await house.campaign(number)) == {Status.SENT: 1}


async def test_the_channel_can_be_asked(house):
    assert house.ticket_lane.asked is house.tickets
    assert house.lane.asked is None
    assert house.tickets.promise is Promise.CAN_BE_ASKED


async def test_no_call_to_look_at_mails_is_longer_than_a_web_server_takes(house):
    """Unless told otherwise, that in front of Pureservice takes 2,048 characters."""
    house.world._last_id["ticket"] = 12_345_678
    asked_for(house, *(f"mottaker{n}@example.no" for n in range(AT_ONCE)))
    await house.run(4)
    [look] = [r for r in house.simulator.traffic.requests if r["path"].startswith("/email/")]
    assert look["query"]["filter"].count("ticketId") == AT_ONCE
    assert len(httpx.QueryParams(look["query"])) == 4
    assert len(str(httpx.QueryParams(look["query"]))) < 2_048
