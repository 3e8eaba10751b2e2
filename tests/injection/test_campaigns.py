"""Something goes wrong at any exchange with the outside, and the system runs on.

Nobody is written to twice and nobody forgotten, every recipient is accounted for, and the ticket
has one of everything. Here campaigns that go as they should, and those that have an accident.
"""

import pytest

from tests.injection.choice import Injection, choice
from tests.injection.runs import all_injected, whole
from tests.injection.script import Script
from tests.injection.scripts import ACCIDENTS, PLAIN
from tests.injection.town import App

SCRIPTS = [*PLAIN, *ACCIDENTS]


@pytest.fixture(scope="module")
def injections(app: App) -> dict[Script, list[Injection]]:
    return choice({script: whole(app, script) for script in SCRIPTS})


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_whatever_goes_wrong_nobody_is_written_to_twice_or_never(
    app: App, script: Script, injections: dict[Script, list[Injection]]
) -> None:
    all_injected(app, script, injections[script])
