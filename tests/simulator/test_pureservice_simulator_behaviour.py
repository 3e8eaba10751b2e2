"""What Pureservice does by itself: log entries, mails, and traces on the ticket."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dev.pureservice import World
from dev.pureservice.schema import API_USER, SYSTEM_USER
from dev.pureservice.seed import AGENT, add_ticket, add_user

from .conftest import Clock

VND = "application/vnd.api+json"
STATUS = {"Ny": 5, "Under arbeid": 6, "Venter - sluttbruker": 7, "Løst": 8}


async def create_ticket(api: httpx.AsyncClient, user: int, visibility: int) -> dict[str, Any]:
    links = {
        "user": user,
        "requestType": 1,
        "ticketType": 551,
        "priority": 203,
        "status": STATUS["Ny"],
        "source": 303,
        "assignedDepartment": 501,
    }
    ticket = {
        "subject": "Høring",
        "description": "<p>Tekst</p>",
        "visibility": visibility,
        "links": {name: {"id": id_} for name, id_ in links.items()},
    }
    answer = await api.post("/ticket/", json={"tickets": [ticket]}, headers={"Content-Type": VND})
    return dict(answer.json()["tickets"][0])


async def say(api: httpx.AsyncClient, ticket: int, **values: Any) -> dict[str, Any]:
    body = {"text": "<p>Hei</p>", "links": {"ticket": {"id": ticket}}, **values}
    answer = await api.post(
        "/communication/", json={"communications": [body]}, headers={"Content-Type": VND}
    )
    assert answer.is_success, answer.text
    return dict(answer.json()["communications"][0])


async def mails(api: httpx.AsyncClient, ticket: int) -> list[dict[str, Any]]:
    query = {"filter": f"ticketId == {ticket}", "sort": "id"}
    return list((await api.get("/email/", params=query)).json()["emails"])


@pytest.fixture
def reachable(world: World) -> int:
    return int(add_user(world, {"firstName": "Åse"}, ["aase@example.no"])["id"])


@pytest.mark.parametrize("visibility", [0, 1, 2])
async def test_only_a_visible_ticket_writes_to_the_end_user_by_itself(
    api: httpx.AsyncClient, turn: Callable[..., None], visibility: int
) -> None:
    turn(mail_queued_reads=0)
    ticket = await create_ticket(api, 5, visibility)
    await api.patch(f"/ticket/{ticket['id']}", json={"statusId": STATUS["Løst"]})
    made = await mails(api, ticket["id"])
    receipts = [(m["isInitial"], m["isSystem"], m["status"], m["createdById"]) for m in made]
    failed = (True, 5, SYSTEM_USER)
    assert receipts == ([(True, *failed), (False, *failed)] if visibility == 0 else [])


async def test_solving_silently_first_writes_nothing(api: httpx.AsyncClient) -> None:
    ticket = await create_ticket(api, 5, 0)
    before = len(await mails(api, ticket["id"]))
    changes = {"visibility": 1, "statusId": STATUS["Under arbeid"]}
    await api.patch(f"/ticket/{ticket['id']}", json=changes)
    solved = await api.patch(f"/ticket/{ticket['id']}", json={"statusId": STATUS["Løst"]})
    assert solved.json()["tickets"][0]["resolvedById"] == API_USER
    assert len(await mails(api, ticket["id"])) == before


async def test_the_log_holds_the_description_and_each_new_status(api: httpx.AsyncClient) -> None:
    ticket = await create_ticket(api, 5, 1)
    for status in ("Under arbeid", "Under arbeid", "Løst"):
        await api.patch(f"/ticket/{ticket['id']}", json={"statusId": STATUS[status]})
    query = {"filter": f"ticketId == {ticket['id']}", "sort": "id"}
    rows = (await api.get("/communication/", params=query)).json()["communications"]
    assert [(row["type"], row["text"]) for row in rows] == [
        (7, "<p>Tekst</p>"),
        (6, "Status endret fra Ny til Under arbeid"),
        (6, "Status endret fra Under arbeid til Løst"),
    ]


async def test_a_message_becomes_a_mail_with_its_files(
    api: httpx.AsyncClient, world: World, turn: Callable[..., None], reachable: int
) -> None:
    turn(mail_queued_reads=0)
    ticket = await create_ticket(api, reachable, 1)
    files = {"attachments": [{"temporaryId": "a"}]}
    body = {
        "communications": [
            {
                "ticketId": ticket["id"],
                "type": 2,
                "direction": 2,
                "subject": "Svar",
                "text": "<p>æøå</p>",
                "links": files,
            }
        ],
        "linked": {"attachments": [{"temporaryId": "a", "fileName": "a.txt", "bytes": "eA=="}]},
    }
    answer = await api.post("/communication/", json=body, headers={"Content-Type": VND})
    (message,) = answer.json()["communications"]
    (mail,) = await mails(api, ticket["id"])
    assert (mail["to"], mail["status"], mail["direction"]) == ("aase@example.no", 4, 2)
    assert mail["subject"] == f"[Sak ID# {ticket['requestNumber']}] Svar"
    assert "<p>æøå</p>" in mail["html"] and mail["createdById"] == API_USER
    assert message["messageId"] == mail["id"]
    assert mail["links"]["attachments"] == message["links"]["attachments"]
    assert not mail["isSystem"]
    (attachment,) = world.where("attachment", "ticketId", ticket["id"])
    assert mail["links"]["attachments"]["ids"] == [attachment["id"]]


async def test_other_entries_send_nothing(
    api: httpx.AsyncClient, world: World, turn: Callable[..., None], reachable: int
) -> None:
    ticket = await create_ticket(api, reachable, 1)
    await say(api, ticket["id"], type=1, direction=3)
    await say(api, ticket["id"], type=2, direction=1)
    custom = world.find("customtype", name="Til utsending") or {}
    entry = await say(api, ticket["id"], type=2, direction=2, customTypeId=custom["id"])
    assert entry["type"] == 9 and entry["typeName"] == "Til utsending"
    turn(message_sends_mail=False)
    await say(api, ticket["id"], type=2, direction=2)
    assert await mails(api, ticket["id"]) == []


@pytest.mark.parametrize(
    ("switches", "statuses"),
    [
        ({"mail_queued_reads": 0}, [5, 5, 5]),
        ({"mail_queued_reads": 1}, [1, 5, 5]),
        ({"mail_queued_reads": 2}, [1, 1, 5]),
        ({"mail_queued_reads": -1}, [1, 1, 1]),
        ({"mail_queued_reads": 0, "mail_queued_seconds": 15}, [1, 1, 5]),
    ],
)
async def test_an_undeliverable_mail_fails_after_a_while(
    api: httpx.AsyncClient,
    turn: Callable[..., None],
    clock: Clock,
    switches: dict[str, int],
    statuses: list[int],
) -> None:
    turn(**switches)
    ticket = await create_ticket(api, 5, 1)
    await say(api, ticket["id"], type=2, direction=2)
    seen = []
    for _ in range(3):
        (mail,) = await mails(api, ticket["id"])
        seen.append(mail["status"])
        clock.forward(seconds=10)
    assert seen == statuses


@pytest.mark.parametrize(
    ("address", "statuses", "words"),
    [
        ("kari@example.no", [1, 4, 4], None),
        ("kari+bounce@example.no", [1, 5, 5], "550 5.1.1 kari+bounce@example.no: ukjent mottaker"),
        ("kari+BOUNCE.7@example.no", [1, 5, 5], "550 5.1.1 kari+BOUNCE.7@example.no: ukjent"),
        ("kari+stuck@example.no", [1, 1, 1], None),
        ("kari@stuck.local", [1, 5, 5], "550 5.1.2 kari@stuck.local: ukjent domene"),
        ("kari+lost@example.no", [None, None, None], None),
    ],
)
async def test_the_fate_of_a_mail_is_in_the_address(
    api: httpx.AsyncClient,
    world: World,
    clock: Clock,
    address: str,
    statuses: list[int | None],
    words: str | None,
) -> None:
    user = add_user(world, {"firstName": "Kari"}, [address])
    ticket = await create_ticket(api, user["id"], 1)
    entry = await say(api, ticket["id"], type=2, direction=2)
    seen: list[int | None] = []
    for _ in statuses:
        mail = next(iter(await mails(api, ticket["id"])), {"status": None, "statusMessage": None})
        seen.append(mail["status"])
        clock.forward(days=1)
    assert seen == statuses
    assert (mail["statusMessage"] or "").startswith(words or "")
    assert bool(mail["statusMessage"]) is bool(words)
    assert entry["messageId"] == mail.get("id")
    (kept,) = [
        row for row in world.where("communication", "ticketId", ticket["id"]) if row["type"] == 2
    ]
    assert kept["text"] == "<p>Hei</p>"


@pytest.mark.parametrize("names", [True, False])
async def test_a_message_may_name_its_mail(
    api: httpx.AsyncClient, turn: Callable[..., None], reachable: int, names: bool
) -> None:
    turn(message_names_mail=names)
    ticket = await create_ticket(api, reachable, 1)
    entry = await say(api, ticket["id"], type=2, direction=2)
    (mail,) = await mails(api, ticket["id"])
    assert entry["messageId"] == (mail["id"] if names else None)


@pytest.mark.parametrize("template", ["plain", "greeting"])
async def test_a_mail_may_begin_with_a_greeting_and_end_with_the_case_tag(
    api: httpx.AsyncClient, world: World, turn: Callable[..., None], template: str
) -> None:
    turn(mail_template=template)
    user = add_user(world, {"firstName": "Åse", "lastName": "<Ås>"}, ["aase@example.no"])
    ticket = await create_ticket(api, user["id"], 1)
    await say(api, ticket["id"], type=2, direction=2)
    (mail,) = await mails(api, ticket["id"])
    body = mail["html"].removeprefix("<html><body>").removesuffix("</body></html>")
    if template == "plain":
        assert body == "<p>Hei</p>"
    else:
        assert body.startswith("<p>Hei Åse &lt;Ås&gt;,</p><p>Hei</p>")
        assert f"[Sak ID# {ticket['requestNumber']}]" in body.partition("<p>Hei</p>")[2]


@pytest.mark.parametrize(
    ("form", "to"),
    [
        ("semicolon", "masseutsendelse-ikke-svar@utsendelse.local; aase@example.no"),
        ("comma", "masseutsendelse-ikke-svar@utsendelse.local, aase@example.no"),
        (
            "names",
            '"Masseutsendelse ikke-svar" <masseutsendelse-ikke-svar@utsendelse.local>;'
            ' "Åse" <aase@example.no>',
        ),
    ],
)
async def test_several_receivers_are_written_in_three_ways(
    api: httpx.AsyncClient, turn: Callable[..., None], reachable: int, form: str, to: str
) -> None:
    turn(to_format=form)
    ticket = await create_ticket(api, 5, 1)
    users = {"a": 5, "b": reachable}
    links = {"recipients": [{"temporaryId": name} for name in users]}
    linked = {
        "communicationrecipients": [
            {"temporaryId": name, "userId": id_, "type": "to"} for name, id_ in users.items()
        ]
    }
    message = {"ticketId": ticket["id"], "type": 2, "direction": 2, "text": "x", "links": links}
    await api.post(
        "/communication/",
        json={"communications": [message], "linked": linked},
        headers={"Content-Type": VND},
    )
    (mail,) = await mails(api, ticket["id"])
    assert mail["to"] == to


@pytest.mark.parametrize("ends", [False, True])
async def test_a_reply_may_end_the_waiting_for_it(
    api: httpx.AsyncClient, world: World, turn: Callable[..., None], ends: bool
) -> None:
    turn(reply_ends_waiting=ends)
    ticket = await create_ticket(api, 5, 1)
    await say(api, ticket["id"], type=2, direction=1)
    row = world.get("ticket", ticket["id"]) or {}
    assert row["statusId"] == STATUS["Ny"]
    await api.patch(f"/ticket/{ticket['id']}", json={"statusId": STATUS["Venter - sluttbruker"]})
    await say(api, ticket["id"], type=2, direction=1)
    assert row["statusId"] == STATUS["Under arbeid" if ends else "Venter - sluttbruker"]


@pytest.mark.parametrize("reopens", [False, True])
async def test_a_reply_may_open_a_solved_ticket(
    api: httpx.AsyncClient, world: World, turn: Callable[..., None], reopens: bool
) -> None:
    turn(reopen_on_reply=reopens)
    ticket = await create_ticket(api, 5, 1)
    await api.patch(f"/ticket/{ticket['id']}", json={"statusId": STATUS["Løst"]})
    await say(api, ticket["id"], type=2, direction=1)
    row = world.get("ticket", ticket["id"]) or {}
    assert row["statusId"] == STATUS["Ny" if reopens else "Løst"]
    assert bool(row["resolvedById"]) is not reopens


async def test_every_entry_and_change_shows_on_the_ticket(
    api: httpx.AsyncClient, world: World, clock: Clock
) -> None:
    ticket = add_ticket(world, user_id=5, subject="Sak")
    assert ticket["createdById"] == AGENT and "modified" not in ticket
    clock.forward(minutes=1)
    await say(api, ticket["id"], type=1, direction=3)
    assert ticket["modified"] == "2026-02-03T08:16:00.000Z"
    assert ticket["modifiedById"] == API_USER
    clock.forward(minutes=1)
    await mails(api, ticket["id"])
    assert ticket["modified"] == "2026-02-03T08:16:00.000Z"
