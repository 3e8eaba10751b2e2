"""Review: whoever asks who has answered is told once for each time they ask."""

import csv
import io
from dataclasses import replace

import pytest

from dev.pureservice.seed import add_reply, set_status
from shared.domain.campaign import Phase
from tests.flow.edges import Moments, Stop, another, stop

READY, REVIEW = "Utsending – klar", "Utsending – til kontroll"
ADDRESSES = ["kari@example.no", "ola@example.no", "aase@example.no"]


async def campaign_over(house, *addresses, channel="ticket", **options) -> int:
    members = house.make_list("en", *(addresses or ADDRESSES))
    number = house.open_ticket(
        members, channel=channel, message="<p>Hei</p>", status=READY, **options
    )
    await house.until_done(number)
    return number


async def ask(house, number: int) -> None:
    """Somebody gives the solved ticket the status, and a minute passes."""
    house.set_status(number, REVIEW)
    await house.minute()


def answers(house, number: int) -> list[str]:
    """The notes that tell it, oldest first."""
    return [" ".join(note.split()) for note in house.notes(number) if "/svar-" in note]


def lists(house, number: int) -> list[str]:
    return sorted(name for name in house.files_on(number) if name.startswith("svar-"))


def rows(house, number: int, edition: int) -> dict[str, dict[str, str]]:
    file = house.files_on(number)[f"svar-{number}-1-{edition}.csv"]
    assert file["isVisible"] is False
    text = house.world.content(file["digest"]).decode("utf-8-sig")
    return {
        row["E-postadresse"]: row
        for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=";")
    }


def reply(house, number: int, address: str) -> None:
    [copy] = [one for one in house.copies(number) if one["emailAddress"] == address]
    add_reply(house.world, copy, "<p>Takk, vi kommer</p>")


# --- what it tells ---


async def test_it_tells_how_many_tickets_stand_how_and_lists_them_all(house):
    number = await campaign_over(house)
    reply(house, number, "ola@example.no")
    mails = house.world.count("email")
    await ask(house, number)
    [note] = answers(house, number)
    assert "<td>Venter - sluttbruker</td><td>2 saker</td>" in note
    assert "<td>Under arbeid</td><td>1 sak</td>" in note
    assert "fortsatt har statusen «Venter - sluttbruker», har trolig ikke fått svar" in note
    listed = rows(house, number, 1)
    assert {who: row["Status på saken"] for who, row in listed.items()} == {
        "kari@example.no": "Venter - sluttbruker",
        "ola@example.no": "Under arbeid",
        "aase@example.no": "Venter - sluttbruker",
    }
    for copy in house.copies(number):
        row = listed[copy["emailAddress"]]
        assert row["Sak"] == str(copy["requestNumber"])
        assert row["Lenke"] == house.settings.ticket_link(copy["requestNumber"])
        assert row["Sist endret"].startswith("23.11.2026 09:")
    assert house.status(number) == "Løst"
    assert house.world.count("email") == mails  # nobody hears of it
    assert house.ticket(number)["solution"].count("/rapport-1]") == 1


async def test_who_asks_again_is_told_again_and_how_it_stands_now(house):
    number = await campaign_over(house)
    await ask(house, number)
    reply(house, number, "ola@example.no")
    await house.run(3)
    assert len(answers(house, number)) == 1  # nobody has asked
    await ask(house, number)
    assert lists(house, number) == [f"svar-{number}-1-1.csv", f"svar-{number}-1-2.csv"]
    first, second = answers(house, number)
    assert "Under arbeid" not in first
    assert "<td>Under arbeid</td><td>1 sak</td>" in second
    assert rows(house, number, 2)["ola@example.no"]["Status på saken"] == "Under arbeid"
    assert (await house.campaign(number)).reviews == 2


async def test_those_without_a_ticket_or_whose_ticket_is_gone_are_listed_without(house):
    number = await campaign_over(house, *ADDRESSES, "nils+bounce@example.no")
    [gone] = [c for c in house.copies(number) if c["emailAddress"] == "kari@example.no"]
    house.world.remove("ticket", gone["id"])
    await ask(house, number)
    listed = rows(house, number, 1)
    assert set(listed) == {*ADDRESSES, "nils+bounce@example.no"}
    missing = listed.pop("kari@example.no")
    assert (missing["Sak"], missing["Status på saken"], missing["Lenke"]) == ("", "", "")
    assert all(row["Sak"] for row in listed.values())
    assert "<td>3 saker</td>" in answers(house, number)[0]


async def test_a_status_that_is_no_longer_in_use_is_told_as_unknown(house):
    number = await campaign_over(house, "kari@example.no")
    status = house.world.find("status", name="Ute av bruk")
    [copy] = house.copies(number)
    house.world.change("ticket", copy["id"], {"statusId": status["id"]})
    await ask(house, number)
    assert "<td>Ukjent</td><td>1 sak</td>" in answers(house, number)[0]


async def test_nobody_who_got_a_ticket_is_no_empty_table(house):
    number = house.seed(recipients=0, scenario="ticket")
    house.trouble("status", status=400, method="POST", path="/ticket", times=1_000)
    await house.until_done(number)
    house.simulator.traffic.faults.clear()
    assert "Ingen saker er opprettet" in house.ticket(number)["solution"]
    await ask(house, number)
    [note] = answers(house, number)
    assert "Ingen av mottakerne har noen sak fra denne utsendelsen" in note
    assert "<table>" not in note


async def test_a_campaign_by_mail_gets_an_answer_of_its_own_and_no_list(house):
    number = await campaign_over(house, channel="email")
    await ask(house, number)
    [note] = answers(house, number)
    assert "Svarene på denne utsendelsen ligger ikke på saker" in note
    assert lists(house, number) == []
    assert house.status(number) == "Løst"
    await ask(house, number)
    assert len(answers(house, number)) == 2


def copied_by_hand(house, copy: dict, status: str) -> None:
    """Somebody makes another ticket of it, and all its fields come along."""
    row = {name: value for name, value in copy.items() if name not in ("id", "requestNumber")}
    twin = house.world.add("ticket", {**row, "requestNumber": 999_000 + copy["id"]})
    set_status(house.world, twin, status)


async def test_a_copy_that_somebody_has_made_by_hand_does_not_stand_for_the_recipients(house):
    number = await campaign_over(house, "kari@example.no", "ola@example.no")
    own = {copy["emailAddress"]: copy["requestNumber"] for copy in house.copies(number)}
    for copy in house.copies(number):
        copied_by_hand(house, copy, "Under arbeid")
    await ask(house, number)
    listed = rows(house, number, 1)
    assert {who: row["Sak"] for who, row in listed.items()} == {
        who: str(sak) for who, sak in own.items()
    }
    [note] = answers(house, number)
    assert "<td>Venter - sluttbruker</td><td>2 saker</td>" in note
    assert "Under arbeid" not in note


async def test_a_ticket_that_is_marked_for_deletion_is_not_counted(house):
    number = await campaign_over(house)
    [gone] = [c for c in house.copies(number) if c["emailAddress"] == "kari@example.no"]
    house.world.change("ticket", gone["id"], {"isMarkedForDeletion": True})
    await ask(house, number)
    assert "<td>Venter - sluttbruker</td><td>2 saker</td>" in answers(house, number)[0]
    assert rows(house, number, 1)["kari@example.no"]["Sak"] == ""


async def test_it_tells_of_the_last_campaign_on_the_ticket_and_not_the_last_by_its_letters(house):
    number = await campaign_over(house, "kari@example.no")
    first = await house.campaign(number)
    for ordinal in (2, 10):
        later = replace(first, id=f"{number}-{ordinal}", phase=Phase.REPORTING)
        made = await house.ledger.campaigns.create(later)
        await house.ledger.campaigns.save(made.to(Phase.DONE))
    await ask(house, number)
    assert lists(house, number) == [f"svar-{number}-10-1.csv"]
    [note] = answers(house, number)
    assert f"{number}-10/" in note


async def test_a_list_that_is_refused_is_mentioned(house):
    number = await campaign_over(house)
    house.trouble("status", status=413, method="POST", path="/attachment")
    await ask(house, number)
    assert "lot seg ikke legge ved" in answers(house, number)[0]
    assert house.status(number) == "Løst"


# --- whose question it is ---


async def test_a_ticket_that_never_had_a_campaign_gets_a_preview_instead(house):
    members = house.make_list("en", *ADDRESSES)
    number = house.open_ticket(members, channel="ticket", message="<p>Hei</p>")
    house.set_status(number, REVIEW)
    await house.run(3)
    [note] = house.notes(number)
    assert "/til-kontroll-" in note
    assert answers(house, number) == []
    assert await house.campaigns(number) == []


async def test_a_campaign_that_was_called_off_has_no_answers_to_tell_of(make_house):
    house = make_house(UNDO_SECONDS="180")
    members = house.make_list("en", *ADDRESSES)
    number = house.open_ticket(members, channel="ticket", message="<p>Hei</p>", status=READY)
    await house.minute()
    house.set_status(number, "Ny")
    await house.minute()
    assert (await house.campaign(number)).phase is Phase.CANCELLED
    house.set_status(number, REVIEW)
    await house.run(5)
    assert (answers(house, number), house.status(number)) == ([], REVIEW)
    assert len([note for note in house.notes(number) if "/til-kontroll-" in note]) == 1
    assert house.copies(number) == []


async def test_a_question_asked_while_it_is_under_way_waits_for_the_report(house):
    members = house.make_list("en", *ADDRESSES)
    number = house.open_ticket(members, channel="ticket", message="<p>Hei</p>", status=READY)
    await house.minute()
    house.set_status(number, REVIEW)
    await house.until_done(number)
    assert (answers(house, number), house.status(number)) == ([], "Løst")
    await ask(house, number)
    assert len(answers(house, number)) == 1


async def test_nothing_is_told_where_no_status_asks_for_it(make_house):
    house = make_house(STATUS_REVIEW="")
    number = await campaign_over(house)
    assert "hvem som har svart" not in house.ticket(number)["solution"]
    house.set_status(number, REVIEW)
    before = dict(house.ticket(number))
    await house.run(3)
    assert house.ticket(number) == before
    assert (answers(house, number), lists(house, number)) == ([], [])


async def test_the_report_says_how_to_ask(house):
    number = await campaign_over(house)
    assert f"gir du denne saken statusen «{REVIEW}»" in house.ticket(number)["solution"]


# --- once for each time ---

TROUBLE = {
    "drop before": {"kind": "drop_before"},
    "drop after": {"kind": "drop_after_write"},
    "500 before": {"kind": "status", "status": 500},
    "500 after": {"kind": "status", "status": 500, "after_write": True},
    "html after": {"kind": "html", "status": 502, "after_write": True},
    "half an answer": {"kind": "half_json"},
    "429": {"kind": "status", "status": 429, "retry_after": 30},
}
CALLS = {
    "the list": ("POST", "/attachment"),
    "the note": ("POST", "/communication"),
    "the status": ("PATCH", "/ticket"),
    "a read of the tickets": ("GET", "/ticket"),
    "a read of the files": ("GET", "/attachment"),
}


@pytest.mark.parametrize(
    ("what", "trouble"),
    [
        (what, trouble)
        for what in CALLS
        for trouble in TROUBLE
        # a read changes nothing, so that before and after are the same
        if not (what.startswith("a read") and "after" in trouble)
    ],
)
async def test_a_call_that_fails_leaves_one_of_each_and_the_next_question_gets_its_answer(
    house, what, trouble
):
    number = await campaign_over(house, "kari@example.no")
    method, path = CALLS[what]
    house.trouble(method=method, path=path, times=2, **TROUBLE[trouble])
    await ask(house, number)
    await house.run(4)
    assert house.status(number) == "Løst"
    assert (len(answers(house, number)), len(lists(house, number))) == (1, 1)
    reply(house, number, "kari@example.no")
    await ask(house, number)
    await house.run(2)
    assert house.status(number) == "Løst"
    assert lists(house, number) == [f"svar-{number}-1-1.csv", f"svar-{number}-1-2.csv"]
    assert "Under arbeid" in answers(house, number)[1]


async def test_a_crash_at_any_call_leaves_one_of_each_and_the_next_question_gets_its_answer(
    make_house,
):
    async def scene():
        house = make_house()
        number = await campaign_over(house, "kari@example.no")
        house.set_status(number, REVIEW)
        return house, number

    house, number = await scene()
    await another(house, moments := Moments()).discover()
    assert "before helpdesk.recipient_tickets" in moments.passed
    for at, moment in enumerate(moments.passed):
        if moment.startswith("after"):
            continue
        house, number = await scene()
        with pytest.raises(Stop):
            await another(house, Moments(at, stop)).discover()
        await house.run(2)
        assert house.status(number) == "Løst", moment
        assert (len(answers(house, number)), len(lists(house, number))) == (1, 1), moment
        await ask(house, number)
        assert (len(answers(house, number)), len(lists(house, number))) == (2, 2), moment
        await house.helpdesk.close()


async def test_a_ticket_that_cannot_be_solved_is_answered_once_and_for_a_person_to_solve(house):
    number = await campaign_over(house)
    house.trouble("status", status=400, method="PATCH", path="/ticket", times=1_000)
    await ask(house, number)
    await house.run(4)
    assert house.status(number) == REVIEW
    assert (len(answers(house, number)), len(lists(house, number))) == (1, 1)
    house.simulator.traffic.faults.clear()
    house.set_status(number, "Løst")
    await house.run(2)
    await ask(house, number)
    assert (len(answers(house, number)), len(lists(house, number))) == (2, 2)
    assert house.status(number) == "Løst"


async def test_one_that_fails_keeps_no_other_campaign_waiting(house):
    number = await campaign_over(house)
    house.trouble("status", status=503, method="POST", path="/attachment", times=1_000)
    house.set_status(number, REVIEW)
    other = house.seed(recipients=2, tricky=False)
    await house.discover()
    await house.deliver_all()
    assert len(house.channel.sent) == 2
    assert (await house.campaign(other)).phase is Phase.SENDING
