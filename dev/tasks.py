"""The tasks that only start a tool: test, lint, lock."""

import os
import subprocess
import sys

from dev.setup import ROOT


def test(options: list[str]) -> int:
    """Pytest with these options; without any, all tests on every core. Its exit status."""
    import pytest

    # Some tests mostly wait for processes of their own, so there is one process more than cores.
    processes = str((os.cpu_count() or 1) + 1)
    parallel = ["-n", processes, "--dist", "loadfile", "--no-loadscope-reorder"]
    options = options or parallel
    # In this process, so that Ctrl-C reaches pytest alone and fixtures are taken down.
    return int(pytest.main(options))


def lint(options: list[str]) -> int:
    """Ruff and mypy, all of them even when the first complains; 0 when all are content."""
    if options:
        print("lint takes no options", file=sys.stderr)
        return 2
    tools = (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"])
    return max(subprocess.call([sys.executable, "-m", *tool], cwd=ROOT) for tool in tools)


def lock(options: list[str]) -> int:
    """Renew the lock file, for all platforms and Pythons; options go to `uv pip compile`."""
    flags = (
        "--quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url"
    )
    files = ["requirements-dev.in", "--output-file", "requirements-dev.txt"]
    command = [sys.executable, "-m", "uv", "pip", "compile", *flags.split(), *options, *files]
    return subprocess.call(command, cwd=ROOT)
