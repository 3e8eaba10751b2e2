"""HTTP triggers: routes, keys, and what requests and responses carry."""

from typing import Any

import azure.functions as func
import httpx
import pytest

from dev.host import AppError

OPEN = func.AuthLevel.ANONYMOUS


async def get(host: Any, path: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=host.url) as client:
        return await client.request(options.pop("method", "GET"), path, **options)


async def test_a_request_arrives_whole_and_so_does_the_response(serve: Any) -> None:
    app = func.FunctionApp()

    @app.route("orders/{order}/lines/{line:int}", auth_level=OPEN)
    async def lines(req: func.HttpRequest) -> func.HttpResponse:
        assert req.method == "POST"
        assert req.route_params == {"order": "blå", "line": "7"}
        assert req.params == {"q": "å"}
        assert req.headers["X-Caller"] == "me"
        assert req.get_json() == {"name": "Kåre"}
        answer = func.HttpResponse("Grønn", status_code=201, headers={"X-Answer": "yes"})
        answer.headers.add("Set-Cookie", "a=1; Path=/")
        answer.headers.add("Set-Cookie", "b=2; HttpOnly")
        return answer

    host = await serve(app)
    answer = await get(
        host,
        "/api/orders/blå/lines/7?q=å",
        method="POST",
        json={"name": "Kåre"},
        headers={"X-Caller": "me"},
    )
    assert (answer.status_code, answer.text) == (201, "Grønn")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-answer"] == "yes"
    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; HttpOnly"]
    assert host.counts == {("lines", "succeeded"): 1}
    assert (await get(host, "/api/orders/1/lines/x")).status_code == 404


async def test_text_and_nothing_are_answers_and_an_exception_is_one_too(serve: Any) -> None:
    app = func.FunctionApp(OPEN)

    @app.route("text")
    def text(req: func.HttpRequest) -> str:
        return "æ"

    @app.route("nothing")
    def nothing(req: func.HttpRequest) -> None: ...

    @app.route("broken")
    async def broken(req: func.HttpRequest) -> str:
        raise RuntimeError("hemmelig")

    host = await serve(app)
    assert (await get(host, "/api/text")).text == "æ"
    assert (await get(host, "/api/nothing")).status_code == 204
    answer = await get(host, "/api/broken")
    assert answer.status_code == 500
    assert "hemmelig" not in answer.text
    assert host.counts["broken", "failed"] == 1


async def test_the_more_specific_route_wins_whatever_the_order(serve: Any) -> None:
    app = func.FunctionApp(OPEN)

    @app.route("{*rest}")
    async def anything(req: func.HttpRequest) -> str:
        return f"anything {req.route_params.get('rest')}"

    @app.route("a/{name}")
    async def named(req: func.HttpRequest) -> str:
        return "named"

    @app.route("a/{id:guid}")
    async def identified(req: func.HttpRequest) -> str:
        return "identified"

    @app.route("a/exact", methods=["GET"])
    async def exact(req: func.HttpRequest) -> str:
        return "exact"

    @app.route("b/{name?}")
    async def maybe(req: func.HttpRequest) -> str:
        return f"maybe {req.route_params.get('name')}"

    host = await serve(app, {"extensions": {"http": {"routePrefix": ""}}})
    expected = {
        "/a/exact": "exact",
        "/a/0b0f3e8e-5d5c-4b8e-9d0e-3f2a6f0c1d2e": "identified",
        "/a/other": "named",
        "/b": "maybe None",
        "/b/x": "maybe x",
        "/c/d/e": "anything c/d/e",
        "/": "anything ",
        "/admin/host/ping": "ok",
    }
    assert {path: (await get(host, path)).text for path in expected} == expected


@pytest.mark.parametrize(
    ("key", "headers", "query", "status"),
    [
        (None, {}, "", 200),
        ("nøkkel", {}, "", 401),
        ("nøkkel", {"x-functions-key": "feil"}, "", 401),
        ("hemmelig", {"x-functions-key": "hemmelig"}, "", 200),
        ("nøkkel", {}, "?code=nøkkel", 200),
    ],
)
async def test_functions_that_are_not_open_want_the_key(
    serve: Any, key: str | None, headers: dict[str, str], query: str, status: int
) -> None:
    app = func.FunctionApp()

    @app.route("guarded")  # FUNCTION is the default level
    async def guarded(req: func.HttpRequest) -> str:
        return "in"

    @app.route("open", auth_level=OPEN)
    async def unguarded(req: func.HttpRequest) -> str:
        return "in"

    host = await serve(app, key=key)
    assert (await get(host, f"/api/guarded{query}", headers=headers)).status_code == status
    assert (await get(host, "/api/open")).status_code == 200


async def test_an_asgi_app_can_be_mounted(serve: Any) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        headers = [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1")]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": scope["path"].encode() + b" " + body})

    app = func.FunctionApp(OPEN)

    @app.route("console/{*rest}")
    async def console(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        return await func.AsgiMiddleware(inner).handle_async(req, context)

    host = await serve(app)
    answer = await get(host, "/api/console/a/b", method="POST", content=b"hei")
    assert (answer.status_code, answer.text) == (202, "/api/console/a/b hei")
    assert answer.headers["set-cookie"] == "a=1"


async def test_an_unknown_constraint_is_refused_by_name(serve: Any) -> None:
    app = func.FunctionApp(OPEN)

    @app.route("{when:datetime}")
    async def dated(req: func.HttpRequest) -> str:
        return ""

    with pytest.raises(AppError, match=r"dated.*datetime"):
        await serve(app)


async def test_a_port_in_use_is_an_error_at_once(serve: Any) -> None:
    def app() -> func.FunctionApp:
        made = func.FunctionApp(OPEN)

        @made.route("x")
        async def x(req: func.HttpRequest) -> str:
            return ""

        return made

    first = await serve(app())
    with pytest.raises(OSError, match="address"):
        await serve(app(), port=int(first.url.rpartition(":")[2]))
