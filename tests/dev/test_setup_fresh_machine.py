"""From nothing to a working environment, also when it is interrupted or started twice."""

import ast
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from dev import process
from dev.__main__ import TASKS
from dev.setup import ROOT, SetupError, ensure_venv, once, run


def python(code: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_help_needs_only_the_standard_library_and_names_every_task() -> None:
    command = [sys.executable, "-S", "-m", "dev", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"  {task} " in shown for task in TASKS)


def test_a_task_that_does_not_exist_is_an_error() -> None:
    command = [sys.executable, "-m", "dev", "tset"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert "'tset'" in result.stderr


@pytest.mark.parametrize("file", ["__main__.py", "setup.py"])
def test_an_old_python_can_read_what_tells_it_that_it_is_too_old(file: str) -> None:
    ast.parse((ROOT / "dev" / file).read_text("utf-8"), feature_version=(3, 8))


def test_work_is_done_once_until_what_is_wanted_changes(tmp_path: Path) -> None:
    done: list[str] = []
    for wanted in ("a", "a", "b", "b", "a"):
        once(tmp_path / "stamp", wanted, lambda wanted=wanted: done.append(wanted))
    assert done == ["a", "b", "a"]


def test_work_that_failed_is_done_again(tmp_path: Path) -> None:
    once(tmp_path / "stamp", "old", lambda: None)

    def fail() -> None:
        raise SetupError

    with pytest.raises(SetupError):
        once(tmp_path / "stamp", "new", fail)
    assert once(tmp_path / "stamp", "old", lambda: None), "what was there is half gone"


def test_work_that_was_killed_is_done_again(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from dev.setup import once
once(Path(sys.argv[1]), "a", lambda: os._exit(9))
"""
    stamp = tmp_path / "stamp"
    with python(code, str(stamp)) as killed:
        assert killed.wait() == 9
    assert once(stamp, "a", lambda: None)


def test_two_that_start_at_once_do_the_work_once(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from dev.setup import once
def work():
    time.sleep(0.5)
    with Path(sys.argv[2]).open("a") as log:
        log.write("worked\\n")
once(Path(sys.argv[1]), "a", work)
"""
    log = tmp_path / "log"
    both = [python(code, str(tmp_path / "stamp"), str(log)) for _ in range(2)]
    assert [child.communicate() and child.returncode for child in both] == [0, 0]
    assert log.read_text() == "worked\n"


def test_a_venv_is_made_repaired_and_renewed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    venv, requirements = tmp_path / "venv", tmp_path / "requirements.txt"
    (venv / "bin").mkdir(parents=True)  # what a killed start left behind
    requirements.write_text("# nothing\n")
    made = ensure_venv(venv, requirements)
    said = capsys.readouterr().out
    assert "Making" in said
    assert "Installing" in said
    subprocess.run([made, "-c", "import pip"], check=True)

    ensure_venv(venv, requirements)
    assert capsys.readouterr().out == ""

    requirements.write_text("this-is-not@a@requirement\n")
    with pytest.raises(SetupError, match="requirement"):
        ensure_venv(venv, requirements)
    assert "Making" not in capsys.readouterr().out


def test_a_step_that_fails_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"Trying something\n(.|\n)*no luck"):
        run("Trying something", [sys.executable, "-c", "print('no luck'); raise SystemExit(3)"])


def test_a_child_stops_when_it_is_asked_to(tmp_path: Path) -> None:
    child = process.start_task("mail", "--port", "0", "--dir", str(tmp_path))
    assert child.stdout
    assert "ready" in child.stdout.readline()
    assert process.stop(child) in (0, 130)  # 130: it was on its way from ready to waiting


def test_a_child_stops_when_its_parent_was_killed(tmp_path: Path) -> None:
    code = """
import os, sys
from dev import process
child = process.start_task("mail", "--port", "0", "--dir", sys.argv[1])
child.stdout.readline()
print(child.pid, flush=True)
os._exit(9)
"""
    with python(code, str(tmp_path)) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
    eventually(lambda: not _is_running(pid))


def test_azurite_stops_when_its_parent_was_killed(azurite: str) -> None:
    code = """
import os
from dev.azurite import Azurite
with Azurite() as azurite:
    print(azurite.process.pid, flush=True)
    os._exit(9)
"""
    with python(code) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
    eventually(lambda: not _is_running(pid))


def _is_running(pid: int) -> bool:
    """Whether it runs; one that has ended but that nobody has asked about does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_lock_file_of_azurite_names_no_registry() -> None:
    lock = (ROOT / "dev" / "azurite" / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock
    assert "registry." not in lock
    assert '"node_modules/azurite"' in lock


@pytest.mark.skipif(os.name == "nt", reason="file modes are not kept on Windows")
def test_ci_can_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
