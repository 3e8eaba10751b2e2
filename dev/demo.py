"""A first simulated campaign, from a ticket in Pureservice to the report on it."""

import argparse
import asyncio
import csv
import io
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dev.playground import Playground
from dev.seed import seed
from dev.setup import WORK
from shared.bootstrap import Services, bootstrap
from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import Delivery, Status
from shared.domain.html import plain_text
from shared.domain.recipient import LeftOut, address_key
from shared.flow.wording import LEFT_OUT, STATUS

_PATIENCE = 240  # seconds; a campaign of the default size takes a few
_SHOWN = 60


def main(argv: list[str]) -> int:
    """0 only if ledger, mail sink and simulator agree to the last recipient."""
    parser = argparse.ArgumentParser(prog="python -m dev demo", description=__doc__)
    parser.add_argument(
        "--recipients", type=int, default=30, metavar="N", help="beside the tricky ones"
    )
    options = parser.parse_args(argv)
    if options.recipients < 1:
        parser.error("--recipients must be at least 1")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    console = Console()
    folder = WORK / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    console.print("Starting storage, Pureservice, a mail server and the app …")
    with Playground(folder) as playground:
        host = playground.start_host()
        expected = seed(playground.url, {"recipients": options.recipients})
        number = expected["requestNumber"]
        console.print(
            f"A case worker has made ticket [bold]{number}[/] «{expected['subject']}», with"
            f" {len(expected['lists'])} recipient lists and {expected['memberships']} memberships."
        )
        try:
            result = asyncio.run(_follow(playground, number, console))
        except TimeoutError:
            console.print(f"[red]Not done after {_PATIENCE} s.[/] The host's last words:")
            console.print(host.said(), markup=False)
            return 1
        result.mails = playground.sink.messages()
        result.ticket = playground.ticket(number)
        _show(result, console)
        faults = _disagreements(result, expected, playground)
    console.print(f"\nThe mails lie in [bold]{playground.sink.dir}[/]")
    for fault in faults:
        console.print(f"[red]✗ {fault}[/]")
    if faults:
        console.print(host.said(), markup=False)
        return 1
    console.print(
        f"[green]✓[/] Ledger, mail sink and Pureservice agree: {len(result.mails)} of"
        f" {len(expected['mails'])} recipients reached, each once;"
        f" {len(result.left_out)} memberships left out, each with its reason."
    )
    return 0


@dataclass
class _Result:
    campaign: Campaign
    deliveries: list[Delivery]
    left_out: list[LeftOut]
    seconds: float
    mails: list[EmailMessage] = field(default_factory=list)
    ticket: dict[str, Any] = field(default_factory=dict)


async def _follow(playground: Playground, number: int, console: Console) -> _Result:
    """Watch the ledger until the campaign is done."""
    services = bootstrap(playground.read_settings())
    started = time.monotonic()
    try:
        await services.storage.prepare()
        async with asyncio.timeout(_PATIENCE):
            campaign = await _watch(services, playground, number, console)
        deliveries = [one async for one in services.ledger.deliveries.all(campaign.id)]
        left_out = [one async for one in services.ledger.deliveries.left_out(campaign.id)]
        return _Result(campaign, deliveries, left_out, time.monotonic() - started)
    finally:
        await services.close()


async def _watch(
    services: Services, playground: Playground, number: int, console: Console
) -> Campaign:
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("mails"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("waiting", total=None)
        while True:
            found = await services.ledger.campaigns.on_ticket(number)
            if found:
                campaign = found[-1]
                sent = sum(1 for _ in playground.sink.dir.glob("*.eml"))
                progress.update(
                    bar,
                    description=campaign.phase,
                    completed=sent,
                    total=campaign.planned or None,
                )
                if campaign.phase in {Phase.DONE, Phase.BLOCKED}:
                    return campaign
            await asyncio.sleep(0.1)


def _show(result: _Result, console: Console) -> None:
    got = Counter(mail["X-Envelope-To"].lower() for mail in result.mails)
    table = Table(title="What each recipient got", title_justify="left")
    for heading in ("Recipient", "Address", "Ledger", "Mails"):
        table.add_column(heading, overflow="fold")
    ordered = sorted(result.deliveries, key=lambda one: one.recipient.name)
    for delivery in ordered[:_SHOWN]:
        address = delivery.recipient.address
        mails = got[address_key(address)]
        table.add_row(delivery.recipient.name, address, STATUS[delivery.status], str(mails))
    for left_out in result.left_out[:_SHOWN]:
        member = left_out.member
        why = LEFT_OUT[left_out.reason]
        table.add_row(member.name, member.address or "", why, "–", style="dim")
    console.print(table)
    if len(ordered) > _SHOWN:
        console.print(f"… and {len(ordered) - _SHOWN} more")
    console.print(
        Panel(
            plain_text(result.ticket["solution"] or "").strip(),
            title=f"Ticket {result.ticket['requestNumber']} – {result.ticket['status']} – Løsning",
            title_align="left",
        )
    )
    files = ", ".join(
        f"{file['fileName']} ({file['size']} bytes)"
        for file in result.ticket["attachments"]
        if _ours(result, file)
    )
    console.print(f"Attached, not visible to end users: {files}")
    console.print(
        f"From found to done: {result.seconds:.1f} s, with neither undo window nor pace."
        " At 30 mails a minute, 1,000 take 34 minutes."
    )


def _disagreements(result: _Result, expected: dict[str, Any], playground: Playground) -> list[str]:
    """Where ledger, mail sink and simulator tell different stories. None of it uses the flow."""
    ledger = Counter(
        address_key(one.recipient.address) for one in result.deliveries if one.status is Status.SENT
    )
    sink = Counter(mail["X-Envelope-To"].lower() for mail in result.mails)
    left_out = Counter(str(one.reason) for one in result.left_out)
    csv_sent, csv_left_out = _read_csv(result, playground)
    claims = {
        "mails in the sink": (dict(sink), expected["mails"]),
        "sent in the ledger": (dict(ledger), expected["mails"]),
        "sent in the CSV on the ticket": (dict(csv_sent), expected["mails"]),
        "left out in the ledger": (dict(left_out), expected["leftOut"]),
        "left out in the CSV": (csv_left_out, len(result.left_out)),
        "memberships": (len(result.deliveries) + len(result.left_out), expected["memberships"]),
        "who must get nothing": (sorted(sink.keys() & set(expected["mustNotGet"])), []),
        "files of ours that end users see": (
            [
                file["fileName"]
                for file in result.ticket["attachments"]
                if _ours(result, file) and file["isVisible"]
            ],
            [],
        ),
        "the ticket's status": (result.ticket["status"], "Løst"),
        "different Message-IDs": (len({m["Message-ID"] for m in result.mails}), len(result.mails)),
        "subjects": ({m["Subject"] for m in result.mails}, {expected["subject"]}),
        "files on each mail": (
            {tuple(sorted(_files(mail).items())) for mail in result.mails},
            {tuple(sorted(expected["files"].items()))},
        ),
    }
    return [
        f"{what}: found {found}, expected {wanted}"
        for what, (found, wanted) in claims.items()
        if found != wanted
    ]


def _ours(result: _Result, file: dict[str, Any]) -> bool:
    return result.campaign.id in file["fileName"]


def _files(mail: EmailMessage) -> dict[str, int]:
    return {
        part.get_filename() or "": len(part.get_payload(decode=True) or b"")
        for part in mail.iter_attachments()
    }


def _read_csv(result: _Result, playground: Playground) -> tuple[Counter[str], int]:
    sent: Counter[str] = Counter()
    left_out = 0
    for file in result.ticket["attachments"]:
        if file["fileName"].startswith("mottakere-"):
            text = playground.download(file["id"]).decode("utf-8-sig")
            for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=";"):
                if row["Status"] == STATUS[Status.SENT]:
                    sent[row["E-postadresse"].lower()] += 1
                elif row["Status"] == "utelatt":
                    left_out += 1
    return sent, left_out
