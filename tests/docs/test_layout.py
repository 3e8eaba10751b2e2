"""Imports point inwards: function_app → flow → domain, bootstrap → adapters → domain."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OUTSIDE = {"azure", "aiohttp", "httpx", "aiosmtplib"}
#: What the modules at or below a path may import of `shared`.
OF_SHARED = {
    "shared/domain": {"shared.domain"},
    "shared/ledger": {"shared.domain", "shared.errors", "shared.ports", "shared.ledger"},
    "shared/flow": {
        "shared.domain",
        "shared.errors",
        "shared.ports",
        "shared.ledger",
        "shared.settings",
        "shared.flow",
    },
    "shared/ports.py": {"shared.domain"},
    "shared/errors.py": {"shared.domain"},
}


def modules(path: str) -> list[Path]:
    found = sorted((ROOT / path).rglob("*.py")) if (ROOT / path).is_dir() else [ROOT / path]
    assert found and all(file.is_file() for file in found), path
    return found


def imports(source: str, package: Sequence[str] = ()) -> Iterator[str]:
    """Every name the source imports, dotted, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) - node.level + 1] if node.level else ()
            base = [*around, *([node.module] if node.module else [])]
            yield from (".".join([*base, name.name]) for name in node.names)


def imported(path: str) -> Iterator[tuple[str, str]]:
    """Which file below the path imports what."""
    for file in modules(path):
        where = file.relative_to(ROOT)
        for name in imports(file.read_text("utf-8"), where.parent.parts):
            yield where.as_posix(), name


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("path", OF_SHARED)
def test_what_is_inside_knows_nothing_of_what_is_around_it(path: str) -> None:
    wrong = [
        (file, name)
        for file, name in imported(path)
        if within(name, OUTSIDE) or (within(name, {"shared"}) and not within(name, OF_SHARED[path]))
    ]
    assert wrong == []


@pytest.mark.parametrize("path", ["function_app.py", "shared"])
def test_what_is_deployed_never_needs_what_is_not(path: str) -> None:
    assert [one for one in imported(path) if within(one[1], {"dev", "tests"})] == []


def test_no_way_of_writing_an_import_escapes() -> None:
    source = """
from ..adapters import smtp
from . import wording
from shared import adapters
def later():
    import httpx._client
"""
    assert [*imports(source, ("shared", "flow"))] == [
        "shared.adapters.smtp",
        "shared.flow.wording",
        "shared.adapters",
        "httpx._client",
    ]
