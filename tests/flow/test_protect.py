"""A campaign stops itself when it plainly goes wrong, and people outside are told."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.campaign import Pause, Phase
from shared.domain.delivery import Status
from shared.errors import (
    DoubtfulError,
    PermanentError,
    StoppedError,
    ThrottledError,
    UncertainError,
)
from shared.ports import Receipt

READY, RUNNING, ATTENTION = (
    "Utsending – klar",
    "Utsending – pågår",
    "Utsending – må sjekkes",
)


def refuses(house, share=1.0):
    """The provider refuses so many of those it is asked about."""
    asked = 0

    def answer(delivery):
        nonlocal asked
        asked += 1
        if int(asked * share) > int((asked - 1) * share):
            raise PermanentError("550 no such user")
        return Receipt(f"<{delivery.id}@example.no>", "250 OK")

    house.channel.answer = answer


def works(house):
    house.channel.answer = lambda d: Receipt(f"<{d.id}@example.no>", "250 OK")


async def begun(house, recipients=60):
    number = house.open_ticket(
        house.make_list("Alle", *(f"nr{n}@example.no" for n in range(recipients))),
        message="<p>Hei alle</p>",
        status=READY,
    )
    await house.minute()
    return number


async def causes(house):
    rows = house.tables["campaigns"].rows
    keys = (key for where, key in rows if where == "alert")
    return sorted(key.split(":")[1] for key in keys if key.startswith("x:"))


@pytest.fixture
def slow(make_house):
    return make_house(EMAIL_RATE="10", UNDO_SECONDS="0")


async def test_many_failures_pause_the_campaign_and_say_so(slow):
    refuses(slow)
    number = await begun(slow)
    await slow.run(5)
    campaign = await slow.campaign(number)
    assert (campaign.phase, campaign.paused_for) == (Phase.PAUSED, Pause.FAILURES)
    failed = (await slow.statuses(campaign))[Status.FAILED]
    assert 20 <= failed < 45
    assert slow.status(number) == ATTENTION
    [note] = [note for note in slow.notes(number) if "satt seg selv på pause" in note]
    assert "/pause-1]" in note
    assert await causes(slow) == ["self_paused"]
    await slow.run(5)
    assert (await slow.statuses(campaign))[Status.FAILED] == failed


async def test_a_new_go_lets_it_go_on_and_forgives_what_is_past(slow):
    refuses(slow)
    number = await begun(slow)
    await slow.run(5)
    failed = (await slow.statuses(await slow.campaign(number)))[Status.FAILED]
    works(slow)
    slow.set_status(number, READY)
    campaign = await slow.until_done(number)
    assert await slow.statuses(campaign) == {Status.FAILED: failed, Status.SENT: 60 - failed}


async def test_it_stops_again_when_it_goes_wrong_again(slow):
    refuses(slow)
    number = await begun(slow)
    await slow.run(5)
    slow.set_status(number, READY)
    await slow.run(6)
    campaign = await slow.campaign(number)
    assert (campaign.phase, campaign.stops) == (Phase.PAUSED, 2)
    assert await causes(slow) == ["self_paused"] * 2


@pytest.mark.parametrize(
    ("share", "changes"),
    [
        (0.2, {}),  # twelve of sixty
        (1.0, {"PAUSE_AFTER_FAILURES": "0"}),
        (0.5, {"PAUSE_AT_FAILED_PERCENT": "60"}),
    ],
)
async def test_neither_few_nor_a_small_share_of_failures_stops_it(make_house, share, changes):
    house = make_house(EMAIL_RATE="10", UNDO_SECONDS="0", **changes)
    refuses(house, share)
    number = await begun(house)
    await house.until_done(number)
    assert await causes(house) == []


async def test_what_is_uncertain_is_told_outside_once(slow):
    number = await begun(slow)

    def lost(delivery):
        raise UncertainError("no answer")

    slow.channel.answer = lost
    await slow.run(3)
    works(slow)
    campaign = await slow.until_done(number)
    assert (await slow.statuses(campaign))[Status.UNCERTAIN] > 1
    assert await causes(slow) == ["uncertain"]


async def test_a_wrong_password_costs_nobody_an_attempt_and_is_told_outside_once(slow):
    number = await begun(slow)

    def stopped(delivery):
        raise StoppedError("535 wrong password")

    slow.channel.answer = stopped
    await slow.run(60)
    assert await causes(slow) == ["channel_stopped"]
    works(slow)
    campaign = await slow.until_done(number)
    assert await slow.statuses(campaign) == {Status.SENT: 60}
    assert {delivery.attempts for delivery in await slow.deliveries(campaign)} == {1}


@pytest.mark.parametrize("error", [StoppedError("535"), ThrottledError("429")])
async def test_a_channel_that_takes_nothing_for_a_day_blocks_the_campaign(slow, error):
    number = await begun(slow)

    def closed(delivery):
        raise error

    slow.channel.answer = closed
    sent = len(slow.channel.sent)
    for _ in range(25 * 12):
        slow.clock.tick(minutes=4)
        await slow.minute()
    campaign = await slow.campaign(number)
    assert (campaign.phase, campaign.problem) == (Phase.BLOCKED, "channel_closed")
    assert slow.status(number) == ATTENTION
    [note] = [note for note in slow.notes(number) if "/stanset-1]" in note]
    assert f"{sent} av 60" in " ".join(note.split())
    assert "blocked" in await causes(slow)
    assert set(await slow.statuses(campaign)) <= {Status.SENT, Status.PLANNED}

    works(slow)
    slow.set_status(number, READY)
    campaign = await slow.until_done(number)
    assert await slow.statuses(campaign) == {Status.SENT: 60}


async def test_a_channel_that_gets_something_through_now_and_then_blocks_nobody(slow):
    number = await begun(slow)
    sends = 0

    def now_and_then(delivery):
        nonlocal sends
        sends += 1
        if sends % 3:
            raise ThrottledError("429", timedelta(hours=2))
        return Receipt("<x@example.no>", "250 OK")

    slow.channel.answer = now_and_then
    for _ in range(40):
        slow.clock.tick(minutes=59)
        await slow.minute()
    assert (await slow.campaign(number)).phase is Phase.SENDING


async def test_a_message_that_is_gone_blocks_the_campaign_and_says_who_got_it(slow):
    number = await begun(slow)
    campaign = await slow.campaign(number)
    sent = len(slow.channel.sent)
    slow.files.blobs.pop(f"{campaign.id}/message.json")
    slow.messages = type(slow.messages)(slow.files)
    await slow.run(3)
    campaign = await slow.campaign(number)
    assert (campaign.phase, campaign.problem) == (Phase.BLOCKED, "message_gone")
    assert slow.status(number) == ATTENTION
    assert len([note for note in slow.notes(number) if "/stanset-1]" in note]) == 1
    assert await slow.statuses(campaign) == {Status.SENT: sent, Status.PLANNED: 60 - sent}
    await slow.run(10)
    assert len(slow.channel.sent) == sent


async def test_a_campaign_that_was_stopped_on_its_way_can_be_called_off(slow):
    number = await begun(slow)
    campaign = await slow.campaign(number)
    slow.files.blobs.pop(f"{campaign.id}/message.json")
    slow.messages = type(slow.messages)(slow.files)
    await slow.run(3)
    slow.set_status(number, "Utsending – avbryt")
    await slow.run(5)
    assert (await slow.campaign(number)).phase is Phase.CANCELLED
    assert not await slow.ledger.deliveries.any_open(campaign.id)


async def test_what_could_move_and_does_not_is_told_outside(slow):
    number = await begun(slow)
    campaign = await slow.campaign(number)
    real = slow.lane.queue.put

    async def lost(item, delay):
        """The queue takes everything and gives nothing back."""

    slow.lane.queue.put = lost
    for _ in range(50):
        slow.clock.tick(minutes=4)
        await slow.minute()
    assert await causes(slow) == ["stuck"]
    assert (await slow.ledger.progress.get(campaign.id)).open > 0
    slow.lane.queue.put = real
    await slow.until_done(number)


async def test_progress_is_kept_where_one_request_finds_it(slow):
    number = await begun(slow)
    await slow.run(2)
    campaign = await slow.campaign(number)
    progress = await slow.ledger.progress.get(campaign.id)
    assert progress.planned == 60
    assert progress.open == 60 - len(slow.channel.sent)
    assert progress.at == slow.clock()


async def test_without_anything_to_send_yet_nothing_is_stuck(make_house):
    house = make_house(EMAIL_WINDOW="08:00-09:30 mon-fri", EMAIL_RATE="10", UNDO_SECONDS="0")
    number = await begun(house)
    for _ in range(60):
        house.clock.tick(minutes=9)
        await house.minute()
    assert await causes(house) == []
    assert (await house.campaign(number)).phase is Phase.SENDING


async def test_a_window_that_opens_again_is_no_standstill(make_house):
    house = make_house(EMAIL_WINDOW="08:00-10:00", EMAIL_RATE="1", UNDO_SECONDS="0")
    house.clock.now = house.clock.now.replace(hour=8, minute=50)  # 09:50 in Norway
    await begun(house, 90)
    await house.run(20)
    for _ in range(22 * 12 + 4):
        house.clock.tick(minutes=4)
        await house.minute()
    assert 10 < len(house.channel.sent) < 90
    assert await causes(house) == []


async def test_a_gate_that_nobody_has_tried_since_blocks_nobody(make_house):
    house = make_house(EMAIL_WINDOW="08:00-10:00 mon-fri", EMAIL_RATE="10", UNDO_SECONDS="0")
    house.clock.now = house.clock.now.replace(day=27, hour=8, minute=50)  # a Friday
    number = await begun(house)

    def closed(delivery):
        raise ThrottledError("421 busy")

    house.channel.answer = closed
    await house.run(15)
    works(house)
    for _ in range(3 * 24 * 6):
        house.clock.tick(minutes=9)
        await house.minute()
    assert [c.phase for c in await house.campaigns(number)] == [Phase.DONE]
    assert "blocked" not in await causes(house)


async def test_an_uncertain_mail_is_sent_again_only_where_settings_say_so(make_house):
    house = make_house(EMAIL_WHEN_UNCERTAIN="resend", UNDO_SECONDS="0")
    lost = 0

    def once(delivery):
        nonlocal lost
        lost += 1
        if lost == 1:
            raise UncertainError("no answer")
        return Receipt("<x@example.no>", "250 OK")

    house.channel.answer = once
    number = await begun(house, 3)
    await house.run(2)
    assert lost == 3  # not before lease and grace are over
    campaign = await house.until_done(number)
    assert await house.statuses(campaign) == {Status.SENT: 3}
    assert lost == 4


async def test_what_is_always_uncertain_is_not_sent_for_ever(make_house):
    house = make_house(EMAIL_WHEN_UNCERTAIN="resend", UNDO_SECONDS="0", MAX_ATTEMPTS="4")
    sends = 0

    def lost(delivery):
        nonlocal sends
        sends += 1
        raise UncertainError("no answer")

    house.channel.answer = lost
    number = await begun(house, 1)
    campaign = await house.until_done(number)
    assert await house.statuses(campaign) == {Status.UNCERTAIN: 1}
    assert sends == 2  # an attempt for the claim, and one for finding it lost


async def test_a_campaign_from_before_the_upgrade_is_judged_by_all_that_it_has_planned(slow):
    """Its row has none of the columns that came with this."""
    number = await begun(slow, 200)
    rows = slow.tables["campaigns"].rows
    new = ("paused_for", "judged_from", "open_then", "stopped_at", "stops", "called_off")
    for at, row in list(rows.items()):
        if at[1].startswith("c:"):
            older = {name: value for name, value in row.values.items() if name not in new}
            rows[at] = replace(row, values=older)
    refuses(slow, 0.15)
    campaign = await slow.until_done(number)
    assert (await slow.statuses(campaign))[Status.FAILED] > 20
    assert await causes(slow) == []


async def test_no_alert_is_lost_when_storage_does_not_answer_just_then(slow):
    table, lost = slow.tables["campaigns"], []
    number = await begun(slow)
    write = table.write

    async def once_lost(partition, *writes):
        if partition == "alert" and not lost:
            lost.append(partition)
            raise DoubtfulError("503")
        return await write(partition, *writes)

    table.write = once_lost
    slow.set_status(number, "Løst")
    await slow.run(5)
    assert lost
    assert await causes(slow) == ["self_paused"]


async def test_a_campaign_that_never_gets_as_far_as_its_start_is_told_of_outside(slow):
    async def stopped(*args, **options):
        raise StoppedError("403")

    slow.helpdesk.change_ticket = stopped
    await begun(slow)
    await slow.run(70)
    assert await causes(slow) == ["stuck"]
