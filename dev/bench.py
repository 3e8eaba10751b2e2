"""What a campaign costs: requests, calls and memory. Counts, the same everywhere; no times."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psutil
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import AioHttpTransport
from azure.functions import FunctionApp
from rich.console import Console
from rich.table import Table

from dev.host import Host, Options
from dev.host.app import index, load
from dev.playground import Playground, temporary
from dev.seed import seed
from dev.setup import ROOT
from shared.bootstrap import Services, bootstrap
from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import Delivery, OpenDelivery, Outcome, Status
from shared.domain.recipient import Recipient
from shared.ledger.delivery_rows import attempt_row, delivery_columns
from shared.ports import Insert

#: A timer that hardly ever comes: the benchmark calls the steps itself, so that it can count them.
_NEVER = "0 0 0 29 2 *"


@dataclass
class Requests:
    """How many requests went to storage. Polls that brought nothing are not counted."""

    count: int = 0
    empty_polls: int = 0

    def saw(self, method: str, url: str, body: bytes | None) -> None:
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


def main(argv: list[str]) -> int:
    """0 when every target is met."""
    parser = argparse.ArgumentParser(prog="python -m dev bench", description=__doc__)
    parser.add_argument("--recipients", type=int, default=500, help="for the storage requests")
    parser.add_argument("--settled", type=int, default=20_000, help="for the account tick")
    parser.add_argument("--large", type=int, default=5_000, help="for the memory")
    options = parser.parse_args(argv)
    console = Console()
    table = Table(title="What a campaign costs", title_justify="left")
    for heading in ("What", "Measured", "Target", ""):
        table.add_column(heading, justify="left" if heading == "What" else "right")
    good = True

    def row(what: str, measured: str, target: str, met: bool) -> None:
        nonlocal good
        good = good and met
        table.add_row(what, measured, target, "[green]✓[/]" if met else "[red]✗[/]")
        console.print(f"{what}: {measured}")

    for batch, limit in ((16, 5.5), (1, 6.5)):
        cost = storage_requests(options.recipients, batch)
        what = f"Storage requests per e-mail, {options.recipients} recipients, batch {batch}"
        row(what, f"{cost:.2f}", f"≤ {limit}", cost <= limit)
    constant = 0
    for n in (10, 500, 2_000):
        calls = pureservice_calls(n)
        # a list of several pages has its last one read again too, and not just its first
        constant = constant or calls.working - calls.pages + calls.lists
        allowed = constant + calls.pages
        what = f"Pureservice calls, {n} recipients on {calls.lists} lists, {calls.pages} pages"
        row(what, str(calls.working), f"≤ {constant} + {calls.pages}", calls.working <= allowed)
        row("… and each minute while sending", str(calls.each_minute), "1", calls.each_minute == 1)
    empty, full = account_requests(0), account_requests(options.settled)
    row("Requests of one account, nothing settled", str(empty), "", True)
    row(f"The same with {options.settled} settled", str(full), f"= {empty}", full == empty)
    small, large = peak_memory(100), peak_memory(options.large)
    grown = large - small
    what = f"Growth of the app's peak memory, 100 to {options.large} recipients"
    row(what, f"{grown:.1f} MB", "≤ 25 MB", grown <= 25)
    console.print(table)
    console.print(f"The app's peak memory: {small:.0f} MB at 100, {large:.0f} at {options.large}.")
    return 0 if good else 1


# --- what is measured ---


def storage_requests(recipients: int, batch: int) -> float:
    """Requests to storage per delivered e-mail, the host's own included, from ticket to report."""
    with _playground() as playground:
        seed(playground.url, {"recipients": recipients, "tricky": False})
        requests = asyncio.run(_count_storage(playground, batch))
        delivered = len(playground.sink.messages())
    _check(delivered, recipients)
    return requests.counted / delivered


async def _count_storage(playground: Playground, batch: int) -> Requests:
    requests = Requests()
    async with _app_in_process(playground, requests) as app, _host(app, batch) as idle:
        await app.discover()
        while await app.services.ledger.campaigns.active():
            await idle()
            await app.account()
    return requests


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls to Pureservice: for the whole campaign, and for each further minute of it."""

    working: int
    each_minute: int
    lists: int
    pages: int


def pureservice_calls(recipients: int) -> Calls:
    """Calls for one campaign, from the ticket to the report on it."""
    with _playground() as playground:
        expected = seed(playground.url, {"recipients": recipients, "tricky": False})
        working, each_minute = asyncio.run(_count_calls(playground))
        _check(len(playground.sink.messages()), recipients)
    lists = len(expected["lists"])
    sizes = [len(range(first, recipients, lists)) for first in range(lists)]
    # each further page overlaps the one before by one, to show that nobody was passed over
    pages = sum(1 + max(0, -(-(size - 499) // 499)) for size in sizes)
    return Calls(working, each_minute, lists, pages)


async def _count_calls(playground: Playground) -> tuple[int, int]:
    def so_far() -> int:
        return int(playground.sim("GET", "state")["callsTotal"])

    async with _app_in_process(playground, Requests()) as app, _host(app, 16) as idle:
        before = so_far()
        await app.discover()
        started = so_far()
        await app.discover()
        each_minute = so_far() - started
        while await app.services.ledger.campaigns.active():
            await idle()
            await app.account()
        return so_far() - before - each_minute, each_minute


async def _measure_account(playground: Playground, settled: int) -> int:
    requests = Requests()
    async with _app_in_process(playground, requests) as app:
        await _put_settled(app.services, settled)
        before = requests.count
        await app.account()
        return requests.count - before


def account_requests(settled: int) -> int:
    """Requests to storage of one `account` over a campaign with this many settled, none open."""
    with _playground() as playground:
        playground.simulator.stop()  # the report, which reads everything, is not what is measured
        return asyncio.run(_measure_account(playground, settled))


async def _put_settled(services: Services, count: int) -> None:
    """A campaign under way whose deliveries are all sent, straight into the ledger."""
    now = datetime.now(UTC)
    found = await services.ledger.campaigns.create(
        Campaign("1-1", 1, 1, "email", now, "00000000", planned=count)
    )
    assert found
    await services.ledger.campaigns.save(replace(found, phase=Phase.SENDING, starts_at=now))
    table = services.storage.table("deliveries")
    for first in range(0, count, 50):
        rows = [
            row
            for n in range(first, min(count, first + 50))
            for row in _settled_rows(n, Outcome(Status.SENT), now)
        ]
        await table.write("1-1", *rows)


def _settled_rows(number: int, outcome: Outcome, at: datetime) -> tuple[Insert, Insert]:
    recipient = Recipient(f"user:{number}", f"Nr. {number}", f"{number}@example.no")
    opened = OpenDelivery(str(uuid4()), "1-1", recipient, attempt=1)
    delivery = Delivery(opened.id, "1-1", recipient, "email", outcome.status, settled_at=at)
    return Insert(f"d:{opened.id}", delivery_columns(delivery)), attempt_row(opened, outcome, at)


def peak_memory(recipients: int) -> float:
    """The most memory the host's process ever had, in megabytes, in a campaign of this size."""
    with temporary(SMTP_TIMEOUT_SECONDS="60") as playground:
        expected = seed(playground.url, {"recipients": recipients, "tricky": False})
        host = playground.start_host("--log-level", "warning")
        watched = psutil.Process(host.process.pid)
        peak = 0
        while playground.ticket(expected["requestNumber"])["status"] != "Løst":
            peak = max(peak, watched.memory_info().rss)
            time.sleep(0.1)
        _check(len(list(playground.sink.dir.glob("*.eml"))), recipients)
    return peak / 1024 / 1024


# --- how it is run ---


def _playground() -> AbstractContextManager[Playground]:
    return temporary(DISCOVER_SCHEDULE=_NEVER, ACCOUNT_SCHEDULE=_NEVER)


@dataclass(frozen=True, slots=True)
class _App:
    """The real app in this process, on services whose requests to storage are counted."""

    playground: Playground
    requests: Requests
    triggers: FunctionApp
    services: Services

    async def discover(self) -> None:
        await self._call("discover_campaigns")

    async def account(self) -> None:
        await self._call("account")

    async def _call(self, name: str) -> None:
        """What the host does when the timer comes."""
        listed = index(self.triggers, self.playground.settings)
        [function] = [function for function in listed if function.name == name]
        await function.call(None)


@asynccontextmanager
async def _app_in_process(playground: Playground, requests: Requests) -> AsyncIterator[_App]:
    before = dict(os.environ)
    os.environ.update(playground.settings)
    try:
        triggers, module = load(ROOT), sys.modules["function_app"]
    finally:
        os.environ.clear()
        os.environ.update(before)
    replaced = module.services
    services = bootstrap(playground.read_settings(), storage_transport=CountingTransport(requests))
    module.services = services  # type: ignore[attr-defined]
    await services.storage.prepare()
    try:
        yield _App(playground, requests, triggers, services)
    finally:
        for made in (services, replaced):
            await made.close()


@asynccontextmanager
async def _host(app: _App, batch: int) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A host that serves the app's queue, and a way to wait until that is empty."""
    unseen = bootstrap(app.playground.read_settings())  # looks without being counted
    queues = {"batchSize": batch, "newBatchThreshold": 0, "maxPollingInterval": "00:00:00.2"}
    host = Host(
        app.triggers,
        host_json={"extensions": {"queues": queues}},
        settings=app.playground.settings,
        options=Options(policies=[CountingPolicy(app.requests)]),
    )

    async def empty() -> bool:
        return not host.running and await unseen.email.queue.length() == 0

    async with host:
        yield lambda: host.run_until(empty, 300)
    await unseen.close()


def _check(delivered: int, recipients: int) -> None:
    if delivered != recipients:
        raise RuntimeError(f"{delivered} of {recipients} mails arrived")
