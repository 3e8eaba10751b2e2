"""The workflows, read as data."""

import shlex
from typing import Any

import yaml

from tests.examples import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def workflow(name: str) -> dict[str, Any]:
    found = yaml.safe_load((ROOT / ".github/workflows" / name).read_text("utf-8"))
    found["on"] = found.pop(True)  # to YAML, a bare `on` is a truth value
    return found


def steps(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in found["jobs"].values() for step in job.get("steps", [])]


def packing() -> list[str]:
    """The commands that make the package, one a line."""
    [script] = [
        step["run"]
        for step in steps(workflow("deploy.yml"))
        if step.get("name") == "Make the package"
    ]
    return str(script).splitlines()


def archived() -> list[str]:
    """What the package is made of, as it stands in the command."""
    [command] = [line for line in packing() if line.startswith("git archive ")]
    words = shlex.split(command)
    return words[words.index("HEAD") + 1 :]
