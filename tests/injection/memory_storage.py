"""A storage account in memory that speaks the REST of tables, queues and blobs.

As much of it as the app asks for, in the place of an `aiohttp` session: the SDK's own transport
sits on top, with its signatures, repetitions and errors. `test_the_same_on_azurite.py` holds it to
Azurite.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from dev.azurite import ACCOUNT, connection_string
from shared.ports import Clock, Delete, Insert, Merge, Put, Row, Value, Where, Write
from tests.fakes import MemoryTable

#: Ports that tell the three services apart. Nothing listens there.
BLOBS, QUEUES, TABLES = 1, 2, 3

_ENTITY = re.compile(r"(?P<table>\w+)\(PartitionKey='(?P<partition>.*)',RowKey='(?P<key>.*)'\)")
_CONDITION = re.compile(r"(\w+) (eq|ne|lt|le|gt|ge) ('(?:[^']|'')*'|\S+)(?: and |$)")
_PART = re.compile(rb"(POST|PUT|PATCH|DELETE) (\S+) HTTP/1.1\r\n(.*?)\r\n\r\n(.*?)\r\n--", re.S)

_JSON = {"Content-Type": "application/json;odata=minimalmetadata"}
_XML = {"Content-Type": "application/xml"}
_ETAG = {"ETag": '"0x1"', "Last-Modified": "Mon, 23 Nov 2026 08:00:00 GMT"}


class Response:
    """What the SDK's transport needs of an `aiohttp.ClientResponse`."""

    def __init__(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None):
        self.status, self.reason = status, ""
        self.headers = {"Content-Length": str(len(body)), **(headers or {})}
        self.content = _Content(body)
        self.body = body

    async def read(self) -> bytes:
        return self.body

    def close(self) -> None:
        pass


class _Content:
    """An answer's body, as it is read in pieces."""

    def __init__(self, body: bytes) -> None:
        self._left = body

    async def read(self, size: int) -> bytes:
        piece, self._left = self._left[:size], self._left[size:]
        return piece


@dataclass
class Waiting:
    """A message on a queue."""

    text: str
    visible: datetime  #: from then on
    dequeued: int = 0


@dataclass
class MemoryStorage:
    """The account. Every answer is given at once; time is the caller's clock."""

    clock: Clock
    tables: dict[str, MemoryTable] = field(default_factory=dict)
    queues: dict[str, list[Waiting]] = field(default_factory=dict)
    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict)

    connection_string = connection_string(BLOBS, QUEUES, TABLES)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def take(self, queue: str) -> list[Waiting]:
        """Every message, those that are not visible yet too: the host keeps them from now on."""
        taken, self.queues[queue] = self.queues.get(queue, []), []
        return taken

    async def request(self, method: str, url: str, **options: Any) -> Response:
        parts = urlsplit(url)
        path = unquote(parts.path).removeprefix(f"/{ACCOUNT}/")
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        data = options.get("data") or b""
        body = data.encode() if isinstance(data, str) else data
        if parts.port == TABLES:
            return await self._table(method, path, query, options["headers"], body)
        answer = self._queue if parts.port == QUEUES else self._blob
        return answer(method, path, query, options["headers"], body)

    # --- tables ---

    async def _table(
        self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes
    ) -> Response:
        if path == "Tables":
            name = json.loads(body)["TableName"]
            if name in self.tables:
                return _no(409, "TableAlreadyExists")
            self.tables[name] = MemoryTable()
            return Response(201, body, _JSON)
        if path == "$batch":
            return await self._transaction(body)
        if path.endswith("()"):
            return await self._entities(self.tables[path.removesuffix("()")], query)
        if method == "GET":
            entity = _entity(path)
            row = await self.tables[entity["table"]].get(entity["partition"], entity["key"])
            return Response(200, _json(_shown(row)), _JSON) if row else _no(404, "ResourceNotFound")
        table, partition, write = _write(method, path, headers, body)
        if refused := _refused(self.tables[table], partition, write):
            return _no(*refused)
        [version] = await self.tables[table].write(partition, write)
        status, answer = (201, b"{}") if method == "POST" else (204, b"")
        return Response(status, answer, {**_JSON, "ETag": version})

    async def _transaction(self, body: bytes) -> Response:
        wanted = []
        for method, url, lines, part in _PART.findall(body):
            path = unquote(urlsplit(url.decode()).path).removeprefix(f"/{ACCOUNT}/")
            headers = dict(re.findall(r"(\S+): (.*?)(?:\r\n|$)", lines.decode()))
            wanted.append(_write(method.decode(), path, headers, part))
        [table], [partition] = {one[0] for one in wanted}, {one[1] for one in wanted}
        for _, _, write in wanted:
            if refused := _refused(self.tables[table], partition, write):
                return _answers([_no(*refused)])
        versions = await self.tables[table].write(partition, *(one[2] for one in wanted))
        return _answers([Response(204, b"", {"ETag": version}) for version in versions])

    async def _entities(self, table: MemoryTable, query: dict[str, str]) -> Response:
        found = _CONDITION.findall(query["$filter"])
        (at, first, last), where = found[:3], [Where(c, op, _literal(v)) for c, op, v in found[3:]]
        partition, start, end = (str(_literal(one[2])) for one in (at, first, last))
        columns = [
            name for name in query.get("$select", "").split(",") if name not in {"", "RowKey"}
        ]
        most = int(query.get("$top", 1_000))
        start = query.get("NextRowKey", start)
        rows = [
            row async for row in table.query(partition, start, end, where, columns, limit=most + 1)
        ]
        more = {
            f"x-ms-continuation-Next{name}Key": key
            for row in rows[most:]
            for name, key in (("Partition", partition), ("Row", row.key))
        }
        return Response(200, _json({"value": [_shown(row) for row in rows[:most]]}), _JSON | more)

    # --- queues ---

    def _queue(
        self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes
    ) -> Response:
        name = path.partition("/")[0]
        if query.get("comp") == "metadata":
            count = str(len(self.queues[name]))
            return Response(200, b"", {"x-ms-approximate-messages-count": count})
        if method == "PUT":
            return Response(201 if self.queues.setdefault(name, []) == [] else 204)
        text = ElementTree.fromstring(body).findtext("MessageText") or ""
        delay = timedelta(seconds=int(query.get("visibilitytimeout", 0)))
        self.queues[name].append(Waiting(base64.b64decode(text).decode(), self.clock() + delay))
        put = "<QueueMessage><MessageId>1</MessageId><PopReceipt>1</PopReceipt></QueueMessage>"
        return Response(201, f"<QueueMessagesList>{put}</QueueMessagesList>".encode(), _XML)

    # --- blobs ---

    def _blob(
        self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes
    ) -> Response:
        container, _, name = path.partition("/")
        if query.get("restype") == "container" and method == "PUT":
            if container in self.blobs:
                return _no(409, "ContainerAlreadyExists")
            self.blobs[container] = {}
            return Response(201, b"", _ETAG)
        blobs = self.blobs[container]
        if query.get("comp") == "list":
            names = [one for one in sorted(blobs) if one.startswith(query["prefix"])]
            shown = "".join(
                f"<Blob><Name>{escape(one)}</Name><Properties/></Blob>" for one in names
            )
            listed = f"<Blobs>{shown}</Blobs><NextMarker/>"
            return Response(
                200, f"<EnumerationResults>{listed}</EnumerationResults>".encode(), _XML
            )
        if method == "PUT":
            blobs[name] = body
            return Response(201, b"", _ETAG)
        if name not in blobs:
            return _no(404, "BlobNotFound")
        if method == "DELETE":
            del blobs[name]
            return Response(202)
        data = blobs[name]  # smaller than the first piece that the client asks for, and not empty
        where = f"bytes 0-{len(data) - 1}/{len(data)}"
        return Response(206, data, {**_ETAG, "Content-Range": where, "x-ms-blob-type": "BlockBlob"})


def _entity(path: str) -> re.Match[str]:
    entity = _ENTITY.fullmatch(path)
    assert entity
    return entity


def _write(method: str, path: str, headers: Any, body: bytes) -> tuple[str, str, Write]:
    """The table, the partition and what is to be written there."""
    given = json.loads(body) if body.strip() else {}
    keys = {"PartitionKey", "RowKey"}
    values = {n: v for n, v in given.items() if n not in keys and "@odata" not in n}
    if method == "POST":
        return path, given["PartitionKey"], Insert(given["RowKey"], values)
    entity = _entity(path)
    key, wanted = entity["key"], headers.get("If-Match")
    version = None if wanted == "*" else wanted
    kinds: dict[str, Write] = {
        "DELETE": Delete(key, version),
        "PUT": Put(key, values),
        "PATCH": Merge(key, values, version),
    }
    return entity["table"], entity["partition"], kinds[method]


def _refused(table: MemoryTable, partition: str, write: Write) -> tuple[int, str] | None:
    """How the service refuses the write, if it does."""
    there = table.rows.get((partition, write.key))
    match write:
        case Insert() if there:
            return 409, "EntityAlreadyExists"
        case Merge() | Delete() if not there:
            return 404, "ResourceNotFound"
        case Merge() | Delete() if there and write.version not in {None, there.version}:
            return 412, "UpdateConditionNotSatisfied"
    return None


def _literal(text: str) -> Value:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    return text == "true" if text in {"true", "false"} else int(text)


def _shown(row: Row) -> dict[str, Any]:
    return {"odata.etag": row.version, "PartitionKey": "", "RowKey": row.key, **row.values}


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


def _no(status: int, code: str) -> Response:
    said = {"odata.error": {"code": code, "message": {"lang": "en-US", "value": code}}}
    return Response(status, _json(said), {**_JSON, "x-ms-error-code": code})


def _answers(answers: Sequence[Response]) -> Response:
    """The answer to a transaction, which is an answer for each of its writes."""
    said = "--all\r\nContent-Type: multipart/mixed; boundary=one\r\n\r\n"
    for one in answers:
        lines = "".join(f"{name}: {value}\r\n" for name, value in one.headers.items())
        said += "--one\r\nContent-Type: application/http\r\n\r\n"
        said += f"HTTP/1.1 {one.status} -\r\n{lines}\r\n{one.body.decode()}\r\n"
    said += "--one--\r\n--all--\r\n"
    return Response(202, said.encode(), {"Content-Type": "multipart/mixed; boundary=all"})
