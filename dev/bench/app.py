"""The real app in this process, with counters on its ways to storage and to Pureservice."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import AioHttpTransport
from azure.functions import FunctionApp, QueueMessage

from dev.host import Host, Options
from dev.host.app import index, load
from dev.host.timers import CONTAINER as LOCKS
from dev.playground import Playground, temporary
from dev.setup import ROOT
from shared.bootstrap import Services, bootstrap
from shared.ports import Clock

#: A timer that hardly ever comes: the benchmark calls the steps itself, so that it can count them.
NEVER = "0 0 0 29 2 *"
EVERY_SECOND = "* * * * * *"
#: Kept account of as in production, but never used up, or a campaign would wait for tomorrow.
QUOTA = "1000000"


def without_timers(**settings: str) -> AbstractContextManager[Playground]:
    """A playground where nothing happens by itself."""
    timers = {"DISCOVER_SCHEDULE": NEVER, "ACCOUNT_SCHEDULE": NEVER}
    return temporary(**timers, EMAIL_DAILY_QUOTA=QUOTA, **settings)


def calls_so_far(playground: Playground) -> int:
    """How many calls Pureservice has had."""
    return int(playground.sim("GET", "state")["callsTotal"])


@dataclass
class Requests:
    """How many requests went to storage, but for what is asked for by the clock.

    That is polls that brought nothing, and the locks by which hosts agree on who has a timer.
    """

    count: int = 0
    empty_polls: int = 0

    def saw(self, method: str, url: str, body: bytes | None) -> None:
        if f"/{LOCKS}" in url:
            return
        self.count += 1
        if (
            method == "GET"
            and "/messages" in url
            and body is not None
            and b"<QueueMessage>" not in body
        ):
            self.empty_polls += 1

    @property
    def counted(self) -> int:
        return self.count - self.empty_polls


class CountingTransport(AioHttpTransport):  # type: ignore[misc]  # azure-core hides its type
    """The app's way to storage, with a counter on it."""

    def __init__(self, requests: Requests) -> None:
        super().__init__()
        self._requests = requests

    async def send(self, request: Any, **options: Any) -> Any:
        self._requests.saw(request.method, request.url, None)
        return await super().send(request, **options)


class CountingPolicy(SansIOHTTPPolicy[Any, Any]):
    """The host's way to its queues, with the same counter."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def on_response(self, request: Any, response: Any) -> None:
        http = request.http_request
        try:
            body = response.http_response.body()
        except Exception:  # not read yet: then it is not a poll for messages
            body = None
        self._requests.saw(http.method, http.url, body)


@dataclass(frozen=True, slots=True)
class App:
    """The real app in this process, on services whose requests to storage are counted."""

    playground: Playground
    requests: Requests
    triggers: FunctionApp
    services: Services

    async def discover(self) -> None:
        await self._call("discover_campaigns", None)

    async def account(self) -> None:
        await self._call("account", None)

    async def deliver_ticket(self, item: str) -> None:
        await self._call("deliver_ticket", QueueMessage(body=item.encode()))

    async def _call(self, name: str, argument: object) -> None:
        """What the host does when the timer or the message comes."""
        listed = index(self.triggers, self.playground.settings)
        [function] = [function for function in listed if function.name == name]
        await function.call(argument)


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def app_in_process(
    playground: Playground,
    requests: Requests | None = None,
    *,
    clock: Clock = now,
    change: Callable[[Services], Services] = lambda services: services,
) -> AsyncIterator[App]:
    """The app that Azure would import, on services of our own: `change` has the last word."""
    before = dict(os.environ)
    os.environ.update(playground.settings)
    try:
        triggers, module = load(ROOT), sys.modules["function_app"]
    finally:
        os.environ.clear()
        os.environ.update(before)
    replaced = module.services
    requests = requests or Requests()
    services = change(
        bootstrap(
            playground.read_settings(),
            clock=clock,
            storage_transport=CountingTransport(requests),
        )
    )
    module.services = services  # type: ignore[attr-defined]
    await services.storage.prepare()
    try:
        yield App(playground, requests, triggers, services)
    finally:
        for made in (services, replaced):
            await made.close()


@asynccontextmanager
async def host(app: App, batch: int) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A host that serves the app's queues, and a way to wait until that of e-mail is empty."""
    unseen = bootstrap(app.playground.read_settings())  # looks without being counted
    queues = {"batchSize": batch, "newBatchThreshold": 0, "maxPollingInterval": "00:00:00.2"}
    host = Host(
        app.triggers,
        host_json={"extensions": {"queues": queues}},
        settings=app.playground.settings,
        options=Options(key="bench", policies=[CountingPolicy(app.requests)]),
    )

    async def empty() -> bool:
        return not host.running and await unseen.lanes["email"].waiting() == 0

    async with host:
        yield lambda: host.run_until(empty, 300)
    await unseen.close()
