"""Child processes that stop when asked to, and that never outlive us.

A child reads its standard input and stops when that ends. We close it to ask for a graceful
stop, and the system closes it when we are killed: one way for both, on every platform.
"""

import _thread
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

FOLLOW = "DEV_STOP_AT_END_OF_INPUT"


def follow_parent() -> None:
    """Stop, as if by Ctrl-C, when standard input ends; nothing unless a parent asked for it."""
    if os.environ.pop(FOLLOW, None):
        # A shell's background processes ignore this signal, and so would we as their child.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=_wait_for_end_of_input, daemon=True).start()


def _wait_for_end_of_input() -> None:
    # Unbuffered: a daemon thread that sits in a buffered read holds its lock at shutdown.
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    _thread.interrupt_main()


def wait_until(condition: Callable[[], bool]) -> bool:
    """True when the condition holds, False when somebody asked us to stop before that.

    It looks now and then instead of sleeping soundly, because a sleeping main thread hears neither
    `follow_parent` nor, on Windows, Ctrl-C.
    """
    try:
        while not condition():
            time.sleep(0.1)
    except KeyboardInterrupt:
        return False
    return True


def start(
    command: Sequence[str], env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """Start a child with its output on a pipe, out of reach of our terminal's Ctrl-C."""
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        options["start_new_session"] = True
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {}), FOLLOW: "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        **options,
    )


def start_task(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start `python -m dev …` as such a child."""
    return start([sys.executable, "-X", "utf8", "-m", "dev", *arguments], env)


def stop(child: subprocess.Popen[str], grace: float = 10) -> int:
    """Ask the child to stop, kill it when the grace is over; its exit status."""
    if child.stdin:
        with contextlib.suppress(OSError):
            child.stdin.close()
    try:
        return child.wait(grace)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
    finally:
        if child.stdout:
            child.stdout.close()
