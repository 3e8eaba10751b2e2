"""An app in the worker library that Azure runs: which Python for it, and a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

#: What the worker library runs on, and no older one.
OLDEST = (3, 13)
PATIENCE = 60  # seconds for an answer; a worker that takes longer hangs

# The one a virtual environment was made from, so that the same Python is not found as two.
_PROBE = (
    "import os, sys, ensurepip, venv;"
    "print(*sys.version_info[:3], os.path.realpath(sys._base_executable), sep='|')"
)


def find_python() -> tuple[str, str] | None:
    """Version and path of a Python that is new enough and can make virtual environments."""
    for program, *options in _pythons():
        if not shutil.which(program):
            continue
        command = [program, *options, "-c", _PROBE]
        probe = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if probe.returncode:  # a shim of pyenv's that leads nowhere, or Debian without venv
            continue
        *version, path = probe.stdout.strip().split("|")
        if tuple(map(int, version)) >= OLDEST:
            return ".".join(version), path
    return None


def _pythons() -> Iterator[list[str]]:
    yield [sys.executable]
    for minor in range(OLDEST[1], OLDEST[1] + 3):
        yield [f"python3.{minor}"]
        yield ["py", f"-3.{minor}"]
    pyenv = Path.home() / ".pyenv"
    for python in ("versions/3.*/bin/python", "pyenv-win/versions/3.*/python.exe"):
        yield from ([str(found)] for found in sorted(pyenv.glob(python)))


@dataclass(frozen=True)
class Called:
    """How an invocation ended, and what it answered over HTTP."""

    error: str | None
    response: dict[str, Any] | None


class Worker:
    """The worker with an app, from entering to leaving: what it found there, and calls to it."""

    def __init__(self, python: str, app: Path, settings: Mapping[str, str]) -> None:
        driver = Path(__file__).with_name("driver.py")
        # Isolated, as in Azure: nothing but the app and its packages can be imported.
        self._command = [python, "-I", "-X", "utf8", str(driver), str(app)]
        self._env = {**os.environ, **settings}

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            self._command,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        indexed = self._answer()
        self.error: str | None = indexed["error"]
        self.triggers: dict[str, dict[str, Any]] = indexed["triggers"]
        return self

    def __exit__(self, *_: object) -> None:
        self._child.__exit__(None, None, None)  # the end of its input is the end of it

    def tick(self, function: str) -> Called:
        """Call a function as its timer does."""
        times = {"Last": "2026-11-22T08:00:00+00:00", "Next": "2026-11-22T08:01:00+00:00"}
        timer = {"ScheduleStatus": times, "Schedule": {"AdjustForDST": True}, "IsPastDue": False}
        return self._call(function, "json", json.dumps(timer))

    def message(self, function: str, body: str) -> Called:
        """Call a function as its queue does."""
        return self._call(
            function,
            "string",
            body,
            Id="6f1c1a9e-0d4a-4b53-9d7e-3f9a8a4a2b10",
            PopReceipt="AgAAAAMAAAAAAAAA",
            DequeueCount=1,
            InsertionTime="2026-11-22T08:00:00+00:00",
            ExpirationTime="2026-11-29T08:00:00+00:00",
            NextVisibleTime="2026-11-22T08:10:00+00:00",
        )

    def get(self, function: str, url: str, **params: str) -> Called:
        """Call a function as a GET request does; `params` are the variable parts of its route."""
        return self._request(function, "GET", url, "", **params)

    def post(self, function: str, url: str, body: str, **params: str) -> Called:
        """Call a function as a POST request does."""
        return self._request(function, "POST", url, body, **params)

    def _request(self, function: str, method: str, url: str, body: str, **params: str) -> Called:
        request = {"method": method, "url": url, "params": params, "body": body}
        return self._call(function, "http", request)

    def _call(self, function: str, kind: str, data: Any, **metadata: Any) -> Called:
        assert self.error is None, self.error
        question = {"function": function, "kind": kind, "data": data, "metadata": metadata}
        assert self._child.stdin
        print(json.dumps(question), file=self._child.stdin, flush=True)
        return Called(**self._answer())

    def _answer(self) -> Any:
        assert self._child.stdout
        watchdog = threading.Timer(PATIENCE, self._child.kill)
        watchdog.start()
        line = self._child.stdout.readline()
        watchdog.cancel()
        assert line, f"the worker died, or said nothing for {PATIENCE} seconds"
        return json.loads(line)
