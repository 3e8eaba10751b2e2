"""What a campaign by e-mail costs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from dev.bench.app import QUOTA, Requests, app_in_process, calls_so_far, host, without_timers
from dev.bench.memory import peak_memory_until
from dev.playground import Playground, temporary
from dev.seed import seed


def storage_requests(recipients: int, batch: int) -> float:
    """Requests to storage per delivered e-mail, the host's own included, from ticket to report."""
    [requests] = storage_requests_of([recipients], batch)
    return requests / recipients


def storage_requests_of(sizes: Sequence[int], batch: int) -> list[int]:
    """The same for a whole campaign of each size, one after the other."""
    measured, delivered = [], 0
    with without_timers() as playground:
        for recipients in sizes:
            seed(playground.url, {"recipients": recipients, "tricky": False})
            measured.append(asyncio.run(_count_storage(playground, batch)).counted)
            before, delivered = delivered, len(playground.sink.messages())
            _check(delivered - before, recipients)
    return measured


async def _count_storage(playground: Playground, batch: int) -> Requests:
    requests = Requests()
    async with app_in_process(playground, requests) as app, host(app, batch) as idle:
        await app.discover()
        while await app.services.ledger.campaigns.active():
            await idle()
            await app.discover()
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
    [calls] = pureservice_calls_of([recipients])
    return calls


def pureservice_calls_of(sizes: Sequence[int]) -> list[Calls]:
    """The same for a campaign of each size, one after the other."""
    measured, delivered = [], 0
    with without_timers() as playground:
        for recipients in sizes:
            expected = seed(playground.url, {"recipients": recipients, "tricky": False})
            working, each_minute = asyncio.run(_count_calls(playground))
            before, delivered = delivered, len(playground.sink.messages())
            _check(delivered - before, recipients)
            lists = len(expected["lists"])
            measured.append(Calls(working, each_minute, lists, pages(recipients, lists)))
    return measured


def pages(recipients: int, lists: int) -> int:
    """How many pages these lists have together, with the recipients dealt out among them."""
    sizes = [len(range(first, recipients, lists)) for first in range(lists)]
    # each further page overlaps the one before by one, to show that nobody was passed over
    return sum(1 + max(0, -(-(size - 499) // 499)) for size in sizes)


async def _count_calls(playground: Playground) -> tuple[int, int]:
    async with app_in_process(playground) as app, host(app, 16) as idle:
        before = calls_so_far(playground)
        await app.discover()
        started = calls_so_far(playground)
        await app.discover()
        each_minute = calls_so_far(playground) - started
        while await app.services.ledger.campaigns.active():
            await idle()
            await app.account()
        return calls_so_far(playground) - before - each_minute, each_minute


def peak_memory(recipients: int) -> float:
    """The most memory the host's process ever had, in megabytes, in a campaign of this size."""
    # on a busy machine storage may miss a beat, and what was in hand is not to take minutes
    patience = {"SMTP_TIMEOUT_SECONDS": "20", "PURESERVICE_TIMEOUT_SECONDS": "20"}
    patience |= {"LEASE_SECONDS": "100", "GRACE_SECONDS": "10"}
    with temporary(**patience, EMAIL_DAILY_QUOTA=QUOTA) as playground:
        expected = seed(playground.url, {"recipients": recipients, "tricky": False})
        host = playground.start_host("--log-level", "warning")
        peak = peak_memory_until(host, playground, expected["requestNumber"], "Løst")
        _check(len(list(playground.sink.dir.glob("*.eml"))), recipients)
    return peak


def _check(delivered: int, recipients: int) -> None:
    if delivered != recipients:
        raise RuntimeError(f"{delivered} of {recipients} mails arrived")
