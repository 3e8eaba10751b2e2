"""What the administrator is told: one line for each thing, and below it what to do about it."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from textwrap import fill

AGAIN = "Rett det over, og kjør på nytt."

_MARGIN = 18


class Mark(StrEnum):
    """In words: they need neither colours nor letters that an old console lacks."""

    OK = "OK"
    MISSING = "MANGLER"
    WARNING = "advarsel"
    UNKNOWN = "ikke undersøkt"


@dataclass(frozen=True, slots=True)
class Finding:
    mark: Mark
    text: str
    advice: str = ""

    def __str__(self) -> str:
        first = _lines(f"  {self.mark}".ljust(_MARGIN), self.text)
        return f"{first}\n{_lines(' ' * _MARGIN + '-> ', self.advice)}" if self.advice else first


Findings = AsyncIterator[Finding]


def ok(text: str, advice: str = "") -> Finding:
    return Finding(Mark.OK, text, advice)


def missing(text: str, advice: str = "") -> Finding:
    return Finding(Mark.MISSING, text, advice)


def warning(text: str, advice: str = "") -> Finding:
    return Finding(Mark.WARNING, text, advice)


def unknown(text: str, advice: str = "") -> Finding:
    return Finding(Mark.UNKNOWN, text, advice)


def summary(marks: Counter[Mark]) -> str:
    """How it went, in one line."""
    words = {**{mark: mark.value for mark in Mark}, Mark.MISSING: "mangler"}
    if marks[Mark.WARNING] > 1:
        words[Mark.WARNING] = "advarsler"
    counts = ", ".join(f"{marks[mark]} {words[mark]}" for mark in Mark if marks[mark])
    if marks[Mark.MISSING]:
        return f"Oppsettet er ikke komplett: {counts}. Rett det som mangler, og kjør på nytt."
    return f"Oppsettet er komplett: {counts}."


def _lines(start: str, text: str) -> str:
    """Broken at spaces only: an address or a setting stays in one piece, ready to be copied."""
    return fill(
        text,
        width=100,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
