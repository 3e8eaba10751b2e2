"""Writes: media types, links, things brought along, and what is refused."""

import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dev.pureservice import World
from dev.pureservice.schema import API_USER
from dev.pureservice.seed import add_file, add_ticket

VND = "application/vnd.api+json"
LINKS = {
    "user": {"id": 5},
    "requestType": {"id": 1},
    "ticketType": {"id": 551},
    "priority": {"id": 203},
    "status": {"id": 5},
    "source": {"id": 303},
    "assignedDepartment": {"id": 501},
}


async def post(
    api: httpx.AsyncClient, path: str, body: Any, content_type: str = VND, **query: str
) -> httpx.Response:
    return await api.post(path, json=body, headers={"Content-Type": content_type}, params=query)


def file(name: str, content: bytes, **values: Any) -> dict[str, Any]:
    return {"fileName": name, "bytes": base64.b64encode(content).decode(), **values}


@pytest.mark.parametrize(
    ("method", "content_type", "status"),
    [
        ("POST", VND, 200),
        ("POST", f"{VND}; charset=utf-8", 200),
        ("POST", "application/json", 415),
        ("POST", "multipart/form-data; boundary=x", 415),
        ("PUT", "application/json", 415),
        ("PATCH", VND, 415),
        ("PATCH", "application/json; charset=utf-8", 200),
    ],
)
async def test_each_verb_wants_its_own_content_type(
    api: httpx.AsyncClient, world: World, method: str, content_type: str, status: int
) -> None:
    ticket = add_ticket(world, user_id=5, subject="Sak")
    path = "/company" if method == "POST" else f"/ticket/{ticket['id']}"
    headers = {"Content-Type": content_type}
    answer = await api.request(method, path, json={"name": "Nytt firma"}, headers=headers)
    assert answer.status_code == status, answer.text


async def test_two_paths_are_only_for_those_who_accept_anything(
    api: httpx.AsyncClient, world: World
) -> None:
    ticket = add_ticket(world, user_id=5, subject="Sak", visibility=0)
    row = add_file(world, ticket, "Åpen høring.pdf", b"%PDF-")
    email = world.add("email", {"ticketId": ticket["id"], "status": 5})
    for accept, status in ((VND, 406), ("*/*", 200)):
        headers = {"Accept": accept, "Content-Type": "application/json"}
        patched = await api.patch(f"/email/{email['id']}", json={"status": 4}, headers=headers)
        assert patched.status_code == status
        got = await api.get(f"/attachment/download/{row['id']}", headers={"Accept": accept})
        assert got.status_code == status
    assert got.content == b"%PDF-" and got.headers["content-type"] == "application/pdf"
    assert got.headers["content-disposition"] == (
        "attachment; filename=\"_pen h_ring.pdf\"; filename*=UTF-8''%C3%85pen%20h%C3%B8ring.pdf"
    )
    assert email["status"] == 4 and ticket["modifiedById"] == API_USER


async def test_a_ticket_and_its_files_are_made_in_one_call(
    api: httpx.AsyncClient, world: World
) -> None:
    refs = [{"temporaryId": "f1", "type": "attachment"}]
    body = {
        "tickets": [
            {"subject": "Høring", "visibility": 1, "links": {**LINKS, "attachments": refs}}
        ],
        "linked": {"attachments": [file("veileder.pdf", b"abc", temporaryId="f1", isVisible=True)]},
    }
    answer = (await post(api, "/ticket/", body, include="attachments")).json()
    (ticket,), (attachment,) = answer["tickets"], answer["linked"]["attachments"]
    assert ticket["requestNumber"] > 20000 and ticket["createdById"] == API_USER
    assert ticket["emailAddress"] == "masseutsendelse-ikke-svar@utsendelse.local"
    assert attachment["ticketId"] == ticket["id"]
    shown = {name: attachment[name] for name in ("name", "contentType", "contentLength")}
    assert shown == {"name": "veileder", "contentType": "application/pdf", "contentLength": 3}
    bare = await api.post(
        "/ticket/",
        json={"tickets": [{"subject": "Nr. 2", "links": LINKS}]},
        headers={"Content-Type": VND, "Accept": "*/*"},
    )
    assert bare.json()["requestNumber"] == ticket["requestNumber"] + 1


@pytest.mark.parametrize("missing", LINKS)
async def test_a_ticket_needs_seven_links(
    api: httpx.AsyncClient, world: World, missing: str
) -> None:
    links = {name: link for name, link in LINKS.items() if name != missing}
    flat = {f"{missing}Id": LINKS[missing]["id"]}
    answer = await post(api, "/ticket", {"tickets": [{"subject": "x", **flat, "links": links}]})
    assert answer.status_code == 400 and missing in answer.json()["message"]
    ticket = add_ticket(world, user_id=5, subject="Sak")
    put = await api.put(
        f"/ticket/{ticket['id']}",
        json={"tickets": [{"links": links}]},
        headers={"Content-Type": VND},
    )
    assert put.status_code == 400
    assert world.count("ticket") == 1


ATTACHED = {**LINKS, "attachments": [{"temporaryId": "a"}]}


@pytest.mark.parametrize(
    "body",
    [
        [],
        "tekst",
        {},
        {"ticket": []},
        {"tickets": []},
        {"tickets": ["x"]},
        {"tickets": [{"links": []}]},
        {"tickets": [{"links": {**LINKS, "user": 5}}]},
        {"tickets": [{"links": {**LINKS, "user": {"id": 999999}}}]},
        {"tickets": [{"links": {**LINKS, "user": {"id": True}}}]},
        {"tickets": [{"subject": 5, "links": LINKS}]},
        {"tickets": [{"visibility": "1", "links": LINKS}]},
        {"tickets": [{"links": {**LINKS, "attachments": {"ids": [1]}}}]},
        {"tickets": [{"links": ATTACHED}]},
        {"tickets": [{"links": ATTACHED}], "linked": []},
        {"tickets": [{"links": ATTACHED}], "linked": {"nosuch": [{"temporaryId": "a"}]}},
        {"tickets": [{"links": ATTACHED}], "linked": {"attachments": [{"fileName": "x"}]}},
        {"tickets": [{"links": ATTACHED}], "linked": {"attachments": [{"temporaryId": "a"}]}},
        {
            "tickets": [{"links": ATTACHED}],
            "linked": {"attachments": [{"temporaryId": "a", "fileName": "x", "bytes": "&"}]},
        },
    ],
)
async def test_a_body_that_is_something_else_is_400_and_changes_nothing(
    api: httpx.AsyncClient, world: World, body: Any
) -> None:
    version = world.version
    answer = await post(api, "/ticket/", body)
    assert answer.status_code == 400 and answer.json()["message"]
    assert world.version == version


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"name":"\\ud800"}', b'{"cf_1": NaN}']
)
async def test_a_body_that_is_not_json_is_400(api: httpx.AsyncClient, body: bytes) -> None:
    answer = await api.post("/company", content=body, headers={"Content-Type": VND})
    assert answer.status_code == 400


async def test_patch_is_flat_and_passes_over_what_it_does_not_know(
    api: httpx.AsyncClient, world: World, turn: Callable[..., None]
) -> None:
    ticket = add_ticket(world, user_id=5, subject="Sak")

    async def patch(body: Any) -> int:
        return (await api.patch(f"/ticket/{ticket['id']}/", json=body)).status_code

    assert await patch({"Subject": "Ny", "nosuch": 1, "requestNumber": 7, "cf_3": "x"}) == 200
    assert (ticket["subject"], ticket["cf_3"]) == ("Ny", "x")
    assert ticket["requestNumber"] > 20000 and "nosuch" not in ticket
    assert ticket["modifiedById"] == API_USER and ticket["modified"]
    assert await patch({"links": {"priority": {"id": 204}}}) == 200
    assert ticket["priorityId"] == 203
    turn(patch_links=True)
    assert await patch({"links": {"priority": {"id": 204}}}) == 200
    assert ticket["priorityId"] == 204
    for wrong in (
        {"tickets": [{"subject": "x"}]},
        [],
        {"statusId": 99999},
        {"statusId": None},
        {"statusId": "5"},
    ):
        assert await patch(wrong) == 400, wrong
    assert (await api.patch("/ticket/77", json={})).status_code == 404


async def test_put_keeps_or_drops_attachments_that_are_not_named(
    api: httpx.AsyncClient, world: World, turn: Callable[..., None]
) -> None:
    ticket = add_ticket(world, user_id=5, subject="Sak")
    kept, other = (add_file(world, ticket, name, b"x") for name in ("a.txt", "b.txt"))
    links = {**LINKS, "attachments": [{"id": kept["id"], "type": "attachment"}]}
    body = {"tickets": [{"id": ticket["id"], "links": links}]}
    for drops, count in ((False, 2), (True, 1)):
        turn(put_drops_attachments=drops)
        headers = {"Content-Type": VND}
        assert (await api.put(f"/ticket/{ticket['id']}/", json=body, headers=headers)).is_success
        assert len(world.where("attachment", "ticketId", ticket["id"])) == count
    assert other["ticketId"] is None


async def test_a_file_comes_back_as_it_was_sent(api: httpx.AsyncClient, world: World) -> None:
    ticket = add_ticket(world, user_id=5, subject="Sak")
    content = bytes(range(256)) * 40
    body = {**file("rapport.csv", content), "name": "rapport", "size": "10.00K"}
    made = await post(api, "/attachment", {**body, "ticketId": ticket["id"], "isVisible": False})
    (attachment,) = made.json()["attachments"]
    query = {"filter": f"ticketId == {ticket['id']} AND !isVisible"}
    listed = (await api.get("/attachment/", params=query)).json()["attachments"]
    assert listed == [attachment] and attachment["contentLength"] == len(content)
    headers = {"Accept": "*/*"}
    got = await api.get(f"/attachment/download/{attachment['id']}", headers=headers)
    assert got.content == content
    assert got.headers["content-disposition"] == "attachment; filename=rapport.csv"
    assert ticket["modifiedById"] == API_USER
    copy = await post(
        api, "/attachment", {"attachmentCopyId": attachment["id"], "ticketId": ticket["id"]}
    )
    (copied,) = copy.json()["attachments"]
    got = await api.get(f"/attachment/download/{copied['id']}", headers=headers)
    assert got.content == content and copied["fileName"] == "rapport.csv"
    assert (await post(api, "/attachment", {"fileName": "x", "bytes": ""})).status_code == 400
    multipart = await api.post(f"/attachment/{ticket['id']}/", files={"file": b"x"})
    assert multipart.status_code == 415


async def test_an_incoming_message_brings_its_sender_and_files(
    api: httpx.AsyncClient, world: World
) -> None:
    ticket = add_ticket(world, user_id=5, subject="Sak")
    body = {
        "communications": [
            {
                "ticketId": ticket["id"],
                "type": 2,
                "direction": 1,
                "subject": "1 vedlegg",
                "text": "<p>Hei</p>",
                "links": {
                    "sender": {"temporaryId": "s1"},
                    "attachments": [{"temporaryId": "a1", "type": "attachment"}],
                },
            }
        ],
        "linked": {
            "communicationrecipients": [{"temporaryId": "s1", "userId": 5, "type": "sender"}],
            "attachments": [file("brev.pdf", b"x", temporaryId="a1", ticketId=ticket["id"])],
        },
    }
    answer = await post(api, "/communication/", body, include="sender,sender.user,attachments")
    linked = answer.json()["linked"]
    assert linked["communicationrecipients"][0]["type"] == "sender"
    assert linked["users"][0]["id"] == 5
    assert linked["attachments"][0]["ticketId"] == ticket["id"]
    assert world.count("email") == 0


async def test_a_user_is_made_from_an_address_of_its_own(
    api: httpx.AsyncClient, world: World
) -> None:
    made = await post(api, "/emailaddress/", {"emailaddresses": [{"email": "ny@example.no"}]})
    address = made.json()["emailaddresses"][0]["id"]
    again = await post(api, "/emailaddress/", {"emailaddresses": [{"email": "ny@example.no"}]})
    assert again.status_code == 400
    person = {"firstName": "Postmottak", "lastName": "Ålfjord", "role": 10}
    links = {"emailAddress": {"id": address, "type": "emailaddress"}, "company": {"id": 1}}
    assert (await post(api, "/user/", {"users": [person]})).status_code == 400
    made = await post(api, "/user/", {"users": [{**person, "links": links}]})
    (user,) = made.json()["users"]
    assert user["fullName"] == "Postmottak Ålfjord" and user["companyId"] == 1
    query = {"include": "user", "filter": 'email == "ny@example.no"'}
    found = (await api.get("/emailaddress/", params=query)).json()
    assert found["linked"]["users"][0]["id"] == user["id"]
    query = {"filter": 'emailAddress.Email == "ny@example.no"'}
    assert (await api.get("/user", params=query)).json()["users"][0]["id"] == user["id"]
    assert (await post(api, "/user/", {**person, "emailAddressId": address})).status_code == 400
    headers = {"Content-Type": "application/json"}
    await api.patch(f"/user/{user['id']}", json={"disabled": True}, headers=headers)
    assert (world.get("user", user["id"]) or {})["disabled"] is True


async def test_companies_and_assets_have_unique_names(api: httpx.AsyncClient, world: World) -> None:
    assert (await post(api, "/company", {"name": "Nytt"})).is_success
    assert (await post(api, "/company", {"name": "Nytt"})).status_code == 400
    asset_type = world.find("assettype", name="Mottakerliste") or {}
    status = world.find("assetstatus", assetTypeId=asset_type["id"]) or {}
    path = f"/asset/{asset_type['uniqueClassName']}"
    body = {"name": "Ny liste", "uniqueId": "NY", "typeId": asset_type["id"]}
    assert (await post(api, path, body)).status_code == 400
    body |= {"statusId": status["id"], "assets_UDF_95_Ansvarlig": "Åse"}
    made = await post(api, path, body)
    assert made.json()["assets"][0]["assets_UDF_95_Ansvarlig"] == "Åse"
    assert (await post(api, path, body)).status_code == 400
    assert (await post(api, "/asset/_99_Assets_Ukjent", body)).status_code == 404
