"""When a campaign may send: windows, the daily quota, and a start time of its own."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dev.pureservice.seed import MESSAGE_TYPE
from shared.domain.campaign import Phase
from shared.domain.delivery import Status
from shared.errors import StoppedError, ThrottledError
from shared.ports import Receipt
from tests.examples import settings

OSLO = ZoneInfo("Europe/Oslo")
READY = "Utsending – klar"


async def begun(house, recipients=30, minutes=2, note="", **options):
    number = house.open_ticket(
        house.make_list("Alle", *(f"nr{n}@example.no" for n in range(recipients))),
        message="<p>Hei alle</p>",
        **options,
    )
    if note:
        house.note(number, note)
    house.set_status(number, READY)
    await house.run(minutes)
    return number


def at(house, text):
    """The clock in Norway shows this."""
    house.clock.now = datetime.fromisoformat(text).replace(tzinfo=OSLO).astimezone(UTC)


async def test_nothing_leaves_outside_the_window_and_all_of_it_inside(make_house):
    house = make_house(EMAIL_WINDOW="08:00-10:00 mon-fri", EMAIL_RATE="1", UNDO_SECONDS="0")
    at(house, "2026-11-27T09:50")  # a Friday
    number = await begun(house)
    sent_at = []
    for _ in range(3 * 24 * 60):
        before = len(house.channel.sent)
        await house.minute()
        sent_at += [house.clock().astimezone(OSLO)] * (len(house.channel.sent) - before)
        if len(house.channel.sent) == before:
            house.clock.tick(minutes=6)
        if (await house.campaign(number)).phase is Phase.DONE:
            break
    assert len(house.channel.sent) == 30
    assert {(moment.weekday(), moment.hour) for moment in sent_at} <= {(4, 9), (0, 8)}
    assert {moment.weekday() for moment in sent_at} == {4, 0}


async def test_what_is_on_the_queue_when_the_window_closes_waits_for_the_next(make_house):
    house = make_house(EMAIL_WINDOW="08:00-10:00 mon-fri", EMAIL_RATE="30", UNDO_SECONDS="0")
    at(house, "2026-11-27T09:57")
    number = await begun(house)
    campaign = await house.campaign(number)
    sent = len(house.channel.sent)
    await house.account()
    waiting = house.queue.take()
    assert waiting or sent == 30
    at(house, "2026-11-27T10:00")
    for item in waiting:
        await house.deliver(item)
    assert len(house.channel.sent) == sent
    at(house, "2026-11-30T08:00")
    await house.run(3)
    assert len(house.channel.sent) == 30
    assert {one.attempts for one in await house.deliveries(campaign)} == {1}


async def test_the_start_note_says_when_the_window_opens(make_house):
    house = make_house(EMAIL_WINDOW="08:00-10:00 mon-fri")
    at(house, "2026-12-24T16:00")
    number = await begun(house)
    [note] = house.notes(number)
    assert "tidligst 28.12.2026 kl. 08:00" in " ".join(note.split())


async def test_the_daily_quota_is_kept_and_the_rest_leaves_the_next_day(make_house):
    house = make_house(EMAIL_DAILY_QUOTA="12", EMAIL_RATE="0", UNDO_SECONDS="0")
    at(house, "2026-11-27T22:00")
    number = await begun(house, minutes=10)
    assert len(house.channel.sent) == 12
    at(house, "2026-11-28T00:00")
    await house.run(10)
    assert len(house.channel.sent) == 24
    at(house, "2026-11-29T00:00")
    await house.until_done(number)
    assert len(house.channel.sent) == 30


async def test_two_campaigns_share_the_quota(make_house):
    house = make_house(EMAIL_DAILY_QUOTA="12", EMAIL_RATE="0", UNDO_SECONDS="0")
    await begun(house, 10)
    await begun(house, 10)
    await house.run(5)
    assert len(house.channel.sent) == 12


@pytest.mark.parametrize("line", ["start: 2026-12-01 08:00", "Start: 01.12.2026 kl. 08.00"])
async def test_a_campaign_waits_for_the_time_that_a_note_asks_for(house, line):
    at(house, "2026-11-30T12:00")
    number = await begun(house, note=f"<p>Til Utsendelse:</p><p>{line}</p>")
    note = " ".join(house.notes(number)[-1].split())
    assert "tidligst 01.12.2026 kl. 08:00" in note
    assert "hentet fra et internt notat" in note
    at(house, "2026-12-01T07:58")
    await house.minute()
    assert not house.channel.sent
    await house.run(3)
    assert len(house.channel.sent) == 30


async def test_a_campaign_that_waits_for_its_time_can_be_regretted(house):
    at(house, "2026-11-30T12:00")
    number = await begun(house, note="<p>start: 2026-12-01 08:00</p>")
    house.set_status(number, "Utsending – avbryt")
    await house.run(2)
    assert (await house.campaign(number)).phase is Phase.CANCELLED
    at(house, "2026-12-01T09:00")
    await house.run(5)
    assert not house.channel.sent


async def test_a_time_that_is_past_does_not_hold_it_back(house):
    at(house, "2026-11-30T12:00")
    number = await begun(house, note="<p>start: 2026-11-01 08:00</p>")
    await house.until_done(number)
    assert len(house.channel.sent) == 30


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("start: i morgen tidlig", "unclear_order"),
        ("start: 2026-02-30 08:00", "unclear_order"),
        ("mottakere: alle sammen", "unclear_order"),
        ("start: 2027-11-30 08:00", "start_too_far"),
    ],
)
async def test_an_order_that_we_cannot_follow_blocks_and_is_quoted(house, line, problem):
    number = await begun(house, note=f"<p>{line}</p>")
    campaign = await house.campaign(number)
    assert (campaign.phase, campaign.problem) == (Phase.BLOCKED, problem)
    assert not house.channel.sent


async def test_a_corrected_order_lets_it_go(house):
    number = await begun(house, note="<p>start: i morgen tidlig</p>")
    house.note(number, "<p>start: nå</p>")
    house.set_status(number, READY)
    await house.until_done(number)
    assert len(house.channel.sent) == 30


async def test_a_clock_that_goes_back_an_hour_neither_doubles_nor_loses(make_house):
    house = make_house(EMAIL_RATE="5", UNDO_SECONDS="0")
    number = await begun(house)
    house.clock.now -= timedelta(hours=1)
    await house.run(3)
    house.clock.now += timedelta(hours=1)
    campaign = await house.until_done(number)
    assert set(house.channel.addresses.values()) == {1}
    assert await house.statuses(campaign) == {Status.SENT: 30}


async def test_a_line_from_before_the_last_campaign_stops_nothing(house):
    at(house, "2026-11-30T12:00")
    number = await begun(house, 3)
    house.note(number, "<p>start: så snart som mulig</p>")  # too late to be heard
    await house.until_done(number)
    house.set_status(number, "Under arbeid")
    house.write(number, "<p>Enda noe</p>", custom_type=MESSAGE_TYPE)
    house.set_status(number, READY)
    await house.run(2)
    await house.until_done(number)
    assert len(await house.campaigns(number)) == 2


async def test_an_outage_does_not_use_up_the_quota(make_house):
    house = make_house(EMAIL_RATE="30", EMAIL_DAILY_QUOTA="200", UNDO_SECONDS="0")
    at(house, "2026-11-23T09:00")

    def busy(delivery):
        raise ThrottledError("421")

    house.channel.answer = busy
    number = await begun(house, 100)
    await house.run(40)
    state = await house.ledger.channels.get("email")
    assert state.released_on(house.clock()) < 140
    house.channel.answer = lambda d: Receipt("<x@example.no>", "250 OK")
    await house.until_done(number)
    assert len(house.channel.sent) == 100


async def test_a_closed_channel_is_tried_by_one_delivery_at_a_time(make_house):
    house = make_house(EMAIL_RATE="0", UNDO_SECONDS="0")
    tried = []

    def stopped(delivery):
        tried.append(house.clock())
        raise StoppedError("535")

    house.channel.answer = stopped
    await begun(house, 50, minutes=1)
    first = len(tried)
    for _ in range(60):
        await house.minute()
    assert len(tried) - first in {3, 4}  # each quarter of an hour


async def test_windows_that_never_open_together_are_refused():
    with pytest.raises(ValueError, match="never open at the same time as EMAIL_WINDOW"):
        settings(
            EMAIL_WINDOW="08:00-12:00",
            TICKET_WINDOW="12:00-16:00",
            TICKET_MESSAGE_VIA="email",
            TICKET_REPLY_TO="post@example.no",
        )


async def test_asking_about_a_campaign_that_waits_for_its_time_does_not_call_it_off(house):
    at(house, "2026-11-30T12:00")
    number = await begun(house, note="<p>start: 2026-12-01 08:00</p>")
    house.set_status(number, "Utsending – til kontroll")
    await house.run(3)
    assert (await house.campaign(number)).phase is Phase.APPROVED
    assert house.status(number) == "Utsending – pågår"
    assert len([note for note in house.notes(number) if "venter på å starte" in note]) == 1
    at(house, "2026-12-01T08:00")
    await house.until_done(number)
    assert len(house.channel.sent) == 30
