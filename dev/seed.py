"""Put a scenario into a running simulator, for example `python -m dev seed --recipients 20`."""

import argparse
import os
from typing import Any

import httpx

from dev.setup import SetupError


def main(argv: list[str]) -> int:
    """Print the number of the ticket that was made."""
    parser = argparse.ArgumentParser(prog="python -m dev seed", description=__doc__)
    parser.add_argument("--recipients", type=int, default=20, metavar="N")
    parser.add_argument("--scenario", choices=["email", "ticket", "digipost"], default="email")
    parser.add_argument(
        "--trigger",
        choices=["communication", "failed_email"],
        help="how the message is written; must be what MESSAGE_TRIGGER says, or the app stops",
    )
    parser.add_argument("--plain", action="store_true", help="none of the tricky recipients")
    parser.add_argument("--draft", action="store_true", help="leave out the go status")
    url = os.environ.get("PURESERVICE_URL", "http://127.0.0.1:7080")
    parser.add_argument("--url", default=url, help="the simulator; also PURESERVICE_URL")
    options = parser.parse_args(argv)
    body: dict[str, Any] = {
        "recipients": options.recipients,
        "scenario": options.scenario,
        "tricky": not options.plain,
    }
    if options.trigger:
        body["trigger"] = options.trigger
    if options.draft:
        body["status"] = None
    print(seed(options.url, body)["requestNumber"])
    return 0


def seed(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """What must become of the campaign that was made, as the simulator has worked it out."""
    try:
        answer = httpx.post(f"{url.rstrip('/')}/_sim/campaign", json=body, timeout=120)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise SetupError(
            f"No simulator answers at {url} ({error}). Start one: python -m dev pureservice"
        ) from error
    expected: dict[str, Any] = answer.json()
    return expected
