"""The filter language of the API, a dialect of .NET's Dynamic LINQ, and its sort keys.

    status.name == "Løst" AND (!disabled || created.Year >= 2025)

Member names are checked and types compared when a filter is compiled, so a filter that the
server would refuse is refused here even when no row would have met the faulty part.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from operator import eq, ge, gt, le, lt, ne
from typing import Any, NamedTuple

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import LarkError, VisitError

from .schema import ENTITIES, FieldSpec, Relation
from .world import Row, World

Test = Callable[[Row], bool]


class FilterError(ValueError):
    """The expression is not one the server understands."""


_GRAMMAR = r"""
    ?either: both (_OR both)*
    ?both: comparison (_AND comparison)*
    ?comparison: unary (COMPARE unary)?
    ?unary: "!" unary -> negation | "(" either ")" | TEXT -> text | NUMBER -> number | path
    path: step ("." step)*
    step: NAME
        | NAME "(" [either ("," either)*] ")" -> call
    _OR: "||" | /or\b/i
    _AND: "&&" | /and\b/i
    COMPARE: "==" | "!=" | "<=" | ">=" | "=" | "<" | ">"
    TEXT: /"(\\.|[^"\\\r\n])*"/
    NUMBER: /-?\d{1,18}(?!\w)/
    NAME: /[A-Za-z_]\w*/
    %ignore /[ \t]+/
"""


# -- what a filter says, before it is known what it is about


class Literal(NamedTuple):
    type: str
    value: Any


class Step(NamedTuple):
    name: str
    arguments: tuple[Any, ...] | None = None


class Path(NamedTuple):
    steps: tuple[Step, ...]


class Negation(NamedTuple):
    of: Any


class Comparison(NamedTuple):
    left: Any
    sign: str
    right: Any


class Either(NamedTuple):
    parts: tuple[Any, ...]


class Both(NamedTuple):
    parts: tuple[Any, ...]


_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}


def _unescape(match: re.Match[str]) -> str:
    try:
        return _ESCAPES[match[1]]
    except KeyError:
        raise FilterError(f"Unrecognized escape sequence \\{match[1]}") from None


@v_args(inline=True)
class _Reader(Transformer[Token, Any]):
    def either(self, *parts: Any) -> Either:
        return Either(parts)

    def both(self, *parts: Any) -> Both:
        return Both(parts)

    def comparison(self, left: Any, sign: Token, right: Any) -> Comparison:
        return Comparison(left, str(sign), right)

    def negation(self, of: Any) -> Negation:
        return Negation(of)

    def text(self, token: Token) -> Literal:
        return Literal("text", re.sub(r"\\(.)", _unescape, token[1:-1]))

    def number(self, token: Token) -> Literal:
        return Literal("number", int(token))

    def path(self, *steps: Step) -> Any:
        match steps:
            case (Step(name, None),) if name.lower() in _WORDS:
                return _WORDS[name.lower()]
        return Path(steps)

    def step(self, name: Token) -> Step:
        return Step(str(name))

    def call(self, name: Token, *arguments: Any) -> Step:
        return Step(str(name), tuple(a for a in arguments if a is not None))


_WORDS = {
    "null": Literal("null", None),
    "true": Literal("flag", True),
    "false": Literal("flag", False),
}
_PARSER = Lark(_GRAMMAR, start="either", parser="lalr", transformer=_Reader())


@lru_cache(maxsize=512)
def parse(text: str) -> Any:
    """The expression as a tree."""
    try:
        return _PARSER.parse(text)
    except VisitError as error:
        raise FilterError(str(error.orig_exc)) from error
    except LarkError as error:
        raise FilterError(f"Syntax error in filter: {str(error).splitlines()[0]}") from error


# -- what it means for the rows of one kind


class Term(NamedTuple):
    """A typed value per row; ``type`` is a field's, ``null``, ``span`` or a kind of entity."""

    type: str
    of: Callable[[Row], Any]
    literal: bool = False


def compile_filter(world: World, kind: str, text: str) -> Test:
    """A test for rows of this kind; FilterError when the server would refuse the expression."""
    if len(text) > world.switches.longest_filter:
        raise FilterError("The filter is too long")
    test = _flag(_compile(world, kind, parse(text)))
    return lambda row: test(row) is True


def compile_sort(world: World, kind: str, text: str) -> list[tuple[Callable[[Row], Any], bool]]:
    """The keys of ``name DESC, id``, each with whether it is descending."""
    keys = []
    for part in text.split(","):
        words = re.fullmatch(r"\s*([\w.]+)(?:\s+(asc|desc))?\s*", part, re.IGNORECASE)
        if not words:
            raise FilterError(f"Syntax error in sort: {part!r}")
        term = _compile(world, kind, parse(words[1]))
        if term.type not in _SCALARS or term.literal:
            raise FilterError(f"Cannot sort by {words[1]}")
        keys.append((term.of, (words[2] or "").lower() == "desc"))
    return keys


def candidates(world: World, kind: str, text: str) -> Sequence[Row] | None:
    """Rows among which all that pass the filter are found; None when that is all of them.

    What a database does with its indices: a tenant with 100,000 users answers as fast as one
    with ten when the filter says which.
    """
    keys = _keys(world, kind, parse(text))
    if keys is None:
        return None
    rows = {row["id"]: row for field, value in keys for row in world.where(kind, field, value)}
    return [rows[id_] for id_ in sorted(rows)]


_SCALARS = {"text", "number", "flag", "date", "any"}
_INDEXED_TEXTS = {"email", "emailAddress", "customerReference", "name", "uniqueId"}


def _keys(world: World, kind: str, node: Any) -> list[tuple[str, Any]] | None:
    match node:
        case Both(parts):
            found = (_keys(world, kind, part) for part in parts)
            return next((keys for keys in found if keys is not None), None)
        case Either(parts):
            keys = [_keys(world, kind, part) for part in parts]
            return None if None in keys else [key for some in keys for key in some or ()]
        case Comparison(Path((Step(name, None),)), "==" | "=", Literal(type_, value)):
            member = world.entity(kind).members[name.lower()]
            if type_ == "number" and (member.name.endswith("Id") or member.name in _NUMBERS):
                return [(member.name, value)]
            if member.name in _INDEXED_TEXTS and world.switches.string_comparison == "exact":
                return [(member.name, value)]
    return None


_NUMBERS = {"id", "requestNumber"}


def _compile(world: World, kind: str, node: Any) -> Term:
    match node:
        case Literal(type_, value):
            return Term(type_, lambda row: value, literal=True)
        case Either(parts):
            tests = [_flag(_compile(world, kind, part)) for part in parts]
            return Term("flag", lambda row: any(test(row) is True for test in tests))
        case Both(parts):
            tests = [_flag(_compile(world, kind, part)) for part in parts]
            return Term("flag", lambda row: all(test(row) is True for test in tests))
        case Negation(of):
            # As in SQL, neither a flag nor its opposite holds for something that is not there.
            test = _flag(_compile(world, kind, of))
            return Term("flag", lambda row: test(row) is False)
        case Comparison(left, sign, right):
            terms = _compile(world, kind, left), _compile(world, kind, right)
            return _compare(world, terms[0], sign, terms[1])
        case Path((Step(name, tuple(given)),)):
            return _function(name, [_compile(world, kind, argument) for argument in given])
        case Path(steps):
            term = Term(kind, lambda row: row)
            for step in steps:
                if step.arguments is None:
                    term = _member(world, term, step.name)
                else:
                    arguments = [_compile(world, kind, argument) for argument in step.arguments]
                    term = _method(world, term, step.name, arguments)
            return term
    raise FilterError("Syntax error in filter")


def _flag(term: Term) -> Callable[[Row], Any]:
    if term.type != "flag":
        raise FilterError("Expression of type 'Boolean' expected")
    return term.of


def _member(world: World, term: Term, name: str) -> Term:
    """The next step of ``user.emailaddress.email``; None when somebody on the way is."""
    of = term.of
    if term.type == "date" and name.lower() in ("year", "month", "day"):
        return Term("number", _if_there(of, lambda moment: getattr(moment, name.lower())))
    if term.type in ENTITIES:
        match world.entity(term.type).members.get(name.lower()):
            case FieldSpec(type=type_) as field:
                value = _if_there(of, world.getter(term.type, field))
                return Term(type_, _if_there(value, _moment) if type_ == "date" else value)
            case Relation(many=False, kind=target, key=key):
                return Term(target, _if_there(of, lambda row: world.get(target, row.get(key))))
    raise FilterError(f"No property or field '{name}' exists in type '{term.type}'")


def _if_there(of: Callable[[Row], Any], then: Callable[[Any], Any]) -> Callable[[Row], Any]:
    def value(row: Row) -> Any:
        found = of(row)
        return None if found is None else then(found)

    return value


def _method(world: World, term: Term, name: str, arguments: Sequence[Term]) -> Term:
    match name.lower(), term.type, arguments:
        case "equals", _, [other]:
            return _compare(world, term, "==", other)
        case "contains", "text" | "any", [Term("text", part)]:
            fold = _fold(world)
            return Term(
                "flag", _if_there(term.of, lambda found: fold(part({})) in fold(str(found)))
            )
    raise FilterError(f"No applicable method '{name}' exists in type '{term.type}'")


def _function(name: str, arguments: Sequence[Term]) -> Term:
    """``DateTimeOffset(year, …, second[, milliseconds], TimeSpan([days,] hours, …, seconds))``."""
    values: list[Any] = [argument.of({}) for argument in arguments if argument.literal]
    try:
        match name.lower(), values:
            case "timespan", [*days, hours, minutes, seconds] if len(days) < 2:
                span = timedelta(days=sum(days), hours=hours, minutes=minutes, seconds=seconds)
                return Term("span", lambda row: span, literal=True)
            case "datetimeoffset", [year, month, day, hour, minute, second, *milliseconds, offset]:
                moment = datetime(
                    year, month, day, hour, minute, second, tzinfo=timezone(offset)
                ) + timedelta(milliseconds=sum(milliseconds))
                return Term("date", lambda row: moment, literal=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise FilterError(f"{name}: {error}") from error
    raise FilterError(f"No applicable method '{name}' exists")


_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "==": eq,
    "=": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}


def _compare(world: World, left: Term, sign: str, right: Term) -> Term:
    is_equality = sign in ("==", "=", "!=")
    types = {left.type, right.type} - {"null"}
    if types == {"date", "text"}:
        left, right = _as_date(left), _as_date(right)
    elif "any" in types and types <= {"any", "text", "number"}:
        left, right = _as_text(left), _as_text(right)
    elif len(types) > 1 or (not types <= _SCALARS and "null" not in (left.type, right.type)):
        raise FilterError(
            f"Operator '{sign}' incompatible with operand types '{left.type}' and '{right.type}'"
        )
    if not is_equality and (types & {"flag", *ENTITIES} or "null" in (left.type, right.type)):
        raise FilterError(f"Operator '{sign}' cannot order operands of type '{left.type}'")
    a, b, holds, fold = left.of, right.of, _SIGNS[sign], _fold(world)
    if is_equality:
        if types == {"text"}:
            return Term("flag", lambda row: holds(fold(a(row)), fold(b(row))))
        return Term("flag", lambda row: holds(a(row), b(row)))

    def ordered(row: Row) -> bool:
        x, y = fold(a(row)), fold(b(row))
        return x is not None and y is not None and holds(x, y)

    return Term("flag", ordered)


def _fold(world: World) -> Callable[[Any], Any]:
    if world.switches.string_comparison == "exact":
        return lambda value: value
    return lambda value: value.casefold() if isinstance(value, str) else value


def _as_text(term: Term) -> Term:
    return Term("text", _if_there(term.of, str))


def _as_date(term: Term) -> Term:
    if term.type == "date":
        return term
    try:
        moment = _moment(term.of({})) if term.literal else None
    except ValueError:
        moment = None
    if moment is None:
        raise FilterError("Operator incompatible with operand types 'DateTimeOffset' and 'String'")
    return Term("date", lambda row: moment)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
