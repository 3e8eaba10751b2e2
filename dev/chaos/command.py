"""The chaos run: what is asked for, what is shown, and an honest exit status."""

import argparse
import asyncio
import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from math import ceil
from pathlib import Path
from random import randrange
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from dev.chaos.ground import Ground
from dev.chaos.letters import Letters
from dev.chaos.plan import plan, plan_letters
from dev.chaos.run import Ended, Run
from dev.chaos.verdict import Verdict, by_member, judge
from dev.demo.campaign import differing
from dev.digipost import Switches
from dev.seed import seed
from dev.setup import WORK
from shared.domain.campaign import Phase
from shared.domain.delivery import Status

#: Calls to Pureservice for a recipient, companies and all.
_CALLS = 2.5
_FASTEST = 10_000  # as the settings allow
_SHORTEST_TIMEOUT = 2
_SHORTEST_LEASE = 5 * _SHORTEST_TIMEOUT
_SFTP_TIMEOUT = 2


def main(argv: list[str]) -> int:
    """0 only if nobody got it twice, nobody was lost, and the ledger tells the truth."""
    options = _parse(argv)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    console = Console()
    folder = WORK / "chaos" / f"{options.scenario}-{options.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    console.print(
        f"Chaos by {options.scenario}: {options.recipients} recipients, {options.kills} kills,"
        f" [bold]seed {options.seed}[/]"
    )
    faults = asyncio.run(_play(options, folder, console))
    for fault in faults:
        console.print(f"✗ {fault}", style="red", markup=False, soft_wrap=True)
    if faults:
        said = f"What the hosts said, what the ledger knows and the mails lie in {folder}"
        console.print(said, markup=False, soft_wrap=True)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    console.print("[green]✓[/] Nobody twice, nobody lost, and the ledger tells the truth.")
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dev chaos",
        description=__doc__,
        epilog="The same seed makes the same plan; what each blow meets is up to the machine.",
    )
    parser.add_argument("--recipients", type=int, default=500, metavar="N")
    parser.add_argument("--scenario", choices=["email", "ticket", "digipost"], default="email")
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="of either host")
    parser.add_argument("--seed", type=int, default=randrange(1_000_000), help="default: any")
    parser.add_argument(
        "--rate",
        type=int,
        metavar="N",
        help="recipients a minute; default: all in half of one; 0: no rate",
    )
    parser.add_argument("--jobs", type=int, default=6, metavar="N", help="to ask Digipost in")
    parser.add_argument("--answer", type=float, default=4, metavar="SECONDS", help="of Digipost")
    parser.add_argument("--lease", type=int, default=16, metavar="SECONDS")
    parser.add_argument("--grace", type=int, default=2, metavar="SECONDS")
    parser.add_argument("--visibility", type=int, default=4, metavar="SECONDS")
    parser.add_argument("--release-again", type=int, default=10, metavar="SECONDS")
    parser.add_argument("--patience", type=int, default=600, metavar="SECONDS")
    options = parser.parse_args(argv)
    if options.recipients < 1 or options.kills < 0 or options.lease < _SHORTEST_LEASE:
        parser.error(f"at least 1 recipient, 0 kills, and a lease of {_SHORTEST_LEASE} seconds")
    return options


def _settings(options: argparse.Namespace) -> dict[str, str]:
    rate = 2 * options.recipients if options.rate is None else options.rate
    # a lease must outlive two mails and three calls; most for those that the scenario is about
    mail, call = _SHORTEST_TIMEOUT, _SHORTEST_TIMEOUT
    if options.scenario != "ticket":
        mail = (options.lease - 3 * call) // 2
    else:
        call = (options.lease - 2 * mail) // 3
    letters = {
        "DIGIPOST_SPLIT": "true",
        "DIGIPOST_NOT_REACHED": "email",
        "DIGIPOST_LETTERS_PER_JOB": str(ceil(options.recipients / options.jobs)),
        "DIGIPOST_TIMEOUT_SECONDS": str(_SFTP_TIMEOUT),
        "DIGIPOST_LEASE_SECONDS": str(2 * _SFTP_TIMEOUT),
        "DIGIPOST_ANSWER_MINUTES": "1",
    }
    return {
        **(letters if options.scenario == "digipost" else {}),
        "LEASE_SECONDS": str(options.lease),
        "GRACE_SECONDS": str(options.grace),
        "RELEASE_AGAIN_SECONDS": str(options.release_again),
        "SMTP_TIMEOUT_SECONDS": str(mail),
        "PURESERVICE_TIMEOUT_SECONDS": str(call),
        "EMAIL_RATE": str(min(rate, _FASTEST)),
        "PURESERVICE_RATE": str(min(ceil(rate * _CALLS), _FASTEST)),
    }


async def _play(options: argparse.Namespace, folder: Path, console: Console) -> list[str]:
    """What must not be; nothing when all went as promised."""
    by_letter = options.scenario == "digipost"
    # it takes whatever comes as often as it comes, and does not hurry to say so
    digipost = Switches(
        received_seconds=options.answer, repeated_job="again", repeated_uuid="again"
    )
    switches = digipost if by_letter else None
    with Ground(folder, options.seed, options.visibility, switches, **_settings(options)) as ground:
        async with Run(ground, options.scenario, console) as run:
            campaign = {"scenario": options.scenario, "recipients": options.recipients}
            expected = seed(ground.url, {**campaign, "tricky": False})
            number = expected["requestNumber"]
            moments = plan(options.seed, options.kills)
            if by_letter:
                moments = plan_letters(options.seed, options.kills, options.jobs)
            ended = await run.carry_out(moments, number, options.recipients, options.patience)
            lost = ended.lost_at_kills | ended.lost_at_restarts
            if letters := run.letters:
                mails = ground.mails()
                reached = letters.reached(ended.deliveries, mails)
                verdict = judge(expected["members"], reached, ended.deliveries, lost, by_member)
                faults = letters.faults(ended.deliveries, mails)
            else:
                reached = ground.mails() if options.scenario == "email" else ground.tickets(number)
                verdict = judge(expected["mails"], reached, ended.deliveries, lost)
                faults = []
            _show(console, verdict, run, ended, ground.proxy.lies)
            faults += verdict.faults + _unlike_a_good_end(ground.ticket(number), ended)
            if run.done.kills < options.kills:
                faults.append(f"over after {run.done.kills} of {options.kills} kills")
            if faults:
                suspects = {id_ for whom in verdict.wrong.values() for id_ in whom}
                (folder / "ledger.txt").write_text(await run.histories(suspects), "utf-8")
                if run.letters:
                    (folder / "jobs.txt").write_text(run.letters.told(), "utf-8")
                for n, host in enumerate(ground.hosts):
                    (folder / f"host-{n:02}.log").write_text(host.said(), "utf-8")
        return faults


def _unlike_a_good_end(ticket: dict[str, Any], ended: Ended) -> list[str]:
    """What is wrong about the campaign as a whole, and about what its ticket was told."""
    if ended.waits_for:
        return [ended.waits_for]
    texts = Counter(one["text"] for one in ticket["communications"] if one["text"])
    files = Counter(one["fileName"] for one in ticket["attachments"])
    return differing(
        {
            "the campaign": (ended.phase, Phase.DONE),
            "its ticket": (ticket["status"], "Løst"),
            "said twice on the ticket": ([text for text, n in texts.items() if n > 1], []),
            "attached twice to the ticket": ([name for name, n in files.items() if n > 1], []),
        }
    )


def _show(console: Console, verdict: Verdict, run: Run, ended: Ended, lies: int) -> None:
    done = run.done
    table = Table(box=box.SIMPLE_HEAD, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for what, count, more in (
        ("Recipients", verdict.recipients, ""),
        ("Reached once", verdict.once, ""),
        ("Reached twice", verdict.twice, ""),
        ("Never reached", verdict.never, ""),
        ("Uncertain", verdict.uncertain, f"{verdict.uncertain_reached} of them reached"),
        ("Failed, and says why", verdict.failed, ""),
        ("Kills", done.kills, f"{len(ended.lost_at_kills)} deliveries in flight"),
        (
            "Storage restarts",
            done.restarts,
            f"{len(ended.lost_at_restarts)} deliveries in flight; {lies} answers lost besides",
        ),
        ("Pureservice paused", done.pauses, ""),
        ("Items copied", done.copies, ""),
        *(_shown_of_letters(run.letters, ended) if run.letters else ()),
        ("Seconds", round(done.seconds), ""),
    ):
        table.add_row(what, str(count), more)
    console.print(table)


def _shown_of_letters(letters: Letters, ended: Ended) -> list[tuple[str, int, str]]:
    ways = Counter(one.channel for one in ended.deliveries if one.status is Status.SENT)
    again = sum(max(0, one.uploads - 1) for one in letters.jobs)
    states = Counter(f"{one.kind} {one.state}" for one in letters.jobs)
    return [
        ("By Digipost", ways["digipost"], f"{ways['email']} by mail"),
        ("Jobs", len(letters.jobs), _listed(states.items())),
        ("Jobs open at kills", letters.left_behind.total(), _listed(letters.left_behind.items())),
        ("Uploads broken off", letters.broken, f"{again} uploaded again"),
        ("Decided by a person", letters.decisions.total(), _listed(letters.decisions.items())),
    ]


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts)
