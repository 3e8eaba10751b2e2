"""Enough of Bicep to say what a template makes: parsed for real, evaluated as far as it goes.

What only Azure knows (ids, end points) comes out as its own text in angle brackets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from tests.examples import ROOT

INFRA = ROOT / "infra"
TEMPLATES = sorted(INFRA.glob("**/*.bicep"))
EXAMPLE = INFRA / "main.bicepparam"

_PARSER = Parser(Language(tree_sitter_bicep.language()))


def parse(text: str) -> Node:
    return _PARSER.parse(text.encode()).root_node


def errors(node: Node) -> Iterator[str]:
    """Where the text is not Bicep."""
    if node.is_error or node.is_missing:
        yield f"line {node.start_point.row + 1}: {_text(node)[:40]!r}"
    for child in node.children:
        yield from errors(child)


@dataclass(frozen=True)
class Resource:
    type: str
    symbol: str
    body: dict[str, Any]

    @property
    def name(self) -> Any:
        return self.body.get("name")

    @property
    def properties(self) -> dict[str, Any]:
        return self.body["properties"]


@dataclass(frozen=True)
class Made:
    """What one deployment makes."""

    resources: list[Resource]
    outputs: dict[str, Any]

    def all(self, type_: str) -> list[Resource]:
        return [one for one in self.resources if one.type == type_]

    def one(self, type_: str) -> Resource:
        [one] = self.all(type_)
        return one


def parameters(file: Path) -> dict[str, Node | None]:
    """The parameters of a template, each with its default when it has one."""
    found: dict[str, Node | None] = {}
    for node in _top(file, "parameter_declaration"):
        name, _type, *default = node.named_children
        found[_text(name)] = default[0] if default else None
    return found


def undescribed(file: Path) -> list[str]:
    """Parameters and outputs that do not say what they are."""
    silent, described = [], False
    for node in parse(file.read_text("utf-8")).named_children:
        if node.type in ("parameter_declaration", "output_declaration") and not described:
            silent.append(_text(node.named_children[0]))
        described = node.type == "decorators" and "@description(" in _text(node)
    return silent


def given(file: Path) -> dict[str, Any]:
    """The values in a .bicepparam file. The grammar knows none, but `var` looks just the same."""
    text = file.read_text("utf-8").replace("\nparam ", "\nvar ")
    root = parse(text)
    assert not [*errors(root)]
    declared = [node for node in root.named_children if node.type == "variable_declaration"]
    return {_text(node.named_children[0]): _value(node.named_children[1], {}) for node in declared}


def deploy(file: Path, **values: Any) -> Made:
    """What a template makes of these values, its modules included."""
    scope: dict[str, Any] = {}
    for name, default in parameters(file).items():
        scope[name] = values.pop(name) if name in values else _default(name, default, scope)
    assert not values, f"{file.name} has no such parameters: {values.keys()}"
    made = Made([], {})
    for node in _top(file, "variable_declaration"):
        scope[_text(node.named_children[0])] = _value(node.named_children[1], scope)
    for node in _top(file, "resource_declaration", "module_declaration"):
        symbol, what, body = node.named_children
        found = _value(body, scope)
        if node.type == "module_declaration":
            module = deploy(file.parent / _value(what, scope), **found["params"])
            made.resources.extend(module.resources)
            scope[_text(symbol)] = {"outputs": module.outputs}
            continue
        type_ = _value(what, scope).partition("@")[0]
        bodies = found if isinstance(found, list) else [found]
        made.resources.extend(Resource(type_, _text(symbol), one) for one in bodies if one)
        if isinstance(found, dict):
            scope[_text(symbol)] = {"name": found.get("name"), "type": type_}
    for node in _top(file, "output_declaration"):
        made.outputs[_text(node.named_children[0])] = _value(node.named_children[-1], scope)
    return made


def _top(file: Path, *types: str) -> Iterator[Node]:
    for node in parse(file.read_text("utf-8")).named_children:
        if node.type in types:
            yield node


def _default(name: str, node: Node | None, scope: dict[str, Any]) -> Any:
    assert node is not None, f"{name} must be given"
    return _value(node, scope)


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _value(node: Node, scope: dict[str, Any]) -> Any:
    children = [child for child in node.named_children if child.type != "comment"]
    match node.type:
        case "string":
            parts = [
                str(_value(part.named_children[0], scope))
                if part.type == "interpolation"
                else _text(part).replace("\\'", "'")
                for part in children
            ]
            return "".join(parts)
        case "number":
            return int(_text(node))
        case "boolean":
            return _text(node) == "true"
        case "array":
            return [_value(child, scope) for child in children]
        case "object":
            pairs = [child.named_children for child in children]
            return {_key(name, scope): _value(value, scope) for name, value in pairs}
        case "identifier":
            return scope.get(_text(node), f"<{_text(node)}>")
        case "member_expression":
            whole, part = children
            found = _value(whole, scope)
            known = isinstance(found, dict) and _text(part) in found
            return found[_text(part)] if known else f"<{_text(node)}>"
        case "parenthesized_expression":
            return _value(children[0], scope)
        case "unary_expression":
            assert _text(node).startswith("!")
            return not _value(children[0], scope)
        case "ternary_expression":
            asked, yes, no = children
            return _value(yes if _value(asked, scope) else no, scope)
        case "if_statement":
            asked, body = children
            return _value(body, scope) if _value(asked, scope) else {}
        case "for_statement":
            item, items, body = children
            each = _value(items, scope)
            return [_value(body, {**scope, _text(item): one}) for one in each]
        case "call_expression":
            return _call(node, scope)
    raise NotImplementedError(f"{node.type}: {_text(node)}")


def _key(node: Node, scope: dict[str, Any]) -> str:
    return _text(node) if node.type == "identifier" else str(_value(node, scope))


def _call(node: Node, scope: dict[str, Any]) -> Any:
    name, arguments = node.named_children
    values = [_value(one, scope) for one in arguments.named_children if one.type != "comment"]
    match _text(name):
        case "union":
            return {key: value for one in values for key, value in one.items()}
        case "empty":
            return not values[0]
        case "subscriptionResourceId":
            return "/".join(values)
        case "uniqueString":
            return "x1y2z3x1y2z3x"  # thirteen of these, always
    return f"<{_text(node)}>"
