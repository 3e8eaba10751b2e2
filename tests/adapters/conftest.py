"""A Pureservice in this process, and the adapter that talks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from dev.pureservice import Fault, Switches, World, create_app, seed_base
from dev.pureservice.seed import PLACEHOLDERS, add_ticket
from shared.adapters.pureservice import Pureservice
from shared.settings import Settings

KEY = "eyJ.hemmelig.nokkel"


def settings(**values: Any) -> Settings:
    return Settings(
        **{
            "INSTALLATION": "test",
            "ONLY_SEND_TO": "example.no, skolen.local",
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "DISCOVER_SCHEDULE": "0 * * * * *",
            "ACCOUNT_SCHEDULE": "30 * * * * *",
            "DELIVER_EMAIL_QUEUE": "deliver-email",
            "DELIVER_TICKET_QUEUE": "deliver-ticket",
            "LISTS_SCHEDULE": "0 0 3 * * *",
            "FORGET_SCHEDULE": "0 0 4 * * *",
            "BOUNCES_SCHEDULE": "0 */5 * * * *",
            "LETTERS_SCHEDULE": "20 * * * * *",
            "RECEIPTS_SCHEDULE": "40 * * * * *",
            "REGISTER_SCHEDULE": "0 0 5 * * 0",
            "PURESERVICE_URL": "https://fjordvik.pureservice.example",
            "PURESERVICE_KEY": KEY,
            "SMTP_HOST": "127.0.0.1",
            "MAIL_FROM": "post@fjordvik.example.no",
        }
        | values
    )


class Time:
    """A clock that only moves when told; sleeping tells it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 2, 3, 8, 15, tzinfo=UTC)
        self.naps: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += timedelta(seconds=seconds)


class Tenant(httpx.AsyncBaseTransport):
    """The simulator with a seeded world, and what it was asked. `edit` may falsify requests."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.world = World(now=time, switches=Switches(calls_per_minute=0))
        seed_base(self.world)
        self.app = create_app(self.world, key=KEY)
        self.asked: list[httpx.Request] = []
        self.edit: Callable[[httpx.Request], httpx.Request] = lambda request: request
        self._inner = httpx.ASGITransport(self.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return await self._inner.handle_async_request(self.edit(request))

    def calls(self, *words: str) -> int:
        """How many requests had all these in their method and URL."""
        told = [f"{request.method} {request.url}" for request in self.asked]
        return sum(all(word in line for word in words) for line in told)

    def switch(self, **values: Any) -> None:
        self.world.switches = self.world.switches.model_copy(update=values)

    def fault(self, kind: str, **values: Any) -> None:
        self.app.traffic.faults.append(Fault.model_validate({"kind": kind, **values}))

    def new_ticket(self, address: str = PLACEHOLDERS["email"]) -> Row:
        user_id = self.world.find("emailaddress", email=address)["userId"]
        return add_ticket(self.world, user_id=user_id, subject="Høring om ny veileder")

    def id(self, kind: str, **values: Any) -> int:
        row = self.world.find(kind, **values)
        assert row, f"no {kind} {values}"
        return int(row["id"])


Row = dict[str, Any]
Connect = Callable[..., Pureservice]


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def tenant(time: Time) -> Tenant:
    return Tenant(time)


@pytest.fixture
async def connect(tenant: Tenant, time: Time) -> AsyncIterator[Connect]:
    """Makes adapters: `connect(transport=…, SETTING=…)`; the simulator is the usual transport."""
    made: list[Pureservice] = []

    def make(transport: httpx.AsyncBaseTransport | None = tenant, **values: Any) -> Pureservice:
        made.append(
            Pureservice(settings(**values), clock=time, transport=transport, sleep=time.sleep)
        )
        return made[-1]

    yield make
    for helpdesk in made:
        await helpdesk.close()


@pytest.fixture
def helpdesk(connect: Connect) -> Pureservice:
    return connect()


@pytest.fixture
def ticket(tenant: Tenant) -> Row:
    """A case worker's new ticket for the made-up user."""
    return tenant.new_ticket()
