"""What stands between an adapter and the simulated Graph in tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from azure.core.credentials import AccessToken

from dev.graph import GraphSimulator

TOKEN = "eyJ.hemmelig.token"

Intercept = Callable[[httpx.Request], httpx.Response | Exception | None]


class Credential:
    """Gives a token, or fails as told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.scopes: list[str] = []

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        if self.error:
            raise self.error
        return AccessToken(TOKEN, 2_000_000_000)

    async def close(self) -> None: ...

    async def __aenter__(self) -> Credential:
        return self

    async def __aexit__(self, *_: Any) -> None: ...


class Between(httpx.AsyncBaseTransport):
    """The simulator, unless `before` has an answer of its own, and what it was asked."""

    def __init__(self, simulator: GraphSimulator) -> None:
        self.before: Intercept = lambda request: None
        self.asked: list[httpx.Request] = []
        self._inner = httpx.ASGITransport(simulator.app())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.before(request) or await self._inner.handle_async_request(request)
        if isinstance(answer, Exception):
            raise answer
        return answer
