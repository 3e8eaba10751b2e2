"""A make-believe Pureservice: the agent API over plain data, for tests, demos and development.

    world = World()
    seed_base(world)
    number = seed_campaign(world, recipients=20)
    app = create_app(world)

It is as strict as what is known of the real one, and what is not known is a switch. See
``python -m dev.pureservice --help`` to serve it, and ``/_sim/state`` to look inside.

A mail's fate is in the address, so that anyone can try the unhappy path. The local part has it, as
in ``kari+bounce@example.no``:

    +bounce     the mail fails (status 5, with a reason), as all mail to ``.local`` does
    +stuck      the mail stays in the outbox (status 1)
    +lost       the message is in the log of the ticket and never becomes a mail

One call can go wrong: ``{"kind": "drop_after_write", "method": "POST", "path": "/ticket", "skip":
2}`` to ``/_sim/faults`` carries out the third new ticket and loses the answer. See ``Fault``.
"""

from collections.abc import Callable

from . import sim
from .gate import ConnectionDropped, Fault, Simulator
from .seed import expected, seed_base, seed_campaign, seed_examples
from .switches import Switches
from .world import World

__all__ = [
    "ConnectionDropped",
    "Fault",
    "Simulator",
    "Switches",
    "World",
    "create_app",
    "expected",
    "seed_base",
    "seed_campaign",
    "seed_examples",
]

DEFAULT_KEY = "demo-key"
DEFAULT_PREFIX = "/agent/api"


def create_app(
    world: World,
    *,
    key: str = DEFAULT_KEY,
    prefix: str = DEFAULT_PREFIX,
    seed_again: Callable[[World], None] = seed_base,
) -> Simulator:
    """The API over ``world``, with ``/_sim/`` beside it; a reset empties it and seeds again."""
    app = Simulator(world, key=key, prefix=prefix)
    app.routes.extend(sim.routes(world, app, seed_again))
    return app
