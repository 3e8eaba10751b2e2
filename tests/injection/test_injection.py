"""Something goes wrong at any exchange with the outside, and the system runs on.

Nobody is written to twice and nobody forgotten, every recipient is accounted for, and the ticket
has one of everything: in campaigns that go as they should, in those that have an accident, and
while people prepare, steer and follow them up. Trouble has met every line of the flow that waits.
"""

import os
from collections.abc import Mapping

import pytest

from tests.injection.awaits import waits
from tests.injection.choice import Injection, choice, in_flow
from tests.injection.runs import all_injected, all_wholes
from tests.injection.script import Script
from tests.injection.scripts import ALL
from tests.injection.town import App

#: Lines that wait and have nothing to do with the outside, by what they say.
REACHES_NOBODY: Mapping[str, str] = {
    "allowance.turn()": "waits for its turn, which comes at once where there is no rate",
    "await self.turn()": "the same",
    "allowance.write()": "the same, and counts",
    "await self.sleep(": "what the others wait with",
    "channel.begins(": "asks who rests, which only matters where there is more than one transport",
    "asyncio.to_thread(": "works on what is in memory",
    "self._begin(file, job, letter,": "the same",
    "await typeset(letter.to(": "the same",
    "self._made(file, ": "the same",
    "letter, plan = await self._letter(": "is in memory by then",
    "await self.pause(": "waits for the helpdesk, where there is a limit",
    "unfit(pdfs,": "the same",
    "await _inspected(": "the same",
    "aclosing(": "opens what is inside of it, which is met",
}


@pytest.fixture(scope="module")
def injections(
    app: App, tmp_path_factory: pytest.TempPathFactory, testrun_uid: str
) -> dict[Script, list[Injection]]:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / testrun_uid
    return choice(all_wholes(app, ALL, folder))


@pytest.mark.parametrize("script", ALL, ids=str)
def test_whatever_goes_wrong_nobody_is_written_to_twice_or_never(
    app: App, script: Script, injections: dict[Script, list[Injection]]
) -> None:
    all_injected(app, script, injections[script])


def test_trouble_has_met_every_line_of_the_flow_that_waits(
    injections: dict[Script, list[Injection]],
) -> None:
    """A run stops or fails there, in one script or another."""
    chosen = [which.moment for some in injections.values() for one in some for which in one]
    met = {(place.file, place.line) for moment in chosen for place in in_flow(moment)}
    never = [wait for wait in waits() if not any(wait.is_at(*place) for place in met)]
    unexplained = [
        str(wait) for wait in never if not any(text in wait.text for text in REACHES_NOBODY)
    ]
    assert unexplained == []
    for text in REACHES_NOBODY:
        assert any(text in wait.text for wait in never), f"no longer true of: {text}"
