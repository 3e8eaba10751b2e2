"""What stands between a caller and the API: the key, the limit, the log, and made-up trouble."""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from .api import Api, error
from .world import World

RETRY_AFTER = timedelta(seconds=30)
_WRITES = {"POST", "PUT", "PATCH"}


class ConnectionDropped(httpx.RemoteProtocolError):
    """The connection broke without an answer; what a client in the same process sees of it."""


class Fault(BaseModel):
    """Trouble for the next ``times`` requests that match, after ``skip`` that go well.

    ``delay``, ``status`` and ``html`` come before the request is carried out, unless
    ``after_write``; ``half_json`` carries it out and breaks off the answer in the middle.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["delay", "drop_before", "drop_after_write", "status", "html", "half_json"]
    method: str = "*"
    path: str = Field("/", description="How the path below the API's prefix begins.")
    times: int = Field(1, ge=1)
    skip: int = Field(0, ge=0)
    after_write: bool = False
    status: int = Field(503, ge=400, le=599)
    retry_after: int | str | None = None
    seconds: float = Field(1.0, ge=0)

    def matches(self, method: str, path: str) -> bool:
        return self.method in ("*", method) and path.lower().startswith(self.path.lower())


class Traffic:
    """What was asked since the last reset."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.throttled = 0
        self.requests: deque[dict[str, Any]] = deque(maxlen=5000)
        self.window: deque[datetime] = deque()
        self.faults: list[Fault] = []
        self.writes = 0


class Simulator(Starlette):
    """The application. Holds back, logs and disturbs the calls to the API, and nothing else."""

    def __init__(self, world: World, *, key: str, prefix: str) -> None:
        self.world = world
        self.traffic = Traffic()
        self._key = key
        self._prefix = "/" + prefix.strip("/")
        api = Route(
            f"{self._prefix}/{{path:path}}",
            Api(world).answer,
            methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        )
        super().__init__(routes=[api])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(f"{self._prefix}/"):
            await super().__call__(scope, receive, send)
            return
        request = Request(scope)
        path = scope["path"].removeprefix(self._prefix)
        entry = {
            "at": self.world.stamp(),
            "method": request.method,
            "path": path,
            "query": dict(request.query_params),
            "status": None,
        }
        self.traffic.requests.append(entry)
        answer = self._refusal(request)
        if answer is None:
            self.traffic.calls[f"{request.method} {_template(path)}"] += 1
            answer = await self._carried_out(scope, receive, request.method, path)
        if answer is None:
            await _drop(receive, send)
            return
        entry["status"] = answer.status_code
        await answer(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        """401 without the key, 429 above the limit; None for those who may pass."""
        switches, headers = self.world.switches, request.headers
        is_known = headers.get("x-authorization-key") == self._key
        if not is_known and headers.get("authorization") != f"Bearer {self._key}":
            return error(switches, switches.refused_status, "Authorization has been denied.")
        now, window = self.world.now(), self.traffic.window
        while window and window[0] <= now - timedelta(minutes=1):
            window.popleft()
        if not switches.calls_per_minute or len(window) < switches.calls_per_minute:
            window.append(now)
            return None
        self.traffic.throttled += 1
        retry_after = {
            "seconds": {"Retry-After": str(int(RETRY_AFTER.total_seconds()))},
            "date": {"Retry-After": format_datetime(now + RETRY_AFTER, usegmt=True)},
            "missing": {},
        }[switches.retry_after]
        return error(switches, 429, "Too many requests.", retry_after)

    async def _carried_out(
        self, scope: Scope, receive: Receive, method: str, path: str
    ) -> Response | None:
        """The API's answer as the trouble in store leaves it; None when it is lost."""
        fault = self._fault(method, path)
        if fault and not fault.after_write:
            match fault.kind:
                case "delay":
                    await asyncio.sleep(fault.seconds)
                case "drop_before":
                    return None
                case "status" | "html":
                    return self._trouble(fault)
        answer = await self._answer(scope, receive)
        if fault is None and method in _WRITES and answer.status_code < 300:
            fault = self._standing_fault()
        match fault:
            case Fault(kind="drop_after_write"):
                return None
            case Fault(kind="half_json"):
                return Response(
                    answer.body[: len(answer.body) // 2],
                    answer.status_code,
                    media_type=answer.headers.get("content-type"),
                )
            case Fault(kind="delay", after_write=True):
                with suppress(TimeoutError):
                    async with asyncio.timeout(fault.seconds):
                        await _until_gone(receive)
            case Fault(kind="status" | "html", after_write=True):
                return self._trouble(fault)
        return answer

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        response = Response()

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                response.status_code = message["status"]
                response.raw_headers = list(message["headers"])
            else:
                response.body = bytes(response.body) + message.get("body", b"")

        await super().__call__(scope, receive, collect)
        return response

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self.traffic.faults:
            if fault.matches(method, path):
                if fault.skip:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                if not fault.times:
                    self.traffic.faults.remove(fault)
                return fault
        return None

    def _standing_fault(self) -> Fault | None:
        switches = self.world.switches
        self.traffic.writes += 1
        if switches.fault_after_write == "off" or self.traffic.writes % switches.fault_every:
            return None
        return {
            "drop": Fault(kind="drop_after_write"),
            "status": Fault(kind="html", status=502, after_write=True),
            "slow": Fault(kind="delay", seconds=switches.fault_seconds, after_write=True),
        }[switches.fault_after_write]

    def _trouble(self, fault: Fault) -> Response:
        headers: Mapping[str, str] = (
            {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        )
        if fault.kind == "html":
            page = f"<html><body><h1>{fault.status} Bad Gateway</h1></body></html>"
            return HTMLResponse(page, fault.status, headers)
        return error(self.world.switches, fault.status, "The service is unavailable.", headers)


async def _drop(receive: Receive, send: Send) -> None:
    """Close the connection without an answer."""
    # Under uvicorn, send is a method of the request's cycle, which knows its transport. ASGI
    # itself has no word for this: an application that just ends or raises is answered with 500.
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionDropped("Server disconnected without sending a response.")
    transport.close()
    await _until_gone(receive)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _template(path: str) -> str:
    parts = path.strip("/").split("/")
    if len(parts) == 2 and parts[0].lower() == "asset" and not parts[1].isdigit():
        parts[1] = "{className}"
    return "/" + "/".join("{id}" if part.isdigit() else part for part in parts)
