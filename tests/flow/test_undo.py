"""Regretted in time: between the start note and the first mail."""

import pytest

from shared.domain.campaign import Phase


@pytest.fixture
def house(make_house):
    return make_house(UNDO_SECONDS="180")


@pytest.mark.parametrize("status", ["Under arbeid", "Løst"])
async def test_another_status_in_the_undo_window_stops_everything_and_says_so(house, status):
    number = house.seed(recipients=4)
    await house.minute()
    assert "Angrer du" in house.notes(number)[-1]
    house.set_status(number, status)
    await house.run(6)
    assert not house.channel.sent
    assert (await house.campaign(number)).phase is Phase.CANCELLED
    [note] = [note for note in house.notes(number) if "Ingen har fått noe" in note]
    assert house.status(number) == status


async def test_a_go_after_that_begins_from_scratch_with_what_was_changed(house):
    number = house.seed(recipients=4, tricky=False)
    await house.minute()
    house.set_status(number, "Under arbeid")
    await house.minute()
    house.set_status(number, "Utsending – klar")
    await house.run(6)
    assert house.channel.addresses == house.expected(number)["mails"]
    assert [one.phase for one in await house.campaigns(number)] == [Phase.CANCELLED, Phase.DONE]


async def test_when_the_window_is_over_the_campaign_goes_on(house):
    number = house.seed(recipients=4, tricky=False)
    await house.minute()
    await house.run(3)
    house.set_status(number, "Under arbeid")
    await house.run(2)
    assert house.channel.addresses == house.expected(number)["mails"]


async def test_without_statuses_of_ours_solving_the_ticket_is_the_way_to_regret(make_house):
    house = make_house(
        UNDO_SECONDS="180", STATUS_READY="", STATUS_RUNNING="", QUIET_PERIOD_MINUTES="0"
    )
    number = house.seed(recipients=2, tricky=False, status=None)
    await house.minute()
    assert "løser du saken" in house.notes(number)[-1]
    house.set_status(number, "Venter - sluttbruker")
    await house.minute()
    assert (await house.campaign(number)).phase is Phase.SENDING
    house.set_status(number, "Løst")
    await house.run(4)
    assert not house.channel.sent


async def test_a_helpdesk_that_does_not_answer_for_a_minute_is_not_an_error(house):
    number = house.seed(recipients=2, tricky=False)
    house.trouble("status", method="GET", path="/ticket", times=3)
    await house.discover()
    await house.run(6)
    assert house.channel.addresses == house.expected(number)["mails"]


async def test_what_cannot_be_read_for_an_hour_is_blocked_instead_of_tried_for_ever(house):
    number = house.seed(recipients=2, tricky=False)
    path = f"/relationship/{house.ticket(number)['id']}/"
    house.trouble("status", method="GET", path=path, times=10_000)
    await house.run(45)  # waiting for the next try takes its share of the hour too
    assert (await house.campaign(number)).phase is Phase.EXPANDING
    await house.run(20)
    assert (await house.campaign(number)).phase is Phase.BLOCKED
    assert house.status(number) == "Utsending – må sjekkes"
    house.simulator.traffic.faults.clear()
    house.trouble("status", method="GET", path=path, times=3)  # a passing one, after the go
    house.set_status(number, "Utsending – klar")
    await house.run(8)
    assert house.channel.addresses == house.expected(number)["mails"]
