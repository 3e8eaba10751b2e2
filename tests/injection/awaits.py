"""Where our flow waits: every `await`, `async for` and `async with` in it, found in its source."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tests.examples import ROOT

FLOW = ROOT / "shared" / "flow"


@dataclass(frozen=True, slots=True, order=True)
class Wait:
    file: str  #: in `shared/`
    first: int  #: the line that an exchange sees us at, or the first of several it may be
    last: int
    text: str

    def __str__(self) -> str:
        return f"shared/{self.file}:{self.first}: {self.text}"

    def is_at(self, file: str, line: int) -> bool:
        return file == self.file and self.first <= line <= self.last


def waits() -> list[Wait]:
    """Each of them, in order."""
    return sorted(set(_waits()))


def _waits() -> Iterator[Wait]:
    for file in FLOW.glob("*.py"):
        source = file.read_text("utf-8")
        lines = source.splitlines()
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                    last = node.lineno
                case (
                    ast.ListComp(generators=[*_, ast.comprehension(is_async=1)])
                    | ast.SetComp(generators=[*_, ast.comprehension(is_async=1)])
                ):
                    last = node.end_lineno or node.lineno
                case _:
                    continue
            yield Wait(f"flow/{file.name}", node.lineno, last, lines[node.lineno - 1].strip())
