"""The same engine on Azurite: what the ledger in memory promises, a real one keeps."""

import pytest

from dev.setup import SetupError
from tests.model.machine import Model


@pytest.fixture
def storage(request: pytest.FixtureRequest) -> str:
    try:
        connection_string: str = request.getfixturevalue("azurite")
    except (SetupError, OSError) as error:
        pytest.skip(f"no Azurite here: {error}")
    return connection_string


def test_everybody_is_reached_once_on_a_real_ledger_too(run_model, storage):
    class OnAzurite(Model):
        pass

    OnAzurite.channel, OnAzurite.storage = "email", storage
    assert run_model(OnAzurite, examples=2, steps=40).steps > 60
