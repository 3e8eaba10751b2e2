"""How a test looks at a campaign from outside."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from dev.playground import Playground
from shared.bootstrap import bootstrap
from shared.domain.delivery import Status

_PATIENCE = 90  # seconds; only ever spent by a test that fails


def wait_until(happened: Callable[[], bool], told: Callable[[], object]) -> None:
    """`told` says how it stood when it did not happen."""
    deadline = time.monotonic() + _PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"{told()} after {_PATIENCE} s"
        time.sleep(0.05)


def wait_until_solved(here: Playground, number: int) -> None:
    wait_until(lambda: status(here, number) == "Løst", lambda: status(here, number))


def status(here: Playground, number: int) -> str:
    return str(here.ticket(number)["status"])


def received(here: Playground) -> Counter[str]:
    """How many mails each address has got from us."""
    return Counter(mail["X-Envelope-To"].lower() for mail in here.sink.messages())


def copies_of(here: Playground, number: int) -> list[dict[str, Any]]:
    """The tickets that recipients have got, as a person sees them."""
    copies: list[dict[str, Any]] = here.sim("GET", f"copies/{number}")
    return copies


def outcomes(here: Playground, campaign: str) -> Counter[Status]:
    """How many deliveries ended how, by the ledger."""

    async def read() -> Counter[Status]:
        services = bootstrap(here.read_settings())
        try:
            return Counter([d.status async for d in services.ledger.deliveries.all(campaign)])
        finally:
            await services.close()

    return asyncio.run(read())
