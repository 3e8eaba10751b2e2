"""What a campaign costs by its size: planned, looked after when nearly all is settled, reported."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from dev.bench.app import EVERY_SECOND, NEVER, App, Requests, app_in_process, now
from dev.bench.by_email import pages
from dev.bench.memory import peak_memory_until
from dev.bench.storage import Watched, watched
from dev.seed import seed
from shared.bootstrap import bootstrap
from shared.domain.delivery import Claim, OpenDelivery, Outcome, Reason, Status
from shared.domain.portions import in_portions
from shared.ledger.delivery_rows import attempt_row, outcome_columns, problem_row
from shared.ports import Delete, Merge, Table, Write

#: So many have failed; and so many are open when it is looked at, one after the other.
PROBLEMS, OPEN = 10, (100, 1, 0)
#: The smallest campaign that can be measured: all there is is open, or a problem.
SMALLEST = PROBLEMS + max(OPEN)

_UNDO_SECONDS = 12 * 3600  #: nobody goes before all is planned, on however slow a machine
_A_TRANSACTION, _AT_ONCE = 25, 4
_SENT, _FAILED = Outcome(Status.SENT), Outcome(Status.FAILED, Reason.REFUSED)


@dataclass(frozen=True, slots=True)
class Planning:
    """What a host asked of storage from the ticket to the start note."""

    pages: int  #: of the lists
    transactions: int  #: that wrote recipients
    rows: int  #: that they wrote
    requests: int  #: all of those that count


@dataclass(frozen=True, slots=True)
class Looks:
    """Requests to storage for one look each, with so many deliveries open."""

    open: int
    account: int  #: where none is open, it also begins a report
    complete: int
    problems: int
    problem_times: int
    progress: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one campaign by e-mail. Memory in megabytes, the most that the host ever had."""

    recipients: int
    planning: Planning
    looks: tuple[Looks, ...]
    planning_peak: float
    reporting_peak: float


def cost_at_size(recipients: int, say: Callable[[str], None]) -> Cost:
    """A campaign of so many, planned and reported by a real host, settled straight in storage.

    `say` is told how far it has come.
    """
    began = time.monotonic()

    def so_far(what: str) -> None:
        say(f"{recipients} recipients: {what} after {time.monotonic() - began:.0f} s")

    with watched(UNDO_SECONDS=str(_UNDO_SECONDS), ACCOUNT_SCHEDULE=NEVER) as playground:
        expected = seed(playground.url, {"recipients": recipients, "tricky": False})
        number: int = expected["requestNumber"]
        planning_peak = _host_until(playground, number, "Utsending – pågår")
        planning = _planning(playground, pages(recipients, len(expected["lists"])))
        so_far("planned")
        looks = asyncio.run(_settled(playground, number, so_far))
        playground.settings["ACCOUNT_SCHEDULE"] = EVERY_SECOND
        reporting_peak = _host_until(playground, number, "Løst")
        so_far("reported")
    return Cost(recipients, planning, looks, planning_peak, reporting_peak)


def _host_until(playground: Watched, number: int, status: str) -> float:
    """The most memory of a host that runs until the ticket has this status."""
    host = playground.start_host("--log-level", "warning")
    peak = peak_memory_until(host, playground, number, status)
    host.stop()
    return peak


def _planning(playground: Watched, pages: int) -> Planning:
    requests = [one for one in playground.door.requests if one.counts]
    written = [one.operations for one in requests if one.place == "deliveries" and one.operations]
    return Planning(pages, len(written), sum(written), len(requests))


async def _settled(
    playground: Watched, number: int, so_far: Callable[[str], None]
) -> tuple[Looks, ...]:
    """Settle all but the open ones and set the campaign going; then look at it."""
    unseen = bootstrap(playground.unseen())
    table = unseen.storage.table("deliveries")
    [campaign] = await unseen.ledger.campaigns.on_ticket(number)
    everybody = await unseen.ledger.deliveries.due(campaign.id, now(), campaign.planned)
    left, settled = everybody[: max(OPEN)], everybody[max(OPEN) :]
    await _settle(table, settled[:PROBLEMS], _FAILED)
    await _settle(table, settled[PROBLEMS:], _SENT)
    so_far("settled")
    await unseen.ledger.campaigns.save(replace(campaign, starts_at=now()))
    requests, looks = Requests(), []
    async with app_in_process(playground, requests) as app:
        await app.discover()
        for open_ in OPEN:
            rows = [unseen.ledger.deliveries.get_open(campaign.id, one.id) for one in left[open_:]]
            await _settle(table, [one for one in await asyncio.gather(*rows) if one], _SENT)
            left = left[:open_]
            if not left:  # the report is to begin, and not to get anywhere
                playground.sim("POST", "faults", kind="status", times=1_000)
            looks.append(await _look(app, requests, campaign.id, open_))
        playground.sim("DELETE", "faults")
    await unseen.close()
    return tuple(looks)


async def _settle(table: Table, opened: Sequence[OpenDelivery], outcome: Outcome) -> None:
    """In the ledger's own rows, but many in one transaction."""
    at = now()

    async def write(portion: Sequence[OpenDelivery]) -> None:
        rows = (row for one in portion for row in _rows(one, outcome, at))
        await table.write(portion[0].campaign, *rows)

    for some in in_portions(list(in_portions(opened, _A_TRANSACTION)), _AT_ONCE):
        await asyncio.gather(*map(write, some))


def _rows(opened: OpenDelivery, outcome: Outcome, at: datetime) -> list[Write]:
    claimed = replace(opened, attempt=1, claim=Claim(uuid4().hex, at))
    rows: list[Write] = [
        Merge(f"d:{opened.id}", outcome_columns(claimed, outcome, at), None),
        Delete(f"o:{opened.id}", opened.version),
        attempt_row(claimed, outcome, at),
    ]
    return [*rows, problem_row(claimed, outcome, at)] if outcome is _FAILED else rows


async def _look(app: App, requests: Requests, campaign: str, open_: int) -> Looks:
    ledger = app.services.ledger

    async def counted(looking: Awaitable[object]) -> int:
        before = requests.count
        await looking
        return requests.count - before

    async def problem_times() -> None:
        async for _ in ledger.deliveries.problem_times(campaign):
            pass

    return Looks(
        open_,
        account=await counted(app.account()),
        complete=await counted(ledger.deliveries.any_open(campaign)),
        problems=await counted(ledger.deliveries.problems(campaign)),
        problem_times=await counted(problem_times()),
        progress=await counted(ledger.progress.get(campaign)),
    )
