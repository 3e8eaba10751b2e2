"""What tests of every kind may ask for."""

import gc
import sys
from collections.abc import Iterator
from functools import lru_cache

import httpx
import hypothesis
import pytest

from dev.azurite import Azurite

# httpx looks for it before each request to an app in this process, in vain and at some length.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]
# It takes each address apart three times, at more length than the rest of the request takes, and
# once more to look for cookies, which nobody here sets.
httpx._urls.urlparse = lru_cache(httpx._urls.urlparse)  # type: ignore[attr-defined]
httpx.Cookies.extract_cookies = lambda self, response: None  # type: ignore[method-assign]

# The same examples each time, however slow; `--hypothesis-profile default` looks for other ones.
hypothesis.settings.load_profile("ci")


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """The connection string of an Azurite of our own, in memory, for the whole test run."""
    with Azurite() as running:
        yield running.connection_string


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files come first: then no process has to wait for another in the end."""
    long = ("tests/e2e/", "tests/injection/")
    items.sort(key=lambda item: not item.nodeid.startswith(long))


def pytest_collection_finish(session: pytest.Session) -> None:
    """All that is there by now stays, and need not be looked through again and again for garbage:
    that would take an eighth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
