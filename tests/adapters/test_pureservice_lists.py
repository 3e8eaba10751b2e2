"""The port for lists kept in step on Pureservice, against the simulator."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dev.pureservice.seed import HAS_COMPANY, add_company, add_list, add_member, add_user
from shared.adapters.pureservice_lists import PureserviceLists
from shared.domain.lists import ListRule, NamedList
from shared.domain.recipient import Member, MemberKind
from shared.errors import (
    PermanentError,
    SetupError,
    ThrottledError,
    TransientError,
    UncertainError,
)
from tests.examples import settings

COMPANY, USER = MemberKind.COMPANY, MemberKind.USER
KOMM = ListRule("KOMM", category="Kommune")
NEEDED = {
    "LISTS_SCHEDULE": "0 30 3 * * *",
    "FORGET_SCHEDULE": "0 0 4 * * *",
    "DELIVER_TICKET_QUEUE": "deliver-ticket",
}

Make = Callable[..., PureserviceLists]


@pytest.fixture
def make(connect) -> Make:
    def make(**values: Any) -> PureserviceLists:
        helpdesk = connect(**{**NEEDED, **values})
        return PureserviceLists(settings(**values), helpdesk.wire, helpdesk.names)

    return make


@pytest.fixture
def directory(make: Make) -> PureserviceLists:
    return make()


def list_row(tenant, unique_id: str = "KOMM") -> dict[str, Any]:
    return tenant.world.find("asset", uniqueId=unique_id)


def names(members: list[Member]) -> set[str]:
    return {member.name for member in members}


KOMMUNER = {"Ålfjord (kommune)", "Bjørkedal (kommune)", "Grønnvik (kommune)"}


# -- lists


async def test_lists_have_their_unique_names_and_those_marked_for_deletion_are_none(
    directory: PureserviceLists, tenant
) -> None:
    add_list(tenant.world, "Utgått", "GAMMEL", is_deleted=True)
    other_type = tenant.id("assettype", name="Datamaskin")
    row = list_row(tenant)
    tenant.world.add("asset", {**row, "id": None, "uniqueId": "PC-1", "typeId": other_type})
    assert await directory.lists() == [
        NamedList(tenant.id("asset", uniqueId="KOMM"), "KOMM", "Kommune"),
        NamedList(tenant.id("asset", uniqueId="FYLK"), "FYLK", "Fylkeskommune"),
        NamedList(tenant.id("asset", uniqueId="STAT"), "STAT", "Statlig virksomhet"),
    ]


# -- companies


async def test_a_category_finds_its_companies_without_those_that_are_disabled(
    directory: PureserviceLists, tenant
) -> None:
    add_company(tenant.world, {"name": "Nedlagt", "cf_9": "Kommune", "disabled": True})
    found = await directory.companies(KOMM)
    assert names(found) == KOMMUNER
    assert {(member.kind, member.relation) for member in found} == {(COMPANY, 0)}


async def test_a_filter_with_an_or_in_it_cannot_let_disabled_companies_in(
    directory: PureserviceLists, tenant
) -> None:
    add_company(tenant.world, {"name": "Åpen"})
    add_company(tenant.world, {"name": "Nedlagt", "disabled": True})
    rule = ListRule("X", filter='name == "Åpen" OR name == "Nedlagt"')
    assert names(await directory.companies(rule)) == {"Åpen"}
    rule = ListRule("X", filter='name == "Nedlagt") OR (name == "Åpen"')
    assert names(await directory.companies(rule)) == {"Åpen"}


async def test_a_category_with_quotes_in_it_is_text_and_nothing_else(
    directory: PureserviceLists, tenant
) -> None:
    category = 'A/S "Å" OR true'
    add_company(tenant.world, {"name": "Sitat AS", "cf_9": category})
    assert names(await directory.companies(ListRule("X", category=category))) == {"Sitat AS"}


async def test_companies_come_on_more_than_one_page(directory: PureserviceLists, tenant) -> None:
    for n in range(1_010):
        add_company(tenant.world, {"name": f"Barnehage nr. {n}", "cf_9": "Barnehage"})
    found = await directory.companies(ListRule("BARN", category="Barnehage"))
    assert len({member.id for member in found}) == 1_010


async def test_a_server_that_does_not_heed_the_filter_is_not_believed(make: Make, tenant) -> None:
    def without_filter(request: httpx.Request) -> httpx.Request:
        if "/company/" not in request.url.path:
            return request
        return httpx.Request(
            request.method, request.url.copy_remove_param("filter"), headers=request.headers
        )

    tenant.edit = without_filter
    with pytest.raises(PermanentError, match="another category"):
        await make().companies(KOMM)


async def test_a_category_needs_its_field(make: Make) -> None:
    with pytest.raises(SetupError, match="COMPANY_CATEGORY_FIELD"):
        await make(COMPANY_CATEGORY_FIELD="").companies(KOMM)


# -- members


async def test_members_are_those_of_the_relation_type_and_of_the_kind_alone(
    directory: PureserviceLists, tenant
) -> None:
    world, komm = tenant.world, list_row(tenant)
    user = add_user(world, {"firstName": "Åse", "lastName": "Li"}, ["aase@example.no"])
    owner = add_company(world, {"name": "Eier AS"})
    add_member(world, komm, "user", user)
    add_member(world, komm, "company", owner, relation="Forvaltes av")
    add_member(world, komm, "ticket", tenant.new_ticket())
    companies = await directory.members(komm["id"], COMPANY)
    assert names(companies) == KOMMUNER
    assert all(world.get("relationship", member.relation) for member in companies)
    [only] = await directory.members(komm["id"], USER)
    assert (only.kind, only.id, only.name) == (USER, user["id"], "Åse Li")


async def test_a_long_list_is_read_whole_and_each_relation_once(
    directory: PureserviceLists, tenant
) -> None:
    members = add_list(tenant.world, "Barnehager", "BARN")
    for n in range(1_010):
        company = add_company(tenant.world, {"name": f"Barnehage nr. {n}"})
        add_member(tenant.world, members, "company", company)
    found = await directory.members(members["id"], COMPANY)
    assert len({member.relation for member in found}) == len(found) == 1_010


@pytest.mark.parametrize("of", [USER, COMPANY])
async def test_a_relation_type_that_is_not_configured_is_named(make: Make, of: MemberKind) -> None:
    setting = f"LIST_{of.upper()}_RELATION"
    with pytest.raises(SetupError, match=f"{setting}: must be set"):
        await make(**{setting: ""}).members(610, of)


async def test_a_name_that_stands_for_two_relation_types_is_not_guessed_at(
    directory: PureserviceLists, tenant
) -> None:
    list_type = tenant.id("assettype", name="Mottakerliste")
    tenant.world.add("relationshiptype", {"name": HAS_COMPANY, "fromAssetTypeId": list_type})
    for call in (directory.members(610, COMPANY), directory.add(610, [Member(COMPANY, 1, "")])):
        with pytest.raises(SetupError, match="LIST_COMPANY_RELATION: there are 2"):
            await call


async def test_a_list_that_is_gone_cannot_be_read(directory: PureserviceLists) -> None:
    with pytest.raises(PermanentError):
        await directory.members(99_999, COMPANY)


# -- writes


@pytest.mark.parametrize("mirrored", [False, True])
async def test_what_is_added_reads_as_a_member_and_can_be_removed_by_what_was_read(
    directory: PureserviceLists, tenant, mirrored: bool
) -> None:
    tenant.switch(mirrored_relationships=mirrored)
    komm = list_row(tenant)["id"]
    new = [add_company(tenant.world, {"name": name}) for name in ("Ny AS", "Nyere AS")]
    before = await directory.members(komm, COMPANY)
    await directory.add(komm, [Member(COMPANY, row["id"], "") for row in new])
    after = await directory.members(komm, COMPANY)
    assert names(after) == KOMMUNER | {"Ny AS", "Nyere AS"}
    assert tenant.calls("POST", "/relationship/") == 1
    for member in after:
        if member.name.startswith("Ny"):
            await directory.remove(member)
    assert await directory.members(komm, COMPANY) == before


async def test_a_user_is_added_by_the_relation_for_users(
    directory: PureserviceLists, tenant
) -> None:
    komm = list_row(tenant)["id"]
    user = add_user(tenant.world, {"firstName": "Åse", "lastName": "Li"}, ["aase@example.no"])
    await directory.add(komm, [Member(USER, user["id"], "")])
    [member] = await directory.members(komm, USER)
    assert member.id == user["id"]


async def test_the_list_is_the_to_side_of_what_is_written(
    directory: PureserviceLists, tenant
) -> None:
    await directory.add(610, [Member(COMPANY, 1, "")])
    [request] = [one for one in tenant.asked if one.method == "POST"]
    [row] = json.loads(request.content)["relationships"]
    type_id = tenant.id("relationshiptype", name=HAS_COMPANY)
    assert request.headers["Content-Type"] == "application/vnd.api+json"
    assert row == {
        "main": "toAssetId",
        "inverseMain": "fromAssetId",
        "links": {"type": {"id": type_id}, "toAsset": {"id": 610}, "fromCompany": {"id": 1}},
    }


async def test_a_removal_carries_no_body(directory: PureserviceLists, tenant) -> None:
    first, *_ = await directory.members(610, COMPANY)
    await directory.remove(first)
    [request] = [one for one in tenant.asked if one.method == "DELETE"]
    assert (request.content, request.headers.get("Content-Type")) == (b"", None)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "drop_after_write"}, UncertainError),
        ({"kind": "status", "status": 502, "after_write": True}, UncertainError),
        ({"kind": "html", "status": 500}, UncertainError),
        ({"kind": "status", "status": 429, "retry_after": 1}, ThrottledError),
        ({"kind": "status", "status": 403}, TransientError),
        ({"kind": "status", "status": 400}, PermanentError),
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_write_that_fails_says_what_to_do_and_is_not_repeated(
    directory: PureserviceLists, tenant, method: str, fault: dict[str, Any], error: type[Exception]
) -> None:
    first, *_ = await directory.members(610, COMPANY)
    tenant.fault(method=method, path="/relationship", times=9, **fault)
    with pytest.raises(error) as raised:
        if method == "POST":
            await directory.add(610, [Member(COMPANY, 1, "Fjordvik")])
        else:
            await directory.remove(first)
    assert tenant.calls(method, "/relationship/") == 1
    assert "Fjordvik" not in str(raised.value)


async def test_a_list_that_cannot_be_read_just_now_may_be_read_later(
    directory: PureserviceLists, tenant
) -> None:
    await directory.lists()
    tenant.fault("status", path="/relationship", status=503, times=9)
    with pytest.raises(TransientError):
        await directory.members(610, COMPANY)
