"""A fresh machine becomes a working one: `.venv` made, requirements installed, once.

Only the standard library, and nothing newer than Python 3.8 in the syntax: this runs before we
know which Python it is, so that an old one gets a sentence instead of a traceback.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator  # noqa: UP035  # collections.abc is not generic in 3.8

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
WORK = ROOT / ".dev"  # everything a run leaves behind
REQUIREMENTS = ROOT / "requirements-dev.txt"
OLDEST = (3, 11)


class SetupError(Exception):
    """The machine lacks something; the message tells a person what to do."""


def python_of(venv: Path) -> Path:
    """The venv's interpreter, whether it exists or not."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fingerprint(*files: Path) -> str:
    """Changes when any of the files does; line endings do not count, git may change those."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the system lets go when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
                except OSError:  # it gives up after ten seconds; an installation takes longer
                    continue
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def once(stamp: Path, wanted: str, work: Callable[[], None]) -> bool:
    """Do the work unless the stamp says that exactly this was finished; True when it was done now.

    The stamp goes before the work starts and comes when it has ended, so that work that was
    killed half-way is done again.
    """

    def done() -> bool:
        return stamp.is_file() and stamp.read_text("utf-8") == wanted

    if done():
        return False
    with locked(WORK / f"{stamp.name}.lock"):
        if done():  # by the one that held the lock before us
            return False
        stamp.unlink(missing_ok=True)
        work()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(wanted, "utf-8")
    return True


def run(what: str, command: list[str], cwd: Path = ROOT) -> None:
    """Run one step, naming it first; SetupError with the step's own last words when it fails."""
    print(what, flush=True)
    result = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if result.returncode:
        raise SetupError(f"{what}\nfailed ({result.returncode}):\n{result.stdout.strip()[-4000:]}")


def usable(python: Path) -> bool:
    """Whether this interpreter runs, is new enough and has pip."""
    check = f"import sys, pip; sys.exit(sys.version_info < {OLDEST})"
    try:
        return subprocess.run([str(python), "-c", check], capture_output=True).returncode == 0
    except OSError:
        return False


def ensure_venv(venv: Path = VENV, requirements: Path = REQUIREMENTS) -> Path:
    """The interpreter of a venv that holds exactly what the lock file asks for."""
    python = python_of(venv)

    def install() -> None:
        if not usable(python):
            try:
                run(
                    f"Making {venv.name} with Python {sys.version.split()[0]}",
                    [sys.executable, "-m", "venv", "--clear", str(venv)],
                )
            except SetupError as error:
                raise SetupError(
                    f"{error}\n\nOn Debian and Ubuntu: apt install python3-venv"
                ) from None
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run(
            f"Installing {requirements.name} into {venv.name} (a minute, the first time)",
            [*pip, "--requirement", str(requirements)],
        )

    once(venv / "requirements.stamp", fingerprint(requirements), install)
    return python


def inside(venv: Path = VENV) -> bool:
    """Whether this very process runs in the venv."""
    return Path(sys.prefix).resolve() == venv.resolve()


def rerun(python: Path, arguments: list[str]) -> int:
    """The same command again under the given interpreter; on Windows its exit status."""
    command = [str(python), "-X", "utf8", "-m", "dev", *arguments]
    # A task starts many processes, and each would compile the whole project anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.stdout.flush()
    if os.name != "nt":
        os.execv(command[0], command)
    with subprocess.Popen(command) as child:  # Windows' exec returns to the prompt at once
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # the child got it too, and decides what to do with it
                continue
