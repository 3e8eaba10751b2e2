"""What is sent to Pureservice, and what each answer, or none, becomes."""

import asyncio
import json
import logging
import re
import tomllib
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.pureservice.filters import compile_filter
from dev.pureservice.world import World
from shared.adapters.pureservice import Pureservice
from shared.adapters.pureservice_wire import LARGEST_ANSWER, Answer, Made, quoted
from shared.domain.helpdesk import Attachment
from shared.errors import (
    PermanentError,
    SetupError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
)

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))[
    "project"
]
TICKET = {"id": 7, "requestNumber": 20417, "statusId": 4, "created": "2026-02-03T08:00:00Z"}


class Script(httpx.AsyncBaseTransport):
    """Gives these answers in turn, the last one ever after; raises those that are errors."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def json_(content: Any, status: int = 200, **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=content, headers=names)


def page(status: int = 200) -> httpx.Response:
    return httpx.Response(status, html="<html><body>Logg inn</body></html>")


# -- what is sent


async def test_the_key_goes_in_its_own_header(connect, tenant) -> None:
    await connect().names()
    headers = tenant.asked[0].headers
    assert headers["X-Authorization-Key"].startswith("ey")
    assert "Authorization" not in headers


async def test_the_key_goes_as_a_bearer_token_if_we_say_so(connect, tenant) -> None:
    await connect(PURESERVICE_AUTH="bearer").names()
    headers = tenant.asked[0].headers
    assert headers["Authorization"].startswith("Bearer ey")
    assert "X-Authorization-Key" not in headers


async def test_a_line_break_after_the_key_is_forgiven(connect, tenant) -> None:
    await connect(PURESERVICE_KEY="eyJ.hemmelig.nokkel\n").names()


@pytest.mark.parametrize("key", ["ey\nJ", "nøkkel"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_told(connect, key) -> None:
    with pytest.raises(SetupError, match="PURESERVICE_KEY") as caught:
        connect(PURESERVICE_KEY=key)
    assert key not in str(caught.value)


async def test_every_verb_has_its_own_media_types(helpdesk: Pureservice, tenant, ticket) -> None:
    await helpdesk.ticket(ticket["id"])
    await helpdesk.add_note(ticket["id"], "<p>Hei</p>")
    await helpdesk.change_ticket(ticket["id"], solution="<p>Ferdig</p>")
    sent = [(r.method, r.headers["Accept"], r.headers.get("Content-Type")) for r in tenant.asked]
    wrapped = "application/vnd.api+json"
    assert sent == [
        ("GET", wrapped, None),
        ("POST", wrapped, wrapped),
        ("PATCH", wrapped, "application/json"),
    ]


async def test_we_say_who_we_are(helpdesk: Pureservice, tenant) -> None:
    await helpdesk.names()
    assert tenant.asked[0].headers["User-Agent"] == f"utsendelse/{PROJECT['version']}"


@pytest.mark.parametrize(
    ("url", "prefix", "path"),
    [
        ("https://a.example", "/agent/api", "/agent/api/ticket/7"),
        ("https://a.example/", "agent/api/", "/agent/api/ticket/7"),
        ("https://a.example/", "", "/ticket/7"),
    ],
)
async def test_address_and_prefix_are_joined_however_they_are_written(
    connect, url, prefix, path
) -> None:
    script = Script(json_({"tickets": [TICKET]}))
    await connect(script, PURESERVICE_URL=url, PURESERVICE_PREFIX=prefix).ticket(7)
    assert script.asked[0].url.path == path


# -- filters

_ROW = {"id": 1, "name": ""}


@given(st.text())
def test_any_text_in_a_filter_is_that_text_and_nothing_else(text: str) -> None:
    world = World()
    match = compile_filter(world, "company", f"name == {quoted(text)}")
    assert "\n" not in quoted(text)
    if not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029" for c in text):
        assert match({**_ROW, "name": text})
    assert not match({**_ROW, "name": f"{text}x"})


# -- answers


@pytest.mark.parametrize(
    "answer",
    [{"tickets": [TICKET]}, {"tickets": [TICKET], "linked": None}, [TICKET], TICKET],
    ids=["wrapped", "empty linked", "bare list", "bare"],
)
async def test_wrapped_and_bare_answers_are_understood(connect, answer) -> None:
    ticket = await connect(Script(json_(answer))).ticket(7)
    assert (ticket.id, ticket.request_number) == (7, 20417)


async def test_an_answer_may_have_null_anywhere_numbers_as_text_and_news(connect) -> None:
    row = {
        "id": "7",
        "requestNumber": "20417",
        "statusId": "4",
        "subject": None,
        "emailAddress": None,
        "solution": "",
        "created": "2026-02-03T08:00:00",
        "modified": None,
        "customerReference": None,
        "assignedTeamId": "",
        "links": {"assignedDepartment": {"id": 2, "type": "department"}, "form": None, "x": 3},
        "invention": {"of": ["tomorrow"]},
    }
    ticket = await connect(Script(json_({"tickets": [row], "novelties": [1]}))).ticket(7)
    assert (ticket.id, ticket.subject, ticket.mark, ticket.solution) == (7, "", "", "")
    assert (ticket.zone_id, ticket.team_id, ticket.modified_by) == (2, None, None)
    assert ticket.modified.isoformat() == "2026-02-03T08:00:00+00:00"


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"null", b'{"message": "no"}', b'{"tickets": 3}'])
def test_an_answer_about_something_else_is_an_error(body) -> None:
    with pytest.raises(ValueError):
        Answer.of(body, "tickets")


@pytest.mark.parametrize(
    "answer",
    [
        page(),
        httpx.Response(200, content=b'{"tickets": [{"id": 7, "emailAd'),
        httpx.Response(200, content=b""),
        json_({"tickets": [{"id": 7}]}),
        json_({"tickets": [TICKET]}, Content_Length="9999"),
    ],
    ids=["web page", "half", "nothing", "too little", "cut off"],
)
async def test_a_read_that_cannot_be_read_may_be_tried_again_later(connect, answer) -> None:
    with pytest.raises(TransientError) as caught:
        await connect(Script(answer)).ticket(7)
    assert type(caught.value) is TransientError


# -- pages


async def _statuses(connect, rows: int, most: int) -> tuple[int, int]:
    """How many of so many statuses are read, and in how many calls, at so many a page."""
    asked = []

    async def answer(request: httpx.Request) -> httpx.Response:
        query = {name: value for name, [value] in parse_qs(request.url.query.decode()).items()}
        if "/status" not in request.url.path:
            return json_({request.url.path.rstrip("/").rpartition("/")[2] + "s": []})
        asked.append(query)
        start, limit = int(query["start"]), min(int(query["limit"]), most)
        some = range(start, min(start + limit, rows))
        return json_({"statuses": [{"id": n, "name": f"Status {n}"} for n in some]})

    last = f"Status {rows - 1}"
    pureservice = connect(httpx.MockTransport(answer), STATUS_SOLVED=last)
    with pytest.raises(SetupError) as caught:  # there are no lists; the statuses are enough
        await pureservice.names()
    assert all(query["sort"] == "id ASC" and query["limit"] == "500" for query in asked)
    return (0 if "STATUS_SOLVED" in str(caught.value) else rows), len(asked)


@pytest.mark.parametrize(
    ("rows", "most", "calls"),
    [
        (24, 500, 1),  # the ordinary case: short, so there is no more
        (25, 500, 2),  # could be all of it or a page of 25: one more call tells
        (499, 500, 1),
        (500, 500, 2),
        (501, 500, 2),
        (1203, 500, 3),
        (250, 100, 4),
        (300, 100, 4),
        (1203, 25, 49),
    ],
)
async def test_every_page_is_read_also_where_pages_are_cut_shorter(
    connect, rows, most, calls
) -> None:
    assert await _statuses(connect, rows, most) == (rows, calls)


# -- patience with reads


@pytest.mark.parametrize(
    "trouble",
    [
        json_({}, 503),
        json_({}, 500),
        page(502),
        page(),
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("Server disconnected"),
    ],
    ids=str,
)
async def test_a_read_is_tried_three_times_before_it_is_given_up(connect, time, trouble) -> None:
    good = json_({"tickets": [TICKET]})
    assert (await connect(Script(trouble, trouble, good)).ticket(7)).id == 7
    script = Script(trouble, trouble, trouble, good)
    with pytest.raises(TransientError, match="GET /ticket/7"):
        await connect(script).ticket(7)
    assert len(script.asked) == 3
    assert len(time.naps) == 4 and max(time.naps) < 5


async def test_a_short_wait_for_our_turn_is_waited_for(connect, time) -> None:
    busy = json_({}, 429, Retry_After="3")
    assert (await connect(Script(busy, json_({"tickets": [TICKET]}))).ticket(7)).id == 7
    assert time.naps == [3]


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("30", 30),
        ("Tue, 03 Feb 2026 08:15:40 GMT", 40),
        ("Tue, 03 Feb 2026 09:16:00 +0100", 60),
        ("99999999999999999999", 3600),
        ("soon", 60),
        ("-5", 60),
        ("", 60),
        (None, 60),
    ],
)
async def test_a_longer_wait_is_for_the_caller_to_plan(connect, time, retry_after, seconds) -> None:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    script = Script(httpx.Response(429, headers=headers))
    with pytest.raises(ThrottledError) as caught:
        await connect(script).ticket(7)
    assert caught.value.retry_after == timedelta(seconds=seconds)
    assert (len(script.asked), time.naps) == (1, [])


async def test_a_date_that_has_passed_means_now(connect, time) -> None:
    busy = json_({}, 429, Retry_After="Tue, 03 Feb 2026 08:00:00 GMT")
    assert (await connect(Script(busy, json_({"tickets": [TICKET]}))).ticket(7)).id == 7
    assert time.naps == [0]


async def test_what_does_not_exist_is_not_asked_for_twice(connect, time) -> None:
    for answer in (json_({"message": "Not found"}, 404), json_({"message": "Bad filter"}, 400)):
        script = Script(answer)
        with pytest.raises(PermanentError):
            await connect(script).ticket(7)
        assert len(script.asked) == 1
    with pytest.raises(PermanentError):
        await connect(Script(json_({"tickets": []}))).ticket(7)


# -- the key


async def test_what_is_forbidden_to_write_stops_nobody_else(connect, tenant) -> None:
    tenant.switch(refused_status=403)
    with pytest.raises(TransientError, match="zones") as caught:
        await connect(PURESERVICE_KEY="wrong").add_note(7, "<p>Hei</p>")
    assert not isinstance(caught.value, StoppedError)
    assert len(tenant.asked) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_stops_everything_and_says_where_to_look(
    connect, tenant, status
) -> None:
    tenant.switch(refused_status=status)
    for attempt in (
        lambda: connect(PURESERVICE_KEY="wrong").ticket(7),
        lambda: connect(PURESERVICE_KEY="wrong").names(),
    ):
        tenant.asked.clear()
        with pytest.raises(StoppedError, match="PURESERVICE_KEY") as caught:
            await attempt()
        assert "wrong" not in str(caught.value)
        assert len(tenant.asked) == 1


async def test_being_sent_to_a_log_in_page_stops_everything(connect) -> None:
    script = Script(httpx.Response(302, headers={"Location": "https://login.example/"}))
    with pytest.raises(StoppedError, match="PURESERVICE_URL"):
        await connect(script).ticket(7)
    with pytest.raises(StoppedError):
        await connect(script).add_note(7, "<p>Hei</p>")
    assert len(script.asked) == 2


# -- writes are never repeated

Attempt = Callable[[Pureservice], Any]
WRITES: list[Attempt] = [
    lambda it: it.add_note(7, "<p>Kjære Åse</p>"),
    lambda it: it.change_ticket(7, solution="<p>Ferdig</p>"),
    lambda it: it.mark_email_sent(7),
    lambda it: it.attach(7, "rapport.csv", "text/csv", b"a;b"),
]


@pytest.mark.parametrize("write", [*WRITES, lambda it: create(it)])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (json_({}, 500), UncertainError),
        (page(502), UncertainError),
        (json_({}, 503), UncertainError),
        (page(200), UncertainError),
        (httpx.ReadTimeout("slow"), UncertainError),
        (httpx.WriteError("gone"), UncertainError),
        (httpx.RemoteProtocolError("Server disconnected"), UncertainError),
        (httpx.ConnectError("refused"), TransientError),
        (httpx.ConnectTimeout("slow"), TransientError),
        (httpx.PoolTimeout("busy"), TransientError),
        (json_({}, 429, Retry_After="2"), ThrottledError),
        (json_({}, 400), PermanentError),
        (json_({}, 404), PermanentError),
        (json_({}, 415), PermanentError),
    ],
    ids=str,
)
async def test_a_write_is_tried_once_and_told_for_what_it_is(
    connect, time, write, answer, error
) -> None:
    script = Script(answer)
    with pytest.raises(error) as caught:
        await write(connect(script))
    assert type(caught.value) is error
    assert (len(script.asked), time.naps) == (1, [])


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(204),
        httpx.Response(200, content=b'{"tickets": [{"id'),
        json_({}, Content_Length="9999"),
        json_({"id": 3}, 201),
    ],
    ids=["nothing", "half", "cut off", "bare"],
)
async def test_a_write_is_done_when_the_status_says_so(connect, write, answer) -> None:
    await write(connect(Script(answer)))


async def test_a_body_that_breaks_off_does_not_undo_a_write(connect) -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield b'{"communications": ['
            raise httpx.ReadError("connection reset")

    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Broken())

    await connect(httpx.MockTransport(answer)).add_note(7, "<p>Hei</p>")


async def test_a_lost_answer_to_a_write_is_uncertain_and_the_write_was_done_once(
    helpdesk: Pureservice, tenant, ticket
) -> None:
    tenant.fault("drop_after_write", method="POST")
    with pytest.raises(UncertainError, match="POST /communication/"):
        await helpdesk.add_note(ticket["id"], "<p>Utsendelsen har startet.</p>")
    assert [n.html for n in await helpdesk.notes(ticket["id"])] == [
        "<p>Utsendelsen har startet.</p>"
    ]


@pytest.mark.parametrize(
    ("answer", "read_error", "write_error"),
    [
        (b"", TransientError, UncertainError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", TransientError, UncertainError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", TransientError, None),
        (b"SSH-2.0-OpenSSH_9.6\r\n", TransientError, UncertainError),
    ],
    ids=["hangs up", "half a head", "half a body", "not HTTP"],
)
async def test_over_a_real_connection(connect, answer, read_error, write_error) -> None:
    received = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if length := re.search(rb"Content-Length: (\d+)", head):
            await reader.readexactly(int(length[1]))  # what is left unread makes a close a reset
        received.append(head)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = "http://{}:{}".format(*server.sockets[0].getsockname())
        helpdesk = connect(None, PURESERVICE_URL=url)
        with pytest.raises(read_error):
            await helpdesk.ticket(7)
        assert len(received) == 3
        with pytest.raises(write_error) if write_error else nullcontext():
            await helpdesk.add_note(7, "<p>Hei</p>")
        assert len(received) == 4
    with pytest.raises(TransientError, match="not reached"):
        await helpdesk.add_note(7, "<p>Hei</p>")


# -- what was made

SUBJECT = "Blåbær"


async def create(it: Pureservice, **how: Any) -> Made:
    return await it.wire.create("/ticket/", "tickets", {"subject": SUBJECT}, **how)


async def test_what_is_made_is_sent_wrapped_with_what_comes_along(connect) -> None:
    script = Script(json_({"tickets": [{"id": 7}]}))
    file = {"temporaryId": "f1", "fileName": "a.pdf"}
    await create(connect(script), include="attachments", linked={"attachments": [file]})
    await create(connect(script))
    first, second = script.asked
    assert json.loads(first.content) == {
        "tickets": [{"subject": SUBJECT}],
        "linked": {"attachments": [file]},
    }
    assert json.loads(second.content) == {"tickets": [{"subject": SUBJECT}]}
    assert (first.url.path, first.url.query) == ("/agent/api/ticket/", b"include=attachments")
    assert (second.method, second.url.query) == ("POST", b"")
    for request in (first, second):
        wrapped = "application/vnd.api+json"
        assert {request.headers["Accept"], request.headers["Content-Type"]} == {wrapped}


@pytest.mark.parametrize(
    "answer",
    [
        {"tickets": [{"id": 7, "requestNumber": "20417"}], "linked": None},
        {"tickets": {"id": "7", "requestNumber": 20417, "created": None, "novelty": [1]}},
        [{"id": 7, "requestNumber": 20417}],
        {"id": 7, "requestNumber": 20417},
    ],
    ids=["wrapped", "wrapped alone", "bare list", "bare"],
)
async def test_what_was_made_is_known_by_its_id_in_whatever_shape(connect, answer) -> None:
    made = await create(connect(Script(json_(answer, 201))))
    assert (made.id, made.request_number, made.attachments) == (7, 20417, ())


async def test_of_what_was_made_only_the_id_is_sure_to_come(connect) -> None:
    made = await create(connect(Script(json_({"id": 7}))))
    assert made.request_number is None


async def test_files_that_came_along_are_told_when_they_were_asked_for(connect) -> None:
    files = [{"id": 88, "fileName": "a.pdf", "contentLength": 0}, {"id": 89, "name": "b"}]
    answer = {"tickets": [{"id": 7}], "linked": {"attachments": files, "users": [{}]}}
    made = await create(connect(Script(json_(answer))), include="attachments")
    told = [(row.id, row.file_name, row.name, row.content_length) for row in made.attachments]
    assert told == [(88, "a.pdf", "", 0), (89, "", "b", None)]


@pytest.mark.parametrize(
    "answer",
    [
        page(),
        httpx.Response(204),
        httpx.Response(200, content=b'{"tickets": [{"id": 7, "requestNu'),
        json_({"tickets": [{"id": 7}]}, Content_Length="9999"),
        json_({"tickets": []}),
        json_({"tickets": [{"id": 7}, {"id": 8}]}),
        json_({"tickets": [{"requestNumber": 20417}]}),
        json_({"users": [{"id": 7}]}),
        json_({"message": "ok"}),
        json_(None),
    ],
    ids=[
        *("web page", "nothing", "half", "cut off", "none", "two", "no id", "something else"),
        *("message", "null"),
    ],
)
async def test_an_answer_that_does_not_tell_what_was_made_leaves_it_uncertain(
    connect, time, answer
) -> None:
    script = Script(answer)
    with pytest.raises(UncertainError, match="POST /ticket/") as caught:
        await create(connect(script))
    assert (len(script.asked), time.naps) == (1, [])
    assert SUBJECT not in "".join(traceback.format_exception(caught.value))


# -- what is told


async def test_errors_and_logs_tell_of_no_address_key_query_or_body(
    connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = ("kari@", "hemmelig", "Åse", "emailAddress ==", "utsendelse.local")
    refusal = json_({"message": "Kari\n<kari@example.no> may not " + "x" * 999}, 400)
    row = {**TICKET, "id": "kari@example.no"}
    unreadable = json_({"tickets": [row]})
    attempts: list[tuple[Attempt, httpx.Response | Exception]] = [
        (lambda it: it.campaign_tickets(), refusal),
        (lambda it: it.campaign_tickets(), unreadable),
        (lambda it: it.campaign_tickets(), httpx.ReadTimeout("")),
        (WRITES[0], refusal),
        (WRITES[0], json_({}, 500)),
    ]
    for attempt, answer in attempts:
        with pytest.raises((PermanentError, TransientError, UncertainError)) as caught:
            await attempt(connect(Script(answer)))
        told = "".join(traceback.format_exception(caught.value)) + caplog.text
        assert not [secret for secret in secrets if secret in told]
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
        assert "pureservice: " in str(caught.value)


# -- files


def file(size: int | None, name: str = "veileder.pdf", of: str = "application/pdf") -> Attachment:
    return Attachment(88, name, of, size, visible=True, embedded=False)


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        (file(None), page()),
        (file(None), json_({"message": "Not found"})),
        (file(5), httpx.Response(200, content=b"%PDF")),
        (file(None), json_({"message": "Not found"}, 404)),
        (file(None), httpx.Response(200, content=b"x" * (LARGEST_ANSWER + 1))),
    ],
    ids=["web page", "json", "other size", "gone", "huge"],
)
async def test_what_cannot_be_the_file_is_never_taken_for_it(connect, what, answer) -> None:
    with pytest.raises(PermanentError, match="88"):
        await connect(Script(answer)).download(what)


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        (file(4), httpx.Response(200, content=b"%PDF")),
        (file(None, "side.html", "text/html"), page()),
        (file(None, "side.htm", "application/octet-stream"), page()),
        (file(0, "tom.txt", "text/plain"), httpx.Response(200)),
    ],
)
async def test_a_file_comes_whole(connect, what, answer) -> None:
    assert await connect(Script(answer)).download(what) == answer.content


async def test_a_file_that_was_cut_off_is_asked_for_again(connect) -> None:
    cut = httpx.Response(200, headers={"Content-Length": "400"}, content=b"%PDF")
    script = Script(cut, httpx.Response(200, content=b"%PDF"))
    assert await connect(script).download(file(4)) == b"%PDF"
    assert script.asked[0].headers["Accept"] == "*/*"
    with pytest.raises(TransientError):
        await connect(Script(cut)).download(file(4))
