"""The helpdesk port on Pureservice, against the simulator."""

import base64
import re
from datetime import timedelta

import httpx
import pytest

from dev.pureservice import expected, seed_campaign
from dev.pureservice.seed import (
    FROM_CAMPAIGN,
    OTHER_AGENT,
    PDF,
    PLACEHOLDERS,
    add_company,
    add_file,
    add_list,
    add_member,
    add_message,
    add_user,
    set_status,
)
from shared.adapters.pureservice import Pureservice
from shared.domain.campaign import RecipientList
from shared.domain.helpdesk import InternalNote, Original
from shared.domain.message import Classification
from shared.domain.recipient import Member, MemberKind
from shared.errors import PermanentError, SetupError, TransientError

OURS = PLACEHOLDERS["email"]


# -- names


async def test_names_become_ids_and_a_change_of_the_same_name_never_wins(
    helpdesk: Pureservice, tenant
) -> None:
    changes, tickets = tenant.world.where("status", "name", "Løst")
    assert (changes["requestTypeId"], tickets["requestTypeId"]) == (2, 1)
    names = await helpdesk.names()
    assert names.solved == tickets["id"]
    assert names.ready == tenant.id("status", name="Utsending – klar")
    assert names.list_type == tenant.id("assettype", name="Mottakerliste")
    types = tenant.world.where("relationshiptype", "fromAssetTypeId", names.list_type)
    ids = {row["name"]: row["id"] for row in types}
    assert names.ticket_relations == {ids["Gir mottakere til"]}
    assert names.member_relations == {ids["Inneholder bruker"], ids["Inneholder firma"]}
    assert set(names.zones.values()) == {"Fordeling", "Kommunikasjon"}
    assert "Utsendinger" in names.teams.values()


async def test_a_name_may_differ_in_case_and_spaces_and_stand_for_several_relations(
    connect, tenant
) -> None:
    list_type = tenant.id("assettype", name="Mottakerliste")
    twin = {"name": " inneholder BRUKER", "fromAssetTypeId": list_type}
    twin_id = tenant.world.add("relationshiptype", twin)["id"]
    names = await connect(LIST_ASSET_TYPE="mottakerliste ", STATUS_SOLVED="LØST").names()
    assert names.list_type == list_type
    assert twin_id in names.member_relations and len(names.member_relations) == 3


async def test_a_status_that_is_not_configured_is_none(connect) -> None:
    names = await connect(STATUS_READY="", STATUS_ATTENTION=" ", LIST_COMPANY_RELATION="").names()
    assert (names.ready, names.attention) == (None, None)
    assert names.running is not None
    assert len(names.member_relations) == 1


async def test_every_name_that_is_missing_is_told_at_once_by_its_setting(connect) -> None:
    sender = {"from": "post@fjordvik.example.no"}
    wrong = {
        "STATUS_READY": "Ute av bruk",  # it is disabled
        "STATUS_SOLVED": "Ferdig",
        "LIST_COMPANY_RELATION": "Inneholder bedrift",
        "SENDERS": {"zone:Fordeling": sender, "zone:Månen": sender, "team:Fordeling": sender},
    }
    with pytest.raises(SetupError) as caught:
        await connect(**wrong).names()
    told = str(caught.value)
    for part in (*wrong, "Ute av bruk", "Ferdig", "Inneholder bedrift", "zone:Månen", "team:F"):
        assert part in told
    assert "zone:Fordeling" not in told
    assert "STATUS_RUNNING" not in told


async def test_a_missing_list_type_is_told_without_its_relations(connect) -> None:
    with pytest.raises(SetupError, match="LIST_ASSET_TYPE") as caught:
        await connect(LIST_ASSET_TYPE='List" OR "1"=="1').names()
    assert "RELATION" not in str(caught.value)


async def test_two_of_one_name_are_told_rather_than_guessed(helpdesk: Pureservice, tenant) -> None:
    tenant.world.add("status", {"name": "Løst", "coreStatus": 50, "requestTypeId": 1})
    with pytest.raises(SetupError, match="STATUS_SOLVED"):
        await helpdesk.names()


async def test_names_are_kept_for_a_quarter_of_an_hour(helpdesk: Pureservice, tenant, time) -> None:
    first = await helpdesk.names()
    calls = len(tenant.asked)
    time.now += timedelta(minutes=14)
    assert await helpdesk.names() is first
    assert len(tenant.asked) == calls == 5
    time.now += timedelta(minutes=1)
    await helpdesk.names()
    assert len(tenant.asked) == 2 * calls


async def test_a_missing_name_is_looked_for_again_at_once(connect, tenant) -> None:
    helpdesk = connect(STATUS_SOLVED="Ferdig")
    with pytest.raises(SetupError):
        await helpdesk.names()
    tenant.world.add("status", {"name": "Ferdig", "coreStatus": 50, "requestTypeId": 1})
    assert (await helpdesk.names()).solved


async def test_names_for_one_ticket_per_recipient(connect, tenant) -> None:
    names = await connect(TICKET_RELATION="er utsending FRA").names()
    assert names.recipient_status == tenant.id("status", name="Venter - sluttbruker")
    assert names.recipient_relation == tenant.id("relationshiptype", name=FROM_CAMPAIGN)
    assert names.review == tenant.id("status", name="Utsending – til kontroll")
    names = await connect(STATUS_REVIEW="").names()
    assert (names.review, names.recipient_relation) == (None, None)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"TICKET_STATUS": "Venter på svar"}, "TICKET_STATUS: there is no status"),
        ({"TICKET_STATUS": "Lukket"}, "TICKET_STATUS: 'Lukket' is a status for tickets that are"),
        ({"TICKET_RELATION": "Er barn av"}, "TICKET_RELATION: there is no relation type"),
        ({"TICKET_RELATION": "Inneholder bruker"}, "TICKET_RELATION: there are 2"),
        ({"STATUS_REVIEW": "Til kontroll"}, "STATUS_REVIEW: there is no status"),
    ],
)
async def test_what_one_ticket_per_recipient_needs_must_be_there(connect, values, told) -> None:
    with pytest.raises(SetupError, match=re.escape(told)):
        await connect(**values).names()
    if "STATUS_REVIEW" not in values:  # where there are no such campaigns, it need not be
        names = await connect(TICKET_CAMPAIGN_USER="", **values).names()
        assert (names.recipient_status, names.recipient_relation) == (None, None)


# -- tickets


async def test_campaign_tickets_are_the_open_ones_of_the_made_up_user(
    helpdesk: Pureservice, tenant, time
) -> None:
    ours = tenant.new_ticket()
    solved, deleted = tenant.new_ticket(), tenant.new_ticket()
    set_status(tenant.world, solved, "Løst")
    tenant.world.change("ticket", deleted["id"], {"isMarkedForDeletion": True})
    tenant.new_ticket(PLACEHOLDERS["digipost"])
    time.now += timedelta(hours=1)
    tenant.world.change("ticket", ours["id"], {"customerReference": "fra før"}, by=4)
    tenant.asked.clear()

    [ticket] = await helpdesk.campaign_tickets()
    assert len(tenant.asked) == 1
    assert ticket.id == ours["id"]
    assert ticket.request_number == ours["requestNumber"]
    assert not ticket.deleted
    assert ticket.subject == "Høring om ny veileder"
    assert ticket.modified == time.now
    assert (ticket.modified_by, ticket.mark, ticket.solution) == (4, "fra før", "")
    assert ticket.zone_id == tenant.id("department", name="Kommunikasjon")
    assert ticket.team_id == tenant.id("team", name="Utsendinger")
    assert await helpdesk.ticket(ours["id"]) == ticket


@pytest.mark.parametrize("setting", [OURS, OURS.replace("masse", "Masse")])
async def test_the_made_up_users_address_may_be_written_otherwise(connect, tenant, setting) -> None:
    tenant.switch(string_comparison="insensitive")
    ticket = tenant.new_ticket()
    tenant.world.change("ticket", ticket["id"], {"emailAddress": OURS.upper()})
    helpdesk = connect(EMAIL_CAMPAIGN_USER=setting)
    assert [found.id for found in await helpdesk.campaign_tickets()] == [ticket["id"]]


def _without_filter(request: httpx.Request) -> httpx.Request:
    url = request.url.copy_remove_param("filter")
    return httpx.Request(request.method, url, headers=request.headers)


async def test_a_server_that_gives_too_many_tickets_does_not_make_them_ours(
    helpdesk: Pureservice, tenant
) -> None:
    tenant.new_ticket(PLACEHOLDERS["digipost"])
    tenant.edit = _without_filter
    assert await helpdesk.campaign_tickets() == []


async def test_a_ticket_is_changed_in_just_what_is_given(
    helpdesk: Pureservice, tenant, ticket
) -> None:
    before = {**ticket}
    await helpdesk.change_ticket(ticket["id"], mark="utsendelse:test:20417-1:abc")
    assert ticket["customerReference"] == "utsendelse:test:20417-1:abc"
    solved = (await helpdesk.names()).solved
    await helpdesk.change_ticket(ticket["id"], status_id=solved, silent=True, solution="<p>Ø</p>")
    changed = {
        "customerReference": "utsendelse:test:20417-1:abc",
        "statusId": solved,
        "visibility": 1,
        "solution": "<p>Ø</p>",
    }
    stamps = ("modified", "modifiedById", "resolvedById")
    assert {k: v for k, v in ticket.items() if k not in stamps} == {**before, **changed}
    assert not tenant.world.where("email", "ticketId", ticket["id"])  # silently, that is


async def test_the_mark_has_the_field_that_the_setting_says(connect, tenant, ticket) -> None:
    helpdesk = connect(CAMPAIGN_MARK_FIELD="cf_3")
    tenant.world.change("ticket", ticket["id"], {"cf_3": 17, "customerReference": "annet"})
    assert (await helpdesk.ticket(ticket["id"])).mark == "17"
    await helpdesk.change_ticket(ticket["id"], mark="utsendelse:x")
    assert (ticket["cf_3"], ticket["customerReference"]) == ("utsendelse:x", "annet")


async def test_a_ticket_that_is_not_there(helpdesk: Pureservice) -> None:
    with pytest.raises(PermanentError, match="/ticket/9999"):
        await helpdesk.ticket(9999)


# -- one ticket per recipient


async def test_what_recipients_tickets_take_after(helpdesk: Pureservice, tenant) -> None:
    number = seed_campaign(tenant.world, recipients=0, tricky=False, scenario="ticket")
    ticket = tenant.world.find("ticket", requestNumber=number)
    original = await helpdesk.original(ticket["id"])
    assert len(tenant.asked) == 1
    assert original == Original(
        description=ticket["description"],
        classification=Classification(
            request_type=1,
            ticket_type=tenant.id("tickettype", name="Hendelse"),
            priority=tenant.id("priority", name="Høy", requestTypeId=1),
            source=tenant.id("source", name="Telefon", requestTypeId=1),
            zone=tenant.id("department", name="Kommunikasjon"),
            team=tenant.id("team", name="Utsendinger"),
            agent=OTHER_AGENT,
            category1=tenant.id("category", level=1),
            category2=tenant.id("category", level=2),
            category3=tenant.id("category", level=3),
        ),
        fields=(("cf_2", "Blåbær og ærfugl"), ("cf_7", 42)),
        end_user_name="Masseutsendelse med-svar",
    )
    with pytest.raises(PermanentError, match="9999"):
        await helpdesk.original(9999)


async def test_the_mark_of_a_campaign_is_no_field_of_its_copies(connect, tenant, ticket) -> None:
    tenant.world.change("ticket", ticket["id"], {"cf_3": "utsendelse:x", "cf_4": 0, "cf_5": False})
    original = await connect(CAMPAIGN_MARK_FIELD="cf_3").original(ticket["id"])
    assert original.fields == (("cf_4", 0), ("cf_5", False))


@pytest.mark.parametrize(
    "lacking", ["ticketTypeId", "priorityId", "sourceId", "assignedDepartmentId", "requestTypeId"]
)
async def test_a_ticket_that_is_not_classified_can_not_be_copied(
    helpdesk: Pureservice, tenant, ticket, lacking
) -> None:
    for optional in ("assignedTeamId", "assignedAgentId", "category1Id"):
        tenant.world.change("ticket", ticket["id"], {optional: None})
    original = await helpdesk.original(ticket["id"])
    assert original.classification
    assert (original.classification.team, original.classification.category1) == (None, None)
    tenant.world.change("ticket", ticket["id"], {lacking: None})
    assert (await helpdesk.original(ticket["id"])).classification is None


async def test_a_campaigns_copies_are_found_by_how_their_key_begins(
    helpdesk: Pureservice, tenant
) -> None:
    keys = ["20417-1 3f2a", "20417-10 3f2a", "120417-1 3f2a", "20417-1", "20417-1 9c", None]
    rows = [tenant.new_ticket() for _ in keys]
    for row, key in zip(rows, keys, strict=True):
        tenant.world.change("ticket", row["id"], {"customerReference": key}, by=4)
    set_status(tenant.world, rows[4], "Løst")
    first, second = await helpdesk.recipient_tickets("20417-1")
    assert len(tenant.asked) == 1
    assert (first.id, first.number) == (rows[0]["id"], rows[0]["requestNumber"])
    assert (first.key, first.status_id) == (keys[0], rows[0]["statusId"])
    assert (second.key, second.status_id) == (keys[4], (await helpdesk.names()).solved)
    assert await helpdesk.recipient_tickets("99-1") == []


@pytest.mark.parametrize("mirrored", [False, True])
async def test_fifty_copies_are_related_to_their_campaign_in_one_call(
    connect, tenant, ticket, mirrored
) -> None:
    tenant.switch(mirrored_relationships=mirrored)
    helpdesk = connect(TICKET_RELATION=FROM_CAMPAIGN)
    await helpdesk.names()
    copies = [tenant.new_ticket()["id"] for _ in range(51)]
    other = {"typeId": tenant.id("relationshiptype", name="Er relatert til")}
    ends = {"main": "toTicketId", "fromTicketId": ticket["id"], "toTicketId": copies[50]}
    tenant.world.add("relationship", {**other, **ends})
    add_member(tenant.world, add_list(tenant.world, "Liste", "L"), "ticket", ticket)
    tenant.asked.clear()
    assert await helpdesk.related_tickets(ticket["id"]) == set()
    await helpdesk.relate_tickets(ticket["id"], copies[:50])
    assert [one.method for one in tenant.asked] == ["GET", "POST"]
    assert await helpdesk.related_tickets(ticket["id"]) == set(copies[:50])


async def test_users_are_looked_up_by_their_default_address_twenty_a_call(
    helpdesk: Pureservice, tenant
) -> None:
    world = tenant.world
    plain = [f"kari{n}@example.no" for n in range(20)]
    ids = [add_user(world, {"firstName": "Kari"}, [address])["id"] for address in plain]
    idn = add_user(world, {"firstName": "Åse"}, ["Ase@blåbær.example"])["id"]
    add_user(world, {"firstName": "Sluttet", "disabled": True}, ["sluttet@example.no"])
    add_user(world, {"firstName": "Annen"}, ["tillegg@example.no", "hoved@example.no"])
    world.add("emailaddress", {"email": "ingens@example.no"})
    asked = [*plain, "Ase@xn--blbr-roah.example", "KARI0@example.no"]
    others = ["sluttet@example.no", "tillegg@example.no", "ingens@example.no", "ny@example.no"]
    found = await helpdesk.users_at([*asked, *others])
    assert found == dict(zip(asked, [*ids, idn, ids[0]], strict=True))
    assert len(tenant.asked) == 2
    assert await helpdesk.users_at([]) == {}
    assert len(tenant.asked) == 2


# -- messages


async def test_entries_of_our_type_are_candidates_and_others_are_not(
    helpdesk: Pureservice, tenant, ticket, time
) -> None:
    other = tenant.new_ticket()
    pdf = add_file(tenant.world, ticket, "veileder.pdf", PDF)
    first = add_message(
        tenant.world,
        ticket,
        "<p>Kjære mottaker</p>",
        subject="Høring",
        custom_type="Til utsending",
        attachment_ids=[pdf["id"]],
    )
    second = add_message(tenant.world, ticket, "<p>To</p>", custom_type="Til utsending", by=4)
    add_message(tenant.world, ticket, "<p>Logg</p>", custom_type="Intern logg")
    add_message(tenant.world, ticket, "<p>Vanlig</p>")
    add_message(tenant.world, other, "<p>Annen sak</p>", custom_type="Til utsending")

    one, two = await helpdesk.communications_to_send(ticket["id"])
    assert (one.key, one.id) == (f"communication:{first['id']}", first["id"])
    assert (one.subject, one.html, one.author) == ("Høring", "<p>Kjære mottaker</p>", 3)
    assert one.changed == time.now
    [file] = one.files
    assert (file.id, file.name, file.size) == (pdf["id"], "veileder.pdf", len(PDF))
    assert (file.content_type, file.visible, file.embedded) == ("application/pdf", True, False)
    assert (two.id, two.author, two.files) == (second["id"], 4, ())


async def test_the_type_may_be_told_by_its_name_alone(connect, tenant, ticket) -> None:
    tenant.switch(custom_type="typename")
    message = add_message(tenant.world, ticket, "<p>Hei</p>", custom_type="Til utsending")
    helpdesk = connect(MESSAGE_TYPE_FIELD="typeName")
    assert [one.id for one in await helpdesk.communications_to_send(ticket["id"])] == [
        message["id"]
    ]


@pytest.mark.parametrize("name", ['x" OR "1"=="1', 'x\\" OR 1==1 OR "a"=="', 'x"\nOR id > 0'])
async def test_a_name_with_a_quote_neither_breaks_nor_widens_a_filter(
    connect, tenant, ticket, name
) -> None:
    add_message(tenant.world, ticket, "<p>Hei</p>", custom_type="Til utsending")
    helpdesk = connect(MESSAGE_TYPE_NAME=name)
    assert await helpdesk.communications_to_send(ticket["id"]) == []
    if "\n" not in name:
        tenant.world.add("customtype", {"name": name})
        message = add_message(tenant.world, ticket, "<p>To</p>", custom_type=name)
        [found] = await helpdesk.communications_to_send(ticket["id"])
        assert found.id == message["id"]


def _mail(tenant, ticket, **values) -> int:
    usual = {
        "ticketId": ticket["id"],
        "to": OURS,
        "direction": 2,
        "status": 5,
        "subject": "Høring",
        "html": "<p>Hei</p>",
    }
    return tenant.world.add("email", {**usual, **values}, by=3)["id"]


async def test_failed_mails_to_the_made_up_user_are_candidates(
    helpdesk: Pureservice, tenant, ticket
) -> None:
    wanted = [
        _mail(tenant, ticket),
        _mail(tenant, ticket, to=f"Masseutsendelse <{OURS.upper()}>; 'Kari' <kari@example.no>"),
        _mail(tenant, ticket, to=f"kari@example.no,{OURS}"),
        _mail(tenant, ticket, to=f'"Ut; {PLACEHOLDERS["ticket"]}" <{OURS}>'),
    ]
    for unwanted in (
        {"status": 4},
        {"status": 2},
        {"status": None},
        {"direction": 1},
        {"isInitial": True},
        {"isSystem": True},
        {"to": "kari@example.no"},
        {"to": f"x{OURS}"},
        {"to": f"{OURS}.example.no"},
        {"to": None},
    ):
        _mail(tenant, ticket, **unwanted)
    found = await helpdesk.failed_emails(ticket["id"])
    assert [one.id for one in found] == wanted
    assert found[0].key == f"email:{wanted[0]}"
    assert (found[0].subject, found[0].html, found[0].author) == ("Høring", "<p>Hei</p>", 3)


async def test_a_mail_in_plain_text_becomes_paragraphs(
    helpdesk: Pureservice, tenant, ticket
) -> None:
    text = "Kjære <alle> & enhver\r\n\r\n\r\nFrist: 1. mars\r\nHilsen Åse\n"
    _mail(tenant, ticket, html=None, text=text)
    _mail(tenant, ticket, html=None)
    html = "<p>Kjære &lt;alle&gt; &amp; enhver</p><p>Frist: 1. mars<br>Hilsen Åse</p>"
    assert [mail.html for mail in await helpdesk.failed_emails(ticket["id"])] == [html, ""]


@pytest.mark.parametrize("links", ["sometimes", "always", "never"])
@pytest.mark.parametrize("groups", ["sometimes", "always", "never"])
async def test_each_mail_has_its_own_files_however_little_is_said_of_them(
    helpdesk: Pureservice, tenant, ticket, links, groups
) -> None:
    tenant.switch(missing_attachment_links=links, missing_linked_groups=groups)
    one = add_file(tenant.world, ticket, "en.pdf", PDF)["id"]
    two = add_file(tenant.world, ticket, "to.pdf", PDF)["id"]
    for ids in ([one, two], [], [two]):
        _mail(tenant, ticket, attachmentIds=ids)
    files = [
        [file.id for file in mail.files] for mail in await helpdesk.failed_emails(ticket["id"])
    ]
    assert files == [[one, two], [], [two]]


async def test_files_that_were_named_but_not_included_are_fetched(
    helpdesk: Pureservice, tenant, ticket
) -> None:
    pdf = add_file(tenant.world, ticket, "veileder.pdf", PDF)
    _mail(tenant, ticket, attachmentIds=[pdf["id"]])

    def forget(request: httpx.Request) -> httpx.Request:
        url = request.url.copy_remove_param("include")
        return httpx.Request(request.method, url, headers=request.headers)

    tenant.edit = forget
    [mail] = await helpdesk.failed_emails(ticket["id"])
    assert [file.name for file in mail.files] == ["veileder.pdf"]
    assert tenant.calls("GET", "/attachment/") == 1


async def test_a_file_that_is_named_but_cannot_be_found_is_not_left_out(connect) -> None:
    mail = {
        "id": 7,
        "to": OURS,
        "status": 5,
        "html": "<p>Hei</p>",
        "created": "2026-02-03T08:00:00Z",
        "links": {"attachments": {"ids": [88], "type": "attachment"}},
    }

    async def answer(request: httpx.Request) -> httpx.Response:
        is_mail = "/email" in request.url.path
        return httpx.Response(200, json={"emails": [mail]} if is_mail else {"attachments": []})

    with pytest.raises(TransientError, match="88"):
        await connect(httpx.MockTransport(answer)).failed_emails(5001)


@pytest.mark.parametrize("named", [True, False])
async def test_what_was_written_is_told_apart_from_the_mail_it_became(
    helpdesk: Pureservice, tenant, ticket, named
) -> None:
    tenant.switch(message_names_mail=named, mail_template="greeting")
    texts = ["<p>Første</p>", "<p>Andre</p>"]
    for text in texts:
        add_message(tenant.world, ticket, text)
    mails = tenant.world.where("email", "ticketId", ticket["id"])
    assert "Hei Masseutsendelse" in mails[0]["html"]
    written = [await helpdesk.written_text(ticket["id"], mail["id"]) for mail in mails]
    assert written == (texts if named else [None, None])
    assert await helpdesk.written_text(ticket["id"], 9999) is None


async def test_a_mail_is_marked_as_sent(helpdesk: Pureservice, tenant, ticket) -> None:
    mail = _mail(tenant, ticket)
    await helpdesk.mark_email_sent(mail)
    assert tenant.world.get("email", mail)["status"] == 4
    assert await helpdesk.failed_emails(ticket["id"]) == []
    assert tenant.asked[0].headers["Accept"] == "*/*"


async def test_a_note_is_internal_and_can_be_read_again(
    helpdesk: Pureservice, tenant, ticket
) -> None:
    add_message(tenant.world, ticket, "<p>Ikke et notat</p>")
    mails = tenant.world.count("email")
    await helpdesk.add_note(ticket["id"], "<p>«Blåbær» er i gang</p>")
    [written] = await helpdesk.notes(ticket["id"])
    assert written == InternalNote("<p>«Blåbær» er i gang</p>", tenant.world.now())
    note = tenant.world.find("communication", text="<p>«Blåbær» er i gang</p>")
    assert (note["ticketId"], note["type"], note["direction"]) == (ticket["id"], 1, 3)
    assert tenant.world.count("email") == mails


# -- files


async def test_a_file_is_attached_for_our_eyes_only_and_comes_back_whole(
    helpdesk: Pureservice, tenant, ticket
) -> None:
    add_file(tenant.world, tenant.new_ticket(), "annen.pdf", PDF)
    logo = add_file(tenant.world, ticket, "logo.png", b"png", embedded=True)
    data = bytes(range(256)) * 40
    await helpdesk.attach(ticket["id"], "mottakere ÆØÅ.csv", "text/csv", data)
    seen, ours = await helpdesk.attachments(ticket["id"])
    assert (seen.id, seen.visible, seen.embedded) == (logo["id"], True, True)
    assert (ours.name, ours.content_type, ours.size) == ("mottakere ÆØÅ.csv", "text/csv", 10240)
    assert (ours.visible, ours.embedded) == (False, False)
    assert tenant.world.get("attachment", ours.id)["name"] == "mottakere ÆØÅ"
    assert await helpdesk.download(ours) == data
    assert base64.b64encode(data)[:40] in tenant.asked[0].content


# -- recipient lists


async def test_the_lists_of_a_ticket_are_those_by_the_right_relation_and_type(
    helpdesk: Pureservice, tenant, ticket
) -> None:
    world = tenant.world
    two = add_list(world, "Liste to", "TO")
    one = add_list(world, "Ærlige øyer", "EN")
    gone = add_list(world, "Utgått", "GONE", is_deleted=True)
    wrong = add_list(world, "Feil relasjon", "FEIL")
    for members in (one, two, gone, one):
        add_member(world, members, "ticket", ticket)
    add_member(world, wrong, "ticket", ticket, relation="Forvaltes av")
    add_member(world, add_list(world, "Annen sak", "AN"), "ticket", tenant.new_ticket())
    machine = world.add(
        "asset", {"name": "PC", "typeId": tenant.id("assettype", name="Datamaskin")}
    )
    relation = {"main": "toAssetId", "toAssetId": machine["id"], "fromTicketId": ticket["id"]}
    gives_to = next(iter((await helpdesk.names()).ticket_relations))
    world.add("relationship", {**relation, "typeId": gives_to})

    lists = [
        RecipientList(two["id"], "Liste to"),
        RecipientList(one["id"], "Ærlige øyer"),
        RecipientList(gone["id"], "Utgått", deleted=True),
    ]
    assert await helpdesk.lists(ticket["id"]) == lists
    assert await helpdesk.lists(tenant.new_ticket()["id"]) == []
    tenant.edit = _without_filter
    assert await helpdesk.lists(ticket["id"]) == lists


async def _members(helpdesk: Pureservice, list_id: int) -> list[Member]:
    members: list[Member] = []
    for _ in range(20):
        page = await helpdesk.members(list_id, len(members))
        members += page.members
        if page.last:
            return members
    raise AssertionError("there is no end to it")


@pytest.mark.parametrize("mirrored", [False, True])
async def test_members_have_their_default_address(
    helpdesk: Pureservice, tenant, mirrored, ticket
) -> None:
    tenant.switch(mirrored_relationships=mirrored)
    world, list_ = tenant.world, add_list(tenant.world, "Liste", "L")
    kari = {"firstName": "Kari", "middleName": "Mellom", "lastName": "Ås"}
    users = [
        (add_user(world, kari, ["gammel@example.no", "standard@example.no"]), "Kari Ås"),
        (add_user(world, {"firstName": "Åse", "disabled": True}, ["ase@example.no"]), "Åse"),
        (add_user(world, {"lastName": "Uten"}), "Uten"),
    ]
    companies = [
        add_company(world, {"name": "To adresser"}, ["en@example.no", "to@example.no"]),
        add_company(world, {"name": "Eneste"}, ["eneste@example.no"], default=False),
        add_company(world, {"name": "Hvilken"}, ["a@example.no", "b@example.no"], default=False),
        add_company(world, {"name": "Nedlagt", "disabled": True}, [" Ned@Example.no "]),
    ]
    for user, _ in users:
        add_member(world, list_, "user", user)
    for company in companies:
        add_member(world, list_, "company", company)
    add_member(world, list_, "user", users[0][0])
    add_member(world, list_, "ticket", ticket)
    outsider = add_user(world, {"firstName": "Forvalter"}, ["forvalter@example.no"])
    add_member(world, list_, "user", outsider, relation="Forvaltes av")

    page = await helpdesk.members(list_["id"], 0)
    got = [(m.kind, m.id, m.name, m.address, m.disabled) for m in page.members]
    first = (MemberKind.USER, users[0][0]["id"], "Kari Mellom Ås", "standard@example.no", False)
    ids = [company["id"] for company in companies]
    assert got == [
        first,
        (MemberKind.USER, users[1][0]["id"], "Åse", "ase@example.no", True),
        (MemberKind.USER, users[2][0]["id"], "Uten", None, False),
        (MemberKind.COMPANY, ids[0], "To adresser", "to@example.no", False),
        (MemberKind.COMPANY, ids[1], "Eneste", "eneste@example.no", False),
        (MemberKind.COMPANY, ids[2], "Hvilken", None, False),
        (MemberKind.COMPANY, ids[3], "Nedlagt", " Ned@Example.no ", True),
        first,
    ]
    assert page.last
    assert len({member.relation for member in page.members}) == len(page.members)


def _long_list(tenant, count: int) -> int:
    list_ = add_list(tenant.world, f"Lang {count}", f"L{count}")
    for n in range(count):
        user = add_user(tenant.world, {"firstName": f"N{n}"}, [f"n{n}.{count}@example.no"])
        add_member(tenant.world, list_, "user", user)
    return list_["id"]


async def test_a_long_list_takes_one_call_per_500(helpdesk: Pureservice, tenant) -> None:
    tenant.switch(unstable_order=True)
    list_id = _long_list(tenant, 1203)
    await helpdesk.names()
    tenant.asked.clear()
    members = await _members(helpdesk, list_id)
    assert [member.name for member in members] == [f"N{n}" for n in range(1203)]
    assert len(tenant.asked) == 3
    last = await helpdesk.members(list_id, 1000)
    assert (len(last.members), last.last) == (203, True)
    await _members(helpdesk, _long_list(tenant, 399))
    assert len(tenant.asked) == 5


async def test_a_server_with_shorter_pages_loses_nobody(helpdesk: Pureservice, tenant) -> None:
    def clamp(request: httpx.Request) -> httpx.Request:
        limit = min(int(request.url.params["limit"]), 100)
        url = request.url.copy_set_param("limit", limit)
        return httpx.Request(request.method, url, headers=request.headers)

    tenant.edit = clamp
    for count in (250, 300):
        members = await _members(helpdesk, _long_list(tenant, count))
        assert len({member.id for member in members}) == len(members) == count


async def test_a_server_without_pages_is_found_out(helpdesk: Pureservice, tenant) -> None:
    list_id = _long_list(tenant, 40)
    tenant.edit = lambda request: httpx.Request(
        request.method, request.url.copy_set_param("start", 0), headers=request.headers
    )
    with pytest.raises(PermanentError, match=f"/relationship/{list_id}/fromAsset"):
        await _members(helpdesk, list_id)


async def test_an_empty_list_is_a_page_without_members(helpdesk: Pureservice, tenant) -> None:
    for groups in ("sometimes", "always", "never"):
        tenant.switch(missing_linked_groups=groups)
        list_id = add_list(tenant.world, f"Tom {groups}", groups)["id"]
        page = await helpdesk.members(list_id, 0)
        assert (page.members, page.last) == ((), True)


async def test_a_fingerprint_tells_when_a_page_reaches_others_or_elsewhere(
    helpdesk: Pureservice, tenant
) -> None:
    world = tenant.world
    list_ = add_list(world, "Liste", "L")
    user = add_user(world, {"firstName": "Kari"}, ["gammel@example.no", "ny@example.no"])
    old, new = (world.find("emailaddress", email=f"{name}@example.no") for name in ("gammel", "ny"))
    add_member(world, list_, "user", user)

    async def fingerprint() -> str:
        return (await helpdesk.members(list_["id"], 0)).fingerprint

    seen = [await fingerprint()]
    assert await fingerprint() == seen[0]
    for change in (
        lambda: world.change("emailaddress", new["id"], {"email": "nyere@example.no"}),
        lambda: world.change("user", user["id"], {"emailAddressId": old["id"]}),
        lambda: world.change("user", user["id"], {"disabled": True}),
        lambda: add_member(world, list_, "user", user),
        lambda: world.remove("relationship", world.all("relationship")[-2]["id"]),
    ):
        change()
        seen.append(await fingerprint())
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("row", "linked", "told"),
    [
        ({"toUserId": 31}, {}, "without user 31"),
        ({"toUserId": 31}, {"companies": [{"id": 31, "name": "Feil slag"}]}, "without user 31"),
        ({"toCompanyId": 9}, {"users": [{"id": 9}]}, "without company 9"),
        ({"toUserId": 31}, {"users": [{"id": 31, "emailAddressId": 77}]}, "default address"),
        ({}, {"users": [{"id": 31}]}, "neither"),
    ],
)
async def test_a_member_that_did_not_come_makes_the_page_unreadable(
    connect, tenant, row, linked, told
) -> None:
    relation = {"id": 1, "typeId": 33, **row}

    class Lossy(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if not request.url.path.endswith("/fromAsset"):
                return await tenant.handle_async_request(request)
            return httpx.Response(200, json={"relationships": [relation], "linked": linked})

    with pytest.raises(TransientError, match=f"list 610 from 0: .*{told}"):
        await connect(Lossy()).members(610, 0)


async def test_a_seeded_campaign_reads_as_it_was_made(helpdesk: Pureservice, tenant) -> None:
    """All of the port's reads together, over the simulator's own idea of difficult members."""
    account = expected(tenant.world, seed_campaign(tenant.world, recipients=60))
    [ticket] = await helpdesk.campaign_tickets()
    lists = [found for found in await helpdesk.lists(ticket.id) if not found.deleted]
    assert [found.id for found in lists] == account["lists"]
    members = [member for found in lists for member in await _members(helpdesk, found.id)]
    assert len(members) == account["memberships"]
    assert {str(member) for member in members} >= set(account["members"])
    [message] = await helpdesk.communications_to_send(ticket.id)
    files = {file.id: file for file in (*message.files, *await helpdesk.attachments(ticket.id))}
    wanted = [file for file in files.values() if file.visible and not file.embedded]
    sizes = {file.name: len(await helpdesk.download(file)) for file in wanted}
    assert sizes == account["files"]


async def test_filters_are_on_one_line_and_what_the_documentation_shows(
    helpdesk: Pureservice, tenant, ticket
) -> None:
    await helpdesk.campaign_tickets()
    await helpdesk.members(610, 0)
    filters = [request.url.params.get("filter", "") for request in tenant.asked]
    assert filters[0] == (
        f'(emailAddress == "{OURS}" OR emailAddress == "{PLACEHOLDERS["ticket"]}")'
        " AND status.coreStatus < 50 AND !isMarkedForDeletion"
    )
    assert filters[-1].startswith("toTicketId == null AND (typeId == ")
    assert all("\n" not in filter_ for filter_ in filters)
