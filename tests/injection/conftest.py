"""The app that every run is of."""

import os
import sys
from collections.abc import Iterator

import pytest

from dev.host.app import index, load
from dev.playground import example_settings
from dev.setup import ROOT
from tests.injection.town import App


@pytest.fixture(scope="session")
def app() -> Iterator[App]:
    """Imported once, as Azure would; each run gives it services of its own."""
    before = dict(os.environ)
    os.environ.update(example_settings())
    try:
        functions = index(load(ROOT), example_settings())
        # Nothing here is encrypted, and to read all the certificates of this machine takes longer
        # than what a process does.
        os.environ["SSL_CERT_FILE"] = os.devnull
        yield App(functions, sys.modules["function_app"])
    finally:
        os.environ.clear()
        os.environ.update(before)
