"""Runs a model, and counts.

The test command runs the same examples each time. For a longer run, with other ones:

    MODEL_EXAMPLES=5000 python -m dev test tests/model/test_engine.py
    MODEL_EXAMPLES=5000 MODEL_SEED=7 python -m dev test tests/model/test_engine.py

Without a seed Hypothesis takes one of its own. It prints what to do to see a failure again. What
fails is made as short as possible, which takes minutes; with MODEL_SHRINK=no it is not.
"""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Model, Tally


def run(model: type[Model], examples: int, steps: int = 50) -> Tally:
    """As many examples as that, or as the environment says, of so many steps at most."""
    asked, seed = os.environ.get("MODEL_EXAMPLES"), os.environ.get("MODEL_SEED")
    model.tally = Tally()
    if seed:
        seeded(int(seed))(model)
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=int(asked or examples),
            stateful_step_count=steps,
            phases=[Phase.generate] if os.environ.get("MODEL_SHRINK") == "no" else tuple(Phase),
            derandomize=asked is None,
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            print_blob=True,
        ),
    )
    return model.tally
