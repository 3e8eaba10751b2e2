"""Who a company is as a user: found however the address is spelt, or made once by one worker."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from dev.pureservice.seed import add_company, add_user
from shared.adapters.pureservice_users import PureserviceUsers
from shared.domain.delivery import Reason
from shared.domain.recipient import Recipient, normalise_address
from shared.errors import (
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UtsendelseError,
)
from shared.ledger.claims import Claims
from tests.adapters.conftest import Connect, Tenant, Time, settings
from tests.fakes import MemoryTable

NAME = "Blåbær & sønn AS"
ADDRESS = "post@blabar.example.no"
LEASE = timedelta(seconds=120)

Row = dict[str, Any]


class Town:
    """A tenant, and workers on as many hosts as one likes that share a table of claims."""

    def __init__(self, tenant: Tenant, time: Time, connect: Connect) -> None:
        self.tenant, self.time, self._connect = tenant, time, connect
        self.world = tenant.world
        self.claims = Claims(MemoryTable())

    def worker(self, transport: Any = None, **values: Any) -> PureserviceUsers:
        wire = self._connect(transport or self.tenant, **values).wire
        return PureserviceUsers(settings(**values), wire, self.claims, self.time)

    def company(self, address: str = ADDRESS, name: str = NAME) -> Recipient:
        company = add_company(self.world, {"name": name}, [address])
        normalised = normalise_address(address)
        assert normalised
        return Recipient(f"company:{company['id']}", name, normalised)

    async def user(self, recipient: Recipient) -> int:
        return await self.worker().for_recipient(recipient)

    def made(self) -> list[Row]:
        return [row for row in self.world.all("user") if row.get("firstName") == "Postmottak"]

    def addresses(self, address: str = ADDRESS) -> list[Row]:
        rows = self.world.all("emailaddress")
        return [row for row in rows if row["email"].lower() == address.lower()]

    async def refusal(self, recipient: Recipient, worker: PureserviceUsers | None = None) -> Any:
        """What the look-up ended with; it never tells who it is about."""
        with pytest.raises(UtsendelseError) as caught:
            await (worker or self.worker()).for_recipient(recipient)
        told = "".join(traceback.format_exception(caught.value)).casefold()
        assert not [s for s in (recipient.address, "blåbær", "blabar", "sønn") if s in told]
        return caught.value


@pytest.fixture
def town(tenant: Tenant, time: Time, connect: Connect) -> Town:
    return Town(tenant, time, connect)


@pytest.fixture(autouse=True)
def nothing_personal_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert "blåbær" not in caplog.text.casefold()
    assert "@" not in caplog.text


# -- found


async def test_a_recipient_who_is_known_as_a_user_costs_no_call(town: Town) -> None:
    assert await town.user(Recipient("user:31", "Kari", "kari@example.no", 31)) == 31
    assert await town.user(Recipient("company:9", NAME, ADDRESS, 412)) == 412
    assert town.tenant.asked == []


@pytest.mark.parametrize(
    ("registered", "on_the_list"),
    [
        ("post@example.no", "post@example.no"),
        ("post@example.no", "Post@Example.NO"),
        ("Post@example.no", "Post@EXAMPLE.no"),
        ("post@xn--blbr-roah.example", "post@blåbær.example"),
        ("post@blåbær.example", "post@xn--blbr-roah.example"),
        ("post@blåbær.example", "POST@BLÅBÆR.example"),
        ("Post@blåbær.example", "Post@xn--blbr-roah.example"),
        ("o'hara+liste@example.no", "o'hara+liste@example.no"),
    ],
)
async def test_a_companys_user_is_found_however_the_address_is_spelt(
    town: Town, registered: str, on_the_list: str
) -> None:
    user = add_user(town.world, {"firstName": "Kari"}, ["gammel@example.no", registered])
    assert await town.user(town.company(on_the_list)) == user["id"]
    assert len(town.tenant.asked) == 1
    assert town.made() == []


async def test_an_address_that_is_spelt_twice_on_one_user_is_that_users(town: Town) -> None:
    for name in ("vest", "øst"):
        spelt = [f"Post.{name}@example.no", f"post.{name}@example.no"]
        user = add_user(town.world, {"firstName": "Kari"}, spelt[:: 1 if name == "vest" else -1])
        assert await town.user(town.company(spelt[0], name)) == user["id"]


async def test_of_two_users_with_the_address_the_one_in_use_counts(town: Town) -> None:
    town.tenant.switch(same_address_twice=True)
    add_user(town.world, {"firstName": "Sluttet", "disabled": True}, [ADDRESS])
    user = add_user(town.world, {"firstName": "Kari"}, [ADDRESS])
    assert await town.user(town.company()) == user["id"]


@pytest.mark.parametrize(
    ("values", "addresses"),
    [({"disabled": True}, [ADDRESS]), ({}, [ADDRESS, "annen@example.no"])],
    ids=["disabled", "not the default address"],
)
async def test_a_user_who_would_not_get_it_is_not_written_to(
    town: Town, values: Row, addresses: list[str]
) -> None:
    user = add_user(town.world, {"firstName": "Kari", **values}, addresses)
    company = town.company()
    for _ in range(2):  # and nothing is left behind that would make the second time differ
        error = await town.refusal(company)
        assert type(error) is PermanentError
        assert error.reason is Reason.NO_USER
        assert f"user {user['id']}" in str(error)
    assert town.tenant.calls("POST") == 0


async def test_a_user_who_did_not_come_with_the_address_is_asked_for_again(town: Town) -> None:
    user = add_user(town.world, {"firstName": "Kari"}, [ADDRESS])
    company = town.company()

    def forget(request: httpx.Request) -> httpx.Request:
        url = request.url.copy_remove_param("include")
        return httpx.Request(request.method, url, headers=request.headers)

    town.tenant.edit = forget
    assert type(await town.refusal(company)) is TransientError
    town.tenant.edit = lambda request: request
    assert await town.user(company) == user["id"]


# -- made


async def test_a_missing_user_is_made_as_the_companys_mailbox(town: Town) -> None:
    company = town.company()
    id_ = await town.user(company)
    assert [one.method for one in town.tenant.asked] == ["GET", "POST", "POST"]
    [user], [address] = town.made(), town.addresses()
    assert (user["id"], user["firstName"], user["lastName"]) == (id_, "Postmottak", NAME)
    assert (user["role"], user["notificationScheme"]) == (10, 1)
    assert f"company:{user['companyId']}" == company.member
    assert (user["emailAddressId"], address["userId"]) == (address["id"], id_)
    assert await town.user(company) == id_


async def test_companies_that_share_a_mailbox_share_its_user(town: Town) -> None:
    first, second = town.company(), town.company(ADDRESS.upper(), "Søster To")
    assert await town.user(first) == await town.user(second)
    [user] = town.made()
    assert user["lastName"] == NAME


async def test_an_address_that_somebody_left_without_a_user_gets_one(town: Town) -> None:
    address = town.world.add("emailaddress", {"email": ADDRESS})
    id_ = await town.user(town.company())
    assert town.addresses() == [address]
    assert address["userId"] == id_


async def test_eight_workers_at_once_make_one_user(town: Town) -> None:
    class Unhurried(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(0)  # whoever else is ready goes first
            return await town.tenant.handle_async_request(request)

    some = [town.company(), *(town.company(name=f"Avdeling {n}") for n in range(7))]
    workers = [town.worker(Unhurried()) for _ in some]

    async def all_at_once() -> list[Any]:
        tries = (w.for_recipient(r) for w, r in zip(workers, some, strict=True))
        return await asyncio.gather(*tries, return_exceptions=True)

    first = await all_at_once()
    [id_] = [one for one in first if isinstance(one, int)]
    assert [type(one) for one in first if one != id_] == [TransientError] * 7
    for worker, company in zip(workers, some, strict=True):
        assert await worker.for_recipient(company) == id_
    assert len(town.made()) == len(town.addresses()) == 1


# -- trouble

LOST: list[tuple[Row, int]] = [
    ({"kind": "drop_before"}, 0),
    ({"kind": "drop_after_write"}, 1),
    ({"kind": "half_json"}, 1),
    ({"kind": "status", "status": 500}, 0),
    ({"kind": "html", "status": 502, "after_write": True}, 1),
]


@pytest.mark.parametrize("path", ["/emailaddress", "/user"])
@pytest.mark.parametrize(("trouble", "done"), LOST, ids=str)
async def test_a_lost_answer_is_looked_into_when_it_can_no_longer_be_under_way(
    town: Town, path: str, trouble: Row, done: int
) -> None:
    company, other = town.company(), town.company(name="Søster To")
    town.tenant.fault(method="POST", path=path, **trouble)
    assert type(await town.refusal(company)) is TransientError
    assert len(town.addresses() if path == "/emailaddress" else town.made()) == done
    asked = len(town.tenant.asked)
    town.time.now += LEASE - timedelta(seconds=1)
    for one in (company, other):
        assert type(await town.refusal(one)) is TransientError
    assert len(town.tenant.asked) == asked
    town.time.now += timedelta(seconds=1)
    assert await town.user(company) == await town.user(other)
    assert len(town.made()) == len(town.addresses()) == 1


@pytest.mark.parametrize("path", ["/emailaddress", "/user"])
@pytest.mark.parametrize(
    ("status", "kind"), [(429, ThrottledError), (401, StoppedError), (400, PermanentError)]
)
async def test_a_plain_no_stands_in_nobodys_way(
    town: Town, path: str, status: int, kind: type
) -> None:
    company = town.company()
    town.tenant.fault("status", method="POST", path=path, status=status)
    assert type(await town.refusal(company)) is kind
    assert await town.user(company) == town.made()[0]["id"]
    assert len(town.made()) == len(town.addresses()) == 1


async def test_a_look_up_that_fails_stands_in_nobodys_way(town: Town) -> None:
    company = town.company()
    town.tenant.fault("status", method="GET", path="/emailaddress", times=3)
    assert type(await town.refusal(company)) is TransientError
    assert await town.user(company) == town.made()[0]["id"]


async def test_the_servers_words_about_an_address_are_not_repeated(town: Town) -> None:
    """The same address exists in a spelling that was not asked for."""
    company = town.company("Post@Blabar.example.no")

    def ask_for_another(request: httpx.Request) -> httpx.Request:
        if request.method != "GET":
            return request
        url = request.url.copy_set_param("filter", 'email == "en.annen@example.no"')
        return httpx.Request(request.method, url, headers=request.headers)

    town.world.add("emailaddress", {"email": "Post@blabar.example.no"})
    town.tenant.edit = ask_for_another
    error = await town.refusal(company)
    assert type(error) is PermanentError
    assert "'…@…' exists" in str(error)


async def test_making_a_user_never_outlives_the_claim(town: Town) -> None:
    class Hanging(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                await asyncio.Event().wait()
            return await town.tenant.handle_async_request(request)

    company = town.company()
    worker = town.worker(Hanging(), PURESERVICE_TIMEOUT_SECONDS=1)
    async with asyncio.timeout(20):
        error = await town.refusal(company, worker)  # takes two seconds, half of the lease
    assert type(error) is TransientError
    assert "no end to it" in str(error)
    assert type(await town.refusal(company)) is TransientError
    town.time.now += timedelta(seconds=4)
    assert await town.user(company) == town.made()[0]["id"]


@pytest.fixture(autouse=True)
def no_faults_left(tenant: Tenant) -> Iterator[None]:
    """A fault that nobody met is a test that shows nothing."""
    yield
    assert tenant.app.traffic.faults == []
