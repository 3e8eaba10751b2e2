"""What tests of every kind may ask for."""

from collections.abc import Iterator

import pytest

from dev.azurite import Azurite


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """The connection string of an Azurite of our own, in memory, for the whole test run."""
    with Azurite() as running:
        yield running.connection_string
