"""What was sent and came back: told once, of the sending that it was, and to the ticket."""

import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import pytest

from shared.domain.bounce import Bounce, BounceKind, Report, Returned
from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import Delivery, Outcome, Reason, Status
from shared.domain.suppression import SuppressionReason
from shared.errors import DoubtfulError, PermanentError, StoppedError, StorageError, TransientError
from shared.flow.bounce import Came, bounced, read_mailbox, tell_late_bounces
from shared.ledger.erasure import FORGETTING
from shared.ledger.progress import Progress
from shared.ledger.rounds import Again
from tests.flow.edges import Moments, Stop, another, stop, under_way

SENT = Outcome(Status.SENT, reference="<1@example.no>", detail="250 OK")
UNCERTAIN = Outcome(Status.UNCERTAIN, Reason.NO_ANSWER, "<1@example.no>")
REFUSED = Outcome(Status.FAILED, Reason.REFUSED, detail="550")
HARD, FULL, SOFT = BounceKind.HARD, BounceKind.REFUSED, BounceKind.SOFT
TODAY = date(2026, 11, 23)


async def scene(house, *outcomes: Outcome, **changes) -> Campaign:
    """A campaign whose recipients `0@example.no` and so on got theirs so."""
    campaign = await under_way(house, len(outcomes), **changes)
    for n, outcome in enumerate(outcomes):
        delivery = await by(house, campaign, n)
        opened = await house.ledger.deliveries.get_open(campaign.id, delivery.id)
        claimed = await house.ledger.deliveries.claim(opened, house.clock(), house.settings.lease)
        await house.ledger.deliveries.settle(claimed, outcome, house.clock())
    house.clock.tick(minutes=1)
    return campaign


async def reported(house, *outcomes: Outcome, **changes) -> tuple[Campaign, int]:
    """The same, behind a ticket, and over; with the ticket's number."""
    number = house.open_ticket()
    ticket = house.ticket(number)["id"]
    changes = {"phase": Phase.DONE, "number": number, "ticket_id": ticket, **changes}
    return await scene(house, *outcomes, **changes), number


async def by(house, campaign: Campaign, n: int) -> Delivery:
    found = {d.recipient.address: d for d in await house.deliveries(campaign)}
    return found[f"{n}@example.no"]


async def bounce(host, campaign: Campaign, n: int = 0, kind=HARD, **changes) -> Came:
    delivery = await by(host, campaign, n)
    report = Bounce(campaign.id, delivery.id, 1, kind, "mailbox", host.clock(), "550 nei")
    return await bounced(
        replace(report, **changes), ledger=host.ledger, settings=host.settings, clock=host.clock
    )


async def tell(host) -> None:
    await tell_late_bounces(
        helpdesk=host.helpdesk, ledger=host.ledger, settings=host.settings, clock=host.clock
    )


def told(house, number: int) -> list[str]:
    return [note for note in house.notes(number) if "/retur-" in note]


async def owed(house) -> list[tuple[date, str]]:
    return [(one.day, one.campaign) for one in await house.ledger.bounces.owed(date.max)]


# --- the delivery ---


@pytest.mark.parametrize("outcome", [SENT, UNCERTAIN])
async def test_what_came_back_has_failed_and_its_address_is_not_written_to_for_a_while(
    house, outcome
):
    campaign = await scene(house, outcome, SENT)
    assert await bounce(house, campaign) is Came.TAKEN_IN
    delivery = await by(house, campaign, 0)
    assert (delivery.status, delivery.reason, delivery.detail) == (
        *(Status.FAILED, Reason.BOUNCED, "550 nei"),
    )
    assert (await by(house, campaign, 1)).status is Status.SENT
    suppression = await house.ledger.suppressions.get("0@example.no")
    assert (suppression.reason, suppression.source) == (SuppressionReason.HARD_BOUNCE, "mailbox")
    assert suppression.expires == house.clock() + timedelta(days=90)


async def test_what_was_refused_for_another_reason_may_be_written_to_again(house):
    campaign = await scene(house, SENT)
    assert await bounce(house, campaign, kind=FULL) is Came.TAKEN_IN
    assert (await by(house, campaign, 0)).reason is Reason.BOUNCED
    assert await house.ledger.suppressions.get("0@example.no") is None


async def test_no_days_are_no_suppression(make_house):
    house = make_house(SUPPRESS_BOUNCED_DAYS="0")
    campaign = await scene(house, SENT)
    assert await bounce(house, campaign) is Came.TAKEN_IN
    assert await house.ledger.suppressions.get("0@example.no") is None


async def test_one_that_is_late_changes_nothing(house):
    campaign = await scene(house, SENT)
    before = await house.deliveries(campaign)
    assert await bounce(house, campaign, kind=SOFT) is Came.NOTHING_NEW
    assert await house.deliveries(campaign) == before
    assert await house.ledger.suppressions.get("0@example.no") is None


async def test_the_same_again_changes_nothing_even_when_it_was_lifted(house):
    campaign = await scene(house, SENT, phase=Phase.DONE)
    at = house.clock()
    await bounce(house, campaign, at=at)
    await house.ledger.suppressions.lift("0@example.no")
    tables = [dict(table.rows) for table in house.tables.values()]
    house.clock.tick(minutes=5)
    assert await bounce(house, campaign, at=at, detail="igjen") is Came.NOTHING_NEW
    known = [{at: row.values for at, row in table.items()} for table in tables]
    stored = [{at: r.values for at, r in t.rows.items()} for t in house.tables.values()]
    assert stored == known


async def test_one_that_had_failed_already_stays_as_it_is(house):
    campaign = await scene(house, REFUSED)
    assert await bounce(house, campaign) is Came.NOTHING_NEW
    assert (await by(house, campaign, 0)).reason is Reason.REFUSED


async def test_one_that_is_not_settled_yet_is_to_be_told_again(house):
    campaign = await under_way(house, 1)
    assert await bounce(house, campaign) is Came.TOO_EARLY
    assert await house.ledger.suppressions.get("0@example.no") is None


async def test_a_bounce_of_an_earlier_round_does_not_touch_the_later_one(house):
    campaign = await scene(house, REFUSED, phase=Phase.REOPENING)
    delivery = await by(house, campaign, 0)
    later = replace(campaign, round=2)
    await house.ledger.rounds.open_again(later, [Again(delivery, delivery.recipient)])
    opened = await house.ledger.deliveries.get_open(campaign.id, delivery.id)
    claimed = await house.ledger.deliveries.claim(opened, house.clock(), house.settings.lease)
    await house.ledger.deliveries.settle(claimed, SENT, house.clock())
    assert await bounce(house, campaign) is Came.NOTHING_NEW
    assert (await by(house, campaign, 0)).status is Status.SENT
    assert await house.ledger.suppressions.get("0@example.no") is None
    assert await bounce(house, campaign, round=2) is Came.TAKEN_IN


@pytest.mark.parametrize(
    ("addresses", "came"),
    [
        ((), Came.TAKEN_IN),
        (("0@EXAMPLE.no",), Came.TAKEN_IN),
        (("0@example.no", "annen@example.net"), Came.TAKEN_IN),
        (("annen@example.net",), Came.NOTHING_NEW),
    ],
)
async def test_a_copy_that_was_passed_on_and_lost_is_not_the_recipients(house, addresses, came):
    """One member of their distribution list has left; the others have read it."""
    campaign = await scene(house, SENT)
    assert await bounce(house, campaign, addresses=addresses) is came
    suppressed = await house.ledger.suppressions.get("0@example.no")
    assert bool(suppressed) is (came is Came.TAKEN_IN)


async def test_of_whom_we_have_forgotten_nothing_is_said(house):
    campaign = await scene(house, SENT)
    delivery = await by(house, campaign, 0)
    await house.ledger.erasure.erase(campaign.id, delivery.id)
    report = Bounce(campaign.id, delivery.id, 1, HARD, "acs", house.clock(), "550 Kari finnes ikke")
    tools = {"ledger": house.ledger, "settings": house.settings, "clock": house.clock}
    assert await bounced(report, **tools) is Came.NOTHING_NEW
    assert not (await house.deliveries(campaign))[0].detail
    unknown = replace(report, delivery="nobody")
    assert await bounced(unknown, **tools) is Came.NOTHING_NEW


async def test_a_bounce_that_comes_while_it_is_settled_is_looked_at_again(house):
    campaign = await scene(house, UNCERTAIN)
    delivery = await by(house, campaign, 0)

    async def meanwhile() -> None:
        await house.ledger.verdicts.give(delivery, True, house.clock(), "note")

    host = another(house, Moments(2, meanwhile))
    assert await bounce(host, campaign) is Came.TAKEN_IN
    assert (await by(house, campaign, 0)).reason is Reason.BOUNCED


async def test_stopped_anywhere_the_next_telling_does_the_rest(make_house):
    for at in itertools.count():
        house = make_house()
        campaign, _ = await reported(house, SENT)
        when = house.clock()
        moments = Moments(at, stop)
        host = another(house, moments)
        delivery = await by(house, campaign, 0)
        report = Bounce(campaign.id, delivery.id, 1, HARD, "mailbox", when)
        with suppress(Stop):
            await bounced(report, ledger=host.ledger, settings=host.settings, clock=host.clock)
        house.clock.tick(minutes=5)
        await bounce(house, campaign, at=when)
        assert (await by(house, campaign, 0)).reason is Reason.BOUNCED, moments.passed[-1]
        assert await house.ledger.suppressions.get("0@example.no"), moments.passed[-1]
        assert await owed(house) == [(TODAY, campaign.id)], moments.passed[-1]
        assert len(await house.ledger.deliveries.attempts(campaign.id, delivery.id)) == 2
        if len(moments.passed) <= at:
            assert at >= 5
            return


# --- the note ---


@pytest.mark.parametrize(
    ("phase", "is_owed"),
    [
        (Phase.SENDING, False),
        (Phase.PAUSED, False),
        (Phase.CANCELLING, False),
        (Phase.REPORTING, True),
        (Phase.DONE, True),
        (Phase.CANCELLED, True),
        (Phase.REOPENING, True),
    ],
)
async def test_what_the_report_may_not_have_said_is_owed_a_note(house, phase, is_owed):
    campaign = await scene(house, SENT, phase=phase)
    await bounce(house, campaign)
    assert await owed(house) == ([(TODAY, campaign.id)] if is_owed else [])


async def test_the_ticket_is_told_once_a_day_of_all_that_came_back(house):
    campaign, number = await reported(house, *[SENT] * 4)
    house.set_status(number, "Løst")
    status = house.status(number)
    for n in range(3):
        await bounce(house, campaign, n)
    await tell(house)
    house.clock.tick(hours=15)  # eleven at night
    await tell(house)
    assert told(house, number) == []
    house.clock.tick(hours=3)
    for _ in range(2):
        await tell(house)
    [note] = told(house, number)
    assert "3 mottakere har likevel ikke" in note
    assert "23.11.2026" in note
    for n in range(3):
        assert f"Åse Nr. {n}" in note
        assert f"{n}@example.no" in note
    assert "3@example.no" not in note
    assert "550 nei" in note
    assert "sett statusen til «Utsending – klar»" in note
    assert "90 dager" in note
    assert f"{campaign.run}/retur-2026-11-23" in note
    assert house.status(number) == status
    assert await owed(house) == []
    await bounce(house, campaign, 3)
    house.clock.tick(days=1)
    await tell(house)
    first, second = told(house, number)
    assert first == note
    assert "1 mottaker har likevel ikke" in second
    assert "0@example.no" not in second


async def test_where_there_is_no_status_or_suppression_the_note_says_nothing_of_them(make_house):
    house = make_house(STATUS_READY="", SUPPRESS_BOUNCED_DAYS="0")
    campaign, number = await reported(house, SENT)
    await bounce(house, campaign)
    house.clock.tick(days=1)
    await tell(house)
    [note] = told(house, number)
    assert "oppretter du en ny sak" in note
    assert "sperringen" not in note
    assert "«»" not in note


async def test_of_very_many_the_first_hundred_are_named(house):
    campaign, number = await reported(house, *[SENT] * 103)
    for delivery in await house.deliveries(campaign):
        report = Bounce(campaign.id, delivery.id, 1, FULL, "acs", house.clock())
        await bounced(report, ledger=house.ledger, settings=house.settings, clock=house.clock)
    house.clock.tick(days=1)
    await tell(house)
    [note] = told(house, number)
    assert note.count("@example.no") == 100
    assert "103 mottakere har likevel ikke" in note
    assert "… og 3 mottakere til" in note


async def test_a_name_is_not_taken_for_html(house):
    campaign, number = await reported(house, SENT)
    await bounce(house, campaign, detail="550 <script>alert(1)</script>")
    house.clock.tick(days=1)
    await tell(house)
    assert "<script" not in told(house, number)[0]


async def test_those_who_are_being_written_to_again_are_not_told_of(house):
    campaign, number = await reported(house, SENT)
    await bounce(house, campaign)
    delivery = await by(house, campaign, 0)
    again = Again(delivery, delivery.recipient)
    await house.ledger.rounds.open_again(replace(campaign, round=2), [again])
    house.clock.tick(days=1)
    await tell(house)
    assert told(house, number) == []
    assert await owed(house) == []


async def test_one_that_is_under_way_again_hears_of_it_when_it_is_over(house):
    """A note of ours on its ticket would be taken for an answer, and let it go on."""
    campaign, number = await reported(house, SENT)
    await bounce(house, campaign)
    campaign = await house.ledger.campaigns.save(campaign.to(Phase.REOPENING))
    house.clock.tick(days=1)
    await tell(house)
    assert told(house, number) == []
    await house.ledger.campaigns.save(campaign.to(Phase.DONE))
    await tell(house)
    assert len(told(house, number)) == 1


@pytest.mark.parametrize("touched", [False, True])
async def test_our_note_is_not_taken_for_somebody_asking_for_another_round(house, touched):
    campaign, number = await reported(house, SENT)
    seen = (await house.helpdesk.ticket(campaign.ticket_id)).modified.isoformat()
    campaign = await house.ledger.campaigns.save(replace(campaign, ticket_seen=seen))
    await bounce(house, campaign)
    house.clock.tick(days=1)
    if touched:
        house.set_status(number, "Utsending – klar")
    await tell(house)
    known = await house.ledger.campaigns.get(campaign.id)
    now = (await house.helpdesk.ticket(campaign.ticket_id)).modified.isoformat()
    assert now != seen
    assert known.ticket_seen == (seen if touched else now)


async def test_a_forgotten_campaign_is_not_told_of(house):
    campaign, number = await reported(house, SENT)
    await bounce(house, campaign)
    await house.ledger.campaigns.save(campaign.did(FORGETTING))
    house.clock.tick(days=1)
    await tell(house)
    assert told(house, number) == []
    assert await owed(house) == []


async def test_a_ticket_that_is_gone_stops_no_other_and_is_not_tried_again(house):
    gone = await scene(house, SENT, phase=Phase.DONE, number=11111)
    await bounce(house, gone)
    campaign, number = await reported(house, SENT)
    await bounce(house, campaign)
    house.clock.tick(days=1)
    await tell(house)
    assert len(told(house, number)) == 1
    assert await owed(house) == []


async def test_a_helpdesk_that_does_not_answer_is_tried_again_but_not_for_ever(house):
    campaign, _ = await reported(house, SENT)
    await bounce(house, campaign)
    house.clock.tick(days=1)
    for _ in range(3):
        house.trouble("status", status=503, times=100, path="/communication")
        await tell(house)
        house.simulator.traffic.faults.clear()
        assert await owed(house) == [(TODAY, campaign.id)]
        house.clock.tick(days=1)
    house.clock.tick(days=7)
    house.trouble("status", status=503, times=100, path="/communication")
    await tell(house)
    assert await owed(house) == []


async def test_stopped_anywhere_it_is_told_once(make_house):
    for at in itertools.count():
        house = make_house()
        campaign, number = await reported(house, SENT)
        await bounce(house, campaign)
        await house.ledger.progress.keep(Progress(campaign.id, "reporting", 1))
        house.clock.tick(days=1)
        for point in (at, None):
            moments = Moments(point, stop)
            with suppress(Stop):
                await tell(another(house, moments))
            if point == at:
                passed = len(moments.passed)
        assert len(told(house, number)) == 1
        assert await owed(house) == []
        if passed <= at:
            assert at >= 6
            return


async def test_how_far_it_came_counts_what_came_back(house):
    campaign, _ = await reported(house, SENT, SENT, UNCERTAIN)
    await house.ledger.progress.keep(Progress(campaign.id, "reporting", 3, uncertain=1))
    await bounce(house, campaign)
    house.clock.tick(days=1)
    await tell(house)
    progress = await house.ledger.progress.get(campaign.id)
    assert (progress.failed, progress.uncertain, progress.planned) == (1, 1, 3)


async def test_with_nothing_to_tell_it_costs_one_request(house):
    moments = Moments()
    await tell(another(house, moments))
    assert len(moments.passed) == 1


# --- the mailbox ---


@dataclass
class Mails:
    """A mailbox, and what its mails say."""

    mails: list[Report] = field(default_factory=list)
    asked: list[datetime] = field(default_factory=list)
    then: Exception | None = None

    def receive(self, at: datetime, *says: Returned) -> None:
        self.mails.append(Report(at, says))

    async def reports(self, since: datetime) -> AsyncIterator[Report]:
        self.asked.append(since)
        for mail in sorted(self.mails, key=lambda mail: mail.received):
            if mail.received >= since:
                yield mail
        if self.then:
            raise self.then

    async def read_by(self, host) -> None:
        await read_mailbox(
            self,
            ledger=host.ledger,
            settings=host.settings,
            clock=host.clock,
        )


async def returned(house, campaign, n: int = 0, kind=HARD) -> Returned:
    delivery = await by(house, campaign, n)
    name = f"<{campaign.id}.{delivery.id}.1@example.org>"
    return Returned(("<other@example.net>", name), kind, "550 nei", (f"{n}@example.no",))


async def test_what_is_in_the_mailbox_reaches_the_deliveries(house):
    campaign = await scene(house, SENT, SENT, SENT)
    mails = Mails()
    mails.receive(house.clock(), await returned(house, campaign, 0))
    mails.receive(house.clock())  # an out-of-office note
    mails.receive(house.clock(), Returned(("<x@y>",), HARD, "550", ()))  # not of ours
    foreign = "<AM6PR07@eurprd07.prod.outlook.com>"
    opened = await house.ledger.bounces.delivery(campaign.id, (await by(house, campaign, 1)).id)
    await house.ledger.references.remember(foreign, opened)
    mails.receive(house.clock(), Returned(("<a@b>", foreign), FULL, "552 full", ()))
    await mails.read_by(house)
    reasons = [(await by(house, campaign, n)).reason for n in range(3)]
    assert reasons == [Reason.BOUNCED, Reason.BOUNCED, Reason.NONE]
    assert await house.ledger.suppressions.get("0@example.no")
    assert (await by(house, campaign, 1)).detail == "552 full"


async def test_it_is_read_on_from_where_it_was_read_with_some_overlap(house):
    mails = Mails()
    start = house.clock()
    await mails.read_by(house)
    house.clock.tick(minutes=5)
    await mails.read_by(house)
    assert mails.asked == [start - timedelta(days=1), start - timedelta(minutes=15)]
    house.clock.tick(days=3)
    await mails.read_by(house)
    assert mails.asked[-1] == start - timedelta(minutes=10)


async def test_a_mailbox_that_cannot_be_read_is_read_from_there_again(house):
    campaign = await scene(house, SENT, SENT)
    for error in (TransientError("503"), StoppedError("401"), PermanentError("no such mailbox")):
        mails = Mails(then=error)
        for _ in range(2):
            await mails.read_by(house)
            house.clock.tick(minutes=5)
        assert len(set(mails.asked)) == 1
    seen = house.clock() - timedelta(minutes=10)
    mails.receive(seen, await returned(house, campaign))
    for _ in range(2):
        await mails.read_by(house)
    assert mails.asked[-1] == seen
    assert (await by(house, campaign, 0)).reason is Reason.BOUNCED


async def test_a_run_that_takes_long_goes_on_where_it_stopped(house):
    campaign = await scene(house, *[SENT] * 6)
    mails = Mails()
    for n in range(6):
        mails.receive(house.clock() + timedelta(seconds=n), await returned(house, campaign, n))
    house.clock.tick(seconds=10)

    class Slow(Mails):
        async def reports(self, since: datetime) -> AsyncIterator[Report]:
            async for mail in super().reports(since):
                yield mail
                house.clock.tick(minutes=2)

    slow = Slow(mails.mails)
    for _ in range(8):
        await slow.read_by(house)
    reasons = [(await by(house, campaign, n)).reason for n in range(6)]
    assert reasons == [Reason.BOUNCED] * 6


async def test_what_comes_before_its_delivery_is_settled_waits_but_not_for_ever(house):
    campaign = await under_way(house, 1)
    mails = Mails()
    received = house.clock()
    mails.receive(received, await returned(house, campaign))
    for _ in range(4):
        await mails.read_by(house)
        house.clock.tick(minutes=10)
    assert mails.asked[-1] == received
    delivery = await by(house, campaign, 0)
    opened = await house.ledger.deliveries.get_open(campaign.id, delivery.id)
    claimed = await house.ledger.deliveries.claim(opened, house.clock(), house.settings.lease)
    await house.ledger.deliveries.settle(claimed, SENT, house.clock())
    await mails.read_by(house)
    assert (await by(house, campaign, 0)).reason is Reason.BOUNCED
    other = await under_way(house, 1, number=20418)
    mails.receive(house.clock(), await returned(house, other))
    house.clock.tick(hours=2)
    await mails.read_by(house)
    await mails.read_by(house)
    assert mails.asked[-1] > house.clock() - timedelta(hours=1)


async def test_when_storage_fails_anywhere_the_mailbox_is_read_again(make_house):
    async def fail() -> None:
        raise DoubtfulError("no answer")

    for at in itertools.count():
        house = make_house()
        campaign, _ = await reported(house, SENT)
        mails = Mails()
        mails.receive(house.clock(), await returned(house, campaign))
        moments = Moments(at, fail)
        with suppress(StorageError):
            await mails.read_by(another(house, moments))
        house.clock.tick(minutes=5)
        await mails.read_by(house)
        assert (await by(house, campaign, 0)).reason is Reason.BOUNCED, moments.passed[-1]
        assert await house.ledger.suppressions.get("0@example.no"), moments.passed[-1]
        assert await owed(house) == [(TODAY, campaign.id)], moments.passed[-1]
        if len(moments.passed) <= at:
            assert at >= 7
            return
