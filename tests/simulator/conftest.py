"""A small tenant, and a client of it that sends what the API wants to be sent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn

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


@asynccontextmanager
async def served(app: Simulator) -> AsyncIterator[str]:
    """The app on a free port of this machine."""
    config = uvicorn.Config(app, port=0, access_log=False, log_level="warning", ws="none")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
