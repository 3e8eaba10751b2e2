"""What goes to Azure: the app, and nothing else that lies in the project."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import pathspec
import pytest

from tests.examples import ROOT
from tests.infra.workflows import archived

#: What the app is made of; letters are typeset by the `.typ`.
KINDS = (".py", ".html", ".typ", ".json", ".txt")
PACKAGE = {"function_app.py", "host.json", "requirements.txt", "shared"}

Denies = Callable[[str], bool]


def lines() -> list[str]:
    text = (ROOT / ".funcignore").read_text("utf-8").splitlines()
    return [line for line in map(str.strip, text) if line and not line.startswith("#")]


def as_git_would() -> Denies:
    """How the GitHub action and VS Code read .funcignore."""
    spec = pathspec.GitIgnoreSpec.from_lines(lines())
    return spec.match_file


def as_core_tools_do() -> Denies:
    """How `func azure functionapp publish` reads it: each line a regular expression, anchored at
    the beginning of the path and open at the end."""

    def pattern(line: str) -> str:
        escaped = re.sub(r"[\-\[\]/{}()+?.\\^$|]", r"\\\g<0>", line.removeprefix("/"))
        return escaped.replace("**", "(.+)").replace("*", r"([^\/]+)")

    assert not any(line.startswith("!") for line in lines()), "does not work there"
    denied = re.compile("^(" + "|".join(map(pattern, lines())) + ")")
    return lambda path: denied.match(path) is not None


READERS = [as_git_would, as_core_tools_do]


def project() -> Iterator[str]:
    """Every file, except that one stands for all in a folder that is not part of the package."""
    for entry in sorted(ROOT.iterdir()):
        if entry.is_dir() and entry.name not in PACKAGE:
            yield f"{entry.name}/noe.txt"
        elif entry.is_file():
            yield entry.name
    for folder, _, names in os.walk(ROOT / "shared"):
        for name in names:
            yield (
                PurePosixPath(os.path.relpath(folder, ROOT).replace(os.sep, "/")) / name
            ).as_posix()


@pytest.mark.parametrize("reader", READERS)
def test_nothing_else_is_left_by_funcignore(reader: Callable[[], Denies]) -> None:
    denies = reader()
    left = [path for path in project() if not denies(path)]
    assert {path.partition("/")[0] for path in left} == PACKAGE
    assert [path for path in left if path.endswith(".pyc")] == []


@pytest.mark.parametrize("reader", READERS)
def test_the_whole_app_is_left_by_funcignore(reader: Callable[[], Denies]) -> None:
    denies = reader()
    code = [
        path for path in project() if path.partition("/")[0] in PACKAGE and path.endswith(KINDS)
    ]
    assert [path for path in code if denies(path)] == []
    templates = [path for path in code if path.startswith("shared/templates/")]
    assert len(templates) == len([*(ROOT / "shared/templates").iterdir()]) > 0
    assert "shared/templates/letter.typ" in templates


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["local.settings.json", ".git/config", ".venv/pyvenv.cfg"])
def test_what_must_never_go_along_does_not(reader: Callable[[], Denies], name: str) -> None:
    assert reader()(name)


def test_the_workflow_packs_the_same_list() -> None:
    assert set(archived()) == PACKAGE
    assert [name for name in archived() if not (ROOT / name).exists()] == []


def test_nothing_in_the_package_is_too_new_for_git_to_know() -> None:
    """`git archive` takes what is tracked; .gitignore must not hide a part of the app."""
    hidden = pathspec.GitIgnoreSpec.from_lines(
        (ROOT / ".gitignore").read_text("utf-8").splitlines()
    )
    code = [path for path in project() if path.startswith("shared/") and path.endswith(KINDS)]
    assert [path for path in [*code, *PACKAGE] if hidden.match_file(path)] == []
