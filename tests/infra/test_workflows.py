"""The workflows parse, ask for little, and say the same as the documents."""

import re

import pytest

from tests.examples import ROOT
from tests.infra.bicep import INFRA, parameters
from tests.infra.workflows import WORKFLOWS, packing, steps, workflow

DOCUMENT = (ROOT / "docs/deploy.md").read_text("utf-8")


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_each_action_is_named_with_a_version(file) -> None:
    used = [step["uses"] for step in steps(workflow(file.name)) if "uses" in step]
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w-]+/[\w-]+@v\d+", one)] == []


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_no_job_may_more_than_read_and_log_in(file) -> None:
    found = workflow(file.name)
    assert found["permissions"] in ({}, {"contents": "read"})
    for job in found["jobs"].values():
        asked = job.get("permissions", {})
        assert asked.items() <= {"contents": "read", "id-token": "write"}.items()
        assert "timeout-minutes" in job or "uses" in job


def test_ci_runs_what_a_developer_runs() -> None:
    jobs = workflow("ci.yml")["jobs"]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert jobs["linux"]["steps"][-1]["run"] == "bash .ci/run"
    assert jobs["others"]["strategy"]["matrix"]["os"] == ["windows-latest", "macos-latest"]
    assert jobs["others"]["steps"][-1]["run"] == "python -m dev test"


def test_nothing_is_deployed_by_itself_or_before_it_was_tested_and_looked_at() -> None:
    found = workflow("deploy.yml")
    assert [*found["on"]] == ["workflow_dispatch"]
    assert found["jobs"]["deploy"]["needs"] == ["check", "what-if"]
    assert found["jobs"]["deploy"]["environment"] == "production"
    assert found["jobs"]["check"]["uses"] == "./.github/workflows/ci.yml"
    assert "workflow_call" in workflow("ci.yml")["on"]


def test_the_workflow_changes_no_resource() -> None:
    commands = " ".join(step.get("run", "") for step in steps(workflow("deploy.yml")))
    assert re.findall(r"\baz [a-z -]+", commands) == [
        "az deployment group what-if --resource-group "
    ]


def test_github_keeps_no_secret() -> None:
    for file in WORKFLOWS:
        assert "secrets." not in file.read_text("utf-8")


def test_azure_gets_the_package_as_it_was_built() -> None:
    [step] = [
        step
        for step in steps(workflow("deploy.yml"))
        if str(step.get("uses", "")).startswith("Azure/functions-action@")
    ]
    assert step["with"]["package"] == ".dev/package.zip"
    assert step["with"]["remote-build"] is False
    built = " ".join(packing())
    assert "--constraint requirements-dev.txt" in built
    assert "--python-version 3.13" in built
    assert ".python_packages/lib/site-packages" in built


# --- and what docs/deploy.md says ---


def test_the_document_names_every_variable_that_the_workflow_reads() -> None:
    text = (ROOT / ".github/workflows/deploy.yml").read_text("utf-8")
    read = {*re.findall(r"vars\.(\w+)", text)}
    assert read
    assert {one for one in read if f"`{one}`" not in DOCUMENT} == set()


def test_the_document_names_every_parameter_and_secret() -> None:
    for name in parameters(INFRA / "main.bicep"):
        assert f"`{name}`" in DOCUMENT
    app = (INFRA / "app.bicep").read_text("utf-8")
    for secret in re.findall(r"SecretName=([a-z-]+)", app):
        assert f"--name {secret} " in DOCUMENT


def test_the_document_trusts_the_branch_and_the_environment_of_the_workflow() -> None:
    assert "environment:production" in DOCUMENT
    assert workflow("ci.yml")["on"]["push"]["branches"] == ["main"]
    assert "ref:refs/heads/main" in DOCUMENT


def test_the_document_says_which_python() -> None:
    assert "Python 3.13" in DOCUMENT


def test_the_document_does_not_promise_what_nobody_has_seen() -> None:
    assert "parsed and checked by tests" in DOCUMENT
    assert "neither compiled nor deployed" in DOCUMENT
