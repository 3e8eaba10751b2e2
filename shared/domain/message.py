"""What a campaign says: fixed when it starts, the same for everybody."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom a campaign is from, and where answers and bounces go."""

    address: str
    name: str = ""
    reply_to: str = ""
    envelope: str = ""

    @property
    def envelope_from(self) -> str:
        return self.envelope or self.address


@dataclass(frozen=True, slots=True)
class File:
    """An attachment. `blob` is where its bytes are kept."""

    name: str
    content_type: str
    size: int
    blob: str


@dataclass(frozen=True, slots=True)
class Message:
    subject: str
    html: str
    text: str
    sender: Sender
    files: tuple[File, ...] = ()


_SPACES = re.compile(r"\s+")


def tag_pattern(template: str) -> re.Pattern[str]:
    """Finds the helpdesk's ticket tag, e.g. `[Sak ID# 20417]`, whatever the number."""
    before, _, after = template.partition("{{RequestNumber}}")
    return re.compile(rf"\s*{re.escape(before)}\s*\d+\s*{re.escape(after)}\s*", re.IGNORECASE)


def clean_subject(subject: str, tag_template: str) -> str:
    """The subject on one line, without a ticket tag: an answer must not land on our ticket."""
    # spaces first: looking for a tag behind each of 100,000 spaces takes minutes
    one_line = _SPACES.sub(" ", subject)
    return _SPACES.sub(" ", tag_pattern(tag_template).sub(" ", one_line)).strip()
