"""Limits and made-up trouble, in the same process and over a real connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from dev.pureservice import Simulator, World
from dev.pureservice.seed import add_ticket

from .conftest import Clock, served

VND = "application/vnd.api+json"


@pytest.fixture(params=["in process", "over a connection"])
async def client(
    app: Simulator, request: pytest.FixtureRequest
) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"X-Authorization-Key": "demo-key", "Accept": VND, "Content-Type": VND}
    if request.param == "in process":
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://tenant", headers=headers
        ) as client:
            yield client
    else:
        async with (
            served(app) as url,
            httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client,
        ):
            yield client


async def plan(client: httpx.AsyncClient, **fault: Any) -> None:
    answer = await client.post("/_sim/faults", json=fault)
    assert answer.status_code == 200, answer.text


async def create(client: httpx.AsyncClient, name: str) -> httpx.Response:
    return await client.post("/agent/api/company/", json={"name": name})


async def exists(client: httpx.AsyncClient, name: str) -> bool:
    answer = await client.get("/agent/api/company/", params={"filter": f'name == "{name}"'})
    return bool(answer.json()["companies"])


@pytest.mark.parametrize(("kind", "is_done"), [("drop_after_write", True), ("drop_before", False)])
async def test_a_connection_breaks_before_or_after_the_write(
    client: httpx.AsyncClient, kind: str, is_done: bool
) -> None:
    await plan(client, kind=kind, method="POST", path="/company")
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):  # and no time-out
        await create(client, "Én")
    assert await exists(client, "Én") is is_done
    assert (await create(client, "To")).is_success
    log = (await client.get("/_sim/requests")).json()
    assert [entry["status"] for entry in log] == [None, 200, 200]
    assert log[0]["method"] == "POST" and log[0]["path"] == "/company/"


async def test_an_answer_breaks_off_in_the_middle(client: httpx.AsyncClient) -> None:
    await plan(client, kind="half_json", method="POST", path="/company")
    answer = await create(client, "Én")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"."):
        answer.json()
    assert await exists(client, "Én")


@pytest.mark.parametrize("after_write", [False, True])
async def test_a_status_or_a_page_comes_before_or_after_the_write(
    client: httpx.AsyncClient, after_write: bool
) -> None:
    common = {"method": "POST", "path": "/company", "after_write": after_write}
    await plan(client, kind="status", status=503, retry_after=7, **common)
    await plan(client, kind="html", status=502, **common)
    first, second = await create(client, "Én"), await create(client, "To")
    assert (first.status_code, first.headers["retry-after"]) == (503, "7")
    assert second.status_code == 502 and second.text.startswith("<html>")
    assert await exists(client, "Én") is after_write
    assert await exists(client, "To") is after_write


async def test_an_answer_is_late(client: httpx.AsyncClient) -> None:
    await plan(client, kind="delay", seconds=30, method="POST", path="/company", after_write=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await create(client, "Én")
    assert await exists(client, "Én")


async def test_faults_are_counted_skipped_and_forgotten(api: httpx.AsyncClient) -> None:
    for body in ({"kind": "nosuch"}, {"kind": "delay", "times": 0}, []):
        answer = await api.post("http://tenant/_sim/faults", json=body)
        assert answer.status_code == (200 if body == [] else 400)
    await api.post(
        "http://tenant/_sim/faults",
        json={"kind": "status", "path": "/STATUS", "skip": 1, "times": 2},
    )
    codes = [(await api.get("/status")).status_code for _ in range(4)]
    assert codes == [200, 503, 503, 200]
    await api.post("http://tenant/_sim/faults", json={"kind": "drop_before"})
    await api.delete("http://tenant/_sim/faults")
    assert (await api.get("/status")).status_code == 200


def new_ticket(world: World, n: int) -> Any:
    links = {
        "user": 5,
        "requestType": 1,
        "ticketType": 551,
        "priority": 203,
        "status": 5,
        "source": 303,
        "assignedDepartment": 501,
    }
    body = {"subject": f"Nr. {n}", "links": {name: {"id": id_} for name, id_ in links.items()}}
    return {"tickets": [body]}


def new_message(world: World, n: int) -> Any:
    ticket = world.find("ticket", subject="Sak") or add_ticket(world, user_id=5, subject="Sak")
    links = {"ticket": {"id": ticket["id"]}}
    body = {"type": 2, "direction": 2, "subject": f"Nr. {n}", "text": "x", "links": links}
    return {"communications": [body]}


def new_user(world: World, n: int) -> Any:
    address = world.add("emailaddress", {"email": f"n{n}@example.no"})
    links = {"emailAddress": {"id": address["id"]}}
    return {"users": [{"firstName": "Postmottak", "lastName": f"Nr. {n}", "links": links}]}


@pytest.mark.parametrize(
    ("path", "kind", "field", "body"),
    [
        ("/ticket", "ticket", "subject", new_ticket),
        ("/communication", "communication", "subject", new_message),
        ("/user", "user", "lastName", new_user),
    ],
)
@pytest.mark.parametrize(
    ("fault", "sees"),
    [
        ({"kind": "drop_after_write"}, None),
        ({"kind": "html", "status": 502, "after_write": True}, 502),
        ({"kind": "delay", "seconds": 0, "after_write": True}, 200),
    ],
)
async def test_one_certain_call_loses_its_answer_and_is_done_all_the_same(
    api: httpx.AsyncClient,
    world: World,
    path: str,
    kind: str,
    field: str,
    body: Callable[[World, int], Any],
    fault: dict[str, Any],
    sees: int | None,
) -> None:
    plan = {**fault, "method": "POST", "path": path, "skip": 2}
    assert (await api.post("http://tenant/_sim/faults", json=plan)).is_success
    codes: list[int | None] = []
    for n in range(5):
        await api.get(f"{path}/", params={"limit": 1})
        try:
            headers = {"Content-Type": VND}
            answer = await api.post(f"{path}/", json=body(world, n), headers=headers)
            codes.append(answer.status_code)
        except httpx.TransportError:
            codes.append(None)
    assert codes == [200, 200, sees, 200, 200]
    for n in range(5):
        assert len(world.where(kind, field, f"Nr. {n}")) == 1


@pytest.mark.parametrize(
    ("form", "sees"), [("drop", None), ("status", 502), ("slow", 200), ("off", 200)]
)
async def test_every_nth_write_may_lose_its_answer(
    api: httpx.AsyncClient, world: World, turn: Callable[..., None], form: str, sees: int | None
) -> None:
    turn(fault_after_write=form, fault_every=3, fault_seconds=0)
    codes: list[int | None] = []
    for n in range(4):
        try:
            headers = {"Content-Type": VND}
            answer = await api.post("/company", json={"name": f"Nr. {n}"}, headers=headers)
            codes.append(answer.status_code)
        except httpx.TransportError:
            codes.append(None)
        await api.get("/company/1")
    assert codes == [200, 200, sees, 200]
    assert world.find("company", name="Nr. 2")


@pytest.mark.parametrize(
    ("form", "header"),
    [("seconds", "30"), ("missing", None), ("date", "Tue, 03 Feb 2026 08:15:45 GMT")],
)
async def test_a_hundred_calls_a_minute_and_no_more(
    api: httpx.AsyncClient,
    turn: Callable[..., None],
    clock: Clock,
    form: str,
    header: str | None,
) -> None:
    turn(calls_per_minute=100, retry_after=form)
    for _ in range(50):
        assert (await api.get("/requesttype/1")).status_code == 200
    clock.forward(seconds=15)
    for _ in range(50):
        assert (await api.get("/requesttype/1")).status_code == 200
    refused = await api.get("/requesttype/1")
    assert refused.status_code == 429 and refused.headers.get("retry-after") == header
    assert (await api.get("http://tenant/_sim/state")).json()["throttled"] == 1
    # The window slides: half of the calls are a minute old before the others.
    clock.forward(seconds=45)
    codes = [(await api.get("/requesttype/1")).status_code for _ in range(51)]
    assert codes.count(200) == 50 and codes[-1] == 429
    state = (await api.get("http://tenant/_sim/state")).json()
    assert state["calls"] == {"GET /requesttype/{id}": 150} and state["callsTotal"] == 150
