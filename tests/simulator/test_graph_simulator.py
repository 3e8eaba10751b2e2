"""The simulated Graph refuses what Graph refuses, and behaves as its addresses ask."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import Any

import httpx
import pytest

from dev.graph import IDENTITY_HEADER, MOST_MIME, MOST_REQUEST, SESSION_FROM, GraphSimulator

MAILBOX = "post@fjordvik.no"
BOX = f"/v1.0/users/{MAILBOX}"
TEXT = {"Content-Type": "text/plain"}


def mime(to: str = "kari@example.no", **headers: str) -> bytes:
    own = {"From": MAILBOX, "To": to, "Subject": "Vannet", "Message-ID": "<our@own>"} | headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in own.items())
    return f"{lines}Content-Type: text/plain\r\n\r\nHei".encode()


@pytest.fixture
def simulator() -> GraphSimulator:
    return GraphSimulator((MAILBOX,))


@pytest.fixture
async def api(simulator: GraphSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(simulator.app()),
        base_url="http://graph",
        headers={"Authorization": f"Bearer {simulator.token()}"},
    ) as client:
        yield client


async def create(api: httpx.AsyncClient, content: bytes) -> httpx.Response:
    return await api.post(f"{BOX}/messages", content=base64.b64encode(content), headers=TEXT)


async def draft(api: httpx.AsyncClient, to: str = "kari@example.no", **headers: str) -> str:
    made = await create(api, mime(to, **headers))
    assert made.status_code == 201
    return f"{BOX}/messages/{made.json()['id']}"


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_nothing_is_told_without_a_token_that_is_still_good(
    api: httpx.AsyncClient, simulator: GraphSimulator
) -> None:
    for token in ("", "Bearer", "Bearer guessed", f"Basic {simulator.token()}"):
        answer = await api.get(f"{BOX}/messages", headers={"Authorization": token})
        assert code(answer) == (401, "InvalidAuthenticationToken")
    old = simulator.token(timedelta(seconds=-1))
    answer = await api.get(f"{BOX}/messages", headers={"Authorization": f"Bearer {old}"})
    assert answer.status_code == 401


async def test_an_identity_gets_a_token_with_the_secret_alone(api: httpx.AsyncClient) -> None:
    asked = "/msi/token?api-version=2019-08-01&resource="
    secret = {"X-IDENTITY-HEADER": IDENTITY_HEADER}
    refused = await api.get(f"{asked}http://graph", headers={"X-IDENTITY-HEADER": "guessed"})
    given = await api.get(f"{asked}http://graph", headers=secret)
    other = await api.get(f"{asked}https://storage.azure.com", headers=secret)

    assert refused.status_code == 401
    for answer, status in ((given, 200), (other, 401)):
        token = answer.json()["access_token"]
        used = await api.get(f"{BOX}/messages", headers={"Authorization": f"Bearer {token}"})
        assert used.status_code == status


@pytest.mark.parametrize(
    ("path", "content", "headers", "refused"),
    [
        ("/v1.0/users/nobody@fjordvik.no/messages", b"", TEXT, (404, "ErrorInvalidUser")),
        (f"{BOX}/messages", b"{}", {"Content-Type": "text/html"}, (415, "UnsupportedMediaType")),
        (f"{BOX}/messages", b"?", TEXT, (400, "ErrorMimeContentInvalidBase64String")),
        (f"{BOX}/messages", b"A" * (MOST_REQUEST + 1), TEXT, (413, "RequestEntityTooLarge")),
        (f"{BOX}/messages/unknown/send", b"", {}, (404, "ErrorItemNotFound")),
        (f"{BOX}/sendMail", b"", {}, (400, "BadRequest")),
    ],
)
async def test_a_wrong_request_is_refused(
    api: httpx.AsyncClient,
    path: str,
    content: bytes,
    headers: dict[str, str],
    refused: tuple[int, str],
) -> None:
    assert code(await api.post(path, content=content, headers=headers)) == refused


async def test_mime_that_is_too_large_is_answered_with_200_and_forgotten(
    api: httpx.AsyncClient, simulator: GraphSimulator
) -> None:
    answer = await create(api, mime() + b"x" * MOST_MIME)

    assert (answer.status_code, answer.content) == (200, b"")
    assert not simulator.in_folder("drafts")


async def test_a_draft_gets_another_message_id_and_is_sent_once(
    api: httpx.AsyncClient, simulator: GraphSimulator
) -> None:
    url = await draft(api)
    name = (await api.get(url)).json()["internetMessageId"]

    assert name != "<our@own>"
    assert (await api.post(f"{url}/send")).status_code == 202
    assert code(await api.post(f"{url}/send")) == (404, "ErrorItemNotFound")
    assert [(one.to, one.message_id) for one in simulator.sent] == [(["kari@example.no"], name)]


@pytest.mark.parametrize(
    ("to", "status", "gone"),
    [
        ("kari@example.no", 202, True),
        ("kari@bounce.example", 202, True),
        ("kari@away.example", 202, True),
        ("kari@lost.example", 504, True),
        ("kari@vanish.example", 504, False),
        ("kari@throttle.example", 429, False),
        ("kari@refuse.example", 400, False),
        ("kari@denied.example", 403, False),
        ("kari@quota.example", 403, False),
    ],
)
async def test_the_address_decides_what_happens(
    api: httpx.AsyncClient, simulator: GraphSimulator, to: str, status: int, gone: bool
) -> None:
    local, _, domain = to.partition("@")
    always, once = await draft(api, to), await draft(api, f"{local}+once@{domain}")

    assert (await api.post(f"{always}/send")).status_code == status
    assert bool(simulator.sent) is gone
    await api.post(f"{once}/send")
    if not gone:
        assert (await api.post(f"{once}/send")).status_code == 202


async def test_a_mailbox_sends_as_nobody_else_and_to_somebody(api: httpx.AsyncClient) -> None:
    other, nobody = await draft(api, From="leder@fjordvik.no"), await draft(api, to="")

    assert code(await api.post(f"{other}/send")) == (403, "ErrorSendAsDenied")
    assert code(await api.post(f"{nobody}/send")) == (400, "ErrorInvalidRecipients")


async def test_a_bounce_comes_to_the_inbox_with_the_originals_name(
    api: httpx.AsyncClient, simulator: GraphSimulator
) -> None:
    await api.post(f"{await draft(api, 'kari@bounce.example')}/send")
    (report,) = simulator.in_folder("inbox")

    mail = message_from_bytes((await api.get(f"{BOX}/messages/{report.id}/$value")).content)
    assert mail.get_content_type() == "multipart/report"
    parts: list[Any] = mail.get_payload()  # type: ignore[assignment]
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert parts[1].get_payload()[1]["Final-Recipient"] == "rfc822; kari@bounce.example"
    assert f"Message-ID: {simulator.sent[0].message_id}" in parts[2].get_payload()


async def test_more_than_four_at_a_time_is_too_many(api: httpx.AsyncClient) -> None:
    coming, all_here, go_on = 0, asyncio.Event(), asyncio.Event()

    async def content() -> AsyncIterator[bytes]:
        nonlocal coming
        coming += 1
        if coming == 4:
            all_here.set()
        await go_on.wait()
        yield base64.b64encode(mime())

    async def post() -> int:
        return (await api.post(f"{BOX}/messages", content=content(), headers=TEXT)).status_code

    four = [asyncio.create_task(post()) for _ in range(4)]
    await all_here.wait()
    fifth = await api.get(f"{BOX}/messages")
    go_on.set()

    assert code(fifth) == (429, "ApplicationThrottled")
    assert await asyncio.gather(*four) == [201] * 4
    assert (await api.get(f"{BOX}/messages")).status_code == 200


# --- attachments


def item(size: int, **changes: Any) -> dict[str, Any]:
    return {"AttachmentItem": {"attachmentType": "file", "name": "a.pdf", "size": size} | changes}


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [
        (item(SESSION_FROM - 1), "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"),
        (item(200 * 1024 * 1024), "ErrorAttachmentSizeLimitExceeded"),
        (item(4_000_000, attachmentType="item"), "UnableToDeserializePostBody"),
        (item(4_000_000, bytes="QQ=="), "UnableToDeserializePostBody"),
        ({"name": "a.pdf"}, "UnableToDeserializePostBody"),
    ],
)
async def test_a_session_is_for_large_files(
    api: httpx.AsyncClient, wanted: dict[str, Any], refused: str
) -> None:
    url = f"{await draft(api)}/attachments/createUploadSession"

    assert code(await api.post(url, json=wanted)) == (400, refused)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Content-Range": "bytes 10-19/3200000"}, 400),  # not the next part
        ({"Content-Range": "bytes 0-9/3200001"}, 400),  # another size
        ({"Content-Range": "bytes 0-10/3200000"}, 400),  # not as long as it says
        ({"Content-Range": "0-9"}, 400),
        ({"Content-Type": "text/plain"}, 400),
        ({"Authorization": "Bearer anything"}, 401),
    ],
)
async def test_a_part_that_does_not_fit_is_refused(
    api: httpx.AsyncClient, simulator: GraphSimulator, changed: dict[str, str], status: int
) -> None:
    url = await draft(api)
    session = await api.post(f"{url}/attachments/createUploadSession", json=item(3_200_000))
    headers = {"Content-Range": "bytes 0-9/3200000", "Content-Type": "application/octet-stream"}
    place = session.json()["uploadUrl"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(simulator.app())) as other:
        refused = await other.put(place, content=b"0123456789", headers=headers | changed)
        taken = await other.put(place, content=b"0123456789", headers=headers)

    assert refused.status_code == status
    assert (taken.status_code, taken.json()) == (200, {"nextExpectedRanges": ["10"]})


async def test_a_draft_is_sent_without_what_is_still_being_uploaded(
    api: httpx.AsyncClient, simulator: GraphSimulator
) -> None:
    url = await draft(api)
    await api.post(f"{url}/attachments/createUploadSession", json=item(3_200_000))
    await api.post(f"{url}/send")

    assert simulator.sent[0].attachments == []


async def test_a_small_file_is_posted(api: httpx.AsyncClient, simulator: GraphSimulator) -> None:
    url = await draft(api)
    wanted = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": "logo.png",
        "contentBytes": base64.b64encode(b"png").decode(),
        "isInline": True,
        "contentId": "logo",
    }

    assert (await api.post(f"{url}/attachments", json=wanted)).status_code == 201
    wrong = wanted | {"contentBytes": "?"}
    assert (await api.post(f"{url}/attachments", json=wrong)).status_code == 400
    wrong = wanted | {"size": 3}
    assert (await api.post(f"{url}/attachments", json=wrong)).status_code == 400
    await api.post(f"{url}/send")
    assert [(one.data, one.content_id) for one in simulator.sent[0].attachments] == [
        (b"png", "logo")
    ]


# --- looking


@pytest.mark.parametrize(
    "query",
    [
        {"$filter": "internetMessageId eq 'o'brien'"},
        {"$filter": "subject eq 'Vannet'"},
        {"$filter": "receivedDateTime ge 2026-02-03"},
        {"$filter": "internetMessageId eq '<a@b>'", "$orderby": "receivedDateTime"},
        {"$orderby": "receivedDateTime"},
        {"$select": "id,mime"},
        {"$top": "0"},
        {"filter": "x"},
    ],
)
async def test_a_query_that_graph_would_not_take_is_refused(
    api: httpx.AsyncClient, query: dict[str, str]
) -> None:
    answer = await api.get(f"{BOX}/mailFolders/inbox/messages", params=query)

    assert answer.status_code == 400


async def test_mail_can_be_received_for_a_test_and_its_headers_are_told(
    api: httpx.AsyncClient,
) -> None:
    assert (await api.post(f"/_sim/received/{MAILBOX}", content=mime(X_From="kari"))).json()["id"]
    query = {"$select": "id,internetMessageHeaders"}

    listed = await api.get(f"{BOX}/mailFolders/inbox/messages", params=query)

    names = {one["name"] for one in listed.json()["value"][0]["internetMessageHeaders"]}
    assert names == {"Subject", "Message-ID", "X_From", "Content-Type"}


async def test_what_was_sent_can_be_looked_at(api: httpx.AsyncClient) -> None:
    await api.post(f"{await draft(api)}/send")

    (sent,) = (await api.get("/_sim/sent")).json()

    assert sent["to"] == ["kari@example.no"]
    assert "Subject: Vannet" in sent["mime"]


async def test_it_starts_afresh_when_told_to_forget(
    api: httpx.AsyncClient, simulator: GraphSimulator
) -> None:
    await api.post(f"{await draft(api, 'kari+once@throttle.example')}/send")
    simulator.forget()

    assert not simulator.in_folder("drafts")
    again = await draft(api, "kari+once@throttle.example")
    assert (await api.post(f"{again}/send")).status_code == 429


async def test_time_is_told_by_its_clock() -> None:
    simulator = GraphSimulator((MAILBOX,), clock=lambda: datetime(2026, 2, 3, tzinfo=UTC))

    assert simulator.receive(MAILBOX, mime()).received == datetime(2026, 2, 3, tzinfo=UTC)
