"""What has been run is told at the end, whatever the level of detail."""

from collections.abc import Callable, Iterator

import pytest

from tests.model.machine import Model, Tally
from tests.model.running import run

Run = Callable[..., Tally]


@pytest.fixture
def run_model(record_property: Callable[[str, object], None]) -> Iterator[Run]:
    """Runs a model; its tally is told of, also when it fails."""
    models: list[type[Model]] = []

    def running(model: type[Model], examples: int, steps: int = 50) -> Tally:
        models.append(model)
        return run(model, examples, steps)

    yield running
    for model in models:
        record_property("model", f"{model.__name__}: {model.tally}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "model" and report.when == "teardown"
    ]
    for line in told:
        terminalreporter.write_line(line)
