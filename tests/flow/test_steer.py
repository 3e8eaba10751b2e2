"""A case worker steers a campaign on its way by the status of its ticket."""

import csv
import io
from collections import Counter
from datetime import timedelta

import pytest

from shared.domain.campaign import Pause, Phase
from shared.domain.delivery import Outcome, Status
from shared.errors import PermanentError, TransientError

READY, RUNNING = "Utsending – klar", "Utsending – pågår"
PAUSE, CANCEL = "Utsending – pause", "Utsending – avbryt"
ATTENTION, REVIEW = "Utsending – må sjekkes", "Utsending – til kontroll"


@pytest.fixture
def slow(make_house):
    """A house that sends three mails a minute, and a campaign of twelve that has begun."""
    return make_house(EMAIL_RATE="3", UNDO_SECONDS="0")


async def begun(house, recipients=12, **options):
    number = house.open_ticket(
        house.make_list("Alle", *(f"nr{n}@example.no" for n in range(recipients))),
        message="<p>Hei alle</p>",
        status=READY,
        **options,
    )
    await house.minute()
    await house.minute()
    return number


def rows_of(house, number, name):
    data = house.world.content(house.files_on(number)[name]["digest"])
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig")), delimiter=";"))


async def test_a_pause_stops_what_is_on_the_queue_too(slow):
    number = await begun(slow)
    sent = len(slow.channel.sent)
    assert 0 < sent < 12
    slow.set_status(number, PAUSE)
    waiting = slow.queue.take()
    await slow.discover()
    slow.clock.tick(seconds=15)
    for item in waiting:
        await slow.deliver(item)
    await slow.run(10)
    campaign = await slow.campaign(number)
    assert (campaign.phase, campaign.paused_for) == (Phase.PAUSED, Pause.ASKED)
    assert len(slow.channel.sent) == sent
    assert slow.status(number) == PAUSE


async def test_the_note_says_how_many_had_left_and_the_list_says_who(slow):
    number = await begun(slow)
    slow.set_status(number, PAUSE)
    await slow.run(3)
    sent = slow.channel.addresses
    [note] = [note for note in slow.notes(number) if "/pause-1]" in note]
    assert f"{len(sent)} av 12 mottakere" in " ".join(note.split())
    rows = rows_of(slow, number, f"pause-{number}-1-1.csv")
    assert {row["E-postadresse"] for row in rows if row["Status"] == "sendt"} == set(sent)
    assert Counter(row["Status"] for row in rows)["venter"] == 12 - len(sent)
    await slow.run(3)
    assert len([note for note in slow.notes(number) if "/pause-" in note]) == 1


async def test_back_to_ready_goes_on_within_two_minutes_and_nobody_gets_it_twice(slow):
    number = await begun(slow, recipients=24)
    slow.set_status(number, PAUSE)
    await slow.run(3)
    before = len(slow.channel.sent)
    slow.set_status(number, READY)
    await slow.run(2)
    assert len(slow.channel.sent) > before
    assert slow.status(number) == RUNNING
    await slow.until_done(number)
    assert set(slow.channel.addresses.values()) == {1}
    assert len(slow.channel.sent) == 24


async def test_a_second_pause_is_told_of_anew(slow):
    number = await begun(slow, recipients=40)
    for _ in range(2):
        slow.set_status(number, PAUSE)
        await slow.run(3)
        slow.set_status(number, READY)
        await slow.run(2)
    notes = "".join(slow.notes(number))
    assert [notes.count(f"/pause-{n}]") for n in (1, 2, 3)] == [1, 1, 0]


async def test_the_status_that_we_set_ourselves_resumes_as_well(slow):
    number = await begun(slow)
    slow.set_status(number, PAUSE)
    await slow.minute()
    slow.set_status(number, RUNNING)
    await slow.until_done(number)
    assert len(slow.channel.sent) == 12


async def test_cancelling_leaves_no_open_row_and_says_who_got_it(slow):
    number = await begun(slow)
    slow.set_status(number, CANCEL)
    await slow.run(4)
    campaign = await slow.campaign(number)
    assert campaign.phase is Phase.CANCELLED
    assert not await slow.ledger.deliveries.any_open(campaign.id)
    sent = len(slow.channel.sent)
    assert await slow.statuses(campaign) == {Status.SENT: sent, Status.CANCELLED: 12 - sent}
    assert slow.status(number) == CANCEL
    rows = rows_of(slow, number, f"mottakere-{number}-1.csv")
    assert Counter(row["Status"] for row in rows) == {"sendt": sent, "avbrutt": 12 - sent}
    assert sum("avbrutt" in note for note in slow.notes(number)) == 1
    await slow.run(5)
    assert len(slow.channel.sent) == sent


async def test_a_paused_campaign_can_be_called_off(slow):
    number = await begun(slow)
    slow.set_status(number, PAUSE)
    await slow.run(2)
    slow.set_status(number, CANCEL)
    await slow.run(4)
    assert (await slow.campaign(number)).phase is Phase.CANCELLED


async def test_what_is_claimed_when_it_is_called_off_is_seen_to_its_end(slow):
    number = await begun(slow)
    campaign = await slow.campaign(number)
    [first, *_] = await slow.ledger.deliveries.due(
        campaign.id, slow.clock() + timedelta(hours=1), 10, timedelta(0)
    )
    claimed = await slow.ledger.deliveries.claim(first, slow.clock(), slow.settings.lease)
    assert claimed
    slow.set_status(number, CANCEL)
    await slow.run(3)
    assert (await slow.campaign(number)).phase is Phase.CANCELLING
    await slow.run(5)  # the lease and the grace have run out
    campaign = await slow.campaign(number)
    assert campaign.phase is Phase.CANCELLED
    assert (await slow.statuses(campaign))[Status.UNCERTAIN] == 1


async def test_solving_the_ticket_midway_pauses_and_opening_it_again_does_not_start_it(slow):
    number = await begun(slow)
    slow.set_status(number, "Løst")
    await slow.run(3)
    campaign = await slow.campaign(number)
    assert (campaign.phase, campaign.paused_for) == (Phase.PAUSED, Pause.TAKEN)
    sent = len(slow.channel.sent)
    slow.set_status(number, "Under arbeid")
    await slow.run(3)
    assert len(slow.channel.sent) == sent
    slow.set_status(number, READY)
    await slow.until_done(number)
    assert len(slow.channel.sent) == 12


async def test_a_status_that_says_nothing_to_us_changes_nothing(slow):
    number = await begun(slow)
    slow.set_status(number, "Under arbeid")
    await slow.until_done(number)
    assert len(slow.channel.sent) == 12


async def test_asking_how_far_it_has_come_is_answered_and_it_goes_on(slow):
    number = await begun(slow)
    slow.set_status(number, REVIEW)
    await slow.minute()
    assert slow.status(number) == RUNNING
    [note] = [note for note in slow.notes(number) if "/status-1]" in note]
    assert "er i gang" in note
    await slow.until_done(number)
    assert len(slow.channel.sent) == 12


async def test_nothing_is_released_when_the_status_could_not_be_read_for_ten_minutes(slow):
    number = await begun(slow)
    slow.steered = False
    sent = len(slow.channel.sent)
    for _ in range(9):
        slow.clock.tick(minutes=1)
        await slow.account()
        await slow.deliver_all()
    assert len(slow.channel.sent) > sent
    slow.clock.tick(minutes=2)
    await slow.account()
    await slow.deliver_all()
    sent = len(slow.channel.sent)
    for _ in range(3):
        slow.clock.tick(minutes=1)
        await slow.account()
        await slow.deliver_all()
    assert len(slow.channel.sent) == sent < 12 + 30
    await slow.until_done(number)


async def test_a_ticket_that_cannot_be_read_holds_its_own_campaign_and_no_other(make_house):
    house = make_house(EMAIL_RATE="3", UNDO_SECONDS="0")
    number, other = await begun(house, 60), await begun(house, 60)
    house.set_status(number, "Løst")  # so that it must be read by itself
    house.clock.tick(minutes=1)
    lost, healthy = await house.campaign(number), await house.campaign(other)
    real, id_ = house.helpdesk.ticket, house.ticket(number)["id"]

    async def fails(ticket_id):
        if ticket_id == id_:
            raise TransientError("503")
        return await real(ticket_id)

    house.helpdesk.ticket = fails
    house.steered = False
    await house.run(12)
    sent = await house.statuses(lost), (await house.statuses(healthy))[Status.SENT]
    await house.run(5)
    assert await house.statuses(lost) == sent[0]
    assert (await house.statuses(healthy))[Status.SENT] > sent[1]
    house.helpdesk.ticket = real
    await house.run(3)
    assert (await house.campaign(number)).paused_for is Pause.TAKEN


async def test_people_outside_hear_of_it_when_no_ticket_can_be_read(slow):
    await begun(slow)
    slow.steered = False

    async def fails():
        raise TransientError("503")

    slow.helpdesk.campaign_tickets = fails
    await slow.run(45)
    keys = [key for where, key in slow.tables["campaigns"].rows if where == "alert"]
    assert len({key for key in keys if "silent" in key and key.startswith("x:")}) == 1


@pytest.mark.parametrize("changes", [{"STATUS_RUNNING": ""}, {}])
async def test_who_asks_how_far_it_has_come_is_told_once_though_the_status_stays(
    make_house, changes
):
    house = make_house(EMAIL_RATE="3", UNDO_SECONDS="0", **changes)
    number = await begun(house, 60)
    real = house.helpdesk.change_ticket

    async def refused(*args, status_id=None, **options):
        raise PermanentError("400")

    house.helpdesk.change_ticket = refused
    house.set_status(number, REVIEW)
    await house.run(6)
    assert len([note for note in house.notes(number) if "/status-" in note]) == 1
    house.helpdesk.change_ticket = real
    house.set_status(number, RUNNING)
    await house.run(2)
    house.set_status(number, REVIEW)
    await house.run(2)
    assert len([note for note in house.notes(number) if "/status-2]" in note]) == 1
    assert house.status(number) == (RUNNING if house.settings.STATUS_RUNNING else READY)


async def test_calling_off_a_campaign_that_is_blocked_before_its_start_says_that_nobody_got_it(
    house,
):
    number = house.open_ticket(message="<p>Hei</p>", status=READY)
    await house.minute()
    assert (await house.campaign(number)).phase is Phase.BLOCKED
    house.set_status(number, CANCEL)
    await house.run(2)
    assert (await house.campaign(number)).phase is Phase.CANCELLED
    assert "Ingen har fått noe" in house.notes(number)[-1]


async def test_what_nobody_takes_up_again_is_called_off_when_its_data_has_been_kept_for_long(slow):
    number = await begun(slow)
    slow.world.remove("ticket", slow.ticket(number)["id"])
    await slow.run(3)
    [campaign] = await slow.ledger.campaigns.active()
    assert (campaign.phase, campaign.paused_for) == (Phase.PAUSED, Pause.TAKEN)
    slow.clock.tick(days=slow.settings.RETENTION_DAYS)
    await slow.run(3)
    assert await slow.ledger.campaigns.active() == []


async def test_a_campaign_that_an_operator_paused_waits_for_a_new_go(slow):
    number = await begun(slow)
    campaign = await slow.campaign(number)
    await slow.ledger.campaigns.save(campaign.to(Phase.PAUSED))
    await slow.run(5)
    assert (await slow.campaign(number)).phase is Phase.PAUSED
    slow.set_status(number, READY)
    await slow.until_done(number)
    assert len(slow.channel.sent) == 12


async def test_a_paused_campaign_with_nothing_left_to_send_is_reported(slow):
    number = await begun(slow)
    slow.set_status(number, PAUSE)
    await slow.run(2)
    campaign = await slow.campaign(number)
    for one in await slow.ledger.deliveries.due(campaign.id, slow.clock(), 99, timedelta(0)):
        await slow.ledger.deliveries.settle(one, Outcome(Status.SKIPPED), slow.clock())
    await slow.until_done(number)
    assert slow.status(number) == "Løst"
