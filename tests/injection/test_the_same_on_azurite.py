"""The account in memory is held to Azurite: the same scripts, exchanges and crashes."""

import random
from collections import Counter
from functools import partial

import pytest

from tests.injection.azurite_storage import AzuriteStorage
from tests.injection.choice import SEED, choice
from tests.injection.moments import Trouble
from tests.injection.runs import all_injected, whole
from tests.injection.script import Script
from tests.injection.scripts import EMAIL, TICKET
from tests.injection.town import App

#: So many runs for each script.
SAMPLE = 3


@pytest.mark.parametrize("script", [EMAIL, TICKET], ids=str)
def test_a_campaign_asks_the_same_of_azurite(app: App, azurite: str, script: Script) -> None:
    on_azurite = whole(app, script, partial(AzuriteStorage, azurite))
    assert Counter(on_azurite) == Counter(whole(app, script))


@pytest.mark.parametrize("script", [EMAIL, TICKET], ids=str)
def test_what_goes_wrong_on_azurite_doubles_nobody_and_loses_nobody(
    app: App, azurite: str, script: Script
) -> None:
    every = choice({script: whole(app, script)}, "kinds")[script]
    at_once = {Trouble.BEFORE, Trouble.AFTER, Trouble.LIE}  # with the others the client waits
    quick = [
        {which: trouble}
        for one in every
        for which, trouble in one.items()
        if trouble in at_once and which.moment.what.startswith("storage")
    ]
    some = random.Random(SEED).sample(quick, SAMPLE)
    all_injected(app, script, some, partial(AzuriteStorage, azurite))
