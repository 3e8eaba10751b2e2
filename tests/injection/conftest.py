"""The app that every run is of."""

import os
import ssl
import sys
from collections.abc import Iterator

import pytest

from dev.host.app import index, load
from dev.playground import example_settings
from dev.setup import ROOT
from tests.injection.town import App


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    """Imported once, as Azure would; each run gives it services of its own."""
    before = dict(os.environ)
    os.environ.update(example_settings())
    try:
        functions = index(load(ROOT), example_settings())
        with pytest.MonkeyPatch.context() as patch:
            # Nothing here is encrypted, and to read all the certificates of this machine takes
            # longer than what a process does.
            for reading in ("load_default_certs", "load_verify_locations"):
                patch.setattr(ssl.SSLContext, reading, lambda *_, **__: None)
            yield App(functions, sys.modules["function_app"])
    finally:
        os.environ.clear()
        os.environ.update(before)
