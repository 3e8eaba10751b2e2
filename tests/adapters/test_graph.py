"""E-mail through Microsoft Graph: what is sent, and what each answer becomes.

Most tests talk to the simulator, which misbehaves as the address asks; what it does not do is
played by `Between`, which stands between the two.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import uvicorn
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from dev.graph import IDENTITY_HEADER, GraphSimulator
from shared.adapters.graph import CHUNK, GraphTransport
from shared.adapters.transport import Mail
from shared.domain.message import File, Message, Sender
from shared.errors import (
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.ports import Receipt
from tests.adapters.between import TOKEN, Between, Credential
from tests.examples import settings

NOW = datetime(2026, 2, 3, 8, 15, tzinfo=UTC)
SENDER = "post@fjordvik.no"
MESSAGE = Message(
    "Vannet stenges på tirsdag", "<p>Hei på deg</p>", "Hei på deg", Sender(SENDER, "Fjordvik")
)


def mail(address: str = "kari@example.no", *files: tuple[File, bytes]) -> Mail:
    return Mail(
        what="delivery 5e9f6a3c",
        key="5e9f6a3c",
        message_id="<20417-1.5e9f6a3c.0@fjordvik.no>",
        name="Kari Nordmann",
        address=address,
        message=replace(MESSAGE, files=tuple(file for file, _ in files)),
        date=NOW,
        files=files,
    )


def file(name: str, size: int, content_id: str = "") -> tuple[File, bytes]:
    data = (name.encode() * (size // len(name) + 1))[:size]
    return File(name, "application/pdf", size, f"blobs/{name}", content_id=content_id), data


@dataclass
class Answer:
    """What the identity's errors carry of an answer."""

    status_code: int
    reason: str = ""

    def text(self) -> str:
        return "hemmelig"


@pytest.fixture
def simulator() -> GraphSimulator:
    simulator = GraphSimulator((SENDER,), clock=lambda: NOW)
    simulator.tokens[TOKEN] = datetime.now(UTC) + timedelta(hours=1)
    return simulator


@pytest.fixture
def between(simulator: GraphSimulator) -> Between:
    return Between(simulator)


Connect = Callable[..., GraphTransport]


@pytest.fixture
async def connect(between: Between) -> AsyncIterator[Connect]:
    """Makes transports: `connect(credential, SETTING=…)`."""
    made: list[GraphTransport] = []

    def make(credential: Any = None, **values: Any) -> GraphTransport:
        given = settings(**{"GRAPH_URL": "https://graph.microsoft.com/v1.0"} | values)
        credential = credential or Credential()
        made.append(GraphTransport(given, lambda: NOW, transport=between, credential=credential))
        return made[-1]

    yield make
    for transport in made:
        await transport.close()


@pytest.fixture
def graph(connect: Connect) -> GraphTransport:
    return connect()


class Notes(list[str]):
    async def __call__(self, reference: str) -> None:
        self.append(reference)


async def refusal(graph: GraphTransport, mail: Mail, reference: str = "") -> Any:
    """What the send ended with; it tells nobody's address and no secret."""
    with pytest.raises(UtsendelseError) as caught:
        await graph.send(mail, reference, Notes())
    told = str(caught.value)
    assert told.startswith("graph: ")
    assert "@" not in told
    assert "%40" not in told
    assert "hemmelig" not in told
    return caught.value


def steps(simulator: GraphSimulator) -> list[str]:
    """What was asked for, without mailboxes and ids."""
    return [
        f"{line.split()[0]} {line.rpartition('/')[2]}".replace("AAkALg", "draft").split("draft")[0]
        for line in simulator.asked
    ]


# --- a mail


async def test_a_mail_is_a_draft_first_and_is_noted_before_it_is_sent(
    graph: GraphTransport, simulator: GraphSimulator
) -> None:
    noted = Notes()

    async def note(reference: str) -> None:
        assert not simulator.sent
        assert steps(simulator) == ["POST messages"]
        await noted(reference)

    receipt = await graph.send(mail(), "", note)

    assert steps(simulator) == ["POST messages", "POST send"]
    (sent,) = simulator.sent
    assert sent.to == ["kari@example.no"]
    assert str(sent.mime["Subject"]) == "Vannet stenges på tirsdag"
    assert json.loads(noted[0])[0] == SENDER
    assert receipt.final


async def test_a_receipt_has_the_message_id_that_graph_gave_not_ours(
    graph: GraphTransport, simulator: GraphSimulator
) -> None:
    receipt = await graph.send(mail(), "", Notes())

    assert receipt.reference == simulator.sent[0].message_id
    assert receipt.reference != mail().message_id


async def test_a_note_that_fails_leaves_the_mail_unsent(
    graph: GraphTransport, simulator: GraphSimulator
) -> None:
    async def note(reference: str) -> None:
        raise LookupError("storage is away")

    with pytest.raises(LookupError):
        await graph.send(mail(), "", note)
    assert not simulator.sent


async def test_a_draft_that_was_noted_is_sent_and_not_made_again(
    graph: GraphTransport, simulator: GraphSimulator
) -> None:
    noted = Notes()
    with pytest.raises(ThrottledError):
        await graph.send(mail("kari+once@throttle.example"), "", noted)
    simulator.asked.clear()

    receipt = await graph.send(mail("kari+once@throttle.example"), noted[0], Notes())

    assert "POST messages" not in steps(simulator)
    assert [one.message_id for one in simulator.sent] == [receipt.reference]


async def test_a_draft_that_turns_out_to_be_sent_is_not_sent_again(
    graph: GraphTransport, simulator: GraphSimulator
) -> None:
    noted = Notes()
    first = await graph.send(mail(), "", noted)

    again = await graph.send(mail(), noted[0], Notes())

    assert again.reference == first.reference
    assert steps(simulator).count("POST send") == 1


# --- what the answer to a send becomes


@pytest.mark.parametrize(
    ("domain", "meaning"),
    [
        ("refuse.example", PermanentError),
        ("denied.example", StoppedError),
        ("quota.example", ThrottledError),
        ("throttle.example", ThrottledError),
        ("lost.example", UncertainError),
        ("vanish.example", UncertainError),
    ],
)
async def test_each_answer_to_a_send_says_what_to_do(
    graph: GraphTransport, domain: str, meaning: type[UtsendelseError]
) -> None:
    assert type(await refusal(graph, mail(f"kari@{domain}"))) is meaning


async def test_a_throttled_send_waits_as_long_as_it_is_told(graph: GraphTransport) -> None:
    error = await refusal(graph, mail("kari@throttle.example"))

    assert error.retry_after == timedelta(seconds=7)


async def test_a_used_up_quota_waits_an_hour(graph: GraphTransport) -> None:
    error = await refusal(graph, mail("kari@quota.example"))

    assert error.retry_after == timedelta(hours=1)


async def test_a_draft_to_a_refused_recipient_does_not_stay_behind(
    graph: GraphTransport, simulator: GraphSimulator
) -> None:
    await refusal(graph, mail("kari@refuse.example"))

    assert not simulator.in_folder("drafts")


@pytest.mark.parametrize(
    ("path", "status", "code", "meaning"),
    [
        ("/messages", 400, "ErrorInvalidRecipients", PermanentError),
        ("/messages", 413, "RequestEntityTooLarge", PermanentError),
        ("/messages", 401, "InvalidAuthenticationToken", StoppedError),
        ("/messages", 403, "ErrorAccessDenied", StoppedError),
        ("/messages", 404, "ErrorInvalidUser", StoppedError),
        ("/messages", 404, "", StoppedError),
        ("/messages", 400, "MailboxNotEnabledForRESTAPI", StoppedError),
        ("/messages", 403, "ErrorExceededMessageLimit", ThrottledError),
        ("/messages", 429, "ApplicationThrottled", ThrottledError),
        ("/messages", 503, "ErrorServerBusy", ThrottledError),
        ("/messages", 500, "ErrorInternalServerError", TransientError),
        ("/messages", 504, "", TransientError),
        ("/messages", 200, "", TransientError),  # what Graph answers to MIME that is too large
        ("/messages", 201, "", TransientError),  # without an id
        ("/messages", 307, "", TransientError),
        ("/attachments", 404, "ErrorItemNotFound", TransientError),
        ("/attachments", 413, "ErrorMessageSizeExceeded", PermanentError),
        ("/send", 400, "ErrorMessageSubmissionBlocked", StoppedError),
        ("/send", 401, "InvalidAuthenticationToken", StoppedError),
        ("/send", 413, "ErrorMessageSizeExceeded", PermanentError),
        ("/send", 404, "ErrorItemNotFound", UncertainError),
        ("/send", 500, "ErrorInternalServerError", UncertainError),
        ("/send", 503, "ErrorServerBusy", UncertainError),
        ("/send", 503, "ErrorExceededMessageLimit", UncertainError),
        ("/send", 200, "", UncertainError),
        ("/send", 307, "", UncertainError),
    ],
)
async def test_an_answer_means_what_it_means_there(
    graph: GraphTransport,
    between: Between,
    path: str,
    status: int,
    code: str,
    meaning: type[UtsendelseError],
) -> None:
    words = {"code": code, "message": "Recipient kari@example.no is hemmelig"}
    headers = {"Location": "https://elsewhere.example/"}
    between.before = lambda request: (
        httpx.Response(status, json={"error": words}, headers=headers)
        if request.url.path.endswith(path)
        else None
    )

    files = [file("plan.pdf", 2_200_000)] if path == "/attachments" else []
    error = await refusal(graph, mail("kari@example.no", *files))

    assert type(error) is meaning
    assert f"{status}" in str(error)
    assert code in str(error)
    assert {request.url.host for request in between.asked} == {"graph.microsoft.com"}


@pytest.mark.parametrize(
    ("told", "wait"),
    [
        ("7", timedelta(seconds=7)),
        (format_datetime(NOW + timedelta(minutes=3), usegmt=True), timedelta(minutes=3)),
        (format_datetime(NOW - timedelta(minutes=3), usegmt=True), timedelta()),
        ("99999", timedelta(hours=1)),
        ("soon", timedelta(minutes=1)),
        (None, timedelta(minutes=1)),
    ],
)
async def test_retry_after_is_seconds_or_a_date(
    graph: GraphTransport, between: Between, told: str | None, wait: timedelta
) -> None:
    headers = {"Retry-After": told} if told else {}
    between.before = lambda request: httpx.Response(429, headers=headers)

    assert (await refusal(graph, mail())).retry_after == wait


@pytest.mark.parametrize(
    ("path", "failure", "meaning"),
    [
        ("/messages", httpx.ConnectError("no"), ThrottledError),
        ("/messages", httpx.ReadTimeout("no"), TransientError),
        ("/messages", httpx.RemoteProtocolError("no"), TransientError),
        ("/send", httpx.ConnectTimeout("no"), ThrottledError),
        ("/send", httpx.PoolTimeout("no"), ThrottledError),
        ("/send", httpx.ReadTimeout("no"), UncertainError),
        ("/send", httpx.WriteError("no"), UncertainError),
        ("/send", httpx.RemoteProtocolError("no"), UncertainError),
    ],
)
async def test_only_a_send_that_may_have_arrived_is_uncertain(
    graph: GraphTransport,
    between: Between,
    path: str,
    failure: Exception,
    meaning: type[UtsendelseError],
) -> None:
    between.before = lambda request: failure if request.url.path.endswith(path) else None

    assert type(await refusal(graph, mail())) is meaning
    assert sum(one.url.path.endswith(path) for one in between.asked) == 1


@pytest.mark.parametrize(
    ("path", "meaning"), [("/messages", TransientError), ("/send", UncertainError)]
)
async def test_a_send_ends_within_its_time(
    graph: GraphTransport,
    between: Between,
    path: str,
    meaning: type[UtsendelseError],
) -> None:
    handle = between.handle_async_request

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith(path):
                await asyncio.Event().wait()
            return await handle(request)

    slow = GraphTransport(settings(), lambda: NOW, transport=Slow(), credential=Credential())
    slow.time_limit = timedelta(seconds=2)  # enough to come to it, however slow the machine

    error = await refusal(slow, mail())
    await slow.close()

    assert type(error) is meaning
    assert "timed out" in str(error)


# --- attachments


async def test_small_attachments_go_with_the_draft(
    graph: GraphTransport, simulator: GraphSimulator
) -> None:
    await graph.send(mail("kari@example.no", file("plan.pdf", 50_000)), "", Notes())

    assert steps(simulator) == ["POST messages", "POST send"]
    (attached,) = simulator.sent[0].attachments
    assert (attached.name, attached.data) == ("plan.pdf", file("plan.pdf", 50_000)[1])


async def test_what_the_draft_has_no_room_for_is_added_before_it_is_noted(
    graph: GraphTransport, simulator: GraphSimulator
) -> None:
    files = [
        file("kart.pdf", CHUNK + 1_000_000),
        file("plan.pdf", 2_500_000),
        file("notat.pdf", 20_000),
    ]

    async def note(reference: str) -> None:
        (draft,) = simulator.in_folder("drafts")
        assert {one.name for one in draft.attachments} == {"kart.pdf", "plan.pdf", "notat.pdf"}

    await graph.send(mail("kari@example.no", *files), "", note)

    assert steps(simulator) == [
        "POST messages",
        "POST createUploadSession",
        "PUT upload",
        "PUT upload",
        "POST attachments",
        "POST send",
    ]
    got = {one.name: one.data for one in simulator.sent[0].attachments}
    assert got == {about.name: data for about, data in files}
    assert [one.name for one in simulator.sent[0].added] == ["kart.pdf", "plan.pdf"]


async def test_parts_of_a_file_are_sent_without_our_token(
    graph: GraphTransport, between: Between
) -> None:
    await graph.send(mail("kari@example.no", file("kart.pdf", 3_500_000)), "", Notes())

    told = ["Authorization" in one.headers for one in between.asked if one.method == "PUT"]
    assert told == [False]


async def test_a_file_that_is_too_small_for_a_session_after_all_is_posted(
    graph: GraphTransport, simulator: GraphSimulator
) -> None:
    await graph.send(mail("kari@example.no", file("kart.pdf", 3_050_000)), "", Notes())

    assert steps(simulator)[1:3] == ["POST createUploadSession", "POST attachments"]
    assert len(simulator.sent[0].attachments[0].data) == 3_050_000


async def test_a_large_picture_in_the_text_keeps_the_name_the_text_has_for_it(
    graph: GraphTransport, simulator: GraphSimulator
) -> None:
    large, small = file("kart.png", 2_300_000, "kart"), file("logo.png", 9_000, "logo")
    larger, unseen = file("foto.png", 3_300_000, "foto"), file("plan.png", 2_200_000, "plan")
    letter = mail("kari@example.no", large, small, larger, unseen)
    html = '<p><img src="cid:kart"><img src="cid:logo"><img src="cid:foto"></p>'

    await graph.send(replace(letter, message=replace(letter.message, html=html)), "", Notes())

    inside = {one.name: one.content_id for one in simulator.sent[0].attachments}
    assert inside["logo.png"] == "logo"
    added = {one.name: one.content_id for one in simulator.sent[0].added}
    assert added == {"kart.png": "kart", "foto.png": "foto", "plan.png": ""}


@pytest.mark.parametrize("path", ["/createUploadSession", "/attachments", "/upload"])
async def test_a_draft_without_all_its_attachments_is_neither_noted_nor_sent_nor_left(
    graph: GraphTransport, between: Between, simulator: GraphSimulator, path: str
) -> None:
    between.before = lambda request: (
        httpx.Response(500) if path in request.url.path and request.method != "DELETE" else None
    )
    noted = Notes()

    with pytest.raises(TransientError):
        await graph.send(
            mail("kari@example.no", file("kart.pdf", 3_500_000), file("plan.pdf", 2_500_000)),
            "",
            noted,
        )

    assert not noted
    assert not simulator.sent
    assert not simulator.in_folder("drafts")


async def test_a_file_goes_nowhere_unencrypted(graph: GraphTransport, between: Between) -> None:
    between.before = lambda request: (
        httpx.Response(201, json={"uploadUrl": "http://outlook.office.com/upload/1"})
        if request.url.path.endswith("/createUploadSession")
        else None
    )

    error = await refusal(graph, mail("kari@example.no", file("kart.pdf", 3_500_000)))

    assert type(error) is TransientError
    assert all(request.url.scheme == "https" for request in between.asked)


# --- looking for it afterwards


async def test_nothing_noted_is_nothing_sent(graph: GraphTransport, between: Between) -> None:
    assert await graph.find("key", "") == ""
    assert not between.asked


async def test_a_lost_answer_is_found_to_have_been_sent(
    graph: GraphTransport, simulator: GraphSimulator
) -> None:
    noted = Notes()
    with pytest.raises(UncertainError):
        await graph.send(mail("kari@lost.example"), "", noted)

    found = await graph.find("key", noted[0])

    assert isinstance(found, Receipt)
    assert found.reference == simulator.sent[0].message_id


async def test_a_send_that_never_happened_goes_on_from_its_draft(
    graph: GraphTransport, simulator: GraphSimulator
) -> None:
    noted = Notes()
    with pytest.raises(UncertainError):
        await graph.send(mail("kari+once@vanish.example"), "", noted)

    found = await graph.find("key", noted[0])
    assert isinstance(found, str)
    await graph.send(mail("kari+once@vanish.example"), found, Notes())

    assert len(simulator.sent) == 1
    assert steps(simulator).count("POST messages") == 1


@pytest.mark.parametrize("folder", ["outbox", "deleteditems", "gone"])
async def test_a_mail_that_is_neither_sent_nor_in_drafts_is_for_a_person(
    graph: GraphTransport, simulator: GraphSimulator, folder: str
) -> None:
    noted = Notes()
    with pytest.raises(UncertainError):
        await graph.send(mail("kari@vanish.example"), "", noted)
    (message,) = simulator.in_folder("drafts", SENDER)
    message.folder = folder
    if folder == "gone":
        simulator.messages.clear()

    with pytest.raises(UncertainError):
        await graph.find("key", noted[0])
    assert type(await refusal(graph, mail(), noted[0])) is UncertainError
    assert not simulator.sent


async def test_a_quote_in_a_message_id_ends_no_filter(
    graph: GraphTransport, between: Between, simulator: GraphSimulator
) -> None:
    await graph.send(mail(), "", Notes())
    simulator.sent[0].message_id = "<o'brien' or isDraft eq false@example.no>"
    reference = json.dumps([SENDER, "id", simulator.sent[0].message_id])

    assert isinstance(await graph.find("key", reference), Receipt)
    assert not [one for one in between.asked if b"+" in one.url.query]


@pytest.mark.parametrize(
    "noted", ["AAkALg=", "[]", '["a","b"]', '["a","b",""]', '["a",1,"c"]', '{"a":"b"}', "null"]
)
async def test_a_note_that_is_none_of_ours_is_for_a_person(
    graph: GraphTransport, between: Between, noted: str
) -> None:
    with pytest.raises(UncertainError):
        await graph.find("key", noted)
    assert not between.asked


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (httpx.Response(429), ThrottledError),
        (httpx.Response(503), ThrottledError),
        (httpx.Response(401), StoppedError),
        (httpx.Response(404), TransientError),
        (httpx.Response(500), TransientError),
        (httpx.Response(200, text="<html>"), TransientError),
        (httpx.ReadTimeout("no"), TransientError),
        (httpx.ConnectError("no"), ThrottledError),
    ],
)
async def test_a_look_up_that_fails_is_tried_again_later(
    graph: GraphTransport,
    between: Between,
    answer: httpx.Response | Exception,
    meaning: type[UtsendelseError],
) -> None:
    between.before = lambda request: answer

    with pytest.raises(TransientError) as caught:
        await graph.find("key", json.dumps([SENDER, "id", "<a@b>"]))
    assert type(caught.value) is meaning


# --- who we are


async def test_the_token_is_asked_for_where_graph_is(connect: Connect) -> None:
    credential = Credential()
    await connect(credential).send(mail(), "", Notes())

    assert set(credential.scopes) == {"https://graph.microsoft.com/.default"}


@pytest.mark.parametrize(
    ("failure", "meaning"),
    [
        (ClientAuthenticationError("AADSTS7000215: hemmelig is wrong"), StoppedError),
        (ClientAuthenticationError(response=Answer(503)), ThrottledError),
        (ServiceRequestError("cannot resolve login.example"), ThrottledError),
    ],
)
async def test_without_a_token_nothing_is_sent(
    connect: Connect, between: Between, failure: Exception, meaning: type[UtsendelseError]
) -> None:
    error = await refusal(connect(Credential(failure)), mail())

    assert type(error) is meaning
    assert not between.asked


async def test_a_token_that_fails_at_the_send_makes_nothing_uncertain(
    connect: Connect, simulator: GraphSimulator
) -> None:
    credential = Credential()

    async def note(reference: str) -> None:
        credential.error = ServiceRequestError("away")

    with pytest.raises(ThrottledError):
        await connect(credential).send(mail(), "", note)
    assert not simulator.sent


async def test_the_apps_own_identity_gets_its_token_as_in_azure(
    simulator: GraphSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one test over a socket: with the credential that production uses."""
    config = uvicorn.Config(simulator.app(), port=0, access_log=False, log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    place = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{place}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    graph = GraphTransport(settings(GRAPH_URL=f"{place}/v1.0"), lambda: NOW)
    try:
        assert await graph.answers()
        await graph.send(mail("kari@example.no", file("kart.pdf", 3_200_000)), "", Notes())
    finally:
        await graph.close()
        server.should_exit = True
        await serving
    assert simulator.sent[0].to == ["kari@example.no"]


# --- the rest


async def test_any_answer_means_that_graph_can_be_reached(
    connect: Connect, between: Between
) -> None:
    credential = Credential()
    graph = connect(credential)

    assert await graph.answers()
    between.before = lambda request: httpx.ConnectError("no")
    assert not await graph.answers()
    assert not credential.scopes


async def test_a_mail_may_have_what_exchange_takes_unless_we_are_stricter(
    connect: Connect,
) -> None:
    assert await connect(MAIL_MAX_MEGABYTES="20").largest() == 20 * 1024 * 1024
    assert await connect(MAIL_MAX_MEGABYTES="150").largest() == 35 * 1024 * 1024


async def test_answers_are_final(graph: GraphTransport, between: Between) -> None:
    assert await graph.check(["<a@b>"]) == {}
    assert not between.asked
