"""One ticket per recipient: every call that a client makes to copy a ticket and write from it."""

import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dev.pureservice import World, expected, seed_campaign
from dev.pureservice.schema import API_USER
from dev.pureservice.seed import (
    FROM_CAMPAIGN,
    PICTURE_ID,
    PLACEHOLDERS,
    add_file,
    add_ticket,
    add_user,
)

VND = "application/vnd.api+json"
SIM = "http://tenant/_sim"
KEPT = [
    *("requestType", "ticketType", "priority", "source", "assignedDepartment", "assignedTeam"),
    *("assignedAgent", "category1", "category2", "category3"),
]
Document = dict[str, Any]


async def post(api: httpx.AsyncClient, path: str, body: Any, **query: str) -> httpx.Response:
    return await api.post(path, json=body, headers={"Content-Type": VND}, params=query)


async def posted(api: httpx.AsyncClient, path: str, body: Any, **query: str) -> Document:
    answer = await post(api, path, body, **query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def got(api: httpx.AsyncClient, path: str, **query: Any) -> Document:
    answer = await api.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def content(api: httpx.AsyncClient, attachment: int) -> bytes:
    path = f"/attachment/download/{attachment}"
    return (await api.get(path, headers={"Accept": "*/*"})).content


@pytest.fixture
async def parent(api: httpx.AsyncClient, world: World) -> Document:
    """A campaign's ticket as the API shows it, with its files in ``linked``."""
    number = seed_campaign(world, recipients=0, tricky=False, scenario="ticket")
    ticket_id = expected(world, number)["ticketId"]
    return await got(api, f"/ticket/{ticket_id}", include="user,attachments")


@pytest.fixture
def recipient(world: World) -> int:
    return int(add_user(world, {"firstName": "Åse", "lastName": "Ås"}, ["aase@example.no"])["id"])


def copy_of(world: World, parent: Document, user: int, reference: str = "20417-1 x") -> Document:
    """The ticket once more, for another end user, without its files."""
    (ticket,) = parent["tickets"]
    waiting = world.find("status", name="Venter - sluttbruker") or {}
    return {
        **{name: ticket[name] for name in ("subject", "description", "cf_2", "cf_7")},
        "visibility": 1,
        "customerReference": reference,
        "links": {
            **{name: {"id": ticket["links"][name]["id"]} for name in KEPT},
            "user": {"id": user},
            "status": {"id": waiting["id"]},
        },
    }


def with_files(ticket: Document, files: list[Document]) -> Document:
    names = [{"temporaryId": file["temporaryId"], "type": "attachment"} for file in files]
    links = {**ticket["links"], "attachments": names}
    return {"tickets": [{**ticket, "links": links}], "linked": {"attachments": files}}


def copied(parent: Document) -> list[Document]:
    """The visible files of the ticket, to be copied where they are."""
    names = ("name", "fileName", "contentType", "isVisible", "embedded", "contentId")
    return [
        {
            "temporaryId": f"f{row['id']}",
            "attachmentCopyId": row["id"],
            **{name: row[name] for name in names},
        }
        for row in parent["linked"]["attachments"]
        if row["isVisible"]
    ]


async def make(
    api: httpx.AsyncClient, world: World, parent: Document, user: int, reference: str = "20417-1 x"
) -> Document:
    body = with_files(copy_of(world, parent, user, reference), copied(parent))
    return await posted(api, "/ticket/", body, include="attachments")


async def test_every_foreign_key_of_a_ticket_is_a_field_and_a_link(parent: Document) -> None:
    (ticket,) = parent["tickets"]
    for name in (*KEPT, "user", "status"):
        assert ticket["links"][name]["id"] == ticket[f"{name}Id"] > 0, name
    assert (ticket["cf_2"], ticket["cf_7"]) == ("Blåbær og ærfugl", 42)
    assert parent["linked"]["users"][0]["id"] == ticket["userId"]
    assert len(parent["linked"]["attachments"]) == 4


async def test_a_ticket_is_copied_with_files_that_pureservice_has(
    api: httpx.AsyncClient, world: World, parent: Document, recipient: int
) -> None:
    answer = await make(api, world, parent, recipient)
    (ticket,), (original,) = answer["tickets"], parent["tickets"]
    assert ticket["id"] != original["id"]
    assert ticket["requestNumber"] == original["requestNumber"] + 1
    assert (ticket["emailAddress"], ticket["visibility"]) == ("aase@example.no", 1)
    for name in ("subject", "description", "cf_2", "cf_7", *(f"{name}Id" for name in KEPT)):
        assert ticket[name] == original[name], name

    before = {row["fileName"]: row for row in parent["linked"]["attachments"]}
    after = {row["fileName"]: row for row in answer["linked"]["attachments"]}
    assert after.keys() == {"veileder.pdf", "sjekkliste.txt", "logo.png"}
    for name, row in after.items():
        assert row["id"] != before[name]["id"] == row["attachmentCopyId"]
        assert (row["ticketId"], row["isVisible"]) == (ticket["id"], True)
        assert row["contentLength"] == before[name]["contentLength"] > 0
        assert await content(api, row["id"]) == await content(api, before[name]["id"])
    assert (after["logo.png"]["embedded"], after["logo.png"]["contentId"]) == (True, PICTURE_ID)

    (again,) = (await got(api, f"/ticket/{original['id']}"))["tickets"]
    assert again["links"]["attachments"] == original["links"]["attachments"]
    (entry,) = world.where("communication", "ticketId", ticket["id"])
    assert (entry["type"], entry["text"]) == (7, original["description"])
    assert not world.where("email", "ticketId", ticket["id"])


async def test_a_file_can_be_uploaded_with_the_copy_instead(
    api: httpx.AsyncClient, world: World, parent: Document, recipient: int
) -> None:
    name = {"temporaryId": "f1", "fileName": "logo.png", "embedded": True, "contentId": "l@x"}
    file = {**name, "isVisible": True, "bytes": base64.b64encode(b"\x89PNG").decode()}
    body = with_files(copy_of(world, parent, recipient), [file])
    (row,) = (await posted(api, "/ticket/", body, include="attachments"))["linked"]["attachments"]
    assert (row["contentLength"], row["contentType"]) == (4, "image/png")
    assert (row["embedded"], row["contentId"], row["isVisible"]) == (True, "l@x", True)
    assert row["attachmentCopyId"] is None


@pytest.mark.parametrize(("copies", "length"), [("ignored", 0), ("claimed", 4711)])
async def test_a_copied_file_may_come_out_empty_even_if_it_claims_otherwise(
    api: httpx.AsyncClient,
    world: World,
    parent: Document,
    recipient: int,
    turn: Callable[..., None],
    copies: str,
    length: int,
) -> None:
    turn(attachment_copy=copies)
    files = [{**file, "contentLength": 4711} for file in copied(parent)]
    body = with_files(copy_of(world, parent, recipient), files)
    rows = (await posted(api, "/ticket/", body, include="attachments"))["linked"]["attachments"]
    assert {row["fileName"] for row in rows} == {"veileder.pdf", "sjekkliste.txt", "logo.png"}
    for row in rows:
        assert (row["contentLength"], row["attachmentCopyId"]) == (length, None)
        assert await content(api, row["id"]) == b""


async def test_copying_a_file_may_be_refused_and_then_there_is_no_ticket(
    api: httpx.AsyncClient,
    world: World,
    parent: Document,
    recipient: int,
    turn: Callable[..., None],
) -> None:
    turn(attachment_copy="refused")
    version = world.version
    body = with_files(copy_of(world, parent, recipient), copied(parent))
    assert (await post(api, "/ticket/", body)).status_code == 400
    assert world.version == version
    uploaded = {"temporaryId": "f1", "fileName": "a.txt", "bytes": "eA=="}
    await posted(api, "/ticket/", with_files(copy_of(world, parent, recipient), [uploaded]))


async def test_what_was_asked_to_be_included_may_be_missing_from_the_answer(
    api: httpx.AsyncClient,
    world: World,
    parent: Document,
    recipient: int,
    turn: Callable[..., None],
) -> None:
    turn(posted_answer="missing")
    answer = await make(api, world, parent, recipient)
    assert answer.keys() == {"tickets"}
    (ticket,) = answer["tickets"]
    assert ticket["id"] and ticket["requestNumber"]
    read = await got(api, f"/ticket/{ticket['id']}", include="attachments")
    assert len(read["linked"]["attachments"]) == 3


async def test_only_links_classify_a_new_ticket(
    api: httpx.AsyncClient, world: World, parent: Document, recipient: int
) -> None:
    whole = dict(parent["tickets"][0])
    body = {**whole, **copy_of(world, parent, recipient)}
    for name in ("category3", "assignedAgent"):
        del body["links"][name]
    body["links"] |= {"visibility": {"id": 2}, "nosuch": {"id": 2}, "form": {"id": 3}}
    assert body["userId"] == whole["userId"] and body["category3Id"] == whole["category3Id"]
    (ticket,) = (await posted(api, "/ticket/", {"tickets": [body]}))["tickets"]
    assert ticket["userId"] == recipient and ticket["emailAddress"] == "aase@example.no"
    assert (ticket["category3Id"], ticket["assignedAgentId"]) == (None, None)
    assert ticket["visibility"] == 1
    assert ticket["id"] != whole["id"] and ticket["requestNumber"] != whole["requestNumber"]
    assert ticket["createdById"] == API_USER and ticket["modified"] is None


@pytest.mark.parametrize(
    "links",
    [
        {"category2": {"id": 99999}},
        {"assignedTeam": {"id": 99999}},
        {"assignedAgent": {"id": 99999}},
        {"status": {"id": 4}},  # a change's, although its name is Løst
        {"priority": {"id": 201}},
        {"source": {"id": 301}},
        {"attachments": {"ids": [881]}},
        {"attachments": [{"id": 881, "type": "attachment"}]},  # the parent's
        {"attachments": [{"temporaryId": "lost", "type": "attachment"}]},
    ],
)
async def test_a_link_that_leads_astray_is_refused_and_nothing_is_made(
    api: httpx.AsyncClient, world: World, parent: Document, recipient: int, links: Document
) -> None:
    assert parent["linked"]["attachments"][0]["id"] == 881
    assert (world.get("status", 4) or {})["name"] == "Løst"
    body = copy_of(world, parent, recipient)
    body["links"] |= links
    version = world.version
    assert (await post(api, "/ticket/", {"tickets": [body]})).status_code == 400
    assert world.version == version


@pytest.mark.parametrize("wrong", [99999, "881", None])
async def test_only_a_file_that_exists_can_be_copied(
    api: httpx.AsyncClient, world: World, parent: Document, recipient: int, wrong: object
) -> None:
    file = {"temporaryId": "f1", "fileName": "a.txt", "attachmentCopyId": wrong}
    body = with_files(copy_of(world, parent, recipient), [file])
    assert (await post(api, "/ticket/", body)).status_code == 400


def message(ticket: int, files: list[int]) -> Document:
    links: Document = {"ticket": {"id": ticket}}
    if files:
        links["attachments"] = [{"id": id_, "type": "attachment"} for id_ in files]
    body = {"type": 2, "direction": 2, "subject": "Høring", "text": "<p>Hei</p>", "links": links}
    return {"communications": [body]}


async def test_a_message_takes_along_files_that_are_on_its_ticket(
    api: httpx.AsyncClient, world: World, parent: Document, recipient: int
) -> None:
    answer = await make(api, world, parent, recipient)
    (ticket,) = answer["tickets"]
    files = [row["id"] for row in answer["linked"]["attachments"] if not row["embedded"]]
    (entry,) = (await posted(api, "/communication/", message(ticket["id"], files)))[
        "communications"
    ]
    assert entry["links"]["attachments"]["ids"] == files
    query = {"filter": f"ticketId == {ticket['id']} AND direction == 2", "include": "attachments"}
    outbox = await got(api, "/email/", **query)
    delivered = await got(api, "/email/", **query)
    (mail,) = delivered["emails"]
    assert (outbox["emails"][0]["status"], mail["status"]) == (1, 4)
    assert (mail["to"], mail["links"]["attachments"]["ids"]) == ("aase@example.no", files)
    names = {row["fileName"] for row in delivered["linked"]["attachments"]}
    assert names == {"veileder.pdf", "sjekkliste.txt"}
    assert mail["subject"] == f"[Sak ID# {ticket['requestNumber']}] Høring"
    assert str(parent["tickets"][0]["requestNumber"]) not in mail["subject"] + mail["html"]


async def test_a_message_with_a_file_of_another_ticket_is_refused(
    api: httpx.AsyncClient, world: World, parent: Document, recipient: int
) -> None:
    (ticket,) = (await make(api, world, parent, recipient))["tickets"]
    version, theirs = world.version, parent["linked"]["attachments"][0]["id"]
    refused = await post(api, "/communication/", message(ticket["id"], [theirs]))
    assert refused.status_code == 400 and world.version == version


async def test_a_put_cannot_take_a_file_from_another_ticket(
    api: httpx.AsyncClient, world: World, turn: Callable[..., None]
) -> None:
    turn(put_drops_attachments=True)
    mine, other = (add_ticket(world, user_id=5, subject=name) for name in ("Min", "En annen"))
    kept, theirs = (add_file(world, ticket, "a.txt", b"x") for ticket in (mine, other))
    (shown,) = (await got(api, f"/ticket/{mine['id']}"))["tickets"]
    shown["links"]["attachments"] = [{"id": theirs["id"]}]
    path, headers = f"/ticket/{mine['id']}", {"Content-Type": VND}
    refused = await api.put(path, json={"tickets": [shown]}, headers=headers)
    assert refused.status_code == 400
    assert (kept["ticketId"], theirs["ticketId"]) == (mine["id"], other["id"])


async def test_the_mails_of_fifty_tickets_are_read_in_one_call(
    api: httpx.AsyncClient, world: World, parent: Document, turn: Callable[..., None]
) -> None:
    turn(mail_queued_reads=0)
    ids = []
    for n in range(60):
        user = add_user(world, {"firstName": "Nr.", "lastName": str(n)}, [f"n{n}@example.no"])
        body = {"tickets": [copy_of(world, parent, user["id"], f"20417-1 {n}")]}
        ids.append((await posted(api, "/ticket/", body))["tickets"][0]["id"])
        await posted(api, "/communication/", message(ids[-1], []))
    some = " OR ".join(f"ticketId == {id_}" for id_ in ids[5:55])
    query = {"filter": f"direction == 2 AND ({some})", "sort": "id ASC", "limit": 30}
    pages = [(await got(api, "/email/", **query, start=start))["emails"] for start in (0, 30)]
    assert [len(page) for page in pages] == [30, 20]
    assert [mail["ticketId"] for page in pages for mail in page] == ids[5:55]
    assert {mail["status"] for page in pages for mail in page} == {4}


PERSONS = "Deres ref. 2026/77 Ålfjord"


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('customerReference == "20417-1 3f2a-bd"', ["20417-1 3f2a-bd"]),
        ('customerReference.contains("20417-1 ")', ["20417-1 3f2a-bd", "20417-1 99"]),
        ('customerReference.contains("20417-1 ") AND subject == "Høring"', []),
        ('!customerReference.contains("20417-1 ")', [PERSONS, "20417-12 77"]),
        ("customerReference == null", [None]),
        (
            'customerReference == null OR customerReference.contains("77")',
            [PERSONS, None, "20417-12 77"],
        ),
    ],
)
async def test_a_ticket_is_found_by_its_reference_though_others_have_none(
    api: httpx.AsyncClient, world: World, parent: Document, expression: str, found: list[str | None]
) -> None:
    add_ticket(world, user_id=5, subject="Uten referanse")
    for reference in ("20417-1 3f2a-bd", "20417-1 99", "20417-12 77"):
        await posted(api, "/ticket/", {"tickets": [copy_of(world, parent, 5, reference)]})
    rows = (await got(api, "/ticket/", filter=expression, sort="id"))["tickets"]
    assert [row["customerReference"] for row in rows] == found
    count = {"count": len(found)}
    assert await got(api, "/ticket/count/", filter=expression) == count


@pytest.mark.parametrize("mirrored", [False, True])
async def test_tickets_are_related_to_their_parent_several_in_one_call(
    api: httpx.AsyncClient,
    world: World,
    parent: Document,
    turn: Callable[..., None],
    mirrored: bool,
) -> None:
    turn(mirrored_relationships=mirrored)
    query = {"filter": f'name == "{FROM_CAMPAIGN}"'}
    (type_,) = (await got(api, "/relationshiptype/", **query))["relationshiptypes"]
    assert type_["fromAssetTypeId"] is None
    origin = parent["tickets"][0]["id"]
    copies = [int(add_ticket(world, user_id=5, subject=f"Nr. {n}")["id"]) for n in range(3)]
    relations = [
        {
            "main": "toTicketId",
            "inverseMain": "fromTicketId",
            "links": {
                "type": {"id": type_["id"]},
                "fromTicket": {"id": origin},
                "toTicket": {"id": id_},
            },
        }
        for id_ in copies
    ]
    made = (await posted(api, "/relationship/", {"relationships": relations}))["relationships"]
    assert [(row["fromTicketId"], row["toTicketId"]) for row in made] == [
        (origin, id_) for id_ in copies
    ]
    mine = {"filter": f"toTicketId != null AND typeId == {type_['id']}", "sort": "id"}
    rows = (await got(api, f"/relationship/{origin}/fromTicket", **mine))["relationships"]
    assert [row["toTicketId"] for row in rows] == copies
    for id_ in copies:
        (row,) = (await got(api, f"/relationship/{id_}/fromTicket", **mine))["relationships"]
        assert row["toTicketId"] == origin
    assert (await api.get(f"/relationship/{origin}/toTicket")).status_code == 404
    relations[1]["links"]["toTicket"] = {"id": 99999}
    version = world.version
    refused = await post(api, "/relationship/", {"relationships": relations})
    assert refused.status_code == 400 and world.version == version


async def test_a_note_on_the_copy_goes_to_nobody(
    api: httpx.AsyncClient, world: World, parent: Document, recipient: int
) -> None:
    (ticket,) = (await make(api, world, parent, recipient))["tickets"]
    links = {"ticket": {"id": ticket["id"]}}
    note = {"type": 1, "direction": 3, "text": "<p>Kopi av sak 20417</p>", "links": links}
    await posted(api, "/communication/", {"communications": [note]})
    query = {"filter": f"ticketId == {ticket['id']} AND type == 1"}
    (entry,) = (await got(api, "/communication/", **query))["communications"]
    assert (entry["text"], entry["typeName"]) == ("<p>Kopi av sak 20417</p>", "Note")
    assert not world.where("email", "ticketId", ticket["id"])


async def test_a_mailbox_gets_one_user_whoever_asks_first(
    api: httpx.AsyncClient, world: World
) -> None:
    query = {"include": "user", "filter": 'email == "post@fisk.example.no"'}
    assert (await got(api, "/emailaddress/", **query))["emailaddresses"] == []
    address = {"emailaddresses": [{"email": "post@fisk.example.no"}]}
    (row,) = (await posted(api, "/emailaddress/", address))["emailaddresses"]
    found = await got(api, "/emailaddress/", **query)
    assert found["emailaddresses"][0]["userId"] is None and not found["linked"]
    assert (await post(api, "/emailaddress/", address)).status_code == 400

    def user(company: int) -> Document:
        links = {
            "emailAddress": {"id": row["id"], "type": "emailaddress"},
            "company": {"id": company, "type": "company"},
        }
        name = {"firstName": "Postmottak", "lastName": 'Fisk & "Vilt" <AS>', "role": 10}
        return {"users": [{**name, "notificationScheme": 1, "links": links}]}

    assert (await post(api, "/user/", user(99999))).status_code == 400
    (made,) = (await posted(api, "/user/", user(2)))["users"]
    assert (made["companyId"], made["emailAddressId"]) == (2, row["id"])
    assert made["fullName"] == 'Postmottak Fisk & "Vilt" <AS>'
    assert (await post(api, "/user/", user(2))).status_code == 400
    found = await got(api, "/emailaddress/", **query)
    assert [one["id"] for one in found["linked"]["users"]] == [made["id"]]
    assert found["emailaddresses"][0]["userId"] == made["id"]


async def test_an_address_beside_the_default_one_is_found_with_its_user(
    api: httpx.AsyncClient, world: World
) -> None:
    person = add_user(world, {"firstName": "Åse"}, ["gammel@example.no", "ny@example.no"])
    query = {"include": "user", "filter": 'email == "gammel@example.no"'}
    found = await got(api, "/emailaddress/", **query)
    (address,), (user,) = found["emailaddresses"], found["linked"]["users"]
    assert address["userId"] == user["id"] == person["id"]
    assert user["emailAddressId"] != address["id"]


async def test_all_copies_of_a_campaign_can_be_looked_at(
    api: httpx.AsyncClient,
    world: World,
    parent: Document,
    recipient: int,
    turn: Callable[..., None],
) -> None:
    turn(mail_queued_reads=0)
    number = parent["tickets"][0]["requestNumber"]
    answer = await make(api, world, parent, recipient, f"{number}-1 abc")
    (ticket,), files = answer["tickets"], [row["id"] for row in answer["linked"]["attachments"]]
    for other in (f"{number} x", f"{number}1-1 x", f"9{number}-1 x"):
        await posted(api, "/ticket/", {"tickets": [copy_of(world, parent, 5, other)]})
    await posted(api, "/communication/", message(ticket["id"], files))
    (relation,) = [t for t in world.all("relationshiptype") if t["name"] == FROM_CAMPAIGN]
    world.add(
        "relationship",
        {
            "typeId": relation["id"],
            "fromTicketId": parent["tickets"][0]["id"],
            "toTicketId": ticket["id"],
        },
    )
    (copy,) = (await api.get(f"{SIM}/copies/{number}")).json()
    path = f"{SIM}/ticket/{number}?by=requestNumber"
    original = (await api.get(path)).json()
    assert copy["user"] == {"id": recipient, "name": "Åse Ås", "companyId": None}
    assert copy["address"] == copy["emailAddress"] == "aase@example.no"
    assert copy["classification"] == original["classification"]
    assert None not in [copy["classification"][f"{name}Id"] for name in KEPT]
    assert (copy["status"], copy["visibility"]) == ("Venter - sluttbruker", 1)
    assert copy["customerReference"] == f"{number}-1 abc"
    assert original["user"]["name"] == "Masseutsendelse med-svar"
    assert original["address"] == PLACEHOLDERS["ticket"]
    assert copy["relations"] == [{"type": FROM_CAMPAIGN, "ticketId": original["id"]}]
    assert original["relations"] == [{"type": FROM_CAMPAIGN, "ticketId": copy["id"]}]
    shown = {file["fileName"]: file for file in copy["attachments"]}
    originals = {file["fileName"]: file for file in original["attachments"]}
    for name in ("veileder.pdf", "sjekkliste.txt", "logo.png"):
        same = ("size", "isVisible", "embedded", "contentId")
        assert [shown[name][key] for key in same] == [originals[name][key] for key in same]
        assert shown[name]["copyOf"] == originals[name]["id"]
    (mail,) = copy["mails"]
    assert (mail["status"], mail["attachmentIds"]) == (4, files)
    assert copy["communications"][-1]["mailId"] == mail["id"]
    assert copy["communications"][-1]["attachmentIds"] == files
    assert (await api.get(f"{SIM}/copies/1")).json() == []


@pytest.mark.parametrize(
    ("ends", "status"), [(True, "Under arbeid"), (False, "Venter - sluttbruker")]
)
async def test_the_end_user_answers_on_a_copy(
    api: httpx.AsyncClient,
    world: World,
    parent: Document,
    recipient: int,
    turn: Callable[..., None],
    ends: bool,
    status: str,
) -> None:
    turn(reply_ends_waiting=ends)
    (ticket,) = (await make(api, world, parent, recipient))["tickets"]
    body = {"ticketId": ticket["id"], "text": "<p>Vi øver gjerne.</p>"}
    account = (await api.post(f"{SIM}/reply", json=body)).json()
    assert account["status"] == status
    query = {"filter": f"ticketId == {ticket['id']} AND type == 2 AND direction == 1"}
    answer = await got(api, "/communication/", **query, include="sender,sender.user")
    (entry,) = answer["communications"]
    assert entry["text"] == "<p>Vi øver gjerne.</p>"
    assert answer["linked"]["users"][0]["id"] == recipient
    (mail,) = (await got(api, "/email/", filter=f"ticketId == {ticket['id']}"))["emails"]
    assert (mail["direction"], mail["status"], mail["from"]) == (1, 0, "aase@example.no")
    assert (await api.post(f"{SIM}/reply", json={"ticketId": 1})).status_code == 404
