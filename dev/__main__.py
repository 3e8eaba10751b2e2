"""Every task of the project: `python3 -m dev --help`.

Needs nothing but Python; what a task needs beyond that is installed the first time.
"""

from __future__ import annotations

import importlib
import sys

TASKS = {
    "demo": ("dev.demo", "three simulated campaigns, from ticket to report"),
    "test": ("dev.tasks:test", "the tests; further options go to pytest"),
    "up": ("dev.up", "everything at once until Ctrl-C: storage, simulator, mail sink, host"),
    "azurite": ("dev.azurite", "the storage emulator alone"),
    "pureservice": ("dev.pureservice.__main__", "the Pureservice simulator alone"),
    "mail": ("dev.mail", "the mail sink alone"),
    "graph": ("dev.graph", "the Microsoft Graph simulator alone"),
    "acs": ("dev.acs", "the Azure Communication Services simulator alone"),
    "digipost": ("dev.digipost", "the Digipost simulator alone, with its SFTP area"),
    "host": ("dev.host", "the Functions host alone"),
    "seed": ("dev.seed", "put a scenario into a running simulator"),
    "chaos": (
        "dev.chaos",
        "a campaign while hosts are killed, storage restarts and items come twice",
    ),
    "bench": ("dev.bench", "measure storage requests, memory and speed"),
    "lists": ("dev.lists", "bring recipient lists in step with LIST_RULES or a spreadsheet"),
    "check": ("dev.check", "is this set-up complete? against the settings in use"),
    "lint": ("dev.tasks:lint", "ruff and mypy"),
    "lock": ("dev.tasks:lock", "renew requirements-dev.txt from requirements-dev.in"),
}


def usage() -> str:
    """One line per task."""
    lines = [f"  {name:<12} {about}" for name, (_, about) in TASKS.items()]
    return "\n".join(["usage: python3 -m dev TASK [options]", "", *lines])


def main(argv: list[str]) -> int:
    """Run one task in the project's own environment; its exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036  # the whole point of asking
        print(f"This needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.prefix}).")
        return 1
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    task, *options = argv
    if task not in TASKS:
        print(f"There is no task {task!r}.\n\n{usage()}", file=sys.stderr)
        return 2

    from dev import setup

    try:
        python = setup.ensure_venv()
        if not setup.inside():
            return setup.rerun(python, argv)
        from dev.process import follow_parent

        follow_parent()
        module, _, function = TASKS[task][0].partition(":")
        run = getattr(importlib.import_module(module), function or "main")
        return int(run(options))
    except setup.SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
