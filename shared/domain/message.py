"""What a campaign says: fixed when it starts, the same for everybody."""

import re
from dataclasses import dataclass
from html import escape
from typing import Any


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
    original: int = 0  #: its id in the helpdesk
    content_id: str = ""  #: what the text refers to it by, when it is shown there


@dataclass(frozen=True, slots=True)
class Classification:
    """Where in the helpdesk a ticket belongs, as the helpdesk's own ids."""

    request_type: int
    ticket_type: int
    priority: int
    source: int
    zone: int
    team: int | None = None
    agent: int | None = None
    category1: int | None = None
    category2: int | None = None
    category3: int | None = None


@dataclass(frozen=True, slots=True)
class TicketTemplate:
    """What every recipient's ticket takes over from the campaign's: fixed when it starts.

    `fields` are the self-made fields that have a value, `pictures` the files that the description
    shows. The message and its files come on top of it.
    """

    subject: str
    description: str
    status: int
    classification: Classification
    fields: tuple[tuple[str, Any], ...] = ()  #: whatever JSON they hold
    pictures: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True)
class LetterPlan:
    """What a letter by Digipost consists of: fixed when the campaign starts."""

    main: File | None  #: None: each recipient's own, made from the message
    attachments: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    subject: str
    html: str
    text: str
    sender: Sender
    files: tuple[File, ...] = ()
    ticket: TicketTemplate | None = None  #: where every recipient gets a ticket of their own
    lang: str = "nb"  #: what it is written in, as BCP 47 has it: nb, nn, en …
    said: str = ""  #: fingerprint of what the case worker wrote, whatever stands around it
    mentions: tuple[str, ...] = ()  #: the placeholders in it, e.g. `recipient.company`
    facts: tuple[tuple[str, str], ...] = ()  #: what placeholders say of all, e.g. `ticket.number`
    letter: LetterPlan | None = None  #: where it goes by Digipost


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


#: How a helpdesk's templates begin a message, in the languages they come in.
_GREETING = r"(?:hei|hallo|heisann|kjære|god dag|goddag|hello|hi|dear)"
#: Between words in HTML. It never gives back what it took: text may be 100,000 spaces long.
_GAP = r"(?:\s|&nbsp;)"


def without_traces(html: str, tag_template: str, end_user: str) -> str:
    """The HTML without what belongs to the campaign's own ticket: its tag, and a greeting to its
    end user. A greeting to a first name goes only where nothing else is said in the same breath.
    """
    before, _, after = tag_template.partition("{{RequestNumber}}")
    tag = rf"{_words(before, '*+')}{_GAP}*+\d+{_GAP}*+{_words(after, '*+')}"
    html = re.sub(
        rf"<[^>]*>| ?{tag}",  # what stands inside a tag of HTML is a colour or a link, not ours
        lambda found: found[0] if found[0].startswith("<") else "",
        html,
        flags=re.IGNORECASE,
    )
    if not end_user.split():
        return html
    full, first = (_words(name, "++") for name in (end_user, end_user.split()[0]))
    mark, end = rf"{_GAP}*+[,!.:]{_GAP}*+", r"(?=<|\Z)"
    whom = rf"(?:{full}{mark}|(?:{full}|{first})(?:{mark}|{_GAP}*+){end})"
    greeting = rf"(?:(?<=>)|\A){_GAP}*+{_GREETING},?{_GAP}++{whom}"
    return re.sub(greeting, "", html, flags=re.IGNORECASE)


def greets(text: str, end_user: str) -> bool:
    """Whether the plain text greets that user by first name. In small letters it is a word."""
    first = re.escape(next(iter(end_user.split()), ""))
    return bool(first and re.search(rf"(?i:\b{_GREETING}),? {first}\b", text))


def _words(text: str, gaps: str) -> str:
    """A pattern for these words as HTML may have them, with gaps of that kind between them."""
    spelt = (
        "|".join(sorted({re.escape(escape(word, quote=quote)) for quote in (False, True)}))
        for word in text.split()
    )
    return f"{_GAP}{gaps}".join(f"(?:{word})" for word in spelt)
