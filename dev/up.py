"""Everything at once: storage, Pureservice simulator, mail sink and host, until Ctrl-C."""

import argparse
import contextlib
import shutil
import socket
import subprocess
import threading
from pathlib import Path

from dev import azurite, process
from dev.digipost import keys
from dev.digipost.area import USER
from dev.graph import IDENTITY_HEADER
from dev.playground import RETURN_ADDRESS
from dev.pureservice.seed import LETTER_SETTINGS
from dev.setup import ROOT, WORK, SetupError

#: Each part, its arguments and the ports that say it is ready; the host needs the others.
PARTS = {
    "azurite": ([], [10000, 10001, 10002]),
    "pureservice": (["--port", "7080"], [7080]),
    "mail": (["--port", "7025", "--dir", str(WORK / "mail")], [7025]),
    "graph": (["--port", "7090"], [7090]),
    "acs": (["--port", "7091"], [7091]),
    "digipost": (["--port", "7022", "--control-port", "7092"], [7022, 7092]),
    "host": (["--port", "7071"], [7071]),
}
#: Started only where something is to be sent by them.
SIMULATORS = {"graph", "acs", "digipost"}
#: Where the app, believing that it is in Azure, gets its token for Graph.
IDENTITY_ENDPOINT = "http://127.0.0.1:7090/msi/token"

#: Where to look into it, and where a person approves a job.
_DIGIPOST = "  Digipost         http://127.0.0.1:7092/_sim/state (approve: POST /_sim/approve)\n"

START_SECONDS = 60


def main(argv: list[str]) -> int:
    """Start all parts, each line they say under their name; stop them together."""
    parser = argparse.ArgumentParser(prog="python -m dev up", description=__doc__)
    parser.add_argument(
        "--settings",
        type=Path,
        default=ROOT / "local.settings.example.json",
        help="the host's settings; without it those of the example, whatever else there is",
    )
    parser.add_argument(
        "--transports",
        default="",
        help="what e-mail is sent by, such as graph,acs,smtp: their simulators are started too",
    )
    parser.add_argument(
        "--letters", action="store_true", help="letters by Digipost too: its simulator is started"
    )
    options = parser.parse_args(argv)
    wanted = options.transports.split(",") if options.transports else []
    # the longest that a mail can take is the sum of what each may
    env = {"EMAIL_TRANSPORTS": options.transports, "LEASE_SECONDS": "400"} if wanted else {}
    if "graph" in wanted:
        env |= {"IDENTITY_ENDPOINT": IDENTITY_ENDPOINT, "IDENTITY_HEADER": IDENTITY_HEADER}
    if options.letters:
        wanted.append("digipost")
        # as everything else it begins empty, or yesterday's jobs would stand there as today's
        shutil.rmtree(WORK / "digipost" / "area", ignore_errors=True)
        env |= _letter_settings()
    parts = {name: part for name, part in PARTS.items() if name not in SIMULATORS or name in wanted}
    if taken := [port for _, ports in parts.values() for port in ports if _listens(port)]:
        raise SetupError(f"Something already listens on port {', '.join(map(str, taken))}.")
    azurite.ensure_installed()
    children: dict[str, subprocess.Popen[str]] = {}
    try:
        for name, (arguments, ports) in parts.items():
            settings = ["--settings", str(options.settings)] if name == "host" else []
            children[name] = process.start_task(name, *arguments, *settings, env=env)
            threading.Thread(target=_relay, args=(name, children[name]), daemon=True).start()
            _wait_until_ready(name, children[name], ports)
        print(
            "\nReady. Stop with Ctrl-C.\n"
            "  the app          http://127.0.0.1:7071/api/health\n"
            "  Pureservice      http://127.0.0.1:7080\n"
            f"  sent mail        {WORK / 'mail'}\n"
            f"{_DIGIPOST if options.letters else ''}"
            f"  settings         {options.settings.name}\n",
            flush=True,
        )
        process.wait_until(lambda: any(child.poll() is not None for child in children.values()))
    finally:
        ended = [name for name, child in children.items() if child.poll() is not None]
        for child in reversed(children.values()):  # the host first, the storage last
            process.stop(child, grace=40)
    for name in ended:
        print(f"{name} stopped by itself ({children[name].returncode}), and the others with it.")
    return 1 if ended else 0


def _letter_settings() -> dict[str, str]:
    """What the host must know to send letters to the simulator, which has its keys there too."""
    known = keys(WORK / "digipost" / "keys")
    return {
        **LETTER_SETTINGS,
        "DIGIPOST_HOST": "127.0.0.1",
        "DIGIPOST_PORT": "7022",
        "DIGIPOST_USER": USER,
        "DIGIPOST_KEY": known.one_line,
        "DIGIPOST_HOST_KEY": known.host_fingerprint,
        "DIGIPOST_SENDER_ID": "100123",
        "DIGIPOST_NOT_REACHED": "print,email,list",
        "DIGIPOST_RETURN_ADDRESS": RETURN_ADDRESS,
    }


def _relay(name: str, child: subprocess.Popen[str]) -> None:
    assert child.stdout
    with contextlib.suppress(ValueError):  # closed when it was stopped
        for line in child.stdout:
            print(f"{name:>11} | {line}", end="", flush=True)


def _wait_until_ready(name: str, child: subprocess.Popen[str], ports: list[int]) -> None:
    """SetupError when the part ends, or does not listen in time."""
    remaining = START_SECONDS * 10  # process.wait_until looks ten times a second

    def settled() -> bool:
        nonlocal remaining
        remaining -= 1
        return all(map(_listens, ports)) or child.poll() is not None or not remaining

    if not process.wait_until(settled):
        raise KeyboardInterrupt
    if child.poll() is not None:
        raise SetupError(f"{name} could not start; it says why above")
    if not remaining:
        raise SetupError(f"{name} does not answer on port {', '.join(map(str, ports))}")


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
