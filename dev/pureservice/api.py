"""The API's paths, methods, media types and answers."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from . import behaviour, relationships, writing
from .reading import QueryError, Reader, View, document
from .schema import API_USER
from .switches import Switches
from .world import Row, World

VND = "application/vnd.api+json"

_CONTACTS = {"emailaddress", "companyemailaddress", "phonenumber", "physicaladdress"}
_LOOKUPS = {
    *("status", "priority", "source", "team", "department", "tickettype", "changetype"),
    *("requesttype", "category", "listdefinition", "assettype", "relationshiptype"),
}
METHODS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(_LOOKUPS, ("GET",)),
    **dict.fromkeys(_CONTACTS, ("GET", "POST", "PUT")),
    **dict.fromkeys(("companydepartment", "companylocation"), ("GET", "POST")),
    **dict.fromkeys(("user", "company"), ("GET", "POST", "PATCH")),
    "ticket": ("GET", "POST", "PATCH", "PUT"),
    "email": ("GET", "PATCH"),
    "communication": ("GET", "POST"),
    "attachment": ("GET", "POST"),
    "relationship": ("GET", "POST", "DELETE"),
    "asset": ("GET", "POST", "PATCH"),
}
_COUNTED = {"ticket", "email"}


class Refusal(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def error(
    switches: Switches, status: int, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """An error as this tenant words it."""
    match switches.error_body:
        case "empty":
            return Response(None, status, headers)
        case "html":
            return HTMLResponse(
                f"<html><body><h1>Error {status}</h1></body></html>", status, headers
            )
    return JSONResponse({"message": message}, status, headers)


class Api:
    """Answers requests below the prefix; the caller has been let in already."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._reader = Reader(world)

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        try:
            return self._answer(
                request, [part for part in request.path_params["path"].split("/") if part], body
            )
        except Refusal as refusal:
            return error(self.world.switches, refusal.status, str(refusal))
        except (QueryError, writing.BodyError) as wrong:
            return error(self.world.switches, 400, str(wrong))

    def _answer(self, request: Request, path: Sequence[str], body: bytes) -> Response:
        # Everything below is synchronous: a request is a transaction.
        method = request.method
        match method, [part.lower() for part in path]:
            case "GET", ["relationship"]:
                rows = partial(relationships.all_rows, self.world)
                return self._list(request, View("relationship", "all", rows))
            case "GET", [kind] if kind in METHODS:
                return self._list(request, View(kind))
            case "GET", [kind, "count"] if kind in _COUNTED:
                self._before_reading(kind)
                return _json(
                    request, {"count": len(self._reader.rows(View(kind), request.query_params))}
                )
            case "GET", ["ticket", number, "requestnumber"]:
                ticket = self.world.find("ticket", requestNumber=_id(number))
                return self._show(request, "ticket", ticket)
            case "GET", ["relationship", id_, view] if view in relationships.VIEWS:
                return self._relations_from(request, relationships.VIEWS[view], _id(id_))
            case "GET", ["attachment", "download", id_]:
                return self._download(request, _id(id_))
            case "GET", [kind, id_] if kind in METHODS:
                self._before_reading(kind)
                return self._show(request, kind, self.world.get(kind, _id(id_)))
            case "POST", ["attachment", _]:  # the web page's own way, which no key opens
                raise Refusal(415, "The request entity's media type is not supported.")
            case "POST", ["asset", class_name]:
                return self._create_asset(request, class_name, body)
            case "POST", [kind] if "POST" in METHODS.get(kind, ()) and kind != "asset":
                return self._create(request, kind, _document(request, VND, body))
            case "PATCH", [kind, id_] if "PATCH" in METHODS.get(kind, ()):
                return self._patch(request, kind, _id(id_), body)
            case "PUT", [kind, id_] if "PUT" in METHODS.get(kind, ()):
                return self._put(request, kind, _id(id_), body)
            case "DELETE", ["relationship", id_]:
                return self._unrelate(_id(id_))
            case _, [kind] | [kind, _] if kind in METHODS:
                raise Refusal(405, f"The requested resource does not support method '{method}'.")
        raise Refusal(404, f"No resource was found that matches '{request.url.path}'.")

    # -- reads

    def _before_reading(self, kind: str) -> None:
        if kind == "email":
            behaviour.settle_mails(self.world)

    def _list(self, request: Request, view: View) -> Response:
        self._before_reading(view.kind)
        rows = self._reader.page(view, request.query_params)
        return self._shown(request, view.kind, rows, listed=True)

    def _show(self, request: Request, kind: str, row: Row | None) -> Response:
        if row is None:
            raise Refusal(404, f"The {kind} was not found.")
        return self._shown(request, kind, [row])

    def _relations_from(self, request: Request, end: str, id_: int) -> Response:
        if self.world.get(end.lower(), id_) is None:
            raise Refusal(404, f"The {end.lower()} was not found.")
        rows = partial(relationships.seen_from, self.world, end, id_)
        return self._list(request, View("relationship", f"{end} {id_}", rows))

    def _download(self, request: Request, id_: int) -> Response:
        _must_accept_anything(request)
        attachment = self.world.get("attachment", id_)
        if attachment is None:
            raise Refusal(404, "The attachment was not found.")
        return Response(
            self.world.content(attachment["digest"]),
            headers={"Content-Disposition": _disposition(attachment["fileName"])},
            media_type=attachment.get("contentType"),
        )

    def _shown(
        self,
        request: Request,
        kind: str,
        rows: Sequence[Row],
        *,
        listed: bool = False,
        bare_one: bool = False,
        with_linked: bool = True,
    ) -> Response:
        """The rows in the shape the Accept header asks for."""
        include = request.query_params.get("include", "") if with_linked else ""
        answer = document(self.world, kind, rows, include, listed=listed)
        if _is_wrapped(request):
            return _json(request, answer)
        bare = answer[self.world.entity(kind).plural]
        return _json(request, bare[0] if bare_one and len(bare) == 1 else bare)

    # -- writes

    def _create(self, request: Request, kind: str, body: Any) -> Response:
        document_ = writing.Document.of(kind, body)
        drafts = [
            writing.draft(self.world, kind, entry, document_.linked, flat_keys=kind != "ticket")
            for entry in document_.entries
        ]
        for new in drafts:
            writing.check_new(self.world, new)
        rows = [new.store(self.world, by=API_USER) for new in drafts]
        if kind == "relationship":
            for row in rows:
                self._touch_related(row)
        with_linked = self.world.switches.posted_answer == "included"
        return self._shown(request, kind, rows, bare_one=True, with_linked=with_linked)

    def _create_asset(self, request: Request, class_name: str, body: bytes) -> Response:
        types = self.world.all("assettype")
        asset_type = next((t for t in types if t["uniqueClassName"].lower() == class_name), None)
        if asset_type is None:
            raise Refusal(404, f"No resource was found that matches '{request.url.path}'.")
        given = _document(request, VND, body)
        if isinstance(given, dict) and given.get("typeId") != asset_type["id"]:
            raise writing.BodyError(f"typeId must be {asset_type['id']}")
        return self._create(request, "asset", given)

    def _patch(self, request: Request, kind: str, id_: int, body: bytes) -> Response:
        if kind == "email":
            _must_accept_anything(request)
        given = _document(request, "application/json", body)
        row = self._existing(kind, id_)
        if not isinstance(given, dict) or self.world.entity(kind).plural in given:
            raise writing.BodyError("Expected a flat object with the changed fields")
        if not self.world.switches.patch_links:
            given = {name: value for name, value in given.items() if name.lower() != "links"}
        changes = writing.draft(self.world, kind, given, {})
        self._change(row, changes)
        return self._shown(request, kind, [row], bare_one=True)

    def _put(self, request: Request, kind: str, id_: int, body: bytes) -> Response:
        document_ = writing.Document.of(kind, _document(request, VND, body))
        row = self._existing(kind, id_)
        if len(document_.entries) != 1 or document_.entries[0].get("id", id_) != id_:
            raise writing.BodyError(f"Expected one {kind} with id {id_}")
        changes = writing.draft(self.world, kind, document_.entries[0], document_.linked)
        if kind == "ticket":
            missing = [name for name in writing.TICKET_LINKS if name not in changes.linked]
            if missing:
                raise writing.BodyError(f"ticket: links.{missing[0]} is required")
        self._change(row, changes, is_whole=True)
        return self._shown(request, kind, [row], bare_one=True)

    def _drop_attachments(self, ticket: Row, changes: writing.Draft) -> None:
        kept = {id_ for _, others in changes.manys for id_ in others if isinstance(id_, int)}
        for attachment in self.world.where("attachment", "ticketId", ticket["id"]):
            if attachment["id"] not in kept:
                self.world.change("attachment", attachment["id"], {"ticketId": None}, by=API_USER)

    def _change(self, row: Row, changes: writing.Draft, *, is_whole: bool = False) -> None:
        kind = changes.kind
        writing.check_changes(kind, changes.values)
        ticket_id = row["id"] if kind == "ticket" else row.get("ticketId")
        writing.check_files(self.world, changes, ticket_id)
        if is_whole and kind == "ticket" and self.world.switches.put_drops_attachments:
            self._drop_attachments(row, changes)
        for key, one in changes.ones.items():
            changes.values[key] = one.store(self.world, by=API_USER)["id"]
        changes.attach(self.world, row, by=API_USER)
        if kind == "ticket":
            behaviour.change_ticket(self.world, row, changes.values, by=API_USER)
        else:
            self.world.change(kind, row["id"], changes.values, by=API_USER)
            behaviour.touch(self.world, row.get("ticketId"), by=API_USER)

    def _existing(self, kind: str, id_: int) -> Row:
        row = self.world.get(kind, id_)
        if row is None:
            raise Refusal(404, f"The {kind} was not found.")
        return row

    def _unrelate(self, id_: int) -> Response:
        row = relationships.find(self.world, id_)
        if row is None:
            raise Refusal(404, "The relationship was not found.")
        self.world.remove("relationship", row["id"])
        self._touch_related(row)
        return Response(status_code=204)

    def _touch_related(self, row: Row) -> None:
        if self.world.switches.relationship_touches_ticket:
            for key in ("fromTicketId", "toTicketId"):
                behaviour.touch(self.world, row.get(key), by=API_USER)


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refusal(404, f"'{text[:50]}' is not an id.")
    return int(text)


def _is_wrapped(request: Request) -> bool:
    return VND in request.headers.get("accept", "").lower()


def _json(request: Request, content: Any) -> Response:
    media_type = VND if _is_wrapped(request) else "application/json"
    return JSONResponse(content, media_type=f"{media_type}; charset=utf-8")


def _must_accept_anything(request: Request) -> None:
    if "*/*" not in request.headers.get("accept", "*/*"):
        raise Refusal(406, "This resource is only given to those who accept */*.")


def _disposition(name: str) -> str:
    """The header names a plain name bare, another in quotes, and one in Norwegian twice."""
    if re.fullmatch(r"[A-Za-z0-9._-]+", name):
        return f"attachment; filename={name}"
    plain = re.sub(r'[^ -~]|["\\\\]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _document(request: Request, media_type: str, body: bytes) -> Any:
    """The body, which must be JSON and say so in the one way this verb wants."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media_type:
        raise Refusal(415, f"The request entity's media type '{given}' is not supported.")
    return writing.read_json(body)
