"""The benchmark: what is measured, beside what it may cost."""

import argparse
from collections.abc import Sequence
from math import inf

from rich.console import Console
from rich.table import Table

from dev.bench.by_email import account_requests, peak_memory, pureservice_calls, storage_requests
from dev.bench.by_ticket import TicketCalls, Via, ticket_calls
from shared.domain.recipient import MemberKind


def main(argv: list[str]) -> int:
    """0 when every target is met."""
    parser = argparse.ArgumentParser(
        prog="python -m dev bench",
        description="What a campaign costs: requests, calls and memory. Counts, no times.",
    )
    parser.add_argument("--part", choices=["email", "ticket"], help="only this channel")
    parser.add_argument("--recipients", type=int, default=500, help="for the storage requests")
    parser.add_argument("--settled", type=int, default=10_000, help="for the account tick")
    parser.add_argument("--large", type=int, default=3_000, help="for the memory")
    parser.add_argument(
        "--tickets", type=int, nargs="+", default=[10, 100, 500], help="sizes, smallest first"
    )
    options = parser.parse_args(argv)
    if options.tickets != sorted(set(options.tickets)) or len(options.tickets) < 2:
        parser.error("--tickets must be at least two sizes, smallest first")
    console = Console()
    good = True
    if options.part != "ticket":
        good = _by_email(console, options)
    if options.part != "email":
        good = _by_ticket(console, options.tickets) and good
    return 0 if good else 1


def _verdict(met: bool) -> str:
    return "[green]✓[/]" if met else "[red]✗[/]"


def _by_email(console: Console, options: argparse.Namespace) -> bool:
    table = Table(title="What a campaign by e-mail costs", title_justify="left")
    for heading in ("What", "Measured", "Target", ""):
        table.add_column(heading, justify="left" if heading == "What" else "right")
    good = True

    def row(what: str, measured: str, target: str, met: bool) -> None:
        nonlocal good
        good = good and met
        table.add_row(what, measured, target, _verdict(met))
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
    return good


_MOST_CALLS = 2.1  #: for each further recipient, where all are users and Pureservice sends
_SENT_BY: tuple[Via, ...] = ("pureservice", "email")


def _by_ticket(console: Console, sizes: Sequence[int]) -> bool:
    title = "Calls to Pureservice for each recipient with a ticket of their own (and in all)"
    table = Table(title=title, title_justify="left")
    for heading in ("To", "Files", "Sent by"):
        table.add_column(heading, no_wrap=True)
    for heading in (*map(str, sizes), "further", ""):
        table.add_column(heading, justify="right")
    good = True

    def row(who: str, calls: Sequence[TicketCalls], via: Via, files: bool, target: float) -> None:
        nonlocal good
        further = calls[-1].further(calls[-2])
        good = good and further <= target
        shown = [f"{one.each:.2f} ({one.total})" for one in calls]
        described = (who, "yes" if files else "no", "us" if via == "email" else "Pureservice")
        missing = [""] * (len(sizes) - len(calls))
        verdict = _verdict(further <= target) if target < inf else ""
        table.add_row(*described, *shown, *missing, f"{further:.3f}", verdict)
        console.print(f"{', '.join(described)}: {', '.join(shown)}; further {further:.3f}")

    for via in _SENT_BY:
        for files in (True, False):
            target = _MOST_CALLS if via == "pureservice" else inf
            row("users", ticket_calls(sizes, via=via, files=files), via, files, target)
    for who, again in (("new companies", False), ("known companies", True)):
        calls = ticket_calls(sizes[:2], kind=MemberKind.COMPANY, again=again)
        row(who, calls, "pureservice", True, inf)
    console.print(table)
    console.print(
        "All that a campaign takes is in these figures, from the ticket to the report: also a look"
        " at the tickets each minute, the check that each message went out, and relating the"
        f" tickets. Target: ≤ {_MOST_CALLS} for each further recipient, where Pureservice sends to"
        " users. A company that is new to Pureservice takes an address and a user as well."
    )
    return good
