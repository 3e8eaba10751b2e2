"""The simulator's data: rows by kind, found by any field, kept on disk if asked to."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

from .schema import (
    ENTITIES,
    FIRST_ID,
    FIRST_REQUEST_NUMBER,
    SYSTEM_USER,
    Entity,
    FieldSpec,
)
from .switches import Switches

Row = dict[str, Any]
Getter = Callable[[Row], Any]

TYPE_NAMES = {
    1: "Note",
    2: "Message",
    3: "Sms",
    4: "Solution",
    5: "PreviousSolution",
    6: "History",
    7: "InitialMessage",
    9: "Custom",
}
CUSTOM_TYPE = 9
#: The campaigns that were seeded, with what must become of each: a kind with no place in the API.
EXPECTED = "_expected"


def utc_now() -> datetime:
    return datetime.now(UTC)


class World:
    """Everything one make-believe tenant holds.

    Rows are plain dicts with only the fields that were set; what is not set reads as its default.
    All changes pass through ``add``, ``change`` and ``remove``, which look after the indices and
    the journal.
    """

    def __init__(
        self, *, now: Callable[[], datetime] = utc_now, switches: Switches | None = None
    ) -> None:
        self.now = now
        self.version = 0  #: changes with every write; whoever remembers an answer looks at it
        self._journal: IO[str] | None = None
        self._switches = switches or Switches()
        self._getters: dict[tuple[str, str], Getter] = {}
        self._of_kind: dict[str, Sequence[tuple[str, Getter]]] = {}
        self.clear()

    def clear(self) -> None:
        """Forget everything but the switches."""
        self._tables: dict[str, dict[int, Row]] = {}
        self._indices: dict[tuple[str, str], dict[Any, dict[int, None]]] = {}
        self._last_id: dict[str, int] = {}
        self._contents: dict[str, bytes] = {}
        self.version += 1
        self._note("clear", 0, None)

    # -- rows

    def add(self, kind: str, values: Mapping[str, Any], *, by: int = SYSTEM_USER) -> Row:
        """A new row; it has its id when it returns, and no ``modified`` until it is changed."""
        id_ = values.get("id") or self._next_id(kind)
        row = {**values, "id": id_, "created": self.stamp(), "createdById": by}
        self._put(kind, row)
        self._note(kind, id_, row)
        return row

    def change(
        self, kind: str, id_: int, changes: Mapping[str, Any], *, by: int | None = SYSTEM_USER
    ) -> Row:
        """Set these fields; ``by=None`` leaves ``modified`` alone."""
        row = self._tables[kind][id_]
        stamps = {} if by is None else {"modified": self.stamp(), "modifiedById": by}
        changes = {**changes, **stamps}
        for (indexed, field), index in self._indices.items():
            if indexed == kind and field in changes and changes[field] != row.get(field):
                del index[row.get(field)][id_]
                index.setdefault(changes[field], {})[id_] = None
        row.update(changes)
        self.version += 1
        self._note(kind, id_, row)
        return row

    def remove(self, kind: str, id_: int) -> None:
        row = self._tables[kind].pop(id_)
        for (indexed, field), index in self._indices.items():
            if indexed == kind:
                del index[row.get(field)][id_]
        self.version += 1
        self._note(kind, id_, None)

    def get(self, kind: str, id_: int | None) -> Row | None:
        return self._tables.get(kind, {}).get(id_) if id_ is not None else None

    def all(self, kind: str) -> Sequence[Row]:
        return list(self._tables.get(kind, {}).values())

    def count(self, kind: str) -> int:
        return len(self._tables.get(kind, {}))

    def kinds(self) -> Sequence[str]:
        """The kinds there is anything of."""
        return [kind for kind, table in self._tables.items() if table and kind != EXPECTED]

    def where(self, kind: str, field: str, value: Any) -> Sequence[Row]:
        """The rows with exactly this value, by an index made the first time it is asked for."""
        table = self._tables.get(kind, {})
        if field == "id":
            return [table[value]] if value in table else []
        index = self._indices.get((kind, field))
        if index is None:
            index = self._indices[kind, field] = {}
            for row in table.values():
                index.setdefault(row.get(field), {})[row["id"]] = None
        return [table[id_] for id_ in index.get(value, ())]

    def find(self, kind: str, **values: Any) -> Row | None:
        """The first row with these values; None when there is none."""
        (field, value), *rest = values.items()
        rows = self.where(kind, field, value)
        return next((row for row in rows if all(row.get(f) == v for f, v in rest)), None)

    def next_request_number(self) -> int:
        return max(self._last_id.get("requestNumber", 0) + 1, FIRST_REQUEST_NUMBER)

    def stamp(self) -> str:
        """Now, as the wire has it; fixed width, so that the order of text is the order of time."""
        now = self.now().astimezone(UTC).replace(tzinfo=None)
        return f"{now.isoformat(timespec='milliseconds')}Z"

    # -- files

    def store(self, content: bytes) -> str:
        """Keep a file once, however many attachments hold it; returns what ``content`` wants."""
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._contents:
            self._contents[digest] = content
            self._note("content", 0, {digest: base64.b64encode(content).decode()})
        return digest

    def content(self, digest: str) -> bytes:
        return self._contents[digest]

    # -- how rows read

    @property
    def switches(self) -> Switches:
        return self._switches

    @switches.setter
    def switches(self, switches: Switches) -> None:
        self._switches = switches
        self._getters.clear()
        self._of_kind.clear()
        self.version += 1
        self._note("switches", 0, switches.model_dump())

    def entity(self, kind: str) -> Entity:
        """The type as this tenant has it."""
        if kind == "communication" and self._switches.custom_type == "typename":
            return _COMMUNICATION_WITHOUT_CUSTOM_TYPE
        return ENTITIES[kind]

    def getter(self, kind: str, field: FieldSpec) -> Getter:
        """How to read this field of a row of this kind, computed ones too."""
        key = kind, field.name
        if key not in self._getters:
            self._getters[key] = self._make_getter(kind, field)
        return self._getters[key]

    def getters(self, kind: str) -> Sequence[tuple[str, Getter]]:
        """For every field of this kind."""
        if kind not in self._of_kind:
            fields = self.entity(kind).fields
            self._of_kind[kind] = [(field.name, self.getter(kind, field)) for field in fields]
        return self._of_kind[kind]

    def _make_getter(self, kind: str, field: FieldSpec) -> Getter:
        match kind, field.name:
            case "user", "fullName":
                return full_name
            case "company", "organizationNumber":
                return _ORGANIZATION_NUMBER[self._switches.organization_number]
            case "communication", "typeName":
                return self._type_name
            case "communication", "type" if self._switches.custom_type == "typename":
                return lambda row: 2 if row.get("type") == CUSTOM_TYPE else row.get("type")
        name, default = field.name, field.default
        return lambda row: row.get(name, default)

    def _type_name(self, row: Row) -> str | None:
        custom = self.get("customtype", row.get("customTypeId"))
        return custom["name"] if custom else TYPE_NAMES.get(row.get("type", 0))

    # -- disk

    def save(self, directory: Path) -> None:
        """Write everything to ``directory``; an interrupted save leaves the former one whole."""
        directory.mkdir(parents=True, exist_ok=True)
        fresh = directory / "state.new"
        with fresh.open("w", encoding="utf-8", newline="\n") as file:
            for kind, id_, row in self._records():
                _write(file, kind, id_, row)
        fresh.replace(directory / "state.jsonl")
        journal = directory / "journal.jsonl"
        if not self._journal or Path(self._journal.name) != journal:
            journal.unlink(missing_ok=True)  # ours stays true, since it holds whole rows

    @classmethod
    def load(cls, directory: Path, *, now: Callable[[], datetime] = utc_now) -> Self:
        """The world saved in ``directory``, and every write noted there since."""
        world = cls(now=now)
        for name in ("state.jsonl", "journal.jsonl"):
            with suppress(FileNotFoundError), (directory / name).open(encoding="utf-8") as file:
                for line in file:
                    # The last line is cut short when the process was killed while writing it.
                    with suppress(json.JSONDecodeError):
                        world._replay(*json.loads(line))
        return world

    def keep(self, directory: Path) -> None:
        """From now on every write is on disk before it is answered; ``close`` ends it."""
        self.close()
        self.save(directory)
        self._journal = (directory / "journal.jsonl").open("a", encoding="utf-8", newline="\n")

    def close(self) -> None:
        if self._journal:
            self._journal.close()
            self._journal = None

    # -- the inside

    def _next_id(self, kind: str) -> int:
        # Every relation leaves room for its mirror image, see the switch mirrored_relationships.
        step = 2 if kind == "relationship" else 1
        return self._last_id.get(kind, FIRST_ID.get(kind, 1) - step) + step

    def _put(self, kind: str, row: Row) -> None:
        id_ = row["id"]
        self._tables.setdefault(kind, {})[id_] = row
        if id_ > self._last_id.get(kind, 0):
            self._last_id[kind] = id_
        if kind == "ticket":
            highest = max(self._last_id.get("requestNumber", 0), row.get("requestNumber", 0))
            self._last_id["requestNumber"] = highest
        for (indexed, field), index in self._indices.items():
            if indexed == kind:
                index.setdefault(row.get(field), {})[id_] = None
        self.version += 1

    def _records(self) -> Iterator[tuple[str, int, Row | None]]:
        yield "switches", 0, self._switches.model_dump()
        for digest, content in self._contents.items():
            yield "content", 0, {digest: base64.b64encode(content).decode()}
        for kind, table in self._tables.items():
            # A removed row must not lend its id to a new one after a restart.
            yield "last", self._last_id[kind], {"kind": kind}
            for id_, row in table.items():
                yield kind, id_, row

    def _replay(self, kind: str, id_: int, row: Row | None) -> None:
        match kind, row:
            case "clear", _:
                self.clear()
            case "switches", {}:
                self._switches = Switches.model_validate(row)
            case "content", {}:
                for digest, content in row.items():
                    self._contents[digest] = base64.b64decode(content)
            case "last", {"kind": of}:
                self._last_id[of] = id_
            case _, None:
                self._tables.get(kind, {}).pop(id_, None)
            case _:
                self._put(kind, row)

    def _note(self, kind: str, id_: int, row: Row | None) -> None:
        if self._journal:
            _write(self._journal, kind, id_, row)
            self._journal.flush()


def full_name(row: Row) -> str:
    names = (row.get("firstName"), row.get("middleName"), row.get("lastName"))
    return " ".join(name for name in names if name)


def _organization_number_as_text(row: Row) -> str | None:
    number = row.get("organizationNumber")
    return None if number is None else str(number)


def _organization_number_as_number(row: Row) -> int | None:
    number = str(row.get("organizationNumber") or "")
    return int(number) if number.isascii() and number.isdigit() else None


_ORGANIZATION_NUMBER: Mapping[str, Getter] = {
    "text": _organization_number_as_text,
    "number": _organization_number_as_number,
    "null": lambda row: None,
}
_COMMUNICATION_WITHOUT_CUSTOM_TYPE = ENTITIES["communication"].without("customtype", "customTypeId")


def _write(file: IO[str], kind: str, id_: int, row: Row | None) -> None:
    file.write(json.dumps([kind, id_, row], ensure_ascii=False, separators=(",", ":")) + "\n")
