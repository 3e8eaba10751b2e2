"""One installation per campaign: the mark on the ticket, and what it protects from."""

from itertools import count

import pytest

from dev.pureservice.seed import AGENT
from shared.domain.campaign import Phase, marks_in
from shared.flow.frozen import Messages
from shared.flow.watch import Watch
from shared.ledger import Ledger
from tests.fakes import MemoryFiles, MemoryTable
from tests.flow.edges import Moments, another

READY, ATTENTION = "Utsending – klar", "Utsending – må sjekkes"


def small_ticket(house):
    """A campaign of two recipients; everything about it is quickly read."""
    members = house.make_list("en", "kari@example.no", "ola@example.no")
    return house.open_ticket(members, message="<p>Hei</p>", status=READY)


BOTH = {"kari@example.no": 1, "ola@example.no": 1}


def marks(house, number):
    return marks_in(house.ticket(number).get("customerReference"))


def write_mark(house, number, text):
    house.world.change("ticket", house.ticket(number)["id"], {"customerReference": text}, by=AGENT)


def lose_storage(house):
    """The storage account is gone, and a new one has taken its place."""
    house.tables = {name: MemoryTable() for name in house.tables}
    house.ledger = Ledger.on(**house.tables)
    house.files = MemoryFiles()
    house.messages, house.watch = Messages(house.files), Watch(house.ledger)


async def test_the_ticket_is_marked_and_the_mark_is_read_back(house):
    number = small_ticket(house)
    house.simulator.traffic.requests.clear()
    await house.discover()
    campaign = await house.campaign(number)
    [mark] = marks(house, number)
    assert mark.installation == house.settings.INSTALLATION
    assert (mark.campaign, mark.nonce) == (campaign.id, campaign.nonce)
    path = f"/ticket/{house.ticket(number)['id']}"
    ours = [r["method"] for r in house.simulator.traffic.requests if r["path"] == path]
    # mark, read back, look again, set the status, and once more before the first may leave
    assert ours == ["GET", "PATCH", "GET", "GET", "GET", "PATCH", "GET"]


async def test_what_case_workers_wrote_in_the_field_survives(house):
    number = small_ticket(house)
    write_mark(house, number, "Ref. 2026/77 Ålfjord")
    await house.run(3)
    assert house.channel.addresses == BOTH
    assert house.ticket(number)["customerReference"].startswith("Ref. 2026/77 Ålfjord utsendelse:")


async def test_the_mark_may_stand_in_a_custom_field(make_house):
    house = make_house(CAMPAIGN_MARK_FIELD="cf_3")
    number = small_ticket(house)
    await house.run(3)
    assert house.channel.addresses == BOTH
    assert len(marks_in(house.ticket(number)["cf_3"])) == 1
    assert not house.ticket(number).get("customerReference")


@pytest.mark.parametrize("beside", ["", "Ref. 2026/77 "])
async def test_a_foreign_mark_blocks_and_is_left_alone(house, beside):
    number = small_ticket(house)
    write_mark(house, number, f"{beside}utsendelse:nabokommunen:20417-1:ffffffff")
    await house.run(3)
    assert house.channel.sent == []
    assert house.status(number) == ATTENTION
    [note] = house.notes(number)
    assert "«nabokommunen»" in note
    assert "«customerReference»" in note
    assert [mark.installation for mark in marks(house, number)] == ["nabokommunen"]


async def test_a_foreign_mark_beside_our_own_blocks(house):
    number = small_ticket(house)
    house.trouble("drop_after_write", method="PATCH", path="/ticket")
    await house.minute()
    theirs = "utsendelse:nabokommunen:20417-1:ffffffff"
    write_mark(house, number, f"{house.ticket(number)['customerReference']} {theirs}")
    await house.run(3)
    assert (house.channel.sent, house.status(number)) == ([], ATTENTION)


@pytest.mark.parametrize("when", ["being read", "sent"])
async def test_a_lost_storage_account_never_sends_again(house, when):
    number = small_ticket(house)
    if when == "sent":
        await house.run(3)
        assert house.channel.addresses == BOTH
    else:
        path = f"/relationship/{house.ticket(number)['id']}"
        house.trouble("status", method="GET", path=path, times=3)
        await house.minute()
    before = len(house.channel.sent)
    lose_storage(house)
    house.set_status(number, READY)
    await house.run(4)
    assert len(house.channel.sent) == before
    assert house.status(number) == ATTENTION
    assert "mistet lageret" in house.notes(number)[-1]


async def test_a_lost_storage_account_tells_why_though_an_older_note_has_the_same_number(house):
    """The new ledger counts from one again; its notes must not pass for the old ones."""
    number = house.open_ticket(message="<p>Hei</p>", status=READY)
    await house.minute()
    house.link(number, house.make_list("en", "kari@example.no", "ola@example.no"))
    house.set_status(number, READY)
    await house.run(3)
    assert house.channel.addresses == BOTH
    lose_storage(house)
    house.set_status(number, READY)
    await house.minute()
    assert "mistet lageret" in house.notes(number)[-1]
    # somebody has looked into it, and wants it to go out once more
    write_mark(house, number, "")
    house.set_status(number, READY)
    await house.run(3)
    assert house.channel.addresses == {"kari@example.no": 2, "ola@example.no": 2}
    assert sum("klargjort" in note for note in house.notes(number)) == 2


async def test_of_two_installations_at_most_one_sends(make_house):
    """Whenever one of them stands still, the other goes through everything there is to do."""
    sent_by_other = 0
    for at in count(step=6):  # before each third call, which is after the one before it
        ours = make_house()
        theirs = make_house(beside=ours, INSTALLATION="nabokommunen")
        number = small_ticket(ours)

        async def all_of_it(theirs=theirs):
            await theirs.run(2)

        moments = Moments(at, all_of_it)
        await another(ours, moments).discover()
        if len(moments.passed) <= at:
            break
        await ours.run(3)
        await theirs.run(3)
        both = ours.channel.addresses + theirs.channel.addresses
        assert both in ({}, BOTH), moments.passed[at]
        assert not (ours.channel.sent and theirs.channel.sent), moments.passed[at]
        # whoever does not send has said why, or has seen that the other one is at it
        assert both or ours.status(number) == ATTENTION, moments.passed[at]
        sent_by_other += bool(theirs.channel.sent)
    assert 0 < sent_by_other < at


async def test_two_installations_that_take_turns_do_not_both_send(make_house):
    """One step each, beginning with either: the last to write its mark overwrites the first's."""
    for ahead in range(6):
        ours = make_house()
        theirs = make_house(beside=ours, INSTALLATION="nabokommunen")
        small_ticket(ours)
        for house in (ours, theirs):  # each has found it, and lost the answer to its mark
            house.trouble("drop_after_write", method="PATCH", path="/ticket")
            await house.discover()
        for turn in range(6):
            await (ours if turn >= ahead else theirs).minute()
        await theirs.run(3)
        await ours.run(3)
        assert not (ours.channel.sent and theirs.channel.sent)


@pytest.mark.parametrize("left", ["", "Ref. 2026/77"])
async def test_a_mark_removed_before_the_start_blocks_and_is_set_anew_when_asked_again(house, left):
    number = small_ticket(house)

    async def remove(moment):
        if moment == "before helpdesk.members":
            write_mark(house, number, left)

    await another(house, remove).discover()
    await house.run(2)
    assert (house.channel.sent, house.status(number)) == ([], ATTENTION)
    assert "Merket vi satte" in house.notes(number)[0]
    house.set_status(number, READY)
    await house.run(3)
    assert house.channel.addresses == BOTH
    assert house.ticket(number)["customerReference"].startswith(left)
    assert len(await house.campaigns(number)) == 1


async def test_a_helpdesk_that_does_not_keep_the_mark_blocks(house):
    number = small_ticket(house)

    async def forget(moment):
        if moment == "after helpdesk.change_ticket":
            write_mark(house, number, None)

    await another(house, forget).discover()
    await house.run(2)
    assert (house.channel.sent, house.status(number)) == ([], ATTENTION)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop_after_write"},
        {"kind": "drop_before"},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 502, "after_write": True},
        {"kind": "html", "status": 502, "after_write": True},
        {"kind": "status", "status": 429, "retry_after": 30},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)
async def test_a_lost_answer_to_the_mark_is_no_harm(house, fault):
    number = small_ticket(house)
    house.trouble(method="PATCH", path="/ticket", **fault)
    await house.minute()
    assert (await house.campaign(number)).phase is Phase.FOUND
    await house.run(3)
    assert house.channel.addresses == BOTH
    assert len(marks(house, number)) == 1


async def test_a_second_campaign_takes_the_place_of_the_mark_of_the_first(house):
    number = small_ticket(house)
    await house.run(3)
    house.write(number, "<p>Rettelse</p>", custom_type="Til utsending")
    house.set_status(number, READY)
    await house.run(3)
    assert [mark.campaign for mark in marks(house, number)] == [f"{number}-2"]
