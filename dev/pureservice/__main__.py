"""``python -m dev.pureservice``: serve a make-believe tenant on this machine."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import uvicorn
from pydantic.fields import FieldInfo

from . import (
    DEFAULT_KEY,
    DEFAULT_PREFIX,
    Switches,
    World,
    create_app,
    seed_base,
    seed_campaign,
    seed_examples,
)


def serve(
    world: World, *, port: int = 7080, key: str = DEFAULT_KEY, prefix: str = DEFAULT_PREFIX
) -> None:
    """Serve ``world`` on 127.0.0.1 until told to stop."""
    app = create_app(world, key=key, prefix=prefix)
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning", ws="none")


def open_world(directory: Path | None) -> World:
    """The world kept in ``directory``, or a freshly seeded one; from now on kept there."""
    if directory and (directory / "state.jsonl").exists():
        world = World.load(directory)
    else:
        world = World()
        seed_base(world)
    if directory:
        world.keep(directory)
    return world


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line and serve until stopped."""
    options = _parser().parse_args(argv)
    world = open_world(options.dir)
    given = dict(pair.split("=", 1) for pair in options.switch)
    limit = {"calls_per_minute": 0 if options.no_limit else options.limit}
    world.switches = Switches.model_validate({**world.switches.model_dump(), **limit, **given})
    if options.examples:
        print("Tickets:", *seed_examples(world))
    if options.campaign is not None:
        number = seed_campaign(
            world,
            recipients=options.campaign,
            scenario=options.scenario,
            trigger=options.trigger,
            tricky=not options.plain,
        )
        print("Campaign ticket:", number)
    print(f"Pureservice simulator: http://127.0.0.1:{options.port}{options.prefix}")
    print(f"Look inside: http://127.0.0.1:{options.port}/_sim/state")
    try:
        serve(world, port=options.port, key=options.key, prefix=options.prefix)
    finally:
        world.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    environment = os.environ.get
    directory = environment("SIM_DIR")
    parser = argparse.ArgumentParser(
        prog="python -m dev pureservice",
        description="Serve a make-believe Pureservice on 127.0.0.1.",
        epilog="SIM_PORT, SIM_DIR, SIM_KEY, SIM_PREFIX and SIM_LIMIT are the defaults of the"
        " options they are named after. A mail to kari+bounce@example.no fails, one to +stuck stays"
        " in the outbox, and a message to +lost never becomes a mail. Every switch: "
        + "; ".join(
            f"{name} ({_values(field)}) {field.description or ''}".strip()
            for name, field in Switches.model_fields.items()
        ),
    )
    add = parser.add_argument
    add("--port", type=int, default=environment("SIM_PORT", "7080"), help="default %(default)s")
    add(
        "--dir",
        type=Path,
        default=Path(directory) if directory else None,
        help="keep the state here after every write, and go on from it; else it is forgotten",
    )
    add("--key", default=environment("SIM_KEY", DEFAULT_KEY), help="default %(default)s")
    add(
        "--prefix",
        default=environment("SIM_PREFIX", DEFAULT_PREFIX),
        help="where the API is, default %(default)s",
    )
    add(
        "--limit",
        type=int,
        default=environment("SIM_LIMIT", "100"),
        metavar="CALLS",
        help="calls a minute before 429, default %(default)s",
    )
    add("--no-limit", action="store_true", help="never 429")
    add(
        "--switch",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="assume otherwise about a doubtful point; may be repeated",
    )
    add("--examples", action="store_true", help="add one ticket per kind of campaign, not started")
    add("--campaign", type=int, metavar="N", help="add a campaign with N ordinary recipients")
    add("--scenario", choices=("email", "ticket", "digipost"), default="email")
    add("--trigger", choices=("communication", "failed_email"), default="communication")
    add("--plain", action="store_true", help="no tricky recipients beside the ordinary ones")
    return parser


def _values(field: FieldInfo) -> str:
    """The default of a switch, and what else it can be where that is a matter of words."""
    words = get_args(field.annotation)
    return "|".join([str(field.default), *(str(word) for word in words if word != field.default)])


if __name__ == "__main__":
    main()
