"""The demo: everything started, each scenario played, and an honest exit status."""

import argparse
import shutil
import sys
from collections.abc import Callable

from rich.console import Console

from dev.demo import by_email, by_letter, by_ticket
from dev.demo.campaign import PATIENCE
from dev.playground import Playground
from dev.setup import WORK

Scenario = Callable[[Playground, int, Console], list[str]]

#: In the order they are played; each returns what does not agree.
SCENARIOS: dict[str, Scenario] = {
    "email": by_email.play,
    "ticket": by_ticket.play,
    "digipost": by_letter.play,
}


def main(argv: list[str]) -> int:
    """0 only if ledger, mail sink, Digipost and Pureservice agree to the last recipient."""
    parser = argparse.ArgumentParser(prog="python -m dev demo", description=__doc__)
    parser.add_argument(
        "--recipients", type=int, default=30, metavar="N", help="beside the tricky ones"
    )
    parser.add_argument("--only", choices=SCENARIOS, help="this scenario and no other")
    options = parser.parse_args(argv)
    if options.recipients < 1:
        parser.error("--recipients must be at least 1")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    console = Console()
    folder = WORK / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    console.print("Starting storage, Pureservice, a mail server, Digipost and the app …")
    with Playground(
        folder,
        by_letter.DIGIPOST,
        TICKET_RELATION=by_ticket.RELATION,
        DIGIPOST_NOT_REACHED=by_letter.NOT_REACHED,
    ) as playground:
        host = playground.start_host()
        for name, play in SCENARIOS.items():
            if options.only in (None, name):
                try:
                    faults = play(playground, options.recipients, console)
                except TimeoutError:
                    faults = [f"scenario {name}: not done after {PATIENCE} s"]
                if faults:
                    for fault in faults:
                        console.print(f"✗ {fault}", style="red", markup=False)
                    console.print("The host's last words:")
                    console.print(host.said(), markup=False)
                    return 1
    return 0
