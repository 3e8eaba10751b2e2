"""`python -m dev digipost`: Digipost's batch interface on this machine."""

import argparse
import os
from pathlib import Path
from typing import get_args

from pydantic.fields import FieldInfo

from dev.process import wait_until
from dev.setup import WORK

from . import control, population, sim
from .area import USER
from .running import RunningDigipost
from .sim import DigipostSimulator
from .switches import Switches


def main(argv: list[str]) -> int:
    """Run the simulator until Ctrl-C."""
    options = _parser().parse_args(argv)
    given = dict(pair.split("=", 1) for pair in options.switch)
    if options.approve == "auto":
        given["approve"] = "auto"
    simulator = DigipostSimulator(
        options.folder,
        switches=Switches.model_validate(given),
        user=options.user,
        xsd=options.xsd,
    )
    with RunningDigipost(simulator, options.port, options.control_port) as running:
        print(f"Digipost's area is {simulator.area.folder}. The app wants:", flush=True)
        for name, value in running.settings.items():
            # the key is this machine's own and opens nothing else, but who knows who looks on
            told = f"(in {options.folder / 'keys'})" if name == "DIGIPOST_KEY" else value
            print(f"{name}={told}", flush=True)
        print(f"Look inside: {running.url}/_sim/state", flush=True)
        wait_until(lambda: False)
    return 0


def _parser() -> argparse.ArgumentParser:
    environment = os.environ.get
    parser = argparse.ArgumentParser(
        prog="python -m dev digipost",
        description="Serve Digipost's area over SFTP on 127.0.0.1, and work through its jobs."
        f"\n\n{control.__doc__}\n{population.__doc__}\n{sim.__doc__}",
        epilog="Every switch:\n"
        + "\n".join(
            f"  {name} ({_values(field)}) {field.description or ''}".rstrip()
            for name, field in Switches.model_fields.items()
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=environment("DIGIPOST_SIM_PORT", "7022"), help="SFTP, 7022")
    add("--control-port", type=int, default=7092, help="of /_sim, default %(default)s")
    add(
        "--folder",
        type=Path,
        default=WORK / "digipost",
        help="keys and area are kept here, default .dev/digipost",
    )
    add("--user", default=USER, help="default %(default)s")
    add(
        "--approve",
        choices=("by_hand", "auto"),
        default="by_hand",
        help="who approves jobs that ask for it; by hand is POST /_sim/approve",
    )
    add("--xsd", type=Path, metavar="FOLDER", help="also validate with the schemas in this folder")
    add(
        "--switch",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="assume otherwise about a doubtful point; may be repeated",
    )
    return parser


def _values(field: FieldInfo) -> str:
    """The default of a switch, and what else it can be where that is a matter of words."""
    words = get_args(field.annotation)
    return "|".join([str(field.default), *(str(word) for word in words if word != field.default)])
