"""Mail by Azure Communication Services: what is sent, and what each answer becomes.

The real client talks to the simulator over a socket of this machine; what no decent service does
is played by `Script`.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest

from dev.acs import KEY, AcsSimulator, RunningAcs
from shared.adapters import mime
from shared.adapters.acs import AT_ONCE, LARGEST, AcsTransport
from shared.adapters.transport import Mail
from shared.domain.delivery import Outcome, Reason, Status
from shared.domain.message import File, Message, Sender
from shared.errors import (
    PermanentError,
    SetupError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.ports import Promise, Receipt
from tests.examples import settings

NOW = datetime(2026, 2, 3, 8, 15, tzinfo=UTC)
MESSAGE = Message(
    "Vannet stenges på tirsdag",
    '<p>Hei på deg, «æøå» 🚰 <img src="cid:logo" alt="Fjordvik"></p>',
    "Hei på deg, «æøå» 🚰",
    Sender("post@fjordvik.no", "Fjordvik kommune", "svar@fjordvik.no"),
    lang="nn",
)
LOGO = (File("logo.png", "image/png", 4, "b/1", content_id="logo"), b"\x89PNG")
PLAN = (File("Vannplan påske.pdf", "application/pdf", 5, "b/2"), b"%PDF-")

Connect = Callable[..., AcsTransport]


def mail(address: str = "kari@example.no", number: int = 1, **changes: Any) -> Mail:
    made = Mail(
        what=f"delivery 5e9f-{number}",
        key=str(uuid5(UUID(int=0), f"{address} {number}")),
        message_id=f"<20417-1.5e9f-{number}.1@fjordvik.no>",
        name="Kari Nordmann",
        address=address,
        message=MESSAGE,
        date=NOW,
    )
    return replace(made, **changes)


async def send(transport: AcsTransport, one: Mail) -> Receipt:
    async def note(reference: str) -> None:
        raise AssertionError("one effect, so nothing to note")

    return await transport.send(one, "", note)


async def refusal(transport: AcsTransport, one: Mail) -> Any:
    """What the send ended with; neither it nor what is shown with it tells whom it was to."""
    with pytest.raises(UtsendelseError) as caught:
        await send(transport, one)
    told = str(caught.value)
    assert told.startswith("acs: ")
    assert told.endswith(f" for {one.what}")
    error: BaseException | None = caught.value
    while error:
        assert "@" not in str(error)
        assert "Kari" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return caught.value


@pytest.fixture(scope="module")
def served() -> Iterator[RunningAcs]:
    with RunningAcs() as running:
        yield running


@pytest.fixture
def acs(served: RunningAcs) -> AcsSimulator:
    served.simulator.forget()
    return served.simulator


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes transports: `connect(connection_string)`."""
    made: list[AcsTransport] = []

    def make(connection_string: str) -> AcsTransport:
        of = settings(ACS_CONNECTION_STRING=connection_string)
        made.append(AcsTransport(of, lambda: NOW))
        return made[-1]

    yield make
    for transport in made:
        await transport.close()


@pytest.fixture
def transport(served: RunningAcs, acs: AcsSimulator, connect: Connect) -> AcsTransport:
    return connect(served.connection_string)


#: So long silence is listened to: enough to be asked, however slow the machine.
SILENCE = timedelta(seconds=2)


class Script:
    """A server that gives these answers in turn, the last one for ever: a status line, headers and
    a body, `None` to hang up when the request has been read, `...` for silence.
    """

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        open_: set[asyncio.StreamWriter] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            open_.add(writer)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = head.partition("content-length: ")[2].partition("\r\n")[0]
            await reader.readexactly(int(length or 0))
            self.asked.append(head.split(" ", 1)[0])
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is ...:
                return
            if answer is not None:
                status, headers, body = answer
                lines = [f"HTTP/1.1 {status} .", "Connection: close", *headers, "", body]
                writer.write("\r\n".join(lines).encode("latin-1"))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            yield f"endpoint=http://127.0.0.1:{server.sockets[0].getsockname()[1]};accesskey={KEY}"
        finally:
            server.close()
            for writer in open_:
                writer.close()


#: Neither the letters nor the packing that it claims to have.
UNREADABLE = ["Content-Length: 2", "Content-Type: application/json"], "\xfe{"
NOT_PACKED = ["Content-Length: 2", "Content-Encoding: gzip"], "{}"


def said(status: int, code: str, message: str, *headers: str) -> Any:
    body = f'{{"error": {{"code": "{code}", "message": "{message}"}}}}'
    return (
        status,
        [f"Content-Length: {len(body)}", "Content-Type: application/json", *headers],
        body,
    )


# --- what is sent ---


async def test_a_mail_is_accepted_with_our_id_and_not_waited_for(
    transport: AcsTransport, acs: AcsSimulator
) -> None:
    one = mail()
    assert await send(transport, one) == Receipt(one.key, "accepted", final=False)
    assert acs.asked == ["POST /emails:send"]
    assert [sent["id"] for sent in acs.sent] == [one.key]


async def test_the_mail_says_what_the_message_says_and_is_not_tracked(
    transport: AcsTransport, acs: AcsSimulator
) -> None:
    await send(transport, mail(files=(LOGO, PLAN)))
    assert acs.sent[0]["message"] == {
        "senderAddress": "post@fjordvik.no",
        "recipients": {"to": [{"address": "kari@example.no", "displayName": "Kari Nordmann"}]},
        "replyTo": [{"address": "svar@fjordvik.no"}],
        "content": {
            "subject": "Vannet stenges på tirsdag",
            "plainText": "Hei på deg, «æøå» 🚰",
            "html": mime.document(MESSAGE),
        },
        "headers": {
            "Message-ID": "<20417-1.5e9f-1.1@fjordvik.no>",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "OOF, AutoReply",
            "Content-Language": "nn",
        },
        "attachments": [
            {
                "name": "logo.png",
                "contentType": "image/png",
                "contentInBase64": base64.b64encode(b"\x89PNG").decode(),
                "contentId": "logo",
            },
            {
                "name": "Vannplan påske.pdf",
                "contentType": "application/pdf",
                "contentInBase64": base64.b64encode(b"%PDF-").decode(),
            },
        ],
        "userEngagementTrackingDisabled": True,
    }


async def test_what_would_be_refused_for_its_form_is_put_right_first(
    transport: AcsTransport, acs: AcsSimulator
) -> None:
    strange = (File("../../etc\x00/passwd\r\n", "multipart/mixed; x=y", 1, "b/3"), b"x")
    message = replace(MESSAGE, subject="To\r\nBcc: alle", html="a\x00b\ud83d", text="a\x0bb")
    await send(transport, mail(message=message, files=(strange,), name="Kari\nNordmann"))
    sent = acs.sent[0]["message"]
    assert sent["content"]["subject"] == "To Bcc: alle"
    assert sent["content"]["plainText"] == "ab"
    assert "\nab?\n" in sent["content"]["html"]
    assert sent["recipients"]["to"][0]["displayName"] == "Kari Nordmann"
    assert sent["attachments"][0]["contentType"] == "application/octet-stream"
    assert not set(sent["attachments"][0]["name"]) & set("/\\\r\n\x00")


async def test_a_recipient_without_a_name_and_a_sender_without_reply_to_need_none(
    transport: AcsTransport, acs: AcsSimulator
) -> None:
    await send(transport, mail(name="", message=replace(MESSAGE, sender=Sender("a@fjordvik.no"))))
    sent = acs.sent[0]["message"]
    assert sent["recipients"] == {"to": [{"address": "kari@example.no"}]}
    assert "replyTo" not in sent
    assert "attachments" not in sent


async def test_a_message_without_html_has_only_its_text(
    transport: AcsTransport, acs: AcsSimulator
) -> None:
    await send(transport, mail(message=replace(MESSAGE, html="")))
    assert acs.sent[0]["message"]["content"] == {
        "subject": "Vannet stenges på tirsdag",
        "plainText": "Hei på deg, «æøå» 🚰",
    }


async def test_only_a_picture_that_the_text_shows_has_its_content_id_and_only_once(
    transport: AcsTransport, acs: AcsSimulator
) -> None:
    hidden = (replace(LOGO[0], content_id="other"), b"x")
    await send(transport, mail(files=(hidden, LOGO, LOGO)))
    ids = [one.get("contentId") for one in acs.sent[0]["message"]["attachments"]]
    assert ids == [None, "logo", None]


async def test_the_same_key_twice_is_one_mail(transport: AcsTransport, acs: AcsSimulator) -> None:
    one = mail()
    assert await send(transport, one) == await send(transport, one)
    assert len(acs.sent) == 1
    await send(transport, mail(number=2))
    assert len(acs.sent) == 2


async def test_a_mail_as_large_as_it_may_be_fits(
    transport: AcsTransport, acs: AcsSimulator
) -> None:
    assert await transport.largest() == LARGEST == 10_000_000
    data = bytes(range(256)) * 28_210
    message = replace(MESSAGE, html="<p>æøå & «so»</p>" * 2_000, text="æøå & «so»" * 2_000)
    one = mail(message=message, files=((PLAN[0], data),))
    size = len(await one.mime())
    assert LARGEST - 60_000 < size <= LARGEST, size
    await send(transport, one)
    assert len(acs.sent) == 1


# --- what an answer means ---


@pytest.mark.parametrize(
    ("address", "kind", "told"),
    [
        ("kari@throttle.example", ThrottledError, "429 TooManyRequests Please try again later."),
        ("kari@denied.example", StoppedError, "401 Denied Denied by the resource provider."),
        (
            "kari@invalid.example",
            PermanentError,
            "400 BadRequest Invalid format for email address: …",
        ),
        ("kari@lost.example", UncertainError, "503"),
    ],
)
async def test_each_answer_says_what_to_do(
    transport: AcsTransport, address: str, kind: type[Exception], told: str
) -> None:
    error = await refusal(transport, mail(address))
    assert type(error) is kind
    assert str(error) == f"acs: {told} for delivery 5e9f-1"


async def test_an_answer_that_was_lost_is_found_and_the_mail_sent_once(
    transport: AcsTransport, acs: AcsSimulator
) -> None:
    one = mail("kari@lost.example")
    await refusal(transport, one)
    found = await transport.find(one.key, "")
    assert found == Receipt(one.key, "NotStarted", final=False)
    assert await send(transport, one) == Receipt(one.key, "accepted", final=False)
    assert len(acs.sent) == 1


async def test_it_is_told_how_long_to_wait(transport: AcsTransport) -> None:
    error = await refusal(transport, mail("kari@throttle.example"))
    assert error.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("Retry-After: 3600", timedelta(hours=1)),
        ("Retry-After: Tue, 03 Feb 2026 08:17:00 GMT", timedelta(minutes=2)),
        ("Retry-After: Tue, 03 Feb 2026 08:00:00 GMT", timedelta()),
        ("Retry-After: soon", timedelta(minutes=1)),
        ("X-Nothing: 1", timedelta(minutes=1)),
    ],
)
async def test_a_wait_is_read_in_seconds_or_as_a_date(
    connect: Connect, header: str, wait: timedelta
) -> None:
    script = Script(said(429, "TooManyRequests", "Too many.", header))
    async with script.serving() as place:
        error = await refusal(connect(place), mail())
    assert error.retry_after == wait
    assert script.asked == ["post"], "the client must not wait and repeat by itself"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(404, "DomainNotLinked", "The sender domain has not been linked."), StoppedError),
        (said(404, "NotFound", "Nothing here."), StoppedError),
        (said(403, "Forbidden", "No."), StoppedError),
        (said(401, "Denied", "The x-ms-date header drifts by 0 seconds."), ThrottledError),
        (said(307, "Moved", "There.", "Location: http://127.0.0.1:1/"), StoppedError),
        (said(413, "RequestEntityTooLarge", "Too large."), PermanentError),
        (said(500, "InternalServerError", "Oops."), UncertainError),
        (said(504, "GatewayTimeout", "Oops."), UncertainError),
        (said(408, "RequestTimeout", "Oops."), UncertainError),
        ((502, ["Content-Length: 9"], "<html>..."), UncertainError),
        ((202, ["Content-Length: 99"], '{"id":'), UncertainError),
        ((202, *NOT_PACKED), UncertainError),
        ((500, *UNREADABLE), UncertainError),
        (None, UncertainError),
        (..., UncertainError),
    ],
)
async def test_only_what_surely_was_not_sent_is_called_not_sent(
    connect: Connect, answer: Any, kind: type[Exception]
) -> None:
    script = Script(answer)
    async with script.serving() as place:
        transport = connect(place)
        if answer is ...:
            transport.time_limit = SILENCE
        error = await refusal(transport, mail())
    assert type(error) is kind
    assert script.asked == ["post"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(400, "BadRequest", "Invalid format for email address: kari@x"), PermanentError),
        (said(400, "InvalidSenderUserName", "Unknown sender username."), StoppedError),
        (said(400, "BadRequest", "The senderAddress is not valid."), StoppedError),
        (said(400, "BadRequest", "Unknown api-version."), StoppedError),
        (said(400, "QuotaExceeded", "The quota is used up."), ThrottledError),
    ],
)
async def test_a_bad_request_is_the_mails_fault_or_ours(
    connect: Connect, answer: Any, kind: type[Exception]
) -> None:
    async with Script(answer, said(404, "NotFound", "No such operation.")).serving() as place:
        error = await refusal(connect(place), mail())
    assert type(error) is kind


async def test_a_mail_refused_for_being_there_already_is_there(connect: Connect) -> None:
    receipt = Receipt(mail().key, "accepted", final=False)
    running = (200, ["Content-Length: 20"], '{"status":"Running"}')
    looked = Script(said(400, "BadRequest", "The id is taken."), running)
    async with looked.serving() as place:
        assert await send(connect(place), mail()) == receipt
    assert looked.asked == ["post", "get"]
    told = Script(said(409, "Conflict", "The operation exists."))
    async with told.serving() as place:
        assert await send(connect(place), mail()) == receipt
    assert told.asked == ["post"]


@pytest.mark.parametrize(
    "look",
    [said(429, "TooManyRequests", "Too many."), (200, *UNREADABLE), (200, *NOT_PACKED), None],
)
async def test_a_refusal_is_not_believed_when_nobody_can_tell_whether_it_is_there(
    connect: Connect, look: Any
) -> None:
    async with Script(said(400, "BadRequest", "No."), look).serving() as place:
        error = await refusal(connect(place), mail())
    assert type(error) is UncertainError


async def test_without_a_connection_nothing_was_sent_and_everybody_waits(connect: Connect) -> None:
    async with Script(None).serving() as place:
        pass
    transport = connect(place)
    assert type(await refusal(transport, mail())) is ThrottledError
    assert not await transport.answers()
    with pytest.raises(TransientError):
        await transport.find("a", "")


async def test_a_wrong_key_stops_everything(served: RunningAcs, connect: Connect) -> None:
    wrong = base64.b64encode(b"another key").decode()
    transport = connect(f"endpoint={served.url};accesskey={wrong}")
    assert type(await refusal(transport, mail())) is StoppedError
    with pytest.raises(StoppedError):
        await transport.check([mail().key])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((400, ["Content-Length: 2", "Content-Type: application/json"], "{}"), "no token"),
        (..., "timed out"),
    ],
)
async def test_without_a_token_nothing_was_sent_and_everybody_waits(
    monkeypatch: pytest.MonkeyPatch, answer: Any, told: str
) -> None:
    async with Script(answer).serving() as place:
        monkeypatch.setenv("IDENTITY_ENDPOINT", place.removeprefix("endpoint=").partition(";")[0])
        monkeypatch.setenv("IDENTITY_HEADER", "x")
        of = settings(ACS_ENDPOINT="https://127.0.0.1:9/", ACS_CONNECTION_STRING="")
        transport = AcsTransport(of, lambda: NOW)
        if answer is ...:
            transport.time_limit = SILENCE
        error = await refusal(transport, mail())
        assert not await transport.answers()
        await transport.close()
    assert type(error) is ThrottledError
    assert told in str(error)


async def test_a_sender_of_a_foreign_domain_stops_everything(transport: AcsTransport) -> None:
    foreign = replace(MESSAGE, sender=Sender("post@foreign.example"))
    error = await refusal(transport, mail(message=foreign))
    assert type(error) is StoppedError
    assert "DomainNotLinked" in str(error)


# --- what became of it ---


async def test_what_became_of_it_is_asked_for_until_it_is_known(
    transport: AcsTransport, acs: AcsSimulator
) -> None:
    one = mail()
    await send(transport, one)
    seen = [(await transport.check([one.key]))[one.key] for _ in range(3)]
    queued = Outcome(Status.SUBMITTED, Reason.STILL_QUEUED, one.key, "acs: NotStarted")
    assert seen == [
        queued,
        replace(queued, detail="acs: Running"),
        Outcome(Status.SENT, Reason.NONE, one.key, "acs: Succeeded"),
    ]
    assert len(acs.asked) == 4


async def test_many_are_asked_about_one_by_one(transport: AcsTransport) -> None:
    mails = [mail(f"kari@{name}.example", n) for n, name in enumerate(["ok", "refuse", "slow"])]
    for one in mails:
        await send(transport, one)
    keys = [one.key for one in mails]
    for _ in range(2):
        await transport.check(keys)
    told = await transport.check(keys)
    assert [told[key].status for key in keys] == [Status.SENT, Status.FAILED, Status.SUBMITTED]
    assert told[keys[1]].reason is Reason.REFUSED
    assert told[keys[1]].detail == "acs: Failed EmailDropped Email to … was dropped."


async def test_an_unknown_operation_is_not_taken_for_one_that_failed(
    transport: AcsTransport,
) -> None:
    outcome = (await transport.check(["5e9f"]))["5e9f"]
    assert outcome.status is Status.SUBMITTED, "it may be forgotten, or denied for the moment"
    assert outcome.reason is Reason.NO_ANSWER, "so that it is a person's when time is up"


async def test_a_state_that_is_new_to_us_is_no_end(connect: Connect) -> None:
    paused = (200, ["Content-Length: 19"], '{"status":"Paused"}')
    async with Script(paused).serving() as place:
        outcome = (await connect(place).check(["5e9f"]))["5e9f"]
    assert outcome == Outcome(Status.SUBMITTED, Reason.STILL_QUEUED, "5e9f", "acs: Paused")


async def test_what_is_known_when_looking_is_stopped_is_told(connect: Connect) -> None:
    script = Script(
        (200, ["Content-Length: 22"], '{"status":"Succeeded"}'),
        said(429, "TooManyRequests", "Too many."),
    )
    async with script.serving() as place:
        transport = connect(place)
        assert list(await transport.check(["a", "b", "c"])) == ["a"]
        assert script.asked == ["get", "get"]
        with pytest.raises(ThrottledError):
            await transport.check(["b", "c"])
    assert script.asked == ["get"] * 3


async def test_no_more_are_looked_at_than_a_minute_allows(
    transport: AcsTransport, acs: AcsSimulator
) -> None:
    told = await transport.check([str(number) for number in range(AT_ONCE + 4)])
    assert list(told) == [str(number) for number in range(AT_ONCE)]
    assert len(acs.asked) == AT_ONCE


@pytest.mark.parametrize(
    "answer",
    [
        None,
        ...,
        said(500, "InternalServerError", "Oops."),
        (200, ["Content-Length: 2"], "{}"),
        (200, *UNREADABLE),
        (400, *UNREADABLE),
        (200, *NOT_PACKED),
    ],
)
async def test_without_an_answer_nothing_is_said_of_a_mail(connect: Connect, answer: Any) -> None:
    async with Script(answer).serving() as place:
        transport = connect(place)
        if answer is ...:
            transport.time_limit = SILENCE
        with pytest.raises(TransientError) as caught:
            await transport.find(mail().key, "")
        assert type(caught.value) is TransientError


async def test_what_was_never_sent_is_not_found(transport: AcsTransport) -> None:
    assert await transport.find(mail().key, "") == ""


# --- the rest ---


async def test_it_answers_as_long_as_anybody_does_and_no_look_up_is_spent(
    transport: AcsTransport, acs: AcsSimulator
) -> None:
    assert await transport.answers()
    assert acs.asked == []
    assert transport.promise is Promise.DEDUPLICATES


@pytest.mark.parametrize(
    ("connection_string", "told"),
    [
        (f"endpoint=http://acs.example;accesskey={KEY}", "https"),
        ("endpoint=https://acs.example", "accesskey"),
        ("endpoint=https://acs.example;accesskey=%%%", "base64"),
        ("endpoint=https://acs.example;accesskey=nøkkel", "base64"),
        ("hemmelig", "https"),
    ],
)
def test_a_connection_string_that_cannot_be_is_told_at_once_and_not_shown(
    connection_string: str, told: str
) -> None:
    with pytest.raises(SetupError, match=told) as caught:
        AcsTransport(settings(ACS_CONNECTION_STRING=connection_string), lambda: NOW)
    assert "hemmelig" not in str(caught.value)
    assert "%%%" not in str(caught.value)
    assert "nøkkel" not in str(caught.value)


async def test_neither_address_nor_key_nor_text_is_logged(
    served: RunningAcs, transport: AcsTransport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for domain in ("example.no", "refuse.example", "throttle.example", "lost.example"):
        one = mail(f"kari@{domain}")
        try:
            await send(transport, one)
        except UtsendelseError:
            continue
        await transport.check([one.key])
    for secret in ("kari@", "Kari", "Vannet", KEY):
        assert secret not in caplog.text
