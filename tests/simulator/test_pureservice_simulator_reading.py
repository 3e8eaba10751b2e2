"""Keys, media types, shapes, paging and includes."""

from collections.abc import Callable

import httpx
import pytest

from dev.pureservice import World, seed_campaign
from dev.pureservice.reading import Reader, View
from dev.pureservice.seed import add_file, add_ticket

VND = "application/vnd.api+json"
NONE = {"Accept": ""}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Authorization-Key": "demo-key"}, 200),
        ({"Authorization": "Bearer demo-key"}, 200),
        ({"Authorization": "demo-key"}, 401),
        ({"X-Authorization-Key": "wrong"}, 401),
        ({}, 401),
    ],
)
async def test_both_headers_let_the_key_in(
    api: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    del api.headers["X-Authorization-Key"]
    assert (await api.get("/status/", headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("form", "body"),
    [("message", '{"message":"The status was not found."}'), ("empty", ""), ("html", "<html>")],
)
async def test_errors_come_in_three_forms(
    api: httpx.AsyncClient, turn: Callable[..., None], form: str, body: str
) -> None:
    turn(error_body=form, refused_status=403)
    answer = await api.get("/status/9999")
    assert answer.status_code == 404
    assert answer.text.startswith(body) and bool(answer.text) == bool(body)
    assert (await api.get("/status", headers={"X-Authorization-Key": ""})).status_code == 403


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", ""])
async def test_without_the_json_api_type_answers_are_bare(
    api: httpx.AsyncClient, accept: str
) -> None:
    many = (await api.get("/requesttype", headers={"Accept": accept})).json()
    one = (await api.get("/requesttype/1/", headers={"Accept": accept})).json()
    assert [row["key"] for row in many] == ["Ticket", "Change"]
    assert one == many[:1]


async def test_with_it_answers_are_wrapped(api: httpx.AsyncClient) -> None:
    answer = await api.get("/requesttype/2")
    assert answer.headers["content-type"].startswith(VND)
    assert [row["key"] for row in answer.json()["requesttypes"]] == ["Change"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nosuch", 404),
        ("GET", "/ticket/x", 404),
        ("GET", f"/ticket/{'9' * 5000}", 404),
        ("GET", "/ticket/1/nosuch", 404),
        ("GET", "/relationship/1/fromUser", 404),
        ("GET", "/status/count", 404),
        ("DELETE", "/ticket/1", 405),
        ("POST", "/status", 405),
        ("POST", "/asset", 405),
        ("DELETE", "/relationship/1/delete", 404),
        ("DELETE", "/relationship/1", 404),
    ],
)
async def test_other_paths_and_methods_are_refused(
    api: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    assert (await api.request(method, path)).status_code == status


async def test_paging_ends_with_a_short_page(
    api: httpx.AsyncClient, world: World, turn: Callable[..., None]
) -> None:
    for n in range(620):
        world.add("emailaddress", {"email": f"x{n}@example.org"})
    total = world.count("emailaddress")

    async def page(**query: int) -> list[int]:
        answer = await api.get("/emailaddress/", params={"sort": "id", **query})
        return [row["id"] for row in answer.json()["emailaddresses"]]

    assert len(await page()) == 100
    assert len(await page(limit=9999)) == 500
    assert len(await page(limit=500)) == 500
    assert len(await page(start=500, limit=500)) == total - 500
    assert await page(start=5000, limit=500) == []
    assert (await page(start=3, limit=2)) == (await page())[3:5]
    turn(page_size=25, over_limit="refuse")
    assert len(await page()) == 25
    for query in ({"limit": "501"}, {"limit": "0"}, {"limit": "x"}, {"start": "-1"}):
        assert (await api.get("/emailaddress/", params=query)).status_code == 400


async def test_without_a_sort_the_order_may_change_between_pages(
    api: httpx.AsyncClient, turn: Callable[..., None]
) -> None:
    async def ids(**query: str) -> list[int]:
        return [row["id"] for row in (await api.get("/status", params=query)).json()["statuses"]]

    assert await ids() == await ids()
    turn(unstable_order=True)
    first, second = await ids(), await ids()
    assert first != second and sorted(first) == sorted(second)
    assert await ids(sort="id") == await ids(sort="id")
    # A key that many share does not make an order.
    assert await ids(sort="disabled") != await ids(sort="disabled")


def test_a_list_is_worked_out_once_for_all_its_pages_until_somebody_writes(world: World) -> None:
    reader, query = Reader(world), {"filter": "level == 1", "sort": "id"}
    rows = reader.rows(View("category"), query)
    assert reader.rows(View("category"), {**query, "start": "1"}) is rows
    assert len(rows) == 1
    world.add("category", {"name": "Ny", "level": 1})
    assert len(reader.rows(View("category"), query)) == 2
    world.change("category", rows[0]["id"], {"level": 2})
    assert len(reader.rows(View("category"), query)) == 1


async def test_a_ticket_is_found_by_its_public_number_and_counted(
    api: httpx.AsyncClient, world: World
) -> None:
    ticket = add_ticket(world, user_id=5, subject="Første")
    add_ticket(world, user_id=5, subject="Andre")
    number = ticket["requestNumber"]
    assert number != ticket["id"]
    answer = (await api.get(f"/ticket/{number}/requestNumber/")).json()
    assert answer["tickets"][0]["subject"] == "Første"
    assert (await api.get("/ticket/count/")).json() == {"count": 2}
    query = {"filter": 'subject == "Andre"'}
    assert (await api.get("/ticket/count/", params=query)).json() == {"count": 1}
    assert (await api.get("/email/count/")).json() == {"count": 0}


async def test_include_gathers_flat_groups_and_what_is_on_the_way(
    api: httpx.AsyncClient, world: World
) -> None:
    number = seed_campaign(world, recipients=0, tricky=False)
    path = f"/ticket/{number}/requestNumber"
    answer = (await api.get(path, params={"include": "User.EmailAddress , attachments"})).json()
    (ticket,) = answer["tickets"]
    assert ticket["links"]["user"] == {"id": ticket["userId"], "type": "user"}
    ids = [row["id"] for row in answer["linked"]["attachments"]]
    assert ticket["links"]["attachments"] == {"ids": ids, "type": "attachment"}
    assert answer["linked"]["users"][0]["id"] == ticket["userId"]
    assert answer["linked"]["emailaddresses"][0]["email"] == ticket["emailAddress"]
    assert "bytes" not in answer["linked"]["attachments"][0]
    wrong = await api.get(path, params={"include": "nosuch"})
    assert wrong.status_code == 400


@pytest.mark.parametrize(
    ("switch", "link", "linked"),
    [("sometimes", False, {}), ("always", False, None), ("never", True, {"attachments": []})],
)
async def test_empty_groups_and_links_may_be_missing(
    api: httpx.AsyncClient,
    world: World,
    turn: Callable[..., None],
    switch: str,
    link: bool,
    linked: object,
) -> None:
    turn(missing_attachment_links=switch, missing_linked_groups=switch)
    ticket = add_ticket(world, user_id=5, subject="Uten filer")
    path = f"/ticket/{ticket['id']}"
    answer = (await api.get(path, params={"include": "attachments"})).json()
    assert ("attachments" in answer["tickets"][0]["links"]) is link
    assert answer.get("linked") == linked
    add_file(world, ticket, "fil.txt", b"x")
    answer = (await api.get(path, params={"include": "attachments"})).json()
    assert len(answer["linked"]["attachments"]) == 1
    assert ("attachments" in answer["tickets"][0]["links"]) is (switch != "always")


@pytest.mark.parametrize(
    ("form", "number"), [("text", "999888777"), ("number", 999888777), ("null", None)]
)
async def test_the_organization_number_comes_in_three_forms(
    api: httpx.AsyncClient, turn: Callable[..., None], form: str, number: object
) -> None:
    turn(organization_number=form)
    assert (await api.get("/company/1")).json()["companies"][0]["organizationNumber"] == number
    query = {"filter": '(!disabled AND organizationNumber=="999888777")'}
    companies = (await api.get("/company/", params=query)).json()["companies"]
    assert len(companies) == (0 if form == "null" else 1)


async def test_a_self_made_type_comes_in_two_forms(
    api: httpx.AsyncClient, world: World, turn: Callable[..., None]
) -> None:
    seed_campaign(world, recipients=0, tricky=False)
    query = {
        "include": "ticket,ticket.user,ticket.user.company,ticket.user.emailaddresses,"
        "ticket.user.company.emailaddresses,customtype",
        "filter": 'customtype.name == "Til utsending" AND ticket.status.name == "Utsending – klar"',
    }
    answer = (await api.get("/communication/", params=query)).json()
    (entry,) = answer["communications"]
    assert (entry["type"], entry["typeName"]) == (9, "Til utsending")
    assert answer["linked"]["customtypes"][0]["id"] == entry["customTypeId"]
    turn(custom_type="typename")
    assert (await api.get("/communication/", params=query)).status_code == 400
    query = {"filter": 'typeName == "Til utsending" AND type == 2'}
    (entry,) = (await api.get("/communication/", params=query)).json()["communications"]
    assert "customTypeId" not in entry and "customtype" not in entry["links"]


async def test_lists_of_assets_may_leave_out_self_made_fields(
    api: httpx.AsyncClient, turn: Callable[..., None]
) -> None:
    query = {"filter": 'type.name == "Mottakerliste" AND !isMarkedForDeletion'}
    rows = (await api.get("/asset/", params=query)).json()["assets"]
    assert {row["uniqueId"] for row in rows} == {"KOMM", "FYLK", "STAT"}
    assert all(row["assets_UDF_95_Ansvarlig"] for row in rows)
    turn(assets_without_fields=True)
    rows = (await api.get("/asset/", params=query)).json()["assets"]
    assert not any("assets_UDF_95_Ansvarlig" in row for row in rows)
    one = (await api.get(f"/asset/{rows[0]['id']}")).json()["assets"][0]
    assert one["assets_UDF_95_Ansvarlig"] == "Kari Saksbehandler"


async def test_an_asset_type_shows_its_fields_and_statuses(api: httpx.AsyncClient) -> None:
    query = {"filter": 'name == "Mottakerliste"', "include": "fields,fields.items,statuses"}
    answer = (await api.get("/assettype/", params=query)).json()
    assert answer["linked"]["assettypefields"][0]["propertyName"] == "Assets_UDF_95_Ansvarlig"
    assert answer["linked"]["assetstatuses"][0]["name"] == "I bruk"
