"""The start is told on the ticket, once, and nothing leaves before the undo window is over."""

from datetime import UTC, datetime, timedelta

import pytest

from dev.pureservice.seed import add_company, add_member
from shared.domain.campaign import Phase
from shared.domain.delivery import Status
from tests.flow.edges import another

READY, RUNNING = "Utsending – klar", "Utsending – pågår"


def crowd(n):
    return [f"mottaker{i}@example.no" for i in range(n)]


def asked_for(house, *lists, **options):
    lists = lists or (house.make_list("en", "kari@example.no", "ola@example.no"),)
    return house.open_ticket(*lists, message="<p>Hei</p>", status=READY, **options)


def start_notes(house, number):
    return [note for note in house.notes(number) if "klargjort" in note]


async def test_the_note_says_how_many_from_where_and_when(make_house):
    house = make_house(UNDO_SECONDS="180", EMAIL_RATE="30")
    first = house.make_list("Høring <A>", *crowd(61), None, "kari@", "MOTTAKER3@example.no")
    number = asked_for(house, first, house.make_list("Skoler & barnehager"))
    await house.discover()
    [note] = house.notes(number)
    assert "<strong>61 mottakere</strong> får meldingen" in note
    assert "3 oppføringer på listene er utelatt" in note
    assert "<li>Høring &lt;A&gt;</li>" in note
    assert "<li>Skoler &amp; barnehager</li>" in note
    assert "tidligst 23.11.2026 kl. 09:03" in note  # Oslo is an hour ahead in winter
    assert "23.11.2026 kl. 09:05" in note  # 61 at 30 a minute
    assert "testliste" not in note
    assert house.status(number) == RUNNING
    campaign = await house.campaign(number)
    assert campaign.starts_at == house.clock() + timedelta(seconds=180)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (datetime(2026, 7, 1, 8, 0, tzinfo=UTC), "01.07.2026 kl. 10:03"),
        (datetime(2026, 10, 25, 0, 58, tzinfo=UTC), "25.10.2026 kl. 02:01"),
        (datetime(2026, 12, 31, 23, 30, tzinfo=UTC), "01.01.2027 kl. 00:33"),
    ],
)
async def test_the_times_are_those_of_the_clock_on_the_wall_in_oslo(make_house, now, said):
    house = make_house(UNDO_SECONDS="180")
    house.clock.now = now
    number = asked_for(house)
    await house.discover()
    assert said in house.notes(number)[0]


async def test_one_recipient_is_not_several_and_a_test_list_is_mentioned(make_house):
    house = make_house(ONLY_SEND_TO="kari@example.no")
    number = asked_for(house)
    await house.discover()
    [note] = house.notes(number)
    assert "<strong>1 mottaker</strong> får" in note
    assert "1 oppføring på listene er utelatt" in note
    assert "bare adresser på testlisten" in note
    assert "omkring" not in note  # as fast as it goes: nobody can say when it ends


def tickets_asked_for(house, *addresses):
    members = house.make_list("en", *addresses)
    return house.open_ticket(members, channel="ticket", message="<p>Hei</p>", status=READY)


async def test_the_note_of_a_campaign_of_tickets_says_what_everybody_gets_and_when(make_house):
    house = make_house(UNDO_SECONDS="180", PURESERVICE_RATE="60")
    number = tickets_asked_for(house, *crowd(61), None)
    company = add_company(house.world, {"name": "Ærlig Firma"}, ["post@firma.example.no"])
    add_member(house.world, house.world.find("asset", uniqueId="EN"), "company", company)
    await house.discover()
    [note] = [" ".join(note.split()) for note in house.notes(number)]
    assert "<strong>62 mottakere</strong> får hver sin sak med meldingen." in note
    assert "tidligst 23.11.2026 kl. 09:03" in note
    assert "23.11.2026 kl. 09:05" in note  # 61 × 2 calls and 5 for the company, 60 a minute
    assert "adressen mangler eller mottakeren finnes på listene fra før" in note
    assert "Melding, vedlegg, beskrivelse, kategorier og mottakere er nå låst" in note
    assert "e-post" not in note


async def test_one_recipient_gets_a_ticket_and_not_one_each(make_house):
    house = make_house(ONLY_SEND_TO="mottaker0@example.no")
    number = tickets_asked_for(house, *crowd(2))
    await house.discover()
    [note] = house.notes(number)
    assert "<strong>1 mottaker</strong> får sin egen sak med meldingen" in note
    assert "bare adresser på testlisten får\n  meldingen" in note


@pytest.mark.parametrize(
    ("via", "mails", "ends"), [("pureservice", "1", "09:05"), ("email", "10", "09:09")]
)
async def test_the_end_is_told_by_the_slower_of_the_paces(make_house, via, mails, ends):
    house = make_house(
        UNDO_SECONDS="180",
        PURESERVICE_RATE="60",
        EMAIL_RATE=mails,
        TICKET_MESSAGE_VIA=via,
        TICKET_REPLY_TO="servicedesk@example.org",
    )
    number = tickets_asked_for(house, *crowd(61))
    await house.discover()
    assert f"omkring\n  23.11.2026 kl. {ends}" in house.notes(number)[0]


async def test_a_campaign_of_tickets_that_is_regretted_has_made_none(make_house):
    house = make_house(UNDO_SECONDS="180")
    number = tickets_asked_for(house, *crowd(2))
    await house.minute()
    house.set_status(number, "Under arbeid")
    await house.run(5)
    assert (await house.campaign(number)).phase is Phase.CANCELLED
    assert house.copies(number) == []
    assert "<strong>Ingen har fått noe.</strong>" in house.notes(number)[-1]


async def test_nothing_leaves_before_the_undo_window_is_over(make_house):
    house = make_house(UNDO_SECONDS="180")
    number = asked_for(house)
    for _ in range(3):
        await house.minute()
        await house.account()
        assert (house.queue.items, house.channel.sent) == ([], [])
        assert (await house.campaign(number)).phase is Phase.APPROVED
    house.clock.tick(seconds=59)
    await house.discover()
    assert house.queue.items == []
    house.clock.tick(seconds=1)
    await house.discover()
    assert len(house.queue.items) == 2


async def test_an_item_that_is_on_the_queue_too_early_sends_nothing(make_house):
    house = make_house(UNDO_SECONDS="180")
    number = asked_for(house)
    await house.minute()
    campaign = await house.campaign(number)
    for one in await house.deliveries(campaign):
        await house.deliver(f'{{"campaign": "{campaign.id}", "delivery": "{one.id}"}}')
    assert house.channel.sent == []
    assert await house.statuses(campaign) == {Status.PLANNED: 2}


async def test_with_no_undo_window_the_first_portion_leaves_at_once(house):
    asked_for(house)
    await house.discover()
    assert len(house.queue.items) == 2


async def test_the_ticket_falls_silent_and_nobody_gets_a_mail_from_the_helpdesk(house):
    """Receipts, status changes, notes, the report: none of them may write to the end user."""
    number = house.seed(recipients=3, tricky=False)
    assert not house.ticket(number).get("visibility")  # as people make them: every change is told
    before = house.mails(number)
    await house.discover()
    assert house.ticket(number)["visibility"] == 1
    await house.run(3)
    assert house.status(number) == "Løst"
    assert house.mails(number) == before


FAULTS = [
    {"kind": "drop_after_write"},
    {"kind": "drop_before"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 500, "after_write": True},
    {"kind": "html", "status": 502},
    {"kind": "html", "status": 502, "after_write": True},
    {"kind": "half_json"},
    {"kind": "status", "status": 429, "retry_after": 20},
]


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: "-".join(str(v) for v in f.values()))
async def test_the_note_stands_once_however_often_its_answer_is_lost(house, fault, times):
    number = asked_for(house)
    house.trouble(method="POST", path="/communication", times=times, **fault)
    await house.run(times + 3)
    assert len(start_notes(house, number)) == 1
    assert house.channel.addresses == {"kari@example.no": 1, "ola@example.no": 1}
    assert house.status(number) == "Løst"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: "-".join(str(v) for v in f.values()))
async def test_a_status_whose_answer_is_lost_is_set_again_and_the_note_is_not(house, fault):
    number = asked_for(house)
    house.trouble(method="PATCH", path="/ticket", skip=1, **fault)  # the first one is the mark
    await house.minute()
    assert len(start_notes(house, number)) == 1
    await house.run(3)
    assert len(start_notes(house, number)) == 1
    assert house.channel.addresses == {"kari@example.no": 1, "ola@example.no": 1}


async def test_the_undo_window_begins_when_the_note_stands(make_house):
    """While it cannot be written nobody knows that anything is about to leave."""
    house = make_house(UNDO_SECONDS="180")
    number = asked_for(house)
    house.trouble("drop_before", method="POST", path="/communication", times=5)
    await house.run(5)
    assert start_notes(house, number) == []
    await house.minute()
    [note] = start_notes(house, number)
    starts_at = (await house.campaign(number)).starts_at
    assert starts_at == house.clock() + timedelta(seconds=180)
    assert "kl. 09:09" in note
    await house.run(2)
    assert house.channel.sent == []
    await house.run(3)
    assert len(house.channel.sent) == 2


async def test_a_lost_answer_does_not_move_what_the_note_has_said(make_house):
    house = make_house(UNDO_SECONDS="180")
    number = asked_for(house)
    house.trouble("drop_after_write", method="POST", path="/communication")
    await house.run(2)
    [note] = start_notes(house, number)
    assert "kl. 09:04" in note
    starts_at = (await house.campaign(number)).starts_at
    assert f"{starts_at:%H:%M}" == "08:04"


async def test_what_a_case_worker_does_while_it_starts_is_not_lost(house):
    """She writes a note of her own and quotes ours; neither is taken for the other."""
    number = asked_for(house)
    house.trouble("status", status=500, method="POST", path="/communication")
    await house.minute()
    person = {"type": 1, "direction": 3, "ticketId": house.ticket(number)["id"]}
    house.world.add("communication", {**person, "text": "[utsendelse 20417-2/ab/start-1]"}, by=3)
    await house.run(3)
    assert len(start_notes(house, number)) == 1
    assert len(house.notes(number)) == 2


async def test_the_mark_is_looked_at_again_before_the_start(house):
    number = asked_for(house)
    theirs = "utsendelse:nabokommunen:20417-1:ffffffff"

    async def overwrite(moment):
        if moment == "after helpdesk.members":
            changes = {"customerReference": theirs}
            house.world.change("ticket", house.ticket(number)["id"], changes)

    await another(house, overwrite).discover()
    await house.run(3)
    assert (house.channel.sent, start_notes(house, number)) == ([], [])
    assert house.status(number) == "Utsending – må sjekkes"
