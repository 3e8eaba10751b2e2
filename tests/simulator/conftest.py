"""A small tenant, and a client of it that sends what the API wants to be sent."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from dev.pureservice import Simulator, Switches, World, create_app, seed_base

VND = "application/vnd.api+json"


class Clock:
    """A time that only moves when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 2, 3, 8, 15, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    world = World(now=clock, switches=Switches(calls_per_minute=0))
    seed_base(world)
    return world


@pytest.fixture
def app(world: World) -> Simulator:
    return create_app(world)


@pytest.fixture
async def api(app: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://tenant/agent/api",
        headers={"X-Authorization-Key": "demo-key", "Accept": VND},
    ) as client:
        yield client


@pytest.fixture
def turn(world: World) -> Callable[..., None]:
    """Throw switches: ``turn(page_size=25)``."""

    def throw(**values: Any) -> None:
        world.switches = Switches.model_validate({**world.switches.model_dump(), **values})

    return throw
