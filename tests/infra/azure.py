"""An account in Azure and an identity in it, as far as our requests go."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import AsyncHttpResponse, AsyncHttpTransport
from azure.identity import CredentialUnavailableError

QUEUES = b'<?xml version="1.0"?><EnumerationResults><Queues/></EnumerationResults>'


class Answer(AsyncHttpResponse):
    """What a storage account answers, whole."""

    def __init__(self, request: Any, status: int, body: bytes) -> None:
        super().__init__(request, None)
        self.status_code, self.reason, self._body = status, "", body
        self.headers = {"Content-Type": "application/xml", "etag": '"1"'}
        self.content_type = "application/xml"

    def body(self) -> bytes:
        return self._body

    async def load_body(self) -> None:
        return None

    async def read(self) -> bytes:
        return self._body

    def stream_download(self, pipeline: Any, **_: Any) -> AsyncIterator[bytes]:
        raise NotImplementedError


class Azure(AsyncHttpTransport[Any, Any]):
    """Storage that makes everything it is asked to make, unless it is there already."""

    def __init__(self, there: bool = False) -> None:
        self.status = 409 if there else 201
        self.asked: list[tuple[str, str]] = []
        self.tables: list[str] = []
        self.tokens: set[str | None] = set()

    async def send(self, request: Any, **_: Any) -> Answer:
        url = urlsplit(request.url)
        self.asked.append((request.method, f"{url.scheme}://{url.netloc}{url.path}"))
        self.tokens.add(request.headers.get("Authorization"))
        if url.path.endswith("/Tables"):
            self.tables.append(json.loads(request.content)["TableName"])
        if request.method == "GET":
            return Answer(request, 200, QUEUES)
        return Answer(request, self.status, b"")

    async def sleep(self, duration: float) -> None:
        """Between two tries of the SDK no time passes here."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def __aenter__(self) -> Azure:
        return self

    async def __aexit__(self, *_: object) -> None: ...


class Identity:
    """An identity that gives out one token, or none."""

    def __init__(self, token: str | None = "et-token") -> None:
        self.token, self.scopes, self.closed = token, set[str](), False

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes |= set(scopes)
        if self.token is None:
            raise CredentialUnavailableError("no identity here")
        return AccessToken(self.token, int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()))

    async def close(self) -> None:
        self.closed = True

    async def __aenter__(self) -> Identity:
        return self

    async def __aexit__(self, *_: object) -> None: ...
