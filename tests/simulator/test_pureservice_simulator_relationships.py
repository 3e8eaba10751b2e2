"""Relations, from either end, as one row and as two."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dev.pureservice import World
from dev.pureservice.seed import add_list, add_member, add_ticket, add_user

VND = "application/vnd.api+json"
MEMBERS = "toUser,toCompany,toUser.emailaddresses,toCompany.emailaddresses"


@pytest.fixture(params=[False, True], ids=["one row", "two rows"])
def mirrored(request: pytest.FixtureRequest, turn: Callable[..., None]) -> bool:
    turn(mirrored_relationships=request.param)
    return bool(request.param)


async def relate(api: httpx.AsyncClient, *relations: dict[str, Any]) -> httpx.Response:
    headers = {"Content-Type": VND}
    return await api.post("/relationship/", json={"relationships": relations}, headers=headers)


def membership(type_: int, asset: int, **other: int) -> dict[str, Any]:
    ((name, id_),) = other.items()
    links = {"type": {"id": type_}, "toAsset": {"id": asset}, name: {"id": id_}}
    return {"main": "toAssetId", "inverseMain": "fromAssetId", "links": links}


async def test_members_posted_to_a_list_are_read_from_it(
    api: httpx.AsyncClient, world: World, mirrored: bool
) -> None:
    members = add_list(world, "Liste", "L-1")
    ticket = add_ticket(world, user_id=5, subject="Sak")
    user = add_user(world, {"firstName": "Åse"}, ["privat@example.no", "aase@example.no"])
    add_member(world, members, "ticket", ticket)
    assert (
        await relate(
            api,
            membership(34, members["id"], fromUser=user["id"]),
            membership(35, members["id"], fromCompany=2),
        )
    ).is_success

    path = f"/relationship/{members['id']}/fromAsset"
    query = {"include": MEMBERS, "filter": "toTicketId == null", "sort": "id"}
    answer = (await api.get(path, params=query)).json()
    first, second = answer["relationships"]
    assert (first["fromAssetId"], first["toUserId"]) == (members["id"], user["id"])
    assert (first["toAssetId"], first["fromUserId"]) == (None, None)
    assert second["toCompanyId"] == 2 and first["main"] == "fromAssetId"
    linked = answer["linked"]
    emails = [row["email"] for row in linked["emailaddresses"]]
    assert emails == ["privat@example.no", "aase@example.no"]
    assert linked["users"][0]["emailAddressId"] == linked["emailaddresses"][1]["id"]
    assert linked["companyemailaddresses"][0]["companyId"] == 2
    query = {"filter": "toCompanyId != NULL AND typeId == 35"}
    assert len((await api.get(path, params=query)).json()["relationships"]) == 1

    query = {"include": "toAsset,type", "filter": f"toAsset.typeId == {members['typeId']}"}
    answer = (await api.get(f"/relationship/{ticket['id']}/fromTicket", params=query)).json()
    assert [row["toAssetId"] for row in answer["relationships"]] == [members["id"]]
    assert answer["linked"]["assets"][0]["name"] == "Liste"
    assert answer["linked"]["relationshiptypes"][0]["name"] == "Gir mottakere til"


async def test_the_plain_list_has_one_row_or_two_and_one_delete_removes_both(
    api: httpx.AsyncClient, world: World, mirrored: bool
) -> None:
    members = add_list(world, "Liste", "L-1")
    (made,) = (await relate(api, membership(35, members["id"], fromCompany=2))).json()[
        "relationships"
    ]
    assert made["toAssetId"] == members["id"] and made["fromCompanyId"] == 2
    mine = f"toAssetId == {members['id']} OR fromAssetId == {members['id']}"
    path = f"/relationship/{members['id']}/fromAsset"

    async def ids(path: str, filter_: str = "") -> list[int]:
        answer = await api.get(path, params={"filter": filter_})
        return [row["id"] for row in answer.json()["relationships"]]

    assert len(await ids("/relationship/", mine)) == (2 if mirrored else 1)
    posted = "toAssetId!=null AND fromCompanyId!=null AND solvingRelationship == false"
    assert made["id"] in await ids("/relationship/", posted)
    (seen,) = await ids(path)
    assert (seen != made["id"]) is mirrored
    assert (await api.delete(f"/relationship/{seen}")).is_success
    assert await ids(path) == [] and await ids("/relationship/", mine) == []
    assert (await api.delete(f"/relationship/{seen}")).status_code == 404


async def test_a_ticket_can_be_related_to_a_ticket(
    api: httpx.AsyncClient, world: World, mirrored: bool
) -> None:
    parent, child = (add_ticket(world, user_id=5, subject=s) for s in ("Mor", "Barn"))
    links = {
        "type": {"id": 38},
        "fromTicket": {"id": parent["id"]},
        "toTicket": {"id": child["id"]},
    }
    body = {"main": "fromTicketId", "inverseMain": "toTicketId", "links": links}
    assert (await relate(api, body)).is_success
    for one, other in ((parent, child), (child, parent)):
        answer = await api.get(f"/relationship/{one['id']}/fromTicket")
        assert [row["toTicketId"] for row in answer.json()["relationships"]] == [other["id"]]


@pytest.mark.parametrize("touches", [False, True])
async def test_a_relation_may_touch_the_ticket(
    api: httpx.AsyncClient, world: World, turn: Callable[..., None], touches: bool
) -> None:
    turn(relationship_touches_ticket=touches)
    members = add_list(world, "Liste", "L-1")
    ticket = add_ticket(world, user_id=5, subject="Sak")
    assert (await relate(api, membership(36, members["id"], fromTicket=ticket["id"]))).is_success
    assert bool(ticket.get("modified")) is touches


async def test_a_relation_needs_a_type_a_main_and_two_ends(api: httpx.AsyncClient) -> None:
    whole = membership(34, 610, fromUser=5)
    for wrong in (
        {**whole, "main": None},
        {**whole, "main": "toNobodyId"},
        {**whole, "links": {**whole["links"], "type": {"id": 9}}},
        {**whole, "links": {**whole["links"], "fromCompany": {"id": 2}}},
        {**whole, "links": {"type": {"id": 34}, "toAsset": {"id": 610}}},
    ):
        assert (await relate(api, wrong)).status_code == 400, wrong
    assert (await relate(api, whole)).is_success
    assert (await api.get("/relationship/999/fromAsset")).status_code == 404


async def test_relation_types_are_found_by_the_asset_type_they_start_from(
    api: httpx.AsyncClient,
) -> None:
    query = {"filter": 'fromAssetType.name == "Mottakerliste"', "include": "fromAssetType"}
    answer = (await api.get("/relationshiptype/", params=query)).json()
    assert [row["name"] for row in answer["relationshiptypes"]] == [
        "Inneholder bruker",
        "Inneholder firma",
        "Gir mottakere til",
        "Forvaltes av",
    ]
