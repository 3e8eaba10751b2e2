"""The HTTP trigger: routes, keys, and the Functions request and response around a call."""

import asyncio
import contextlib
import hmac
import logging
import re
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import azure.functions as func
import uvicorn
from azure.functions.meta import Datum
from starlette.applications import Starlette
from starlette.convertors import CONVERTOR_TYPES, StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dev.host.app import AppError, Function
from dev.host.invoke import Invoker

log = logging.getLogger("dev.host")

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]

#: Constraints of route parameters that we know, and what Starlette calls them.
CONSTRAINTS = {
    None: "str",
    "alpha": "alpha",
    "int": "int",
    "long": "int",
    "guid": "uuid",
    "float": "float",
    "double": "float",
    "decimal": "float",
}

_PARAMETER = re.compile(r"\{(?P<all>\*{0,2})(?P<name>\w+)(?::(?P<constraint>\w+))?(?P<maybe>\?)?\}")


class _Alpha(StringConvertor):
    regex = "[A-Za-z]+"


if "alpha" not in CONVERTOR_TYPES:
    register_url_convertor("alpha", _Alpha())


def make_app(
    functions: Sequence[Function], prefix: str, key: str | None, invoke: Invoker
) -> Starlette:
    """All HTTP functions under the prefix, the most specific route first."""
    routes = [
        (_weight(route), Route(path, _endpoint(function, key, invoke), methods=_methods(function)))
        for function in functions
        for route in [str(function.trigger.get("route") or function.name)]
        for path in _paths(prefix, route, function.name)
    ]
    routes.sort(key=lambda pair: pair[0])
    ping = Route("/admin/host/ping", lambda request: PlainTextResponse("ok"))
    return Starlette(routes=[ping, *(route for _, route in routes)])


def _methods(function: Function) -> list[str]:
    return [str(method) for method in function.trigger.get("methods") or METHODS]


def _paths(prefix: str, route: str, function: str) -> list[str]:
    """The template as Starlette writes it; twice when its last parameter may be absent."""

    def parameter(match: re.Match[str]) -> str:
        if match["all"]:
            return f"{{{match['name']}:path}}"
        if match["constraint"] not in CONSTRAINTS:
            raise AppError(
                f"function {function!r}: this host does not know the constraint "
                f"{match['constraint']!r} in the route {route!r}"
            )
        return f"{{{match['name']}:{CONSTRAINTS[match['constraint']]}}}"

    segments = [segment for segment in f"{prefix}/{route}".split("/") if segment]
    converted = [_PARAMETER.sub(parameter, segment) for segment in segments]
    paths = ["/" + "/".join(converted)]
    last = _PARAMETER.search(segments[-1]) if segments else None
    if last and (last["all"] or last["maybe"]):
        paths.append("/" + "/".join(converted[:-1]))
    return paths


def _weight(route: str) -> list[int]:
    """Sorts literal segments before constrained ones before plain ones before catch-alls."""

    def weight(segment: str) -> int:
        match = _PARAMETER.search(segment)
        if not match:
            return 0
        return 3 if match["all"] else 1 if match["constraint"] else 2

    return [weight(segment) for segment in route.split("/") if segment]


def _endpoint(
    function: Function, key: str | None, invoke: Invoker
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    is_open = str(function.trigger.get("authLevel", "FUNCTION")).upper() == "ANONYMOUS"
    if not is_open and not key:
        log.warning("http.no_key function=%s: anybody on this machine may call it", function.name)

    async def endpoint(request: Request) -> Response:
        given = request.headers.get("x-functions-key") or request.query_params.get("code") or ""
        if not is_open and key and not hmac.compare_digest(given.encode(), key.encode()):
            return Response(status_code=401)
        try:
            result = await invoke(function, await _request_datum(request), {})
            return _response(result)
        except Exception:
            return Response(status_code=500)

    return endpoint


async def _request_datum(request: Request) -> Datum:
    def strings(values: dict[str, Any]) -> dict[str, Datum]:
        return {name: Datum(str(value), "string") for name, value in values.items()}

    headers = {name: ", ".join(request.headers.getlist(name)) for name in request.headers}
    return Datum(
        {
            "method": Datum(request.method, "string"),
            "url": Datum(str(request.url), "string"),
            "headers": strings(headers),
            "query": strings(dict(request.query_params)),
            "params": strings(request.path_params),
            "body": Datum(await request.body(), "bytes"),
        },
        "http",
    )


def _response(result: Any) -> Response:
    if result is None:
        return Response(status_code=204)
    encoded = func.get_binding_registry().get("http").encode(result, expected_type=None)
    if encoded.type == "string":
        return PlainTextResponse(encoded.value)
    answer = encoded.value
    response = Response(
        answer["body"].value,
        int(answer["status_code"].value),
        {name: header.value for name, header in answer["headers"].items()},
    )
    for cookie in answer["cookies"] or ():
        for morsel in cookie.values():
            response.headers.append("set-cookie", morsel.OutputString())
    return response


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the host's business


class WebListener:
    """Serves on loopback from `start` to `stop`; port 0 becomes the one that was free."""

    def __init__(self, port: int):
        self.port = port
        self._server: _Server | None = None

    async def start(self, app: Starlette) -> None:
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
        )
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110  # no event there
            await asyncio.sleep(0.01)

    async def stop(self, grace: float) -> None:
        if self._server:
            self._server.config.timeout_graceful_shutdown = max(1, round(grace))
            self._server.should_exit = True
            await self._task
