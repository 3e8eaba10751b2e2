"""From a ticket to one ticket per recipient and back: everybody once, whoever sends the message."""

import csv
import io
from collections import Counter
from datetime import timedelta

import pytest

from dev.pureservice.seed import (
    AGENT,
    OTHER_AGENT,
    PDF,
    PLACEHOLDERS,
    add_company,
    add_file,
    add_member,
    comparable,
)
from shared.domain.campaign import Phase
from shared.domain.delivery import Reason, Status
from shared.domain.recipient import LeftOutReason
from shared.domain.recipient_ticket import RecipientTicket, ticket_key
from shared.errors import PermanentError, UncertainError

READY, ATTENTION = "Utsending – klar", "Utsending – må sjekkes"
MAILBOX = "servicedesk@example.org"
SENT, FAILED = 4, 5  #: a mail's status
NO_STATUSES = {"STATUS_READY": "", "STATUS_RUNNING": "", "STATUS_ATTENTION": ""}

BOTH_WAYS = pytest.mark.parametrize("via", ["pureservice", "email"])
BOTH_TRIGGERS = pytest.mark.parametrize("trigger", ["communication", "failed_email"])


@pytest.fixture
def tickets(make_house):
    """A house whose messages leave their tickets in this way."""

    def make(via="pureservice", **changes):
        return make_house(TICKET_MESSAGE_VIA=via, TICKET_REPLY_TO=MAILBOX, **changes)

    return make


def switched(house, **switches):
    house.world.switches = house.world.switches.model_copy(update=switches)
    return house


def asked_for(house, *addresses, text="<p>Hei alle sammen</p>", **options):
    """A ticket of the second scenario with one list of users, ready to go."""
    members = house.make_list("en", *addresses)
    options = {"channel": "ticket", "message": text, "status": READY, **options}
    return house.open_ticket(members, **options)


def company_on(house, number, name, address):
    """A company with this mailbox, on the ticket's list."""
    [relation] = [
        row
        for row in house.world.where("relationship", "fromTicketId", house.ticket(number)["id"])
        if row.get("toAssetId")
    ]
    members = house.world.get("asset", relation["toAssetId"])
    company = add_company(house.world, {"name": name}, [address])
    add_member(house.world, members, "company", company)
    return company


def mails_from(house, ticket):
    return [mail for mail in house.on(ticket, "email") if mail["direction"] == 2]


def tag(ticket):
    return f"[Sak ID# {ticket['requestNumber']}]"


async def by_member(house, campaign):
    return {one.recipient.member: one for one in await house.deliveries(campaign)}


# --- the whole of it ---


@BOTH_TRIGGERS
@BOTH_WAYS
async def test_everybody_gets_one_ticket_and_one_message_and_the_report_says_so(
    tickets, via, trigger
):
    house = tickets(via, MESSAGE_TRIGGER=trigger)
    number = house.seed(recipients=12, scenario="ticket", trigger=trigger)
    account = house.expected(number)
    mails = house.world.count("email")
    campaign = await house.until_done(number, minutes=15)

    copies = house.copies(number)
    reached = Counter(comparable(copy["emailAddress"]) for copy in copies)
    assert reached == account["mails"]
    outcomes = await by_member(house, campaign)
    assert {m for m, one in outcomes.items() if one.status is Status.SENT} == {*account["members"]}
    failed = {m: one.reason for m, one in outcomes.items() if one.status is Status.FAILED}
    assert failed == dict.fromkeys(account["failed"], Reason.NO_USER)
    assert len(outcomes) == len(account["members"]) + len(account["failed"]) == campaign.planned
    assert campaign.planned + campaign.left_out == account["memberships"]
    left_out = [one.reason async for one in house.ledger.deliveries.left_out(campaign.id)]
    assert Counter(map(str, left_out)) == account["leftOut"]

    for copy in copies:
        if via == "pureservice":
            [mail] = mails_from(house, copy)
            assert (mail["status"], mail["to"]) == (SENT, copy["emailAddress"])
            assert len(house.messages_on(copy)) == 1
        else:
            assert mails_from(house, copy) == house.messages_on(copy) == []
    if via == "pureservice":
        assert house.channel.sent == []
        assert house.world.count("email") == mails + len(copies)
    else:
        assert house.channel.addresses == account["mails"]
        assert house.world.count("email") == mails
    assert not {*account["mustNotGet"]} & {*reached, *house.channel.addresses}

    assert house.status(number) == "Løst"
    solution = house.ticket(number)["solution"]
    assert f"{len(copies)} av {campaign.planned} mottakere har fått hver sin sak" in solution
    for copy in copies:
        assert solution.count(house.settings.ticket_link(copy["requestNumber"])) == 1


async def test_a_member_of_the_lists_is_the_user_of_the_ticket_and_nobody_is_looked_for(tickets):
    house = tickets()
    number = asked_for(house, "kari@example.no", "ola@example.no")
    campaign = await house.until_done(number)
    users = {copy["userId"] for copy in house.copies(number)}
    assert {f"user:{id_}" for id_ in users} == set(await by_member(house, campaign))
    assert not [r for r in house.simulator.traffic.requests if "/emailaddress" in r["path"]]


@BOTH_WAYS
async def test_a_company_has_its_user_made_once_and_told_by_its_name(tickets, via):
    house = tickets(via)
    number = house.seed(recipients=12, scenario="ticket")
    await house.until_done(number)
    account = house.expected(number)
    assert account["newUsers"]
    for address, names in account["newUsers"].items():
        held = [
            row
            for row in house.world.all("emailaddress")
            if row["email"].strip() and "@@" not in row["email"]
            if comparable(row["email"]) == address
        ]
        [user_id] = {row["userId"] for row in held}
        user = house.world.get("user", user_id)
        assert (user["firstName"], user["role"]) == ("Postmottak", 10)
        assert user["lastName"] in names
        company = house.world.get("company", user["companyId"])
        assert user["lastName"] == " ".join(company["name"].split())


async def test_two_companies_with_one_mailbox_are_two_tickets_of_one_user(tickets):
    house = tickets()
    number = asked_for(house, "kari@example.no")
    for name in ("Søster Én", "Søster To"):
        company_on(house, number, name, "konsern@example.no")
    await house.until_done(number)
    theirs = [c for c in house.copies(number) if c["emailAddress"] == "konsern@example.no"]
    assert len(theirs) == 2
    assert len({copy["userId"] for copy in theirs}) == 1
    assert [len(mails_from(house, copy)) for copy in theirs] == [1, 1]


async def test_a_made_up_user_on_a_list_gets_no_ticket(tickets):
    """It would be a campaign."""
    house = tickets()
    number = asked_for(house, "kari@example.no")
    members = house.world.find("asset", uniqueId="EN")
    for channel in ("email", "ticket"):
        user = house.world.get("user", house.campaign_user(channel))
        add_member(house.world, members, "user", user)
    campaign = await house.until_done(number)
    assert [copy["emailAddress"] for copy in house.copies(number)] == ["kari@example.no"]
    left_out = [one.reason async for one in house.ledger.deliveries.left_out(campaign.id)]
    assert left_out == [LeftOutReason.CAMPAIGN_USER] * 2
    assert "Er en av de oppdiktede brukerne" in house.ticket(number)["solution"]


@BOTH_WAYS
async def test_a_test_list_keeps_everybody_else_from_getting_a_ticket(tickets, via):
    house = tickets(via, ONLY_SEND_TO="kari@example.no")
    number = asked_for(house, "kari@example.no", "ola@example.no")
    await house.until_done(number)
    assert [copy["emailAddress"] for copy in house.copies(number)] == ["kari@example.no"]
    assert set(house.channel.addresses) <= {"kari@example.no"}


# --- what a ticket takes over ---

KEPT = [
    *("requestTypeId", "ticketTypeId", "priorityId", "sourceId"),
    *("assignedDepartmentId", "assignedTeamId", "category1Id", "category2Id", "category3Id"),
    *("cf_2", "cf_7", "subject", "description"),
]


@pytest.mark.parametrize("keep_agent", ["False", "True"])
async def test_each_ticket_is_classified_as_the_campaigns_and_told_apart_by_its_key(
    tickets, keep_agent
):
    house = tickets(TICKET_KEEP_AGENT=keep_agent)
    number = house.seed(recipients=6, scenario="ticket", tricky=False)
    parent = dict(house.ticket(number))
    campaign = await house.until_done(number)
    for delivery in await house.deliveries(campaign):
        made = RecipientTicket.of(delivery.reference)
        copy = house.ticket(made.number)
        assert copy["id"] == made.id
        assert copy["customerReference"] == ticket_key(campaign.id, delivery.id)
        assert {name: copy[name] for name in KEPT} == {name: parent[name] for name in KEPT}
        agent = parent["assignedAgentId"] if keep_agent == "True" else None
        assert copy.get("assignedAgentId") == agent
        assert house.status(made.number) == "Venter - sluttbruker"
        assert copy["visibility"] == 1  # no receipt
        assert not [mail for mail in house.on(copy, "email") if mail.get("isSystem")]


@pytest.mark.parametrize("copying", ["works", "ignored", "claimed"])
@BOTH_WAYS
async def test_the_files_come_along_whole_and_no_others(tickets, via, copying):
    house = switched(tickets(via), attachment_copy=copying)
    number = house.seed(recipients=6, scenario="ticket", tricky=False)
    account = house.expected(number)
    await house.until_done(number)
    whole = account["files"] | account["pictures"]
    for copy in house.copies(number):
        files = house.on(copy, "attachment")
        lengths = {(f["fileName"], len(house.world.content(f["digest"]))) for f in files}
        assert {*whole.items()} <= lengths
        assert {name for name, _ in lengths} == set(whole)
        if via == "pureservice":
            [mail] = mails_from(house, copy)
            sent = [house.world.get("attachment", id_) for id_ in mail["attachmentIds"]]
            told = {f["fileName"]: len(house.world.content(f["digest"])) for f in sent}
            assert told == account["files"]
    for message in house.channel.messages:
        assert {file.name: file.size for file in message.files} == account["files"]


# --- the message ---


@BOTH_WAYS
async def test_an_answer_finds_the_recipients_own_ticket(tickets, via):
    house = tickets(via)
    number = asked_for(house, "kari@example.no", "ola@example.no")
    await house.until_done(number)
    for copy in house.copies(number):
        if via == "pureservice":
            [subject] = [mail["subject"] for mail in mails_from(house, copy)]
        else:
            [sent] = [
                message
                for message, delivery in zip(
                    house.channel.messages, house.channel.sent, strict=True
                )
                if delivery.recipient.address == copy["emailAddress"]
            ]
            subject = sent.subject
            assert sent.sender.reply_to == MAILBOX
        assert subject == f"{tag(copy)} Høring om ny veileder"


async def test_what_we_mailed_stands_in_the_log_of_each_ticket_once(tickets):
    house = tickets("email")
    number = asked_for(house, "kari@example.no", text="<p>Velkommen til møte</p>")
    campaign = await house.until_done(number)
    [copy], [delivery] = house.copies(number), await house.deliveries(campaign)
    [note] = [row for row in house.on(copy, "communication") if row["type"] == 1]
    assert "<p>Velkommen til møte</p>" in note["text"]
    assert "Sendt på e-post til" in note["text"]
    assert delivery.id in note["text"]
    assert note["direction"] == 3


async def test_a_message_in_the_log_that_cannot_be_written_is_written_later_and_not_mailed_again(
    tickets,
):
    house = tickets("email")
    number = asked_for(house, "kari@example.no")
    await house.discover()
    house.trouble("status", status=429, retry_after=60, method="POST", path="/communication")
    campaign = await house.until_done(number, minutes=10)
    [copy] = house.copies(number)
    assert len([row for row in house.on(copy, "communication") if row["type"] == 1]) == 1
    assert house.channel.addresses == {"kari@example.no": 1}
    assert await house.statuses(campaign) == {Status.SENT: 1}


async def test_a_mail_that_went_is_sent_though_it_never_gets_into_the_log(tickets):
    house = tickets("email")
    number = asked_for(house, "kari@example.no")
    await house.discover()
    house.trouble(
        "status", status=429, retry_after=60, method="POST", path="/communication", times=50
    )
    campaign = await house.until_done(number)
    assert await house.statuses(campaign) == {Status.SENT: 1}
    assert house.channel.addresses == {"kari@example.no": 1}


@pytest.mark.parametrize("says", ["refused", "doubt"])
async def test_what_the_mail_server_says_is_what_became_of_the_recipient(tickets, says):
    """The ticket is there all the same, and the report says which it is."""
    error = {"refused": PermanentError("550"), "doubt": UncertainError("timed out")}[says]

    def answer(_):
        raise error

    house = tickets("email")
    number = asked_for(house, "kari@example.no")
    house.channel.answer = answer
    campaign = await house.until_done(number)
    [copy], [delivery] = house.copies(number), await house.deliveries(campaign)
    assert RecipientTicket.of(delivery.reference).number == copy["requestNumber"]
    expected = {
        "refused": (Status.FAILED, Reason.REFUSED),
        "doubt": (Status.UNCERTAIN, Reason.INTERRUPTED),
    }[says]
    assert (delivery.status, delivery.reason) == expected
    assert house.settings.ticket_link(copy["requestNumber"]) in house.ticket(number)["solution"]


@pytest.mark.parametrize("gate", ["ticket", "email"])
async def test_no_ticket_is_made_while_the_mail_from_it_could_not_leave(tickets, gate):
    house = tickets("email")
    number = asked_for(house, "kari@example.no")
    await house.discover()
    until = house.clock() + timedelta(minutes=5)
    await house.watch.close_gate(gate, until, "wait", house.clock())
    await house.deliver_all()
    await house.run(4)
    assert house.copies(number) == []
    campaign = await house.until_done(number, minutes=4)
    assert {one.attempts for one in await house.deliveries(campaign)} == {1}
    assert house.channel.addresses == {"kari@example.no": 1}


# --- what starts it ---


@pytest.mark.parametrize("status", [READY, None], ids=["go", "quiet"])
@pytest.mark.parametrize("scenario", ["email", "ticket"])
@BOTH_TRIGGERS
async def test_both_triggers_start_both_scenarios_with_a_go_and_without(
    make_house, trigger, scenario, status
):
    changes = {} if status else NO_STATUSES
    house = make_house(MESSAGE_TRIGGER=trigger, **changes)
    number = house.seed(
        recipients=4, scenario=scenario, tricky=False, trigger=trigger, status=status
    )
    account = house.expected(number)
    if status is None:
        await house.run(house.settings.QUIET_PERIOD_MINUTES - 1)
        assert await house.campaigns(number) == []
    campaign = await house.until_done(number)
    assert campaign.channel == scenario
    assert campaign.message.startswith("email:" if trigger == "failed_email" else "communication:")
    assert await house.statuses(campaign) == {Status.SENT: 4}
    copies = house.copies(number)
    if scenario == "email":
        assert (house.channel.addresses, copies) == (account["mails"], [])
    else:
        assert Counter(copy["emailAddress"] for copy in copies) == account["mails"]
    assert house.status(number) == "Løst"
    if trigger == "failed_email":
        mail = house.world.get("email", int(campaign.message.removeprefix("email:")))
        assert mail["status"] == SENT


def everything_said(house, number):
    """All that recipients can read, on tickets and in mails, and what their tickets are made of."""
    for copy in house.copies(number):
        yield copy["subject"]
        yield copy["description"]
        for row in house.on(copy, "communication"):
            yield f"{row.get('subject')} {row.get('text')}"
        for mail in mails_from(house, copy):
            yield f"{mail['subject']} {mail['html']}"
    for message in house.channel.messages:
        yield f"{message.subject} {message.html} {message.text}"


@pytest.mark.parametrize("via", ["email scenario", "pureservice", "email"])
@BOTH_TRIGGERS
async def test_the_campaigns_own_tag_and_greeting_reach_nobody(tickets, trigger, via):
    """Pureservice dresses up what it sends with a greeting to the made-up user, and the tag."""
    scenario = "email" if via == "email scenario" else "ticket"
    house = tickets("pureservice" if scenario == "email" else via, MESSAGE_TRIGGER=trigger)
    switched(house, mail_template="greeting")
    number = house.seed(recipients=3, scenario=scenario, tricky=False, trigger=trigger)
    parent = house.ticket(number)
    campaign = await house.until_done(number)
    assert await house.statuses(campaign) == {Status.SENT: 3}
    said = list(everything_said(house, number))
    assert len(said) >= 3
    for text in said:
        assert "Masseutsendelse" not in text
        assert tag(parent) not in text
        assert str(number) not in text.replace(f"{campaign.id}/", "")
    for copy in house.copies(number):  # what Pureservice wraps around it is the recipient's own
        for mail in mails_from(house, copy):
            assert mail["html"].count("<p>Hei ") == 1
            assert tag(copy) in mail["html"]


@pytest.mark.parametrize("where", ["message", "description"])
@pytest.mark.parametrize("trace", ["Masseutsendelse med-svar", PLACEHOLDERS["ticket"].upper()])
async def test_a_text_that_names_the_made_up_user_blocks_and_goes_when_mended(
    tickets, where, trace
):
    house = tickets()
    told = f"<p>Hei, dette gjelder {trace} og andre.</p>"
    number = asked_for(
        house,
        "kari@example.no",
        text=told if where == "message" else "<p>Hei</p>",
        description=told if where == "description" else "<p>Om høringen</p>",
    )
    await house.run(2)
    assert (house.copies(number), house.status(number)) == ([], ATTENTION)
    assert (await house.campaign(number)).problem == "names_campaign_user"
    [note] = house.notes(number)
    assert "oppdiktede sluttbrukeren" in note.replace("\n  ", " ")
    ticket = house.ticket(number)
    if where == "message":
        [entry] = [row for row in house.on(ticket, "communication") if row.get("customTypeId")]
        house.world.change("communication", entry["id"], {"text": "<p>Hei</p>"}, by=AGENT)
    else:
        house.world.change("ticket", ticket["id"], {"description": "<p>Hei</p>"}, by=AGENT)
    house.set_status(number, READY)
    await house.until_done(number)
    assert len(house.copies(number)) == 1


@pytest.mark.parametrize(
    "lacks", ["assignedDepartmentId", "ticketTypeId", "priorityId", "sourceId"]
)
async def test_a_ticket_that_lacks_what_a_new_one_must_have_blocks_and_goes_when_mended(
    tickets, lacks
):
    house = tickets()
    number = asked_for(house, "kari@example.no")
    ticket = house.ticket(number)
    before = ticket[lacks]
    house.world.change("ticket", ticket["id"], {lacks: None}, by=AGENT)
    await house.run(2)
    assert (house.copies(number), house.status(number)) == ([], ATTENTION)
    assert (await house.campaign(number)).problem == "not_classified"
    assert "mangler sone, type, prioritet eller kilde" in house.notes(number)[0]
    house.world.change("ticket", ticket["id"], {lacks: before}, by=AGENT)
    house.set_status(number, READY)
    await house.until_done(number)
    [copy] = house.copies(number)
    assert copy[lacks] == before


async def test_a_campaign_by_mail_needs_no_classification(tickets):
    house = tickets()
    number = asked_for(house, "kari@example.no", channel="email")
    house.world.change("ticket", house.ticket(number)["id"], {"assignedDepartmentId": None})
    await house.until_done(number)
    assert house.channel.addresses == {"kari@example.no": 1}


@pytest.mark.parametrize(("wrong", "right"), [("email", "ticket"), ("ticket", "email")])
async def test_a_wrong_made_up_user_that_is_mended_while_blocked_changes_the_channel(
    tickets, wrong, right
):
    """Also when recipients had been planned already, one each for those who share a mailbox."""
    house = tickets(ONLY_SEND_TO="felles@example.no")
    number = asked_for(house, "kari@example.no", channel=wrong)
    await house.minute()
    campaign = await house.campaign(number)
    assert (campaign.problem, campaign.channel) == ("nobody", wrong)
    for name in ("Søster Én", "Søster To"):
        company_on(house, number, name, "felles@example.no")
    ticket = house.ticket(number)
    user = house.campaign_user(right)
    address = house.settings.model_dump()[f"{right.upper()}_CAMPAIGN_USER"]
    changes = {"userId": user, "emailAddress": address}
    house.world.change("ticket", ticket["id"], changes, by=AGENT)
    house.set_status(number, READY)
    campaign = await house.until_done(number)
    assert campaign.channel == right
    channels = {one.channel for one in await house.deliveries(campaign)}
    assert channels == {right}
    if right == "ticket":
        assert (campaign.planned, campaign.left_out) == (2, 1)
        assert len(house.copies(number)) == 2
        assert house.channel.sent == []
    else:
        assert (campaign.planned, campaign.left_out) == (1, 2)
        assert house.copies(number) == []
        assert house.channel.addresses == {"felles@example.no": 1}


# --- what happens meanwhile ---


@pytest.mark.parametrize("files", ["copy", "upload"])
async def test_whatever_an_agent_does_to_the_ticket_meanwhile_all_copies_are_as_it_was(
    tickets, files
):
    house = tickets(UNDO_SECONDS="180", TICKET_FILES=files)
    number = house.seed(recipients=4, scenario="ticket", tricky=False)
    account, ticket = house.expected(number), house.ticket(number)
    before = dict(ticket)
    await house.minute()
    text = next(row for row in house.on(ticket, "communication") if row.get("customTypeId"))
    other = {"subject": "Noe annet", "description": "<p>Noe annet</p>", "cf_2": "Annet"}
    house.world.change(
        "ticket",
        ticket["id"],
        {**other, "priorityId": 1, "category1Id": None, "assignedTeamId": None},
        by=OTHER_AGENT,
    )
    house.world.change("communication", text["id"], {"text": "<p>Noe annet</p>"}, by=OTHER_AGENT)
    add_file(house.world, ticket, "ny.pdf", PDF)
    campaign = await house.until_done(number)
    assert await house.statuses(campaign) == {Status.SENT: 4}
    for copy in house.copies(number):
        assert {name: copy[name] for name in KEPT} == {name: before[name] for name in KEPT}
        assert {f["fileName"] for f in house.on(copy, "attachment")} == {
            *account["files"],
            *account["pictures"],
        }
        [mail] = mails_from(house, copy)
        assert "Noe annet" not in mail["html"]


@pytest.mark.parametrize("why", ["removed", "refused"])
@BOTH_WAYS
async def test_files_that_can_no_longer_be_copied_are_sent_anew_from_our_own_store(
    tickets, via, why
):
    house = tickets(via, UNDO_SECONDS="60")
    number = house.seed(recipients=4, scenario="ticket", tricky=False)
    account = house.expected(number)
    await house.minute()
    if why == "removed":
        for file in house.on(house.ticket(number), "attachment"):
            house.world.remove("attachment", file["id"])
    else:
        switched(house, attachment_copy="refused")
    campaign = await house.until_done(number)
    assert await house.statuses(campaign) == {Status.SENT: 4}
    for copy in house.copies(number):
        files = {f["fileName"]: f["contentLength"] for f in house.on(copy, "attachment")}
        assert files == account["files"] | account["pictures"]


# --- what it costs ---


@pytest.mark.parametrize("with_files", [False, True], ids=["no files", "files"])
@BOTH_WAYS
async def test_a_recipient_costs_two_calls_and_a_bit(tickets, via, with_files):
    house = tickets(via)

    async def calls(recipients):
        addresses = [f"mottaker{n}@example.no" for n in range(recipients)]
        number = asked_for(house, *addresses, status="")
        if with_files:
            add_file(house.world, house.ticket(number), "brev.pdf", PDF)
        house.set_status(number, READY)
        house.simulator.traffic.calls.clear()
        minutes = 0
        while not minutes or (await house.campaign(number)).phase is not Phase.DONE:
            await house.minute()
            minutes += 1
        assert await house.statuses(await house.campaign(number)) == {Status.SENT: recipients}
        per_minute = house.simulator.traffic.calls["GET /ticket"]
        assert per_minute >= minutes
        return house.simulator.traffic.calls.total() - per_minute

    few, many = await calls(2), await calls(62)
    assert (many - few) / 60 <= 2.1


def rows_of_csv(house, number):
    file = house.files_on(number)[f"mottakere-{number}-1.csv"]
    text = house.world.content(file["digest"]).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))


async def test_the_list_names_each_recipients_ticket_and_where_to_open_it(tickets):
    house = tickets()
    number = house.seed(recipients=6, scenario="ticket")
    campaign = await house.until_done(number)
    rows = {row["Forsendelse"]: row for row in rows_of_csv(house, number)}
    for delivery in await house.deliveries(campaign):
        row = rows[delivery.id]
        if delivery.status is Status.SENT:
            made = RecipientTicket.of(delivery.reference)
            assert row["Sak"] == str(made.number)
            assert row["Lenke"] == house.settings.ticket_link(made.number)
        else:
            assert (row["Sak"], row["Lenke"]) == ("", "")
    assert f"melding-{number}-1.eml" in house.files_on(number)
