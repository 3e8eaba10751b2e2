"""People as they are today, by who they are: what another round asks before it writes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dev.pureservice.seed import add_company, add_user
from shared.adapters.pureservice import Pureservice
from shared.domain.recipient import Member, MemberKind
from shared.errors import StoppedError, TransientError
from tests.adapters.conftest import Connect, Tenant


def user(tenant: Tenant, first: str, *addresses: str) -> str:
    name = {"firstName": first, "lastName": "Ås"}
    return f"user:{add_user(tenant.world, name, list(addresses))['id']}"


async def test_users_and_companies_come_with_their_default_address_of_today(
    tenant: Tenant, helpdesk: Pureservice
) -> None:
    kari = user(tenant, "Kari", "gammel@example.no", "kari@example.no")  # the last one counts
    mia = user(tenant, "Mia")
    firm = add_company(tenant.world, {"name": "Ærlig Firma"}, ["info@firma.no", "post@firma.no"])
    only = add_company(tenant.world, {"name": "Én"}, ["en@firma.no"], default=False)
    both = [f"company:{firm['id']}", f"company:{only['id']}"]
    found = await helpdesk.people([kari, mia, *both])
    numbers = [int(one.partition(":")[2]) for one in (kari, mia, *both)]
    assert {key: replace(one, fields=()) for key, one in found.items()} == {
        kari: Member(MemberKind.USER, numbers[0], "Kari Ås", "kari@example.no"),
        mia: Member(MemberKind.USER, numbers[1], "Mia Ås"),
        both[0]: Member(MemberKind.COMPANY, numbers[2], "Ærlig Firma", "post@firma.no"),
        both[1]: Member(MemberKind.COMPANY, numbers[3], "Én", "en@firma.no"),
    }


async def test_a_user_and_a_company_of_the_same_number_are_told_apart(
    tenant: Tenant, helpdesk: Pureservice
) -> None:
    kari = user(tenant, "Kari", "kari@example.no")
    number = int(kari.partition(":")[2])
    add_company(tenant.world, {"id": number, "name": "Firma"}, ["post@firma.no"])
    found = await helpdesk.people([kari, f"company:{number}"])
    assert {key: one.name for key, one in found.items()} == {
        kari: "Kari Ås",
        f"company:{number}": "Firma",
    }


async def test_who_is_disabled_says_so_and_who_is_gone_does_not_come_back(
    tenant: Tenant, helpdesk: Pureservice
) -> None:
    kari, ola = user(tenant, "Kari", "kari@example.no"), user(tenant, "Ola", "ola@example.no")
    tenant.world.change("user", int(kari.partition(":")[2]), {"disabled": True})
    tenant.world.remove("user", int(ola.partition(":")[2]))
    found = await helpdesk.people([kari, ola, "company:999999", "user:0"])
    assert list(found) == [kari]
    assert found[kari].disabled


async def test_nobody_costs_no_call(tenant: Tenant, helpdesk: Pureservice) -> None:
    tenant.asked.clear()
    assert await helpdesk.people([]) == {}
    assert not tenant.asked


async def test_very_many_take_one_call_for_64_and_the_filters_are_of_ordinary_length(
    tenant: Tenant, helpdesk: Pureservice
) -> None:
    many = [user(tenant, f"P{n}", f"p{n}@example.no") for n in range(130)]
    tenant.asked.clear()
    found = await helpdesk.people([*many, *many])
    assert set(found) == set(many)
    assert tenant.calls("/user/") == 3
    assert max(len(str(request.url.query)) for request in tenant.asked) < 2_048


async def test_a_filter_that_is_too_long_is_halved_until_it_is_not(
    tenant: Tenant, connect: Connect
) -> None:
    many = [user(tenant, f"P{n}", f"p{n}@example.no") for n in range(40)]
    tenant.switch(longest_filter=200)
    assert set(await connect().people(many)) == set(many)


async def test_a_default_address_that_did_not_come_along_is_trouble_and_not_nothing(
    tenant: Tenant, helpdesk: Pureservice
) -> None:
    """Taken for nobody's, they would be passed over without a word."""
    kari = user(tenant, "Kari", "kari@example.no")
    address = tenant.world.find("emailaddress", email="kari@example.no")
    tenant.world.remove("emailaddress", address["id"])
    with pytest.raises(TransientError, match="without its default address"):
        await helpdesk.people([kari])


@pytest.mark.parametrize(
    ("status", "error"), [(503, TransientError), (401, StoppedError)], ids=["down", "key"]
)
async def test_trouble_is_told_for_what_it_is(
    tenant: Tenant, helpdesk: Pureservice, status: int, error: type[Exception]
) -> None:
    kari = user(tenant, "Kari", "kari@example.no")
    tenant.fault("status", path="/user", status=status, times=9)
    with pytest.raises(error) as caught:
        await helpdesk.people([kari])
    assert "kari@" not in str(caught.value)
