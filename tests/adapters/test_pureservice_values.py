"""What a message may say of its recipients, as it is read together with the list."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dev.pureservice.seed import add_company, add_list, add_member, add_user, seed_campaign
from shared.adapters.pureservice import Pureservice
from shared.errors import TransientError
from tests.adapters.conftest import Connect, Tenant

FIELDS = {"agreement": "user.cf_3", "customer": "company.cf_1"}


class Answers(httpx.AsyncBaseTransport):
    """The simulator's answers, falsified on their way to us."""

    def __init__(self, tenant: Tenant, edit: Callable[[dict[str, Any]], None]) -> None:
        self._tenant, self._edit = tenant, edit

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._tenant.handle_async_request(request)
        if answer.status_code != 200:
            return answer
        document = json.loads(await answer.aread())
        # what is asked for by its own path comes, whatever happens to what is included
        self._edit(document.get("linked", {}))
        return httpx.Response(200, content=json.dumps(document))


def a_list(tenant: Tenant, users: int = 0, **user: Any) -> int:
    """A list with a user at a company, and the company; and more users at companies of their own.

    They have everything that can be had, and `user` besides.
    """
    world = tenant.world
    list_ = add_list(world, "Rektorer", "REKT")
    firm = {"name": "Ærlig  Firma\n", "organizationNumber": "974760673", "cf_1": 7042}
    company = add_company(world, firm, ["post@firma.no"])
    kari = {"firstName": "Kari", "middleName": "Mellom", "lastName": "Ås", "title": "Rektor"}
    known = {**kari, "cf_3": "A-1", "companyId": company["id"], **user}
    add_member(world, list_, "user", add_user(world, known, ["kari@example.no"]))
    add_member(world, list_, "company", company)
    for n in range(users):
        own = add_company(world, {"name": f"Firma {n}"})
        row = {"firstName": f"N{n}", "companyId": own["id"]}
        add_member(world, list_, "user", add_user(world, row, [f"n{n}@example.no"]))
    return int(list_["id"])


async def values(helpdesk: Pureservice, list_id: int) -> list[dict[str, str]]:
    """Of all on the list; when asked for by who they are, they are the same."""
    members = (await helpdesk.members(list_id, 0)).members
    people = await helpdesk.people([str(one) for one in members])
    assert [people[str(one)].fields for one in members] == [one.fields for one in members]
    return [dict(one.fields) for one in members]


@pytest.mark.parametrize("spelling", ["both", "flat", "links"])
async def test_a_user_has_the_values_of_their_company_too_and_a_company_no_first_name(
    tenant: Tenant, connect: Connect, spelling: str
) -> None:
    def edit(linked: dict[str, Any]) -> None:
        for user in linked.get("users", []):
            if spelling == "flat":
                user.pop("links")
            elif spelling == "links":
                user.pop("companyId")

    helpdesk = connect(Answers(tenant, edit), RECIPIENT_FIELDS=FIELDS)
    company = {"company": "Ærlig Firma", "organization_number": "974760673", "customer": "7042"}
    kari = {"first_name": "Kari", "last_name": "Ås", "title": "Rektor", "agreement": "A-1"}
    assert await values(helpdesk, a_list(tenant)) == [{**kari, **company}, company]


@pytest.mark.parametrize("kind", ["number", "null"])
async def test_an_organization_number_may_be_a_number_or_nothing(
    tenant: Tenant, helpdesk: Pureservice, kind: str
) -> None:
    tenant.switch(organization_number=kind)
    told = [one.get("organization_number") for one in await values(helpdesk, a_list(tenant))]
    assert told == ["974760673" if kind == "number" else None] * 2


async def test_what_is_empty_is_not_there_and_neither_is_a_field_that_settings_do_not_name(
    tenant: Tenant, helpdesk: Pureservice
) -> None:
    nothing = {"title": " \n", "companyId": None, "lastName": "", "cf_3": "hemmelig"}
    kari, _ = await values(helpdesk, a_list(tenant, **nothing))
    assert kari == {"first_name": "Kari"}


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (42, "42"),
        ("2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z"),
        ("Kari\r\nBcc: alle@example.no\x00", "Kari Bcc: alle@example.no"),
        ("halv \ud800", "halv"),
        ("\u202ebakvendt", "bakvendt"),
        (True, None),
        (["a"], None),
        ({"id": 7}, None),
        (None, None),
    ],
)
async def test_a_custom_field_is_text_on_one_line_and_an_odd_one_makes_no_page_unreadable(
    tenant: Tenant, connect: Connect, stored: object, told: str | None
) -> None:
    def edit(linked: dict[str, Any]) -> None:
        for user in linked.get("users", []):
            user["cf_3"] = stored

    list_id = a_list(tenant)
    [kari, _] = (
        await connect(Answers(tenant, edit), RECIPIENT_FIELDS=FIELDS).members(list_id, 0)
    ).members
    assert dict(kari.fields).get("agreement") == told


async def test_500_users_in_as_many_companies_take_one_call_by_list_and_one_for_64_by_id(
    tenant: Tenant, helpdesk: Pureservice
) -> None:
    list_id = a_list(tenant, users=498)
    await helpdesk.names()
    tenant.asked.clear()
    members = (await helpdesk.members(list_id, 0)).members
    assert len(tenant.asked) == 1
    await helpdesk.people([str(one) for one in members[2:66]])
    assert len(tenant.asked) == 2
    assert [dict(one.fields)["company"] for one in members[2:]] == [
        f"Firma {n}" for n in range(498)
    ]


# --- companies that do not come along ---


def without_companies_of_users(linked: dict[str, Any]) -> None:
    """As if `toUser.company` were not heeded: members that are companies do come."""
    linked["companies"] = [row for row in linked.get("companies", []) if row["emailAddressId"]]


async def test_companies_that_did_not_come_along_are_asked_for_64_at_a_time_and_it_is_told(
    tenant: Tenant, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    list_id = a_list(tenant, users=130)
    helpdesk = connect(Answers(tenant, without_companies_of_users))
    tenant.world.remove("company", tenant.id("company", name="Firma 129"))
    await helpdesk.names()
    tenant.asked.clear()
    with caplog.at_level(logging.WARNING):
        members = (await helpdesk.members(list_id, 0)).members
    assert (tenant.calls("/company/"), len(tenant.asked)) == (3, 4)
    told = [dict(one.fields).get("company") for one in members[2:]]
    assert told == [*(f"Firma {n}" for n in range(129)), None]
    assert [r.message for r in caplog.records] == [
        "pureservice.companies_apart asked=130 missing=1"
    ]


@pytest.mark.parametrize("status", [400, 403])
async def test_a_list_whose_users_companies_may_not_be_read_is_read_all_the_same(
    tenant: Tenant, connect: Connect, status: int
) -> None:
    list_id = a_list(tenant, users=1)
    tenant.fault("status", path="/company", status=status, times=9)
    members = (
        await connect(Answers(tenant, without_companies_of_users)).members(list_id, 0)
    ).members
    assert [dict(one.fields).get("company") for one in members] == ["Ærlig Firma"] * 2 + [None]


async def test_an_outage_meanwhile_takes_no_company_from_anybody(
    tenant: Tenant, connect: Connect
) -> None:
    """A default in the text would hide it."""
    list_id = a_list(tenant, users=1)
    tenant.fault("status", path="/company", status=503, times=9)
    with pytest.raises(TransientError):
        await connect(Answers(tenant, without_companies_of_users)).members(list_id, 0)


# --- a list that is read while somebody edits ---


async def test_a_contact_that_is_edited_does_not_make_it_another_list(
    tenant: Tenant, helpdesk: Pureservice
) -> None:
    list_id = a_list(tenant)
    before = await helpdesk.members(list_id, 0)
    user = tenant.id("user", firstName="Kari", lastName="Ås")
    tenant.world.change("user", user, {"firstName": "Karianne", "title": "Inspektør"})
    tenant.world.change("company", tenant.id("company", cf_1=7042), {"name": "Firma AS"})
    after = await helpdesk.members(list_id, 0)
    assert dict(after.members[0].fields)["first_name"] == "Karianne"
    assert dict(after.members[0].fields)["company"] == "Firma AS"
    assert after.fingerprint == before.fingerprint


async def test_in_a_seeded_campaign_each_value_is_there_for_some_and_missing_for_others(
    tenant: Tenant, connect: Connect
) -> None:
    seed_campaign(tenant.world, recipients=60)
    helpdesk = connect(RECIPIENT_FIELDS=FIELDS)
    [ticket] = await helpdesk.campaign_tickets()
    lists = [one for one in await helpdesk.lists(ticket.id) if not one.deleted]
    everybody = [fields for one in lists for fields in await values(helpdesk, one.id)]
    for name in ("first_name", "last_name", "title", "company", "organization_number", *FIELDS):
        assert {name in fields for fields in everybody} == {True, False}, name
    assert not [text for fields in everybody for text in fields.values() if "\n" in text]
