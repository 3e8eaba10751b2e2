"""What starts a campaign, what never does, and that one in trouble leaves the others alone."""

from collections import Counter
from itertools import count

import pytest

from dev.pureservice.behaviour import FAILED, settle_now
from dev.pureservice.schema import API_USER
from dev.pureservice.seed import AGENT, MESSAGE_TYPE, add_user
from shared.domain.campaign import Phase
from shared.errors import SetupError, StoppedError
from tests.flow.edges import Moments, another

READY = "Utsending – klar"
TRIGGERS = pytest.mark.parametrize("trigger", ["communication", "failed_email"])
#: The go is a status; or there is none, and a ticket left alone is ready.
GOES = pytest.mark.parametrize("go", [READY, ""], ids=["status", "quiet"])


async def starts_nothing(house, number):
    notes = len(house.notes(number))
    await house.run(12)
    return (
        await house.campaigns(number) == []
        and not house.channel.sent
        and len(house.notes(number)) == notes
        and not house.ticket(number).get("customerReference")
    )


def failed(house, number, **flags):
    """The mails of this kind that Pureservice has tried in vain to send to the made-up user."""
    settle_now(house.world, house.ticket(number))
    return [
        mail
        for mail in house.mails(number)
        if mail["status"] == FAILED and all(mail.get(k, False) == v for k, v in flags.items())
    ]


# --- what starts nothing ---


@TRIGGERS
async def test_a_ticket_without_the_go_status_starts_nothing(make_house, trigger):
    house = make_house(MESSAGE_TRIGGER=trigger)
    number = house.seed(status=None, trigger=trigger)
    assert await starts_nothing(house, number)
    house.set_status(number, "Under arbeid")
    assert await starts_nothing(house, number)


@TRIGGERS
@GOES
async def test_a_receipt_and_a_solved_notice_start_nothing(make_house, trigger, go):
    house = make_house(MESSAGE_TRIGGER=trigger, STATUS_READY=go)
    number = house.open_ticket(house.make_list("en", "kari@example.no"))
    house.set_status(number, "Løst")
    house.set_status(number, "Under arbeid")
    assert len(failed(house, number, isSystem=True)) == 2
    assert len(failed(house, number, isInitial=True)) == 1
    assert await starts_nothing(house, number)


@GOES
async def test_an_ordinary_message_starts_nothing_where_the_communication_type_is_used(
    make_house, go
):
    house = make_house(STATUS_READY=go)
    number = house.open_ticket(house.make_list("en", "kari@example.no"))
    house.write(number, "Bare en beskjed")
    assert len(failed(house, number, isSystem=False)) == 1
    assert await starts_nothing(house, number)


@TRIGGERS
@GOES
async def test_a_follow_up_to_the_made_up_user_after_the_report_starts_nothing(
    make_house, trigger, go
):
    house = make_house(MESSAGE_TRIGGER=trigger, STATUS_READY=go)
    number = house.seed(recipients=2, tricky=False, trigger=trigger, status=go or None)
    await house.run(13)
    assert house.channel.addresses == house.expected(number)["mails"]
    house.write(number, "Takk for hjelpen!")
    house.set_status(number, "Under arbeid")
    house.write(number, "Og en ting til", direction=1)  # an answer, from whoever it is
    assert len(failed(house, number, isSystem=False)) == 1
    await house.run(25)
    assert house.channel.addresses == house.expected(number)["mails"]
    assert len(await house.campaigns(number)) == 1
    assert house.status(number) == "Under arbeid"


@TRIGGERS
@pytest.mark.parametrize("go", ["made-up", "deleted"])
async def test_tickets_of_others_and_deleted_ones_are_ignored(make_house, trigger, go):
    house = make_house(MESSAGE_TRIGGER=trigger)
    number = house.seed(recipients=2, tricky=False, trigger=trigger)
    ticket = house.ticket(number)
    if go == "deleted":
        house.world.change("ticket", ticket["id"], {"isMarkedForDeletion": True})
    else:
        user = add_user(house.world, {"firstName": "Ola"}, ["ola@example.no"])
        changes = {"userId": user["id"], "emailAddress": "ola@example.no"}
        house.world.change("ticket", ticket["id"], changes)
    assert await starts_nothing(house, number)


# --- where a failed mail is the message ---


async def test_a_mail_that_could_not_be_delivered_is_carried_and_then_marked_as_sent(make_house):
    house = make_house(MESSAGE_TRIGGER="failed_email")
    number = house.seed(recipients=4, trigger="failed_email")
    [mail] = failed(house, number, isSystem=False)
    await house.run(3)
    account = house.expected(number)
    assert house.channel.addresses == account["mails"]
    assert (await house.campaign(number)).phase is Phase.DONE
    assert mail["status"] == 4
    message = house.channel.messages[0]
    assert message.subject == account["subject"]
    assert "Svarfrist er 1. mars" in message.text
    assert {file.name: file.size for file in message.files} == account["files"]
    assert len(failed(house, number, isSystem=True)) == 1  # the receipt is as it was


async def test_a_mail_still_in_the_outbox_is_waited_for(make_house):
    house = make_house(MESSAGE_TRIGGER="failed_email")
    house.world.switches = house.world.switches.model_copy(update={"mail_queued_seconds": 170.0})
    number = house.open_ticket(house.make_list("en", "kari@example.no"))
    house.write(number, "<p>Hei</p>")
    house.set_status(number, READY)
    await house.run(2)
    assert (house.notes(number), house.channel.sent) == ([], [])
    await house.run(2)
    assert house.channel.addresses == {"kari@example.no": 1}


async def test_a_mail_that_never_comes_blocks_when_the_outbox_has_had_its_time(make_house):
    house = make_house(MESSAGE_TRIGGER="failed_email")
    number = house.open_ticket(house.make_list("en", "kari@example.no"), status=READY)
    await house.run(4)
    assert house.notes(number) == []
    await house.run(3)
    assert "ingen melding" in house.notes(number)[0]
    assert house.status(number) == "Utsending – må sjekkes"


@pytest.mark.parametrize("what", ["is there", "was deleted"])
async def test_a_mail_on_a_ticket_that_ever_had_an_entry_to_send_is_never_a_message(
    make_house, what
):
    house = make_house(MESSAGE_TRIGGER="communication")
    number = house.seed(recipients=2, tricky=False)
    if what == "is there":
        house.set_status(number, "Under arbeid")
    await house.run(3)
    sent = house.channel.addresses
    later = make_house(beside=house, MESSAGE_TRIGGER="failed_email")
    later.ledger = house.ledger
    if what == "was deleted":
        [entry] = [e for e in house.world.all("communication") if e.get("customTypeId")]
        house.world.remove("communication", entry["id"])
    later.write(number, "<p>Til dere som fikk brevet</p>")
    later.set_status(number, READY)
    assert len(failed(later, number, isSystem=False)) == 1
    await later.run(8)
    assert (later.channel.sent, house.channel.addresses) == ([], sent)
    assert later.status(number) == "Utsending – må sjekkes"


@pytest.mark.parametrize("told", ["by setting", "by our own mark"])
async def test_a_mail_by_our_own_api_user_is_never_a_message(make_house, told):
    known = API_USER if told == "by setting" else 0
    house = make_house(MESSAGE_TRIGGER="failed_email", PURESERVICE_API_USER_ID=known)
    number = house.open_ticket(house.make_list("en", "kari@example.no"))
    house.write(number, "<p>Fra programmet</p>", by=API_USER)
    house.set_status(number, READY)
    await house.run(8)
    assert failed(house, number, createdById=API_USER)
    assert house.channel.sent == []
    assert "ingen melding" in house.notes(number)[0]


async def test_a_mail_that_quotes_our_report_is_never_a_message(make_house):
    house = make_house(MESSAGE_TRIGGER="failed_email")
    number = house.open_ticket(house.make_list("en", "kari@example.no"))
    house.write(
        number, "<p>Masseutsendelsen er ferdig</p><small>[utsendelse 20417-1/rapport]</small>"
    )
    house.set_status(number, READY)
    await house.run(8)
    assert failed(house, number, isSystem=False)
    assert house.channel.sent == []


async def test_a_case_worker_who_edits_the_ticket_is_not_taken_for_us(make_house):
    """The answer to our mark is lost, and she is the last who changed the ticket."""
    house = make_house(MESSAGE_TRIGGER="failed_email")
    number = house.seed(recipients=2, tricky=False, trigger="failed_email")
    house.trouble("drop_after_write", method="PATCH", path="/ticket")
    await house.minute()
    ticket = house.ticket(number)
    assert (ticket["modifiedById"], (await house.campaign(number)).phase) == (API_USER, "found")
    house.world.change("ticket", ticket["id"], {"description": "Ny"}, by=AGENT)
    await house.run(3)
    assert house.channel.addresses == house.expected(number)["mails"]


# --- without a go status ---


@TRIGGERS
async def test_without_a_go_status_a_ticket_left_alone_for_a_while_is_sent(make_house, trigger):
    house = make_house(STATUS_READY="", MESSAGE_TRIGGER=trigger)
    number = house.seed(recipients=3, tricky=False, status=None, trigger=trigger)
    await house.run(9)
    assert await house.campaigns(number) == []
    await house.run(3)
    assert house.channel.addresses == house.expected(number)["mails"]
    assert house.status(number) == "Løst"


@pytest.mark.parametrize("change", ["ticket", "message"])
async def test_a_change_starts_the_quiet_period_anew(make_house, change):
    house = make_house(STATUS_READY="")
    number = house.seed(recipients=2, tricky=False, status=None)
    await house.run(9)
    if change == "ticket":
        house.world.change("ticket", house.ticket(number)["id"], {"subject": "Rettet"}, by=AGENT)
    else:
        [entry] = [e for e in house.world.all("communication") if e.get("customTypeId")]
        house.world.change("communication", entry["id"], {"text": "<p>Rettet</p>"}, by=AGENT)
    await house.run(9)
    assert await house.campaigns(number) == []
    await house.run(3)
    assert house.channel.addresses == house.expected(number)["mails"]


async def test_without_a_go_status_nothing_is_asked_for_before_message_and_lists_are_there(
    make_house,
):
    house = make_house(STATUS_READY="")
    number = house.open_ticket()
    assert await starts_nothing(house, number)
    house.write(number, "<p>Hei</p>", custom_type=MESSAGE_TYPE)
    assert await starts_nothing(house, number)
    house.link(number, house.make_list("en", "kari@example.no"))
    await house.run(9)
    assert await house.campaigns(number) == []  # linking it was a change like any other
    await house.run(3)
    assert house.channel.addresses == {"kari@example.no": 1}


async def test_without_a_go_status_a_ticket_never_gets_a_second_campaign(make_house):
    house = make_house(STATUS_READY="")
    number = house.seed(recipients=2, tricky=False, status=None)
    await house.run(13)
    account = house.expected(number)
    assert house.channel.addresses == account["mails"]
    house.set_status(number, "Under arbeid")
    house.write(number, "<p>En ny melding</p>", custom_type=MESSAGE_TYPE)
    await house.run(25)
    assert house.channel.addresses == account["mails"]
    assert len(await house.campaigns(number)) == 1


# --- a go, and a go taken back ---


async def test_a_message_already_carried_is_not_sent_again_when_the_go_is_set_again(house):
    number = house.seed(recipients=3, tricky=False)
    await house.run(3)
    house.set_status(number, READY)
    await house.run(5)
    assert house.channel.addresses == house.expected(number)["mails"]
    assert "Alle mottakerne har fått den" in house.notes(number)[-1]
    assert house.status(number) == "Løst"


async def test_a_new_message_on_the_same_ticket_is_a_new_campaign(house):
    number = house.seed(recipients=3, tricky=False)
    await house.run(3)
    house.write(number, "<p>Rettelse</p>", custom_type=MESSAGE_TYPE)
    house.set_status(number, READY)
    await house.run(3)
    twice = dict.fromkeys(house.expected(number)["mails"], 2)
    assert house.channel.addresses == twice
    assert [c.id for c in await house.campaigns(number)] == [f"{number}-1", f"{number}-2"]
    assert Counter(m.text for m in house.channel.messages)["Rettelse"] == 3


async def interrupted(house):
    """A campaign whose message is fixed, and whose lists could not be read so far."""
    members = house.make_list("en", "kari@example.no", "ola@example.no")
    number = house.open_ticket(members, message="<p>Med skrivefeil</p>", status=READY)
    house.trouble("status", method="GET", path=f"/relationship/{members['id']}", times=3)
    await house.minute()
    campaign = await house.campaign(number)
    assert (campaign.phase, bool(campaign.message)) == (Phase.EXPANDING, True)
    return number


@pytest.mark.parametrize("status", ["Under arbeid", "Løst", "Utsending – pågår"])
async def test_a_go_taken_back_before_the_start_sends_nothing_and_a_later_one_begins_afresh(
    house, status
):
    number = await interrupted(house)
    house.set_status(number, status)
    await house.run(3)
    assert (house.channel.sent, house.notes(number)) == ([], [])
    assert (await house.campaign(number)).phase is Phase.CANCELLED
    assert house.status(number) == status
    [entry] = [e for e in house.world.all("communication") if e.get("customTypeId")]
    house.world.change("communication", entry["id"], {"text": "<p>Rettet</p>"}, by=AGENT)
    house.set_status(number, READY)
    await house.run(3)
    assert house.channel.addresses == {"kari@example.no": 1, "ola@example.no": 1}
    assert {message.text for message in house.channel.messages} == {"Rettet"}


async def test_a_go_taken_back_while_the_lists_are_read_is_heeded(house):
    number = house.seed(recipients=3, tricky=False)

    async def take_back(moment):
        if moment == "after helpdesk.members":
            house.set_status(number, "Under arbeid")

    await another(house, take_back).discover()
    await house.run(3)
    assert (house.channel.sent, house.notes(number)) == ([], [])
    assert house.status(number) == "Under arbeid"


async def test_a_campaign_whose_ticket_was_given_up_does_not_stay_active_for_ever(house):
    number = house.open_ticket(message="<p>Hei</p>", status=READY)
    await house.minute()
    assert (await house.campaign(number)).phase is Phase.BLOCKED
    house.set_status(number, "Lukket")
    await house.minute()
    assert (await house.campaign(number)).phase is Phase.CANCELLED
    assert await house.ledger.campaigns.active() == []


# --- trouble ---


async def test_one_campaign_in_trouble_does_not_stop_another(house):
    first, second = house.seed(recipients=2, tricky=False), house.seed(recipients=3, tricky=False)
    path = f"/relationship/{house.ticket(first)['id']}/"
    house.trouble("status", method="GET", path=path, times=6)
    await house.run(2)
    assert house.channel.addresses == house.expected(second)["mails"]
    await house.run(3)
    both = {**house.expected(first)["mails"], **house.expected(second)["mails"]}
    assert house.channel.addresses == both


async def test_a_bug_in_one_campaign_does_not_stop_another_and_is_not_hidden(house):
    house.seed(recipients=2, tricky=False)
    second = house.seed(recipients=3, tricky=False)
    seen = []

    async def bug(moment):
        if moment == "before helpdesk.lists":
            seen.append(moment)
            if len(seen) == 1:
                raise RuntimeError("a bug")

    with pytest.raises(ExceptionGroup) as caught:
        await another(house, bug).discover()
    assert [type(one) for one in caught.value.exceptions] == [RuntimeError]
    await house.deliver_all()
    assert house.channel.addresses == house.expected(second)["mails"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(
            (setting, "Finnes ikke")
            for setting in (
                "STATUS_READY",
                "STATUS_RUNNING",
                "STATUS_ATTENTION",
                "STATUS_SOLVED",
                "LIST_ASSET_TYPE",
                "LIST_TICKET_RELATION",
                "LIST_USER_RELATION",
                "LIST_COMPANY_RELATION",
            )
        ),
        ("SENDERS", {"zone:Finnes ikke": {"from": "a@example.org"}}),
        ("SENDERS", {"team:Finnes ikke": {"from": "a@example.org"}}),
        ("STATUS_READY", "Ute av bruk"),  # there is one, but it is disabled
    ],
)
async def test_a_name_that_does_not_exist_stops_everything_and_says_which_setting(
    make_house, setting, value
):
    house = make_house(**{setting: value})
    number = house.seed(recipients=2, tricky=False)
    with pytest.raises(SetupError, match=f"{setting}.*Finnes ikke|{setting}.*Ute av bruk"):
        await house.discover()
    assert not house.ticket(number).get("customerReference")
    assert (house.notes(number), house.channel.sent) == ([], [])


async def test_a_refused_key_stops_everything(house):
    number = house.seed(recipients=2, tricky=False)
    house.trouble("status", status=401, times=50)
    with pytest.raises(StoppedError, match="PURESERVICE_KEY"):
        await house.discover()
    assert await house.campaigns(number) == []


async def test_a_status_that_is_not_configured_leaves_just_that_step_out(make_house):
    house = make_house(
        STATUS_RUNNING="", STATUS_ATTENTION="", LIST_COMPANY_RELATION="", EMAIL_RATE="1"
    )
    number = house.open_ticket(
        house.make_list("en", "a@example.no", "b@example.no", "c@example.no", "d@example.no"),
        message="<p>Hei</p>",
        status=READY,
    )
    await house.minute()
    assert house.status(number) == READY
    assert len(house.notes(number)) == 1
    await house.run(8)
    assert len(house.channel.addresses) == 4
    assert house.status(number) == "Løst"


async def test_two_hosts_at_once_carry_a_ticket_once(make_house):
    """Whenever one of them stands still, the other goes through everything there is to do."""
    for at in count(step=6):  # before each third call, which is after the one before it
        house = make_house()
        number = house.open_ticket(
            house.make_list("en", "kari@example.no", "ola@example.no"),
            message="<p>Hei</p>",
            status=READY,
        )
        moments = Moments(at, house.discover)
        await another(house, moments).discover()
        if len(moments.passed) <= at:
            break
        await house.run(3)
        assert house.channel.addresses == {"kari@example.no": 1, "ola@example.no": 1}
        assert len(await house.campaigns(number)) == 1, moments.passed[at]
        # a note cannot be written on a condition: both may have looked before either wrote
        assert len(set(house.notes(number))) == 1, moments.passed[at]
        assert house.status(number) == "Løst", moments.passed[at]
    assert at > 40
