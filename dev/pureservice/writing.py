"""What a written document says: checked whole before anything is stored."""

import base64
import binascii
import json
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Self

from . import behaviour, relationships
from .schema import ENTITIES, FieldSpec, Relation
from .world import Row, World


class BodyError(ValueError):
    """The body is not what the path wants."""


#: Kinds that may be posted as a flat object as well as wrapped.
FLAT = {"company", "companyemailaddress", "user", "attachment", "asset"}
#: The relations a ticket cannot be without, which must be given as links.
TICKET_LINKS = (
    "requestType",
    "user",
    "ticketType",
    "priority",
    "status",
    "source",
    "assignedDepartment",
)
REQUIRED: Mapping[str, Sequence[str]] = {
    "ticket": [f"{name}Id" for name in TICKET_LINKS],
    "communication": ["ticketId", "type"],
    "attachment": ["ticketId", "fileName", "digest"],
    "relationship": ["typeId", "main"],
    "asset": ["name", "uniqueId", "typeId", "statusId"],
    "company": ["name"],
    "user": ["emailAddressId"],
    "emailaddress": ["email"],
    "companyemailaddress": ["email"],
}
READ_ONLY = {
    *("id", "created", "modified", "createdById", "modifiedById"),
    *("fullName", "requestNumber", "emailAddress", "typeName", "contentLength", "usersCount"),
}


def read_json(body: bytes) -> Any:
    try:
        text = body.decode()
        content = json.loads(text, parse_constant=_not_json)
        if "\\ud" in text.lower():  # half a surrogate pair can be escaped, but not written again
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BodyError(f"The body is not valid JSON: {error}") from error
    return content


def _not_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


@dataclass(frozen=True)
class Document:
    """A posted document: the entries, and the new things they refer to by temporaryId."""

    entries: Sequence[Mapping[str, Any]]
    linked: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, kind: str, body: Any) -> Self:
        plural = ENTITIES[kind].plural
        if not isinstance(body, dict):
            raise BodyError(f"Expected an object with '{plural}'")
        if plural not in body:
            if kind in FLAT:
                return cls([body])
            raise BodyError(f"Expected '{plural}' in the body")
        entries = body[plural]
        if not (isinstance(entries, list) and entries and all(_is_object(e) for e in entries)):
            raise BodyError(f"'{plural}' must be a list of objects")
        linked: dict[tuple[str, str], Mapping[str, Any]] = {}
        groups = body.get("linked") or {}
        if not _is_object(groups):
            raise BodyError("'linked' must be an object")
        kinds = {entity.plural: name for name, entity in ENTITIES.items()}
        for group, members in groups.items():
            if group not in kinds or not isinstance(members, list):
                raise BodyError(f"linked.{group} is not a list of a known type")
            for member in members:
                temporary = member.get("temporaryId") if _is_object(member) else None
                if not isinstance(temporary, str) or (kinds[group], temporary) in linked:
                    raise BodyError(f"linked.{group}: every object needs its own temporaryId")
                linked[kinds[group], temporary] = member
        return cls(entries, linked)


@dataclass
class Draft:
    """A checked entry; what it refers to is either there already or a draft itself."""

    kind: str
    values: dict[str, Any]
    ones: dict[str, "Draft"] = field(default_factory=dict)
    manys: list[tuple[Relation, list["int | Draft"]]] = field(default_factory=list)
    linked: set[str] = field(default_factory=set)  #: the relations that were given as links

    def store(self, world: World, *, by: int) -> Row:
        """Create what this describes and everything it brings along."""
        for key, one in self.ones.items():
            self.values[key] = one.store(world, by=by)["id"]
        row = behaviour.create(world, self.kind, self.values, by=by)
        self.attach(world, row, by=by)
        behaviour.after_create(world, self.kind, row, by=by)
        return row

    def attach(self, world: World, row: Row, *, by: int) -> None:
        """Give ``row`` the things at the many end of its relations."""
        ticket_id = row["id"] if self.kind == "ticket" else row.get("ticketId")
        for relation, others in self.manys:
            ids = []
            for other in others:
                if isinstance(other, Draft):
                    if relation.kind == "attachment":
                        other.values["ticketId"] = ticket_id
                    other = behaviour.create(world, other.kind, other.values, by=by)["id"]
                ids.append(other)
                if not relation.listed:
                    world.change(relation.kind, other, {relation.key: row["id"]}, by=None)
            if relation.listed:
                world.change(self.kind, row["id"], {relation.key: ids}, by=None)


def draft(
    world: World,
    kind: str,
    entry: Mapping[str, Any],
    linked: Mapping[tuple[str, str], Mapping[str, Any]],
    *,
    flat_keys: bool = True,
) -> Draft:
    """What one entry asks for; foreign keys count as plain fields when ``flat_keys``.

    Members are found whatever their casing, and unknown ones are passed over, as on the server.
    """
    entity = world.entity(kind)
    keys = {relation.key for relation in entity.relations if not relation.many}
    result = Draft(kind, {})
    for name, value in entry.items():
        member = entity.members.get(name.lower())
        if not isinstance(member, FieldSpec) or member.name in READ_ONLY:
            continue
        if member.name not in keys:
            result.values[member.name] = _checked(member, value)
        elif flat_keys:
            result.values[member.name] = _checked(member, value)
            _check_exists(world, entity.kind, member.name, value)
    if kind == "attachment":
        result.values |= _content(world, entry)
    if kind == "asset":
        result.values |= {k: v for k, v in entry.items() if k.startswith("assets_UDF_")}
    links = entry.get("links") or {}
    if not _is_object(links):
        raise BodyError("'links' must be an object")
    for name, link in links.items():
        relation = entity.members.get(name.lower())
        if isinstance(relation, Relation) and relation.name not in ("createdBy", "modifiedBy"):
            if link:
                result.linked.add(relation.name)
            _link(world, result, relation, link, linked)
    return result


def check_new(world: World, new: Draft) -> None:
    """BodyError when something that must be there is missing, or what must be alone is not."""
    values = new.values
    for name in REQUIRED.get(new.kind, ()):
        if values.get(name) in (None, "") and name not in new.ones:
            what = "bytes" if name == "digest" else name.removesuffix("Id")
            raise BodyError(f"{new.kind}: '{what}' is required")
    match new.kind:
        case "ticket":
            _check_request_type(world, values)
            check_files(world, new, None)
        case "communication":
            check_files(world, new, values.get("ticketId"))
        case "relationship":
            _check_ends(values)
        case "company" if world.find("company", name=values["name"]):
            raise BodyError(f"A company named '{values['name']}' exists")
        case "asset" if world.find("asset", uniqueId=values["uniqueId"], typeId=values["typeId"]):
            raise BodyError(f"An asset with uniqueId '{values['uniqueId']}' exists")
        case "emailaddress" | "companyemailaddress" as kind if (
            world.find(kind, email=values["email"]) and not world.switches.same_address_twice
        ):
            raise BodyError(f"The e-mail address '{values['email']}' exists")
        case "user":
            address = world.get("emailaddress", values.get("emailAddressId")) or {}
            if address.get("userId"):
                raise BodyError("The e-mail address belongs to another user")


def check_changes(kind: str, changes: Mapping[str, Any]) -> None:
    """BodyError when a change would take away what must be there."""
    for name in REQUIRED.get(kind, ()):
        if name in changes and changes[name] in (None, ""):
            raise BodyError(f"{kind}: '{name}' cannot be empty")


def check_files(world: World, written: Draft, ticket_id: int | None) -> None:
    """BodyError when it names a file of another ticket: nobody knows what would become of it."""
    for relation, others in written.manys:
        for id_ in others if relation.kind == "attachment" else ():
            attachment = world.get("attachment", id_) if isinstance(id_, int) else None
            if attachment and attachment.get("ticketId") != ticket_id:
                raise BodyError(f"attachment {id_} belongs to another ticket")


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


_TYPES: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "date": (str,),
    "number": (int,),
    "flag": (bool,),
    "any": (str, int, float, bool),
}


def _checked(spec: FieldSpec, value: Any) -> Any:
    is_right = isinstance(value, _TYPES[spec.type]) and (
        spec.type in ("flag", "any") or not isinstance(value, bool)
    )
    if value is not None and not is_right:
        raise BodyError(f"Error converting value for '{spec.name}' to type '{spec.type}'")
    if spec.type == "date" and value is not None:
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise BodyError(f"'{spec.name}' is not a date") from None
    return value


def _check_exists(world: World, kind: str, key: str, id_: Any) -> None:
    relation = next(r for r in world.entity(kind).relations if r.key == key and not r.many)
    if id_ is not None and world.get(relation.kind, id_) is None:
        raise BodyError(f"{relation.kind} {id_} does not exist")


def _link(
    world: World,
    result: Draft,
    relation: Relation,
    link: Any,
    linked: Mapping[tuple[str, str], Mapping[str, Any]],
) -> None:
    def target(reference: Any) -> "int | Draft":
        if not _is_object(reference):
            raise BodyError(f"links.{relation.name}: expected an object with id or temporaryId")
        if "temporaryId" in reference:
            entry = linked.get((relation.kind, str(reference["temporaryId"])))
            if entry is None:
                raise BodyError(f"links.{relation.name}: temporaryId is not in linked")
            new = draft(world, relation.kind, entry, {})
            if relation.kind == "attachment":
                _require_file(new)
            else:
                check_new(world, new)
            return new
        id_ = reference.get("id")
        if type(id_) is not int or world.get(relation.kind, id_) is None:
            raise BodyError(f"links.{relation.name}: {relation.kind} {id_!r} does not exist")
        return id_

    if relation.many:
        if not isinstance(link, list):
            raise BodyError(f"links.{relation.name}: expected a list")
        result.manys.append((relation, [target(reference) for reference in link]))
    elif link is None:
        result.values[relation.key] = None
    elif isinstance(found := target(link), Draft):
        result.ones[relation.key] = found
    else:
        result.values[relation.key] = found


def _require_file(new: Draft) -> None:
    if not new.values.get("fileName") or "digest" not in new.values:
        raise BodyError("attachment: 'fileName' and 'bytes' are required")


def _content(world: World, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What an attachment's bytes say about it; nothing when there are none."""
    fields = {name.lower(): value for name, value in entry.items()}
    encoded = fields.get("bytes")
    if (copied := fields.get("attachmentcopyid")) is not None:
        if world.switches.attachment_copy in ("works", "refused"):
            return _copied(world, copied, fields)
        encoded = encoded or ""
    if encoded is None:
        return {}
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise BodyError("attachment: 'bytes' is not base64") from error
    length, claimed = len(content), fields.get("contentlength")
    if copied is not None and world.switches.attachment_copy == "claimed":
        length = claimed if type(claimed) is int else length
    file_name = str(fields.get("filename") or "")
    guessed = mimetypes.guess_type(file_name)[0] or "application/octet-stream"
    return {
        "attachmentCopyId": None,
        "digest": world.store(content),
        "contentLength": length,
        "contentType": fields.get("contenttype") or guessed,
        "name": fields.get("name") or PurePosixPath(file_name).stem,
    }


def _copied(world: World, id_: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The content of another attachment, and those of its names that were not given anew."""
    source = world.get("attachment", id_) if type(id_) is int else None
    if source is None or world.switches.attachment_copy == "refused":
        raise BodyError(f"attachment {id_!r} cannot be copied")
    names = [name for name in ("name", "fileName", "contentType") if not fields.get(name.lower())]
    return {name: source.get(name) for name in ("digest", "contentLength", *names)}


def _check_request_type(world: World, values: Mapping[str, Any]) -> None:
    """A status, priority or source of the same name may belong to changes."""
    for kind in ("status", "priority", "source"):
        row = world.get(kind, values.get(f"{kind}Id")) or {}
        if row.get("requestTypeId") != values.get("requestTypeId"):
            raise BodyError(f"ticket: {kind} {row.get('id')} belongs to another request type")


def _check_ends(values: Mapping[str, Any]) -> None:
    for side in ("from", "to"):
        ends = [end for end in relationships.ENDS if values.get(f"{side}{end}Id") is not None]
        if len(ends) != 1:
            raise BodyError(f"relationship: exactly one '{side}' side is required")
    columns = {f"{side}{end}Id".lower() for side in ("from", "to") for end in relationships.ENDS}
    for name in ("main", "inverseMain"):
        if values.get(name) is not None and values[name].lower() not in columns:
            raise BodyError(f"relationship: '{name}' does not name a column")
