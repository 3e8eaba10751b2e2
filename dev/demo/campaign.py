"""Following a campaign in the ledger until it is over, and reading what it left on its ticket."""

import asyncio
import csv
import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dev.playground import Playground
from shared.bootstrap import Services, bootstrap
from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import Delivery, Status
from shared.domain.html import plain_text
from shared.domain.recipient import LeftOut

PATIENCE = 240  # seconds; a campaign of the default size takes a few


@dataclass(frozen=True)
class Finished:
    """A campaign that is over: what the ledger says, and its ticket as a person sees it."""

    campaign: Campaign
    deliveries: list[Delivery]
    left_out: list[LeftOut]
    seconds: float
    ticket: dict[str, Any]

    @property
    def files(self) -> list[dict[str, Any]]:
        """What we have attached to the ticket."""
        return [one for one in self.ticket["attachments"] if self.campaign.id in one["fileName"]]


def follow(
    playground: Playground, number: int, console: Console, what: str, count: Callable[[], int]
) -> Finished:
    """Watch the campaign until it is over; `count` tells how many there are of `what` by now."""
    return asyncio.run(_follow(playground, number, console, what, count))


async def _follow(
    playground: Playground, number: int, console: Console, what: str, count: Callable[[], int]
) -> Finished:
    services = bootstrap(playground.read_settings())
    started = time.monotonic()
    try:
        await services.storage.prepare()
        async with asyncio.timeout(PATIENCE):
            campaign = await _watch(services, number, console, what, count)
        deliveries = [one async for one in services.ledger.deliveries.all(campaign.id)]
        left_out = [one async for one in services.ledger.deliveries.left_out(campaign.id)]
        seconds = time.monotonic() - started
        return Finished(campaign, deliveries, left_out, seconds, playground.ticket(number))
    finally:
        await services.close()


async def _watch(
    services: Services, number: int, console: Console, what: str, count: Callable[[], int]
) -> Campaign:
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[what]}"),
        TimeElapsedColumn(),
    )
    deliveries = services.ledger.deliveries
    with Progress(*columns, console=console) as progress:
        made = progress.add_task("waiting", total=None, what=what)
        settled = progress.add_task("", total=None, what="settled")
        while True:
            if found := await services.ledger.campaigns.on_ticket(number):
                campaign = found[-1]
                planned = campaign.planned or None
                done = [d async for d in deliveries.all(campaign.id) if d.status != Status.PLANNED]
                progress.update(made, description=campaign.phase, completed=count(), total=planned)
                progress.update(settled, completed=len(done), total=planned)
                if campaign.phase in {Phase.DONE, Phase.BLOCKED}:
                    return campaign
            await asyncio.sleep(0.1)


def show_text(console: Console, title: str, html: str | None, most: int = 30) -> None:
    """A text of ours as a person reads it, as many lines of it as that."""
    lines = plain_text(html or "").strip().splitlines()
    shown = [*lines[:most], "…"] if len(lines) > most else lines
    console.print(Panel("\n".join(shown), title=title, title_align="left"))


def read_csv(
    playground: Playground, files: list[dict[str, Any]], begins: str
) -> list[dict[str, str]]:
    """The rows of all files of this kind, read the way a person's spreadsheet does."""
    rows: list[dict[str, str]] = []
    for file in files:
        if file["fileName"].startswith(begins):
            text = playground.download(file["id"]).decode("utf-8-sig")
            rows += csv.DictReader(io.StringIO(text, newline=""), delimiter=";")
    return rows


def differing(claims: Mapping[str, tuple[object, object]]) -> list[str]:
    """A line for each claim whose two sides, found and expected, are not equal."""
    return [
        f"{what}: found {found}, expected {wanted}"
        for what, (found, wanted) in claims.items()
        if found != wanted
    ]
