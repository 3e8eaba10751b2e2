"""The documents say what the code does, as far as a machine can tell."""

import ast
import fnmatch
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from dev.__main__ import TASKS
from shared.domain.alert import Cause
from shared.domain.campaign import MOVES as PHASE_MOVES
from shared.domain.campaign import Phase
from shared.domain.delivery import MOVES as STATUS_MOVES
from shared.domain.delivery import Reason, Status
from shared.domain.recipient import LeftOutReason
from shared.settings import Settings, read_settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LOOPBACK = {"localhost", "127.0.0.1"}
#: What lies in a working copy and is not tracked.
NOT_OURS = {
    *(".git", ".venv", ".dev", ".hypothesis", ".pytest_cache", ".mypy_cache", ".ruff_cache"),
    *("__pycache__", "node_modules", "local.settings.json"),
}


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def section(name: str, heading: str) -> str:
    """What stands below a heading, up to the next."""
    return re.split(r"^#+ ", text_of(name).partition(f" {heading}\n")[2], flags=re.MULTILINE)[0]


def rows(text: str) -> dict[str, list[str]]:
    """The rows of the tables in the text: each code in the first cell, and the other cells."""
    found = re.findall(r"^\| (`[^|]+`) \| (.+) \|$", text, re.MULTILINE)
    return {code: cells.split(" | ") for first, cells in found for code in codes(first)}


def codes(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


# --- settings ---


def documented_default(name: str) -> str:
    field = Settings.model_fields[name]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return "empty" if value == "" else f"`{value}`"


def test_every_setting_is_explained_with_its_default_and_nothing_else_is() -> None:
    before, _, _ = text_of("docs/settings.md").partition("## host.json")
    found = {name: cells[0] for name, cells in rows(before).items()}
    assert found == {name: documented_default(name) for name in Settings.model_fields}


@pytest.fixture
def example() -> dict[str, str]:
    values: dict[str, str] = json.loads(text_of("local.settings.example.json"))["Values"]
    return values


def test_the_example_has_every_setting_and_no_other(example: dict[str, str]) -> None:
    assert example.keys() == {*Settings.model_fields, "FUNCTIONS_WORKER_RUNTIME"}


def test_the_app_starts_on_the_example(
    example: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in example.items():
        monkeypatch.setenv(name, value)
    assert not read_settings().allowed.everybody


def test_the_example_reaches_nobody(example: dict[str, str]) -> None:
    nobodys = re.compile(r"(.+\.)?(example(\.(com|org|net|no))?|local)")
    domains = {*re.findall(r"@([\w.-]+)", " ".join(example.values()))}
    domains |= {entry.strip() for entry in example["ONLY_SEND_TO"].split(",")}
    assert [domain for domain in domains if not nobodys.fullmatch(domain)] == []
    assert urlsplit(example["PURESERVICE_URL"]).hostname in LOOPBACK
    assert example["SMTP_HOST"] in LOOPBACK
    assert example["AzureWebJobsStorage"] == "UseDevelopmentStorage=true"


def test_the_values_of_the_host_are_those_in_its_file() -> None:
    host = json.loads(text_of("host.json"))
    values = {**host["extensions"]["queues"], "functionTimeout": host["functionTimeout"]}
    documented = rows(section("docs/settings.md", "host.json"))
    assert {name: cells[0] for name, cells in documented.items()} == {
        name: f"`{value}`" for name, value in values.items()
    }


# --- words, states and events ---


def test_every_status_phase_and_reason_is_explained() -> None:
    explained = codes(text_of("docs/flow.md") + text_of("docs/glossary.md"))
    members = {str(one) for kind in (Status, Phase, Reason, LeftOutReason) for one in kind}
    assert members - {""} - explained == set()


@pytest.mark.parametrize(
    ("heading", "moves"),
    [("States of a delivery", STATUS_MOVES), ("States of a campaign", PHASE_MOVES)],
)
def test_the_tables_of_states_allow_what_the_code_allows(
    heading: str, moves: Mapping[str, Iterable[str]]
) -> None:
    documented = {
        state: codes(cells[1]) for state, cells in rows(section("docs/flow.md", heading)).items()
    }
    assert documented == {str(state): {str(one) for one in moves[state]} for state in moves}


@pytest.mark.parametrize(
    ("heading", "moves", "not_drawn"),
    [
        ("States of a delivery", STATUS_MOVES, None),
        ("States of a campaign", PHASE_MOVES, Phase.BLOCKED),
    ],
)
def test_the_diagrams_of_states_show_what_the_code_allows(
    heading: str, moves: Mapping[str, Iterable[str]], not_drawn: str | None
) -> None:
    drawn = re.findall(r"^ +(\w+) --> (\w+)", section("docs/flow.md", heading), re.MULTILINE)
    allowed = {(str(one), str(next_)) for one in moves for next_ in moves[one]}
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == {pair for pair in allowed if not_drawn not in pair}


def logged_events() -> set[str]:
    """The first word of everything the app logs; what is filled in later as `*`."""
    files = [ROOT / "function_app.py", *(ROOT / "shared").rglob("*.py")]
    told = {
        node.args[0].value
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).startswith("log.")
        and isinstance(node.args[0], ast.Constant)
    }
    return {str(text).split()[0].replace("%s", "*") for text in told}


def test_the_operator_can_look_up_every_event_and_no_other_is_explained() -> None:
    explained = rows(section("docs/operations.md", "What the log says")).keys()
    events = logged_events()
    assert events
    assert [one for one in events if not fnmatch.filter(explained, one)] == []
    assert [one for one in explained if not any(fnmatch.fnmatch(one, e) for e in events)] == []


def test_the_operator_can_look_up_every_problem_that_blocks() -> None:
    told = re.findall(r'if name == "(\w+)"', text_of("shared/templates/problems.html"))
    assert told
    assert rows(section("docs/operations.md", "Blocked")).keys() == set(told)


def test_the_operator_can_look_up_every_alert() -> None:
    told = rows(section("docs/operations.md", "Alerts"))
    assert told.keys() == {str(cause) for cause in Cause}


def test_the_operator_can_look_up_every_request_over_http() -> None:
    told = rows(section("docs/operations.md", "Requests over HTTP")).keys()
    routes = re.findall(r'app\.route\("([^"]+)", methods=\["(\w+)"\]', text_of("function_app.py"))
    assert routes
    example = {f"{verb} /api/{path.replace('{campaign}', '20417-1')}" for path, verb in routes}
    assert told == example


# --- commands, links, paths ---


def test_every_command_in_the_documents_exists() -> None:
    named = {
        (document.name, task)
        for document in DOCUMENTS
        for task in re.findall(r"\bpy(?:thon3?)? -m dev ([a-z]+)", document.read_text("utf-8"))
    }
    assert {(document, task) for document, task in named if task not in TASKS} == set()
    assert {task for document, task in named if document == "README.md"} == set(TASKS)


def anchors(document: Path) -> set[str]:
    """What its headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def test_every_link_within_the_project_leads_somewhere() -> None:
    broken = []
    for document in DOCUMENTS:
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")):
            if urlsplit(link).scheme:
                continue
            path, _, anchor = link.partition("#")
            target = (document.parent / path) if path else document
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{document.relative_to(ROOT)}: {link}")
    assert broken == []


def test_every_test_that_a_document_names_exists() -> None:
    """A link to a file of tests is called as the file, or as a test in it."""
    wrong = []
    for document in DOCUMENTS:
        links = r"\[([^\]]+)\]\(([^)\s]+/(test_\w+)\.py)\)"
        for called, path, file in re.findall(links, document.read_text("utf-8")):
            name = f"test_{called.replace(' ', '_')}"
            tests = (document.parent / path).read_text("utf-8")
            if called not in (file, "a test") and not re.search(
                rf"^(async )?def {name}\(", tests, re.M
            ):
                wrong.append(f"{document.relative_to(ROOT)}: {called} in {path}")
    assert wrong == []


def project_files() -> Iterator[Path]:
    for folder, subfolders, names in os.walk(ROOT):
        subfolders[:] = [name for name in subfolders if name not in NOT_OURS]
        yield from (Path(folder, name) for name in names if name not in NOT_OURS)


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    machines = re.compile(rb"(?<![\w.~])/(home|Users|root|work)/\w|\b[A-Z]:\\+Users\\")
    found = [
        f"{file.relative_to(ROOT)}: {match[0]!r}"
        for file in project_files()
        if (match := machines.search(file.read_bytes()))
    ]
    assert found == []
