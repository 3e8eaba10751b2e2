"""What a read answers: the rows of a page, and the document they are shown in."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .filters import FilterError, candidates, compile_filter, compile_sort
from .schema import Relation
from .world import Row, World

MOST_ROWS = 500


class QueryError(ValueError):
    """The query string asks for something the server does not understand."""


@dataclass(frozen=True)
class View:
    """The rows a list path shows; without ``rows``, all of the kind.

    ``name`` tells one view of a kind from another.
    """

    kind: str
    name: str = ""
    rows: Callable[[], Sequence[Row]] | None = None


@dataclass
class Reader:
    """Reads lists. Remembers the lists last asked for until the world changes, since a client
    that pages through 100,000 rows asks 200 times for the same filter and order."""

    world: World
    _version: int = -1
    _remembered: dict[tuple[str, ...], Sequence[Row]] = field(default_factory=dict)
    _requests: int = 0

    def page(self, view: View, query: Mapping[str, str]) -> Sequence[Row]:
        start = _number(query, "start", 0, least=0)
        limit = _number(query, "limit", self.world.switches.page_size, least=1)
        if limit > MOST_ROWS and self.world.switches.over_limit == "refuse":
            raise QueryError(f"limit must not be above {MOST_ROWS}")
        rows = self.rows(view, query)
        return rows[start : start + min(limit, MOST_ROWS)]

    def rows(self, view: View, query: Mapping[str, str]) -> Sequence[Row]:
        """All rows that pass the filter, in order."""
        if self._version != self.world.version or len(self._remembered) > 20:
            self._version, self._remembered = self.world.version, {}
        filter_, sort = query.get("filter", ""), query.get("sort", "")
        if self.world.switches.unstable_order:
            self._requests += 1
        key = (view.kind, view.name, filter_, sort, str(self._requests))
        if key not in self._remembered:
            try:
                self._remembered[key] = self._select(view, filter_, sort)
            except FilterError as error:
                raise QueryError(str(error)) from error
            except RecursionError:
                raise QueryError("The filter is nested too deep") from None
        return self._remembered[key]

    def _select(self, view: View, filter_: str, sort: str) -> Sequence[Row]:
        rows: Sequence[Row] | None = view.rows() if view.rows else None
        if filter_.strip():
            test = compile_filter(self.world, view.kind, filter_)
            if rows is None:
                rows = candidates(self.world, view.kind, filter_)
            if rows is None:
                rows = self.world.all(view.kind)
            rows = [row for row in rows if test(row)]
        elif rows is None:
            rows = self.world.all(view.kind)
        if self.world.switches.unstable_order and rows:
            turn = self._requests * 7 % len(rows)
            rows = [*rows[turn:], *rows[:turn]]
        if sort.strip():
            for of, descending in reversed(compile_sort(self.world, view.kind, sort)):
                rows = sorted(rows, key=lambda row: _rank(of(row)), reverse=descending)
        return rows


def document(
    world: World, kind: str, rows: Sequence[Row], include: str = "", *, listed: bool = False
) -> dict[str, Any]:
    """``{"tickets": […], "linked": {…}}``; QueryError when ``include`` names no relation."""
    bare = kind == "asset" and listed and world.switches.assets_without_fields
    shown = [show(world, kind, row, self_made=not bare) for row in rows]
    answer: dict[str, Any] = {world.entity(kind).plural: shown}
    if include.strip():
        groups: dict[str, dict[int, Row]] = {}
        for path in include.split(","):
            _gather(world, kind, rows, [word.strip() for word in path.split(".")], groups)
        linked = {
            world.entity(of).plural: [show(world, of, row) for row in group.values()]
            for of, group in groups.items()
            if group or world.switches.missing_linked_groups == "never"
        }
        if linked or world.switches.missing_linked_groups != "always":
            answer["linked"] = linked
    return answer


def show(world: World, kind: str, row: Row, *, self_made: bool = True) -> dict[str, Any]:
    """One row as it looks on the wire."""
    entity = world.entity(kind)
    shown = {name: get(row) for name, get in world.getters(kind)}
    if kind == "asset" and self_made:
        shown |= {name: value for name, value in row.items() if name.startswith("assets_UDF_")}
    links: dict[str, Any] = {}
    for relation in entity.relations:
        if not relation.many and row.get(relation.key) is not None:
            links[relation.name] = {"id": row[relation.key], "type": relation.kind}
        elif relation.many and relation.in_links:
            ids = [related["id"] for related in follow(world, row, relation)]
            if _is_linked(world, relation, ids):
                links[relation.name] = {"ids": ids, "type": relation.kind}
    return {**shown, "links": links}


def follow(world: World, row: Row, relation: Relation) -> Iterable[Row]:
    """The rows at the other end."""
    if relation.many and not relation.listed:
        return world.where(relation.kind, relation.key, row["id"])
    ids = row.get(relation.key) or [] if relation.many else [row.get(relation.key)]
    return [found for id_ in ids if (found := world.get(relation.kind, id_))]


def _is_linked(world: World, relation: Relation, ids: Sequence[int]) -> bool:
    if relation.kind != "attachment":
        return True
    match world.switches.missing_attachment_links:
        case "always":
            return False
        case "never":
            return True
    return bool(ids)


def _gather(
    world: World,
    kind: str,
    rows: Iterable[Row],
    path: Sequence[str],
    groups: dict[str, dict[int, Row]],
) -> None:
    """Follow one path of ``include``; what is passed on the way is included too."""
    if not path:
        return
    relation = world.entity(kind).members.get(path[0].lower())
    if not isinstance(relation, Relation):
        raise QueryError(f"A specified Include path is not valid: '{path[0]}'")
    if relation.kind == "physicaladdress":
        if world.switches.user_addresses == "refused":
            raise QueryError(f"A specified Include path is not valid: '{path[0]}'")
        if world.switches.user_addresses == "ignored":
            return
    found = {other["id"]: other for row in rows for other in follow(world, row, relation)}
    groups.setdefault(relation.kind, {}).update(found)
    _gather(world, relation.kind, found.values(), path[1:], groups)


def _rank(value: Any) -> tuple[bool, Any]:
    """Nothing sorts before something, as in SQL Server."""
    return (value is not None, value if value is not None else 0)


def _number(query: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise QueryError(f"The value '{text[:50]}' is not valid for {name}")
    return int(text)
