"""Whom a letter is for, as it is read together with the list: numbers, names and addresses."""

from __future__ import annotations

import json
import logging
from datetime import date
from typing import Any

import pytest

from dev.pureservice.seed import (
    LETTER_SETTINGS,
    add_company,
    add_list,
    add_member,
    add_user,
    national_id,
    organization_number,
    seed_campaign,
)
from shared.adapters.pureservice import Pureservice
from shared.domain.addressee import Addressee, Flaw, PostalAddress
from shared.domain.recipient import Member
from shared.errors import PermanentError, TransientError
from tests.adapters.conftest import Connect, Tenant
from tests.adapters.test_pureservice_values import Answers

NUMBER, FIRM = national_id(1), organization_number(1)
LETTERS = {
    **LETTER_SETTINGS,
    "DIGIPOST_ADDRESS_FIELDS": json.loads(LETTER_SETTINGS["DIGIPOST_ADDRESS_FIELDS"]),
    "DIGIPOST_SENDER_ID": 100123,
    "DIGIPOST_USER": "prod_100123",
    "DIGIPOST_KEY": "a key",
    "DIGIPOST_HOST_KEY": f"SHA256:{'a' * 43}",
}
OSLO = PostalAddress(("Storgata 1", "Leil. 4"), "0155", "Oslo")


def home(tenant: Tenant, **parts: Any) -> int:
    row = {"streetAddress": "Storgata 1\nLeil. 4", "postalCode": "0155", "city": "Oslo", **parts}
    return int(tenant.world.add("physicaladdress", {"country": "Norge", **row})["id"])


def a_user(tenant: Tenant, **values: Any) -> dict[str, Any]:
    name = {"firstName": "Kari", "middleName": "Mellom", "lastName": "Ås"}
    return add_user(tenant.world, {**name, **values}, ["Kari@Example.NO"])


def on_a_list(tenant: Tenant, *rows: dict[str, Any]) -> int:
    list_ = add_list(tenant.world, "Beboere", "BEBO")
    for row in rows:
        add_member(tenant.world, list_, "company" if "name" in row else "user", row)
    return int(list_["id"])


async def read(helpdesk: Pureservice, list_id: int) -> list[Member]:
    """All on the list; when asked for by who they are, they are the same, number and all."""
    members = list((await helpdesk.members(list_id, 0)).members)
    people = await helpdesk.people([str(one) for one in members])
    for one in members:
        again = people[str(one)].addressee
        assert again == one.addressee
        assert (
            again is None
            or one.addressee is None
            or (again.national_id == one.addressee.national_id)
        )
    return members


async def addressees(helpdesk: Pureservice, list_id: int) -> list[Addressee | None]:
    return [one.addressee for one in await read(helpdesk, list_id)]


async def test_a_user_comes_with_all_that_a_letter_can_be_addressed_by(
    tenant: Tenant, connect: Connect
) -> None:
    kari = a_user(tenant, addressId=home(tenant), cf_5=NUMBER, cf_6="1988-11-02")
    for type_, number in ((3, "+4722000000"), (1, "+4799999999")):
        phone = {"number": "x", "normalizedNumber": number, "type": type_, "userId": kari["id"]}
        tenant.world.add("phonenumber", phone)
    [found] = await addressees(connect(**LETTERS), on_a_list(tenant, kari))
    assert found == Addressee(
        "Kari Mellom Ås",
        "Kari",
        "Mellom",
        "Ås",
        has_national_id=True,
        birth_date=date(1988, 11, 2),
        phone="+4799999999",
        email="Kari@example.no",
        postal=OSLO,
    )
    assert found.national_id == NUMBER


async def test_a_company_has_its_number_and_the_address_that_settings_map(
    tenant: Tenant, connect: Connect
) -> None:
    # a field for numbers has no zero in front
    values = {"cf_2": "Postboks 12", "cf_3": 155, "cf_4": "Oslo", "organizationNumber": FIRM}
    firm = add_company(tenant.world, {"name": "Ærlig Firma", **values}, ["post@firma.no"])
    [found] = await addressees(connect(**LETTERS), on_a_list(tenant, firm))
    assert found == Addressee(
        "Ærlig Firma",
        organization_number=FIRM,
        email="post@firma.no",
        postal=PostalAddress(("Postboks 12",), "0155", "Oslo"),
    )


async def test_a_letter_to_a_person_never_goes_to_where_they_work(
    tenant: Tenant, connect: Connect
) -> None:
    address = {"cf_2": "Postboks 12", "cf_3": "0155", "cf_4": "Oslo", "organizationNumber": FIRM}
    firm = add_company(tenant.world, {"name": "Ærlig Firma", **address}, ["post@firma.no"])
    # a user's field of the same name means something else
    kari = a_user(tenant, companyId=firm["id"], **{**address, "cf_2": "Blå", "cf_4": "Gul"})
    [found] = await addressees(connect(**LETTERS), on_a_list(tenant, kari))
    assert found is not None
    assert (found.postal, found.organization_number) == (None, "")


async def test_a_users_own_mapped_address_comes_before_the_one_they_have_and_is_not_mixed_with_it(
    tenant: Tenant, connect: Connect
) -> None:
    fields = {"line1": "user.cf_2", "line2": "user.cf_3", "postal_code": "user.cf_4"}
    helpdesk = connect(**{**LETTERS, "DIGIPOST_ADDRESS_FIELDS": {**fields, "city": "user.cf_7"}})
    mapped = a_user(
        tenant, addressId=home(tenant), cf_2="Nyveien 1", cf_3="H0201", cf_4=5003, cf_7="Bergen"
    )
    half = a_user(tenant, addressId=home(tenant), cf_2="Nyveien 1")
    unmapped = a_user(tenant, addressId=home(tenant))
    found = await addressees(helpdesk, on_a_list(tenant, mapped, half, unmapped))
    assert [(one.postal, one.flaws) for one in found if one] == [
        (PostalAddress(("Nyveien 1", "H0201"), "5003", "Bergen"), ()),
        (None, (Flaw.NO_POSTAL_CODE, Flaw.NO_CITY)),
        (OSLO, ()),
    ]


async def test_what_is_wrong_is_told_and_the_rest_is_used(tenant: Tenant, connect: Connect) -> None:
    wrong = a_user(tenant, cf_5="11828800000", addressId=home(tenant))
    nowhere = a_user(tenant, cf_5=int(national_id(40, day=5)), addressId=home(tenant, city=None))
    firm = add_company(tenant.world, {"name": "Firma", "organizationNumber": "123456789"})
    found = await addressees(connect(**LETTERS), on_a_list(tenant, wrong, nowhere, firm))
    assert [(one.flaws, one.can_be_found) for one in found if one] == [
        ((Flaw.NATIONAL_ID,), True),
        ((Flaw.NO_CITY,), True),
        ((Flaw.ORGANIZATION_NUMBER,), False),
    ]
    assert found[1] and found[1].national_id == national_id(40, day=5)


@pytest.mark.parametrize("switch", ["text", "number"])
async def test_a_number_comes_as_text_or_as_a_number(
    tenant: Tenant, connect: Connect, switch: str
) -> None:
    tenant.switch(organization_number=switch)
    firm = add_company(tenant.world, {"name": "Firma", "organizationNumber": FIRM})
    kari = a_user(tenant, cf_5=float(NUMBER))
    found = await addressees(connect(**LETTERS), on_a_list(tenant, firm, kari))
    assert found[0] and found[0].organization_number == FIRM
    assert found[1] and found[1].national_id == NUMBER


async def test_where_no_letters_are_sent_nothing_more_is_asked_for_or_known(
    tenant: Tenant, connect: Connect
) -> None:
    kari = a_user(tenant, addressId=home(tenant), cf_5=NUMBER)
    list_id = on_a_list(tenant, kari)
    off = {**LETTERS, "DIGIPOST_CAMPAIGN_USER": ""}
    for settings in (off, LETTERS):
        helpdesk = connect(**settings)
        await helpdesk.names()
        tenant.asked.clear()
        [found] = await addressees(helpdesk, list_id)
        assert (found is None) == (settings is off)
        # a list and the people on it: one call each, with letters and without
        assert len(tenant.asked) == 2
        assert tenant.calls("address%2C") == 0 if settings is off else True
        assert tenant.calls("toUser.address") == (0 if settings is off else 1)


async def test_the_national_id_is_in_no_text_of_a_member_and_in_no_message(
    tenant: Tenant, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tenant.switch(user_addresses="refused")
    helpdesk = connect(**LETTERS, RECIPIENT_FIELDS={"agreement": "user.cf_3"})
    [member] = await read(helpdesk, on_a_list(tenant, a_user(tenant, cf_5=NUMBER, cf_3="A-1")))
    assert member.addressee and member.addressee.national_id == NUMBER
    assert dict(member.fields)["agreement"] == "A-1"
    assert NUMBER not in repr(member)
    assert caplog.text and NUMBER not in caplog.text


# -- users' addresses, where nobody knows whether they can be asked for


async def test_where_addresses_are_refused_the_list_is_read_without_and_they_are_asked_for_once(
    tenant: Tenant, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    tenant.switch(user_addresses="refused")
    helpdesk = connect(**LETTERS)
    list_id = on_a_list(tenant, a_user(tenant, addressId=home(tenant), cf_5=NUMBER))
    [found] = await addressees(helpdesk, list_id)
    assert found and (found.postal, found.national_id) == (None, NUMBER)
    assert caplog.text.count("pureservice.postal_addresses_refused") == 1
    tenant.asked.clear()
    await read(helpdesk, list_id)
    assert len(tenant.asked) == 2


async def test_where_only_people_are_asked_for_a_refusal_is_no_harm_either(
    tenant: Tenant, connect: Connect
) -> None:
    tenant.switch(user_addresses="refused")
    users = [f"user:{a_user(tenant)['id']}" for _ in range(70)]
    helpdesk = connect(**LETTERS)
    assert list(await helpdesk.people(users)) == users
    # once: a filter that is refused is halved until it is one person's
    assert len(tenant.asked) == 7 + 2


async def test_where_addresses_are_left_out_without_a_word_nobody_has_one(
    tenant: Tenant, connect: Connect
) -> None:
    tenant.switch(user_addresses="ignored")
    list_id = on_a_list(tenant, a_user(tenant, addressId=home(tenant)))
    helpdesk = connect(**LETTERS)
    await helpdesk.names()
    tenant.asked.clear()
    [found] = await addressees(helpdesk, list_id)
    assert found and (found.postal, found.flaws) == (None, ())
    assert len(tenant.asked) == 2


async def test_a_refusal_after_addresses_have_come_is_trouble_and_not_a_list_without_them(
    tenant: Tenant, connect: Connect
) -> None:
    helpdesk = connect(**LETTERS)
    list_id = on_a_list(tenant, a_user(tenant, addressId=home(tenant)))
    assert [one.postal for one in await addressees(helpdesk, list_id) if one] == [OSLO]
    tenant.switch(user_addresses="refused")
    with pytest.raises(PermanentError):
        await helpdesk.members(list_id, 0)
    tenant.switch(user_addresses="included")
    assert [one.postal for one in await addressees(helpdesk, list_id) if one] == [OSLO]


async def test_trouble_at_the_first_question_says_nothing_of_addresses(
    tenant: Tenant, connect: Connect
) -> None:
    helpdesk = connect(**LETTERS)
    list_id = on_a_list(tenant, a_user(tenant, addressId=home(tenant)))
    await helpdesk.names()
    tenant.fault("status", status=500, times=3)
    with pytest.raises(TransientError):
        await helpdesk.members(list_id, 0)
    assert [one.postal for one in await addressees(helpdesk, list_id) if one] == [OSLO]


@pytest.mark.parametrize("what", ["physicaladdresses", "phonenumbers"])
async def test_what_does_not_come_along_is_not_known(
    tenant: Tenant, connect: Connect, what: str
) -> None:
    def edit(linked: dict[str, Any]) -> None:
        linked.pop(what, None)

    kari = a_user(tenant, addressId=home(tenant))
    tenant.world.add("phonenumber", {"number": "99 99 99 99", "userId": kari["id"]})
    helpdesk = connect(Answers(tenant, edit), **LETTERS)
    [found] = await addressees(helpdesk, on_a_list(tenant, kari))
    without_home = what == "physicaladdresses"
    assert found
    assert (found.postal, found.phone) == ((None, "+4799999999") if without_home else (OSLO, ""))


async def test_campaigns_of_all_kinds_are_found(tenant: Tenant, connect: Connect) -> None:
    numbers = [
        seed_campaign(tenant.world, recipients=1, scenario=scenario, tricky=False)
        for scenario in ("email", "ticket", "digipost")
    ]
    found = await connect(**LETTERS).campaign_tickets()
    assert [ticket.request_number for ticket in found] == numbers
    assert len(await connect().campaign_tickets()) == 2
