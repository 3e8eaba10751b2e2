"""The benchmark: what is measured, beside what it may cost."""

import argparse
import logging
from collections.abc import Callable, Sequence
from math import ceil, inf

from rich.console import Console
from rich.table import Table

from dev.bench.by_email import peak_memory, pureservice_calls, storage_requests
from dev.bench.by_size import OPEN, PROBLEMS, SMALLEST, Cost, Looks, cost_at_size
from dev.bench.by_ticket import TicketCalls, Via, ticket_calls
from dev.bench.by_two_hosts import HOSTS, LARGEST, USUAL, Together, together
from dev.bench.letters import BuiltJob, built_job
from dev.bench.mail_building import ONE_IN, Built, building
from dev.bench.mail_sending import USUAL_REUSE, sending
from shared.domain.recipient import MemberKind


def main(argv: list[str]) -> int:
    """0 when every target is met."""
    options = _parse(argv)
    # what the app warns of here is what we have done to it
    logging.getLogger("shared").setLevel(logging.ERROR)
    console = Console()
    parts = [_PARTS[options.part]] if options.part else _PARTS.values()
    met = [part(console, options) for part in parts]
    return 0 if all(met) else 1


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dev bench",
        description="What a campaign costs: requests, calls and memory, which are counted; and how"
        " fast mail is made and sent, which holds for this machine only.",
    )
    parser.add_argument("--part", choices=_PARTS, help="only this one")
    parser.add_argument(
        "--recipients", type=int, default=500, help="for the storage requests, and for two hosts"
    )
    parser.add_argument("--large", type=int, default=3_000, help="for the memory")
    parser.add_argument(
        "--tickets", type=int, nargs="+", default=[10, 100, 500], help="sizes, smallest first"
    )
    parser.add_argument("--size", type=int, default=100_000, help="of the largest campaign")
    parser.add_argument(
        "--mails", type=int, default=1_000, help=f"to make and to send; 1 in {ONE_IN} with files"
    )
    parser.add_argument(
        "--letters",
        type=int,
        nargs="+",
        default=[1_000, 10_000, 100_000],
        help="sizes of a job, smallest first",
    )
    options = parser.parse_args(argv)
    if options.tickets != sorted(set(options.tickets)) or len(options.tickets) < 2:
        parser.error("--tickets must be at least two sizes, smallest first")
    if options.size <= _USUAL_SIZE:
        parser.error(f"--size must be more than {_USUAL_SIZE}")
    if options.mails < 1:
        parser.error("--mails must be at least 1")
    return options


class _Sheet:
    """A table of what was measured. Each row is said at once; whether it will do, at the end."""

    def __init__(self, console: Console, title: str, *headings: str, left: int = 1) -> None:
        self.good = True
        self._console = console
        self._table = Table(title=title, title_justify="left")
        for place, heading in enumerate((*headings, "")):
            is_left = place < left
            self._table.add_column(
                heading, justify="left" if is_left else "right", no_wrap=is_left and left > 1
            )

    def row(self, *cells: str, met: bool | None = None) -> None:
        """`met` is None where there is no target."""
        self.good = self.good and met is not False
        verdict = "" if met is None else "[green]✓[/]" if met else "[red]✗[/]"
        self._table.add_row(*cells, verdict)
        first, *others = filter(None, cells)
        self._console.print(f"{first}: {', '.join(others)}")

    def show(self) -> bool:
        self._console.print(self._table)
        return self.good


def _by_email(console: Console, options: argparse.Namespace) -> bool:
    title = "What a campaign by e-mail costs"
    sheet = _Sheet(console, title, "What", "Measured", "Target")
    for batch, limit in ((16, _MOST_REQUESTS), (1, 6.5)):
        cost = storage_requests(options.recipients, batch)
        what = f"Storage requests per e-mail, {options.recipients} recipients, batch {batch}"
        sheet.row(what, f"{cost:.2f}", f"≤ {limit}", met=cost <= limit)
    constant = 0
    for n in (10, 500, 2_000):
        calls = pureservice_calls(n)
        # a list of several pages has its last one read again too, and not just its first
        constant = constant or calls.working - calls.pages + calls.lists
        allowed = constant + calls.pages
        what = f"Pureservice calls, {n} recipients on {calls.lists} lists, {calls.pages} pages"
        target = f"≤ {constant} + {calls.pages}"
        sheet.row(what, str(calls.working), target, met=calls.working <= allowed)
        each = calls.each_minute
        sheet.row("… and each minute while sending", str(each), "1", met=each == 1)
    small, large = peak_memory(100), peak_memory(options.large)
    grown = large - small
    what = f"Growth of the app's peak memory, 100 to {options.large} recipients"
    sheet.row(what, f"{grown:.1f} MB", f"≤ {_MOST_GROWTH} MB", met=grown <= _MOST_GROWTH)
    good = sheet.show()
    console.print(f"The app's peak memory: {small:.0f} MB at 100, {large:.0f} at {options.large}.")
    return good


_MOST_REQUESTS = 5.5  #: to storage for an e-mail, where many are fetched at a time
_MOST_CALLS = 2.1  #: for each further recipient, where all are users and Pureservice sends
_SENT_BY: tuple[Via, ...] = ("pureservice", "email")


def _by_ticket(console: Console, options: argparse.Namespace) -> bool:
    sizes: Sequence[int] = options.tickets
    title = "Calls to Pureservice for each recipient with a ticket of their own (and in all)"
    headings = ("To", "Files", "Sent by", *map(str, sizes), "further")
    sheet = _Sheet(console, title, *headings, left=3)

    def row(who: str, calls: Sequence[TicketCalls], via: Via, files: bool, target: float) -> None:
        further = calls[-1].further(calls[-2])
        shown = [f"{one.each:.2f} ({one.total})" for one in calls]
        described = (who, "yes" if files else "no", "us" if via == "email" else "Pureservice")
        missing = [""] * (len(sizes) - len(calls))
        met = further <= target if target < inf else None
        sheet.row(*described, *shown, *missing, f"{further:.3f}", met=met)

    for via in _SENT_BY:
        for files in (True, False):
            target = _MOST_CALLS if via == "pureservice" else inf
            row("users", ticket_calls(sizes, via=via, files=files), via, files, target)
    for who, again in (("new companies", False), ("known companies", True)):
        calls = ticket_calls(sizes[:2], kind=MemberKind.COMPANY, again=again)
        row(who, calls, "pureservice", True, inf)
    good = sheet.show()
    console.print(
        "All that a campaign takes is in these figures, from the ticket to the report: also a look"
        " at the tickets each minute, the check that each message went out, and relating the"
        f" tickets. Target: ≤ {_MOST_CALLS} for each further recipient, where Pureservice sends to"
        " users. A company that is new to Pureservice takes an address and a user as well."
    )
    return good


_USUAL_SIZE = 1_000  #: whose memory a larger one is held against
_MOST_GROWTH = 25  #: megabytes
_PAIRS = 50  #: recipients in a transaction: two rows each
_LOOKS: dict[str, Callable[[Looks], int]] = {
    "One round of account": lambda looks: looks.account,
    "Is it complete?": lambda looks: looks.complete,
    "What went wrong?": lambda looks: looks.problems,
    "… and since when?": lambda looks: looks.problem_times,
    "How far has it come?": lambda looks: looks.progress,
}


def _by_size(console: Console, options: argparse.Namespace) -> bool:
    sizes = (SMALLEST, _USUAL_SIZE, options.size)
    title = "Requests to storage and memory of a campaign by e-mail, by its recipients"
    costs = [cost_at_size(size, console.print) for size in sizes]
    sheet = _Sheet(console, title, "What", *map(str, sizes), "Target")

    def row(what: str, values: Sequence[object], target: str = "", met: bool | None = None) -> None:
        sheet.row(what, *map(str, values), target, met=met)

    plans = [cost.planning for cost in costs]
    most = [ceil(size / _PAIRS) + plan.pages for size, plan in zip(sizes, plans, strict=True)]
    transactions = [plan.transactions for plan in plans]
    few = all(done <= allowed for done, allowed in zip(transactions, most, strict=True))
    row("Transactions that plan", transactions, f"≤ {most[-1]}", few)
    row("… rows in them", [plan.rows for plan in plans])
    row("… all, to start note", [plan.requests for plan in plans])
    for what, requests in _LOOKS.items():
        values = [", ".join(str(requests(looks)) for looks in cost.looks) for cost in costs]
        row(what, values, "the same", len(set(values)) == 1)
    peaks: dict[str, Callable[[Cost], float]] = {
        "Peak memory, planning": lambda cost: cost.planning_peak,
        "Peak memory, reporting": lambda cost: cost.reporting_peak,
    }
    for what, peak in peaks.items():
        values = [f"{peak(cost):.0f} MB" for cost in costs]
        grown = peak(costs[-1]) - peak(costs[-2])
        row(what, values, f"+ {_MOST_GROWTH} MB", grown <= _MOST_GROWTH)
    good = sheet.show()
    console.print(
        f"Looked at with {', '.join(map(str, OPEN))} open and {PROBLEMS} failed; with none open,"
        " account begins the report as well. Memory is that of a host, and may grow from"
        f" {_USUAL_SIZE} recipients on. A transaction plans {_PAIRS} at most, and one on each page"
        " fewer."
    )
    return good


def _concurrency(console: Console, options: argparse.Namespace) -> bool:
    title = f"{HOSTS} hosts at work on one campaign by e-mail of {options.recipients} recipients"
    headings = ("At a time", "Items", "In hand", "One mail", "Conflicts", "Others", "Requests")
    sheet = _Sheet(console, title, *headings)

    def met(of: Together, copies: int) -> bool:
        quiet = of.conflicts <= of.items - of.recipients  # each copy is late once
        cheap = copies > 0 or of.each <= _MOST_REQUESTS
        return of.once == of.recipients and quiet and cheap

    for batch in (USUAL, LARGEST):
        for copies in (0, 1):
            of = together(options.recipients, batch, copies)
            sheet.row(
                f"{HOSTS} × {batch.at_a_time}",
                str(of.items),
                str(of.in_hand),
                str(of.once),
                f"{of.conflicts} ({of.conflicts / of.recipients:.2f})",
                str(of.elsewhere),
                f"{of.each:.2f}",
                met=met(of, copies),
            )
    good = sheet.show()
    console.print(
        "In hand: the most deliveries that were claimed at a time. One mail: so many got just one,"
        " and the ledger says so. Conflicts: writes to a delivery that somebody else was quicker"
        " with (and for each delivery); others: the same of the campaign, its channel and the queue"
        " (409, 412, or 404 where it is gone). Requests: to storage for each mail, by all hosts."
        " Targets: one mail for everybody, no more conflicts than copies of items, and without"
        f" copies ≤ {_MOST_REQUESTS} requests."
    )
    return good


def _by_mail(console: Console, options: argparse.Namespace) -> bool:
    title = "Making mail one by one: how many a second, and CPU seconds for 1,000"
    headings = ("Message", "Bodies", "Per s", "CPU", "Ratio", "Fill", "MIME", "Head")
    sheet = _Sheet(console, title, *headings)
    before: Built | None = None
    for of in building(options.mails):
        sheet.row(
            f"{of.mails} {of.what}",
            str(of.bodies),
            f"{of.mails / of.seconds:.0f}",
            f"{1_000 * of.each:.2f}",
            f"{of.each / before.each:.1f}" if before else "",
            *(f"{part / of.cpu:.0%}" for part in (of.fill, of.mime, of.headers)),
            met=None if before else of.bodies == 1,
        )
        before = of
    made_once = sheet.show()
    console.print(
        "Ratio: of the CPU to the line before. Bodies: how often all but the headers was made."
        " Fill, MIME and head: what placeholders, bodies and headers took; the rest is the"
        " channel's. The last have a letterhead and a picture as well. Target: one body where all"
        " are alike."
    )
    title = "Sending it, so many at a time: how many a second, and CPU seconds for 1,000"
    headings = ("SMTP", "Opened", "Mails", "Per s", "CPU", "Busy", "Faster", "CPU ÷")
    sheet = _Sheet(console, title, *headings, left=2)
    for anew, kept in sending(options.mails):
        for sent in (anew, kept):
            most = sent.at_a_time + options.mails // sent.per_connection
            sheet.row(
                f"{'STARTTLS' if sent.tls else 'plain'} × {sent.at_a_time}",
                f"{sent.connections} {'kept' if sent is kept else 'anew'}",
                str(sent.arrived),
                f"{sent.arrived / sent.seconds:.0f}",
                f"{1_000 * sent.each:.2f}",
                f"{sent.server_cpu / sent.seconds:.0%}",
                f"{anew.seconds / kept.seconds:.1f}" if sent is kept else "",
                f"{anew.each / kept.each:.1f}" if sent is kept else "",
                met=sent.arrived == options.mails and sent.connections <= most,
            )
    good = sheet.show() and made_once
    console.print(
        f"Opened: connections, kept for {USUAL_REUSE} mails or made anew for each; faster, and CPU"
        " divided by: kept against anew. Busy: the server, which keeps no mail, in a process of its"
        " own. A real one is further away, and a new connection takes longer by that. Only ratios"
        " can be held against another machine. Targets: all arrived, over no more than that."
    )
    return good


def _by_letter(console: Console, options: argparse.Namespace) -> bool:
    title = "Building a letter job: one document for all, every other letter to be printed"
    headings = ("Letters", "Peak memory", "Growth", "Seconds", "Per letter ÷", "Zip file")
    sheet = _Sheet(console, title, *headings)
    smallest: BuiltJob | None = None
    for letters in options.letters:
        of = built_job(letters)
        smallest = smallest or of
        grown = of.peak - smallest.peak
        each, least = of.seconds / of.letters, smallest.seconds / smallest.letters
        sheet.row(
            str(letters),
            f"{of.peak:.0f} MB",
            f"{grown:+.1f} MB",
            f"{of.seconds:.1f}",
            f"{each / least:.1f}",
            f"{of.size / 1024 / 1024:.1f} MB",
            met=grown <= _MOST_GROWTH,
        )
    good = sheet.show()
    console.print(
        "Each in a process of its own, from the rows to the finished zip file, without the ledger."
        f" Target: ≤ {_MOST_GROWTH} MB more than the smallest."
    )
    return good


_PARTS: dict[str, Callable[[Console, argparse.Namespace], bool]] = {
    "email": _by_email,
    "ticket": _by_ticket,
    "concurrency": _concurrency,
    "size": _by_size,
    "mail": _by_mail,
    "letters": _by_letter,
}
