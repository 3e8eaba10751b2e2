"""Regretted in time: between the start note and the first mail."""

import pytest

from shared.domain.campaign import Phase
from tests.flow.edges import Moments, another


@pytest.fixture
def house(make_house):
    return make_house(UNDO_SECONDS="180")


@pytest.mark.parametrize("status", ["Under arbeid", "Løst"])
async def test_another_status_in_the_undo_window_stops_everything_and_says_so(house, status):
    number = house.seed(recipients=4)
    await house.minute()
    assert "Hvis du angrer" in house.notes(number)[-1]
    house.set_status(number, status)
    await house.run(6)
    assert not house.channel.sent
    assert (await house.campaign(number)).phase is Phase.CANCELLED
    assert sum("Ingen har fått noe" in note for note in house.notes(number)) == 1
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
    assert "løse saken" in house.notes(number)[-1]
    house.set_status(number, "Venter - sluttbruker")
    await house.minute()
    assert (await house.campaign(number)).phase is Phase.APPROVED
    house.set_status(number, "Løst")
    await house.run(4)
    house.set_status(number, "Venter - sluttbruker")  # opened again, for another reason
    await house.run(20)
    assert not house.channel.sent
    assert "oppretter du en ny sak" in house.notes(number)[-1]


async def test_nothing_leaves_before_the_ticket_was_read_after_the_window(house):
    """Regretted in the last second, and Pureservice silent when the window ends."""
    number = house.seed(recipients=4)
    await house.minute()
    house.clock.tick(seconds=179)
    house.set_status(number, "Under arbeid")
    house.trouble("status", method="GET", path="/ticket", times=30)
    for _ in range(3):
        house.clock.tick(minutes=1)
        await house.account()
        await house.deliver_all()
        await house.discover()
    house.simulator.traffic.faults.clear()
    await house.run(3)
    assert not house.channel.sent


async def test_of_going_and_regretting_at_the_same_moment_only_one_happens(house):
    """One host goes in the middle of the other's undo, wherever, and the other way round."""
    for slow_undoes in (True, False):
        at = 0
        while True:
            number = house.seed(recipients=2, tricky=False)
            before = len(house.channel.sent)
            await house.minute()
            house.clock.tick(seconds=200)
            if slow_undoes:
                house.set_status(number, "Under arbeid")

            async def other(number=number, slow_undoes=slow_undoes):
                status = "Utsending – pågår" if slow_undoes else "Under arbeid"
                house.set_status(number, status)
                await house.discover()
                await house.deliver_all()

            host = another(house, moments := Moments(at, other))
            await host.discover()
            await house.run(3)
            campaign = (await house.campaigns(number))[0]
            sent = len(house.channel.sent) - before
            undone = any("Ingen har fått noe" in note for note in house.notes(number))
            assert sent == (0 if campaign.phase is Phase.CANCELLED else 2), at
            assert undone == (campaign.phase is Phase.CANCELLED), at
            if len(moments.passed) <= at:
                break
            at += 3


async def test_a_ticket_that_is_missing_from_one_list_is_not_regretted(house):
    number = house.seed(recipients=2, tricky=False)
    await house.minute()
    tickets = house.helpdesk.campaign_tickets

    async def none():
        return []

    house.helpdesk.campaign_tickets = none
    await house.minute()
    house.helpdesk.campaign_tickets = tickets
    await house.run(5)
    assert house.channel.addresses == house.expected(number)["mails"]


async def test_a_go_taken_back_while_it_is_announced_is_answered_too(house):
    number = house.seed(recipients=2, tricky=False)
    path = f"/ticket/{house.ticket(number)['id']}"
    house.trouble("status", method="PATCH", path=path, times=1, skip=1)  # the mark, then the status
    await house.minute()
    assert "Hvis du angrer" in house.notes(number)[-1]
    house.set_status(number, "Under arbeid")
    await house.run(6)
    assert not house.channel.sent
    assert "Ingen har fått noe" in house.notes(number)[-1]


async def test_an_undo_that_is_interrupted_is_told_in_the_end(house):
    number = house.seed(recipients=2, tricky=False)
    await house.minute()
    house.set_status(number, "Under arbeid")
    house.trouble("status", method="POST", path="/communication", times=1)
    await house.minute()
    house.set_status(number, "Utsending – pågår")  # decided is decided
    await house.run(5)
    assert not house.channel.sent
    assert sum("Ingen har fått noe" in note for note in house.notes(number)) == 1


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


async def test_a_long_undo_window_does_not_count_as_trouble(make_house):
    house = make_house(UNDO_SECONDS="7200")
    number = house.seed(recipients=2, tricky=False)
    await house.run(119)
    path = f"/ticket/{house.ticket(number)['id']}"
    house.trouble("status", method="GET", path=path, times=3)  # just when it is about to go
    await house.run(6)
    assert house.channel.addresses == house.expected(number)["mails"]


async def test_an_undo_that_could_not_be_told_for_an_hour_is_over_when_it_is_asked_for_anew(house):
    number = house.seed(recipients=2, tricky=False)
    await house.minute()
    house.set_status(number, "Under arbeid")
    house.trouble("status", method="GET", path="/communication", times=10_000)
    await house.run(75)
    house.simulator.traffic.faults.clear()
    await house.run(2)
    assert not house.channel.sent
    house.set_status(number, "Utsending – klar")
    await house.run(8)
    assert house.channel.addresses == house.expected(number)["mails"]
