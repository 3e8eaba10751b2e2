"""What a message says of each recipient: `{{ recipient.first_name }}`, as case workers write it.

`tidy_html` and `tidy_text` mend what the helpdesk's editor did to it; `Template` says what is wrong
before anybody is written to, and fills it in. It is Jinja2, of which only what is listed here is
let through: no loops, no calls, nothing that takes time or reaches further (decision 18).
"""

import html as entities
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import StrictUndefined, Undefined
from jinja2.sandbox import SandboxedEnvironment

from shared.domain.html import one_line
from shared.domain.recipient import VALUE_LENGTH

#: In a message. Without loops, these and the length of a value limit what it may grow to.
MOST_PLACEHOLDERS = 500
LONGEST_TEXT = 2_000_000
#: Of one placeholder.
LONGEST = 300
_MOST_WORDS = 60
#: Brackets, or `{% if %}`, inside each other: the parser calls itself a dozen times for each.
_DEEPEST = 10

_BLOCKS = frozenset({"if", "elif", "else", "endif"})
_FILTERS = frozenset({"default", "d", "upper", "lower", "capitalize", "title", "trim"})
_TESTS = frozenset({"defined", "undefined"})
#: Any two values are equal or not; asking which is less may be an error.
_COMPARISONS = frozenset({"eq", "ne"})
_HARMLESS = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.Const),
    *(nodes.CondExpr, nodes.And, nodes.Or, nodes.Not, nodes.Operand),
)


class Why(StrEnum):
    SYNTAX = "syntax"  #: not Jinja2, or without its end
    UNKNOWN = "unknown"  #: there is no such name
    NOT_ALLOWED = "not_allowed"  #: Jinja2, but not for us; or where no placeholder may stand
    TOO_MANY = "too_many"  #: of them, or too much in one, or too many inside each other
    TOO_LONG = "too_long"  #: one of them, or the text they stand in


class PlaceholderError(ValueError):
    """The message itself is wrong, whoever it is for."""

    def __init__(self, placeholder: str, why: Why, did_you_mean: str = "") -> None:
        shown = one_line(placeholder[: 2 * LONGEST])
        #: As it was written, on one line.
        self.placeholder = shown if len(shown) <= 80 else f"{shown[:79].rstrip()}…"
        self.why = why
        self.did_you_mean = did_you_mean  #: empty where nothing is like it
        super().__init__(f"{why}: {self.placeholder}")


class MissingValueError(ValueError):
    """The message says something that is not known of this recipient."""

    def __init__(self, name: str) -> None:
        self.name = name  #: e.g. `recipient.company`
        super().__init__(f"no {name}")


def tidy_html(html: str) -> str:
    """The HTML with its placeholders mended: nothing in them but what was typed, on one line.

    Entities, special spaces and curly quotes are replaced; tags that stood inside come behind,
    unless there is nothing left between a pair of them. All that is outside stays as it is.
    """
    return "".join(part.mended for part in _parts(html, html=True))


def tidy_text(text: str) -> str:
    """The same for a subject or another plain text, in which tags and entities are just text."""
    return "".join(part.mended for part in _parts(text, html=False))


def has_placeholders(text: str) -> bool:
    """Whether `Template` would change anything in this text or HTML, or has something to say."""
    return any(part.opening or part.tag_with_one for part in _parts(text, html=True))


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A text with placeholders: checked once, then filled in for one recipient after the other."""

    names: frozenset[str]  #: all that it mentions, e.g. `recipient.company`
    _compiled: jinja2.Template

    @classmethod
    def of(cls, text: str, *, html: bool, known: frozenset[str]) -> "Template":
        """The text, tidied. `known` are the names it may mention, HTML is as `clean_html` made it.

        Raises PlaceholderError, about the first that is wrong as far as that can be told.
        """
        environment = _HTML_ENVIRONMENT if html else _TEXT_ENVIRONMENT
        # Jinja gets to see the placeholders alone, each on a line of its own, and the text between
        # them takes the place of the line breaks afterwards: nothing in it can be a comment or
        # anything else to Jinja, and the line of an error is the number of the placeholder.
        between, placeholders = [""], list[str]()
        for part in _parts(tidy_html(text) if html else tidy_text(text), html=html):
            if part.tag_with_one:
                raise PlaceholderError(part.tag_with_one, Why.NOT_ALLOWED)
            if not part.opening:
                between[-1] = part.source
                continue
            placeholders.append(_checked(part, environment))
            between.append("")
            if len(placeholders) > MOST_PLACEHOLDERS:
                raise PlaceholderError(placeholders[-1], Why.TOO_MANY)
        if placeholders and sum(map(len, between)) > LONGEST_TEXT:
            raise PlaceholderError(placeholders[0], Why.TOO_LONG)
        _check_conditions(placeholders, between)
        try:
            tree = environment.parse("\n".join(["", *placeholders, ""]))
        except jinja2.TemplateSyntaxError as error:
            raise PlaceholderError(_at(error.lineno, placeholders), Why.SYNTAX) from None
        names = frozenset(_names(tree, placeholders, known))
        for data, source in zip(tree.find_all(nodes.TemplateData), between, strict=True):
            data.data = source
        return cls(names, environment.from_string(tree))

    def fill(self, values: Mapping[str, Mapping[str, str]]) -> str:
        """The text for one recipient: `{"recipient": {"name": "Kari"}, ...}`.

        Values are plain text, put on one line and cut at 1,000 characters; blank is missing.
        Raises MissingValueError where it would have to print one that is missing.
        """
        given: dict[str, dict[str, str | _Missing]] = {}
        for full in sorted(self.names):
            scope, _, name = full.partition(".")
            value = one_line(values.get(scope, {}).get(name, ""))[:VALUE_LENGTH].rstrip()
            given.setdefault(scope, {})[name] = value or _Missing(name=full)
        # Not `render`, which reads the traceback of an error at some length.
        return "".join(self._compiled.root_render_func(self._compiled.new_context(given)))


class _Missing(Undefined):
    """Empty in a condition, an error where it is printed."""

    __slots__ = ()

    def __str__(self) -> str:
        raise MissingValueError(self._undefined_name or "")

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other == "" or isinstance(other, _Missing)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = Undefined.__hash__


class _Environment(SandboxedEnvironment):
    """Jinja with nothing in it but our few filters: a sandbox around the list of what may be."""

    def __init__(self, *, html: bool) -> None:
        super().__init__(autoescape=html, undefined=StrictUndefined, keep_trailing_newline=True)
        self.globals.clear()
        self.filters = {name: self.filters[name] for name in _FILTERS}
        self.tests = {name: self.tests[name] for name in _TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What `fill` gave, and never an attribute of Python's, whatever a value is called."""
        return obj[attribute]


_HTML_ENVIRONMENT = _Environment(html=True)
_TEXT_ENVIRONMENT = _Environment(html=False)


# What is let through


def _checked(part: "_Part", environment: SandboxedEnvironment) -> str:
    """The placeholder for Jinja's parser: whole, and too small to exhaust it."""
    placeholder = part.typed
    if not placeholder:
        raise PlaceholderError(part.shown, Why.SYNTAX)
    if len(placeholder) > LONGEST:
        raise PlaceholderError(placeholder, Why.TOO_LONG)
    if part.opening == "{%":
        keyword = placeholder.split()[1]
        if keyword not in _BLOCKS:
            why = Why.SYNTAX if keyword == "%}" else Why.NOT_ALLOWED
            raise PlaceholderError(placeholder, why, _nearest(keyword, _BLOCKS))
    try:
        words = [word for _, kind, word in environment.lex(placeholder) if kind != "whitespace"]
    except jinja2.TemplateSyntaxError:
        raise PlaceholderError(placeholder, Why.SYNTAX) from None
    if len(words) > _MOST_WORDS or sum(word in ("(", "[", "{") for word in words) > _DEEPEST:
        raise PlaceholderError(placeholder, Why.TOO_MANY)
    return placeholder


def _check_conditions(placeholders: list[str], between: list[str]) -> None:
    """Raises PlaceholderError where they do not match, or stand around nothing.

    Those in a table but not in a cell, around a row, end up in front of the table when the HTML is
    read, as a browser would have it, too. The row would be there for everybody.
    """
    conditions = list[str]()
    empty = list[bool]()
    for before, placeholder in zip(between, placeholders, strict=False):
        if conditions and before.strip():
            empty[-1] = False
        keyword = placeholder.split()[1] if placeholder.startswith("{%") else ""
        if keyword == "if":
            conditions.append(placeholder)
            empty.append(True)
        elif not conditions:
            if keyword:
                raise PlaceholderError(placeholder, Why.SYNTAX)
        elif not keyword:
            empty[-1] = False
        elif keyword == "endif":
            condition = conditions.pop()
            if empty.pop():
                raise PlaceholderError(condition, Why.NOT_ALLOWED)
            if empty:
                empty[-1] = False
        if len(conditions) > _DEEPEST:
            raise PlaceholderError(placeholder, Why.TOO_MANY)
    if conditions:
        raise PlaceholderError(conditions[-1], Why.SYNTAX)


def _names(tree: nodes.Node, placeholders: list[str], known: frozenset[str]) -> Iterator[str]:
    """The names in it. Raises PlaceholderError at the first that is not on our lists."""
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, nodes.Name | nodes.Getattr):
            name = _dotted(node)
            if name not in known:
                why = Why.UNKNOWN if name else Why.NOT_ALLOWED
                raise PlaceholderError(_at(node.lineno, placeholders), why, _nearest(name, known))
            yield name
            continue
        if not _allowed(node):
            typo = node.name if isinstance(node, nodes.Filter) else ""
            close = _nearest(typo, _FILTERS) if typo not in _FILTERS else ""
            raise PlaceholderError(_at(node.lineno, placeholders), Why.NOT_ALLOWED, close)
        if isinstance(node, nodes.Const) and isinstance(node.value, str):
            node.value = one_line(node.value)  # it may have had "\\n" in it
        left += reversed(list(node.iter_child_nodes()))


def _allowed(node: nodes.Node) -> bool:
    match node:
        case nodes.Filter(name="default" | "d"):
            return _arguments(node) <= 2
        case nodes.Filter():
            return node.name in _FILTERS and not _arguments(node)
        case nodes.Test():
            return node.name in _TESTS and not _arguments(node)
        case nodes.Compare():
            return all(operand.op in _COMPARISONS for operand in node.ops)
    return isinstance(node, _HARMLESS)


def _arguments(node: nodes.Filter | nodes.Test) -> int:
    """How many, where those with a name or a star are too many."""
    odd = node.kwargs or node.dyn_args or node.dyn_kwargs
    return 99 if odd else len(node.args)


def _dotted(node: nodes.Node) -> str:
    """`recipient.company`; empty where it is an attribute of something else than a name."""
    names = list[str]()
    while isinstance(node, nodes.Getattr):
        names.append(node.attr)
        node = node.node
    return ".".join([node.name, *reversed(names)]) if isinstance(node, nodes.Name) else ""


def _at(line: int, placeholders: list[str]) -> str:
    return placeholders[min(max(line - 2, 0), len(placeholders) - 1)]


def _nearest(name: str, known: Iterable[str]) -> str:
    """What they may have meant by it; `recipient.name` by `name`, too. Empty if nothing is near."""
    whole = [one for one in sorted(known) if one.rpartition(".")[2] == name]
    return (whole or get_close_matches(name.lower(), sorted(known), 1) or [""])[0]


# What the editor did


_HIDDEN = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\x00-\x08\x0e-\x1f\x7f"
#: `{%22` is not a beginning: addresses have `{"` in that shape.
_PERCENT = "(?![0-9a-fA-F]{2})"
#: What a text is made of, of some kind or just text. None looks further than to the next `<`,
#: so that reading a text takes as long as it is long.
_TEXT = re.compile(
    rf"(?P<hidden>[{_HIDDEN}])|(?P<left>\{{)|(?P<right>\}})|(?P<percent>%{_PERCENT})"
    rf"|[^{{}}%{_HIDDEN}]+|.",
    re.DOTALL,
)
_HTML = re.compile(
    rf"(?P<tag></?[a-zA-Z][^<>]*>)|(?P<hidden>[{_HIDDEN}])"
    r"|(?P<left>\{|&(?:\#123|\#x7[bB]|lcub|lbrace);)"
    r"|(?P<right>\}|&(?:\#125|\#x7[dD]|rcub|rbrace);)"
    rf"|(?P<percent>(?:%|&(?:\#37|\#x25|percnt);){_PERCENT})"
    rf"|[^<&{{}}%{_HIDDEN}]+|.",
    re.DOTALL,
)
_SIGNS = {"left": "{", "right": "}", "percent": "%"}
_CLOSING = {"{{": "}}", "{%": "%}"}
_INVISIBLE = re.compile(f"[{_HIDDEN}]")
#: Of a number with thousands of digits Python makes no number.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_DELIMITER = re.compile(r"\{[{%]|[}%]\}")
#: In an address a browser may have encoded them.
_IN_TAG = re.compile(rf"(?:\{{|%7b)(?:\{{|%7b|%25|%{_PERCENT})", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_LINE_BREAKS = frozenset({"br", "wbr"})
#: These come between words, the others may come in the middle of one.
_APART = _LINE_BREAKS | {"p", "div", "li", "td", "th", "h1", "h2", "h3", "h4", "pre", "blockquote"}
_DOUBLE = '"“”„‟«»'
_SINGLE = "'‘’‚‛"
_QUOTED = re.compile(
    rf"""\"([^\"]*)\"|[{_DOUBLE}]([^{_DOUBLE}]*)[{_DOUBLE}]"""
    rf"""|'([^']*)'|[{_SINGLE}]([^{_SINGLE}]*)[{_SINGLE}]"""
)


@dataclass(slots=True)
class _Part:
    """A placeholder, or an opening without its end and all that follows, or what is between."""

    atoms: list[tuple[str, str]]  #: kind and source of each
    html: bool
    opening: str = ""
    begin: int = 0  #: of what is inside
    end: int = 0  #: of what is inside; 0 where there is none

    @property
    def source(self) -> str:
        return "".join(source for _, source in self.atoms)

    @property
    def typed(self) -> str:
        """The placeholder as it was meant; empty without one, or if it would make two."""
        inside = self._visible(self.begin, self.end)
        if not self.end or _DELIMITER.search(inside):
            return ""
        # A dash there is Jinja's for removing the space around, which is not ours to touch.
        inside = inside.removeprefix("-").removesuffix("-")
        words = _QUOTED.sub(_straight, " ".join(inside.split()))
        return " ".join(filter(None, [self.opening, words, _CLOSING[self.opening]]))

    @property
    def mended(self) -> str:
        if not (typed := self.typed):
            return self.source
        return entities.escape(typed, quote=False) + "".join(self._tags()) if self.html else typed

    @property
    def shown(self) -> str:
        """The beginning of it, for a person."""
        return self._visible(0, 100)

    @property
    def tag_with_one(self) -> str:
        """The first tag with a placeholder in it, where none may be; empty without."""
        tags = (source for kind, source in self.atoms if kind == "tag")
        return next((tag for tag in tags if _IN_TAG.search(_decoded(tag))), "")

    def _visible(self, begin: int, end: int) -> str:
        text = "".join(
            (" " if _is_apart(source) else "") if kind == "tag" else source
            for kind, source in self.atoms[begin:end]
        )
        return _INVISIBLE.sub("", _decoded(text) if self.html else text)

    def _tags(self) -> list[str]:
        """The tags inside, without line breaks and without pairs around nothing."""
        left = list[tuple[str, str, str]]()
        for tag in (source for kind, source in self.atoms if kind == "tag"):
            closing, name = _name(tag)
            if name in _LINE_BREAKS:
                continue
            if closing and left and left[-1][:2] == ("", name):
                left.pop()
            else:
                left.append((closing, name, tag))
        return [tag for _, _, tag in left]


def _parts(text: str, *, html: bool) -> Iterator[_Part]:
    """All of the text in order, read once. The delimiters may have tags and the like in them."""
    part, before = _Part([], html), ""
    half = 0  # where the sign before is, which may be half of a delimiter
    for atom in (_HTML if html else _TEXT).finditer(text):
        kind = atom.lastgroup or ""
        part.atoms.append((kind, atom[0]))
        if kind in ("tag", "hidden"):
            continue
        sign = _SIGNS.get(kind, "")
        pair = before + sign if before and sign else ""
        if pair in _CLOSING:
            opened = _Part(part.atoms[half:], html, pair)
            opened.begin = len(opened.atoms)
            del part.atoms[half:]
            if part.atoms:
                yield part
            part, before = opened, ""
        elif pair and pair == _CLOSING.get(part.opening):
            part.end = half
            yield part
            part, before = _Part([], html), ""
        else:
            half, before = len(part.atoms) - 1, sign
    if part.atoms:
        yield part


def _name(tag: str) -> tuple[str, str]:
    found = _TAG.match(tag)
    return (found[1], found[2].lower()) if found else ("", "")


def _is_apart(tag: str) -> bool:
    return _name(tag)[1] in _APART


def _decoded(html: str) -> str:
    return _ENTITY.sub(lambda entity: entities.unescape(entity[0]), html)


def _straight(quoted: re.Match[str]) -> str:
    double, curly_double, single, curly_single = quoted.groups()
    if single is None and curly_single is None:
        return f'"{double or curly_double or ""}"'
    return f"'{single or curly_single or ''}'"
