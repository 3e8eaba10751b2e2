"""Alerts leave the house: a real mail, a real POST, and what each answer becomes."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dev.mail import MailSink
from shared.adapters.alert_mail import AlertMail
from shared.adapters.alert_webhook import AlertWebhook
from shared.bootstrap import bootstrap
from shared.domain.alert import Alert, Cause, Notice
from shared.errors import (
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from tests.examples import settings
from tests.fakes import MemoryFiles
from tests.mailing import email_channel

NOW = datetime(2026, 2, 3, 8, 15, tzinfo=UTC)
SECRET = "eyJ-hemmelig-signatur"
SUBJECT = "Masseutsendelsen på sak 20417 har satt seg selv på pause, så mange mislykkede er det nå"
TEXT = "Hva som er galt, står på saken.\n\nÆrlig talt.\n"
NOTICE = Notice(
    Alert("blocked:20417-1:2", Cause.BLOCKED, "email", "20417-1", 20417, "no_lists"),
    SUBJECT,
    TEXT,
    "https://fjordvik.pureservice.example/agent/#/ticket/20417/",
    "fjordvik",
)
#: For what never answers, and for everything else.
SHORT, LONG = timedelta(seconds=2), timedelta(seconds=30)


# -- mail


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    with MailSink(tmp_path / "mail", slow=5) as sink:
        yield sink


@asynccontextmanager
async def mailing(port: int, to: str, **changes: Any) -> AsyncIterator[AlertMail]:
    limit = SHORT if "+slow" in to else LONG
    given = settings(ALERT_EMAIL=to, SMTP_PORT=port, ONLY_SEND_TO="skolen.local", **changes)
    channel = email_channel(given, MemoryFiles(), lambda: NOW)
    yield AlertMail(given, channel, lambda: NOW, time_limit=limit)
    await channel.close()


async def test_the_operator_gets_a_plain_mail_whatever_the_test_list_says(sink: MailSink) -> None:
    given = {"MAIL_FROM": "post@fjordvik.no", "MAIL_ENVELOPE_FROM": "retur@fjordvik.no"}
    async with mailing(sink.port, "drift@example.no", **given) as herald:
        await herald.tell(NOTICE)
    [mail] = sink.messages()
    assert mail["X-Envelope-From"] == "retur@fjordvik.no"
    assert mail["X-Envelope-To"] == mail["To"] == "drift@example.no"
    assert mail["From"].addresses[0].addr_spec == "post@fjordvik.no"
    assert mail["Subject"] == f"[Utsendelse] {SUBJECT}"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime == NOW
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().replace("\r\n", "\n") == TEXT


async def test_a_mail_that_is_told_twice_can_be_seen_to_be_the_same(sink: MailSink) -> None:
    async with mailing(sink.port, "drift@example.no") as herald:
        await herald.tell(NOTICE)
        await herald.tell(NOTICE)
    first, second = (mail["Message-ID"] for mail in sink.messages())
    assert first == second
    assert first.startswith("<alert.fjordvik.blocked.20417-1.2@")


async def test_alerts_go_over_the_connection_that_is_there_already(sink: MailSink) -> None:
    async with mailing(sink.port, "drift@example.no") as herald:
        for _ in range(3):
            await herald.tell(NOTICE)
    assert sink.connections == 1


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        ("550", PermanentError),
        ("450", TransientError),
        ("421", ThrottledError),
        ("530", StoppedError),
        ("554data", PermanentError),
        ("drop", UncertainError),
        ("dropdata", UncertainError),
        ("slow", UncertainError),
    ],
)
async def test_what_the_mail_server_says_becomes_our_error_without_the_address(
    sink: MailSink, behaviour: str, kind: type[UtsendelseError]
) -> None:
    async with mailing(sink.port, f"drift+{behaviour}@example.no") as herald:
        with pytest.raises(kind) as caught:
            await herald.tell(NOTICE)
    assert type(caught.value) is kind
    assert "@" not in str(caught.value)
    assert str(caught.value).endswith("for alert blocked:20417-1:2")


# -- webhook


@dataclass
class Receiver:
    """A web server that keeps what it hears. `...` is silence, None hangs up."""

    answer: Any = 200
    headers: str = ""
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/workflows/{SECRET}?sig={SECRET}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lengths = [line for line in head.casefold().splitlines() if "content-length" in line]
            body = await reader.readexactly(int(lengths[0].split(":")[1]) if lengths else 0)
            self.heard.append((head, json.loads(body or b"{}")))
            if self.answer is ...:
                await asyncio.Event().wait()
            if self.answer:
                said = f"HTTP/1.1 {self.answer} Svar\r\n{self.headers}Content-Length: 2\r\n\r\nok"
                writer.write(said.encode())
                await writer.drain()
        finally:
            writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver, tasks = Receiver(), set()

    def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(receiver.talk(reader, writer)))

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    yield receiver
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def post(url: str, answer: Any = 200) -> None:
    limit = SHORT if answer is ... else LONG
    herald = AlertWebhook(settings(ALERT_WEBHOOK=url), time_limit=limit)
    try:
        await herald.tell(NOTICE)
    finally:
        await herald.close()


async def test_a_receiver_gets_the_facts_and_a_text_to_show(receiver: Receiver) -> None:
    await post(receiver.url)
    [(head, body)] = receiver.heard
    assert head.startswith(f"POST /workflows/{SECRET}?sig={SECRET} HTTP/1.1\r\n")
    assert "content-type: application/json" in head.casefold()
    assert body == {
        "installation": "fjordvik",
        "cause": "blocked",
        "campaign": "20417-1",
        "ticket": 20417,
        "link": "https://fjordvik.pureservice.example/agent/#/ticket/20417/",
        "text": f"{SUBJECT}\n\n{TEXT}",
        "key": "blocked:20417-1:2",
    }


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_answer_of_the_two_hundreds_is_a_yes(receiver: Receiver, status: int) -> None:
    receiver.answer = status
    await post(receiver.url)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (302, StoppedError),
        (308, StoppedError),
        (400, PermanentError),
        (401, StoppedError),
        (403, StoppedError),
        (404, StoppedError),
        (410, StoppedError),
        (429, ThrottledError),
        (500, TransientError),
        (502, TransientError),
        (503, TransientError),
        (504, UncertainError),
        (None, UncertainError),
        (..., UncertainError),
    ],
)
async def test_every_other_answer_says_what_to_do(
    receiver: Receiver, answer: Any, kind: type[UtsendelseError]
) -> None:
    receiver.answer = answer
    with pytest.raises(kind) as caught:
        await post(receiver.url, answer)
    assert type(caught.value) is kind
    assert "blocked:20417-1:2" in str(caught.value)


async def test_nobody_is_led_elsewhere(receiver: Receiver) -> None:
    receiver.answer, receiver.headers = 307, f"Location: {receiver.url}/videre\r\n"
    with pytest.raises(StoppedError):
        await post(receiver.url)
    assert len(receiver.heard) == 1


def nobody_there() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/{SECRET}"


async def test_a_receiver_that_is_not_there_has_heard_nothing() -> None:
    with pytest.raises(TransientError, match="not reached") as caught:
        await post(nobody_there())
    assert type(caught.value) is TransientError


async def test_an_address_that_cannot_be_used_is_for_a_person() -> None:
    for broken in (f"http://127.0.0.1:1/{SECRET}\x7f", "http://localhost:99/\x01"):
        with pytest.raises(StoppedError) as caught:
            await post(broken)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("answer", [200, 307, 404, 503, None, ..., "away"])
async def test_the_address_is_in_no_log_and_no_error(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    receiver.answer, receiver.headers = answer, f"Location: /{SECRET}\r\n"
    log = logging.getLogger("test")
    with caplog.at_level(logging.DEBUG):
        try:
            await post(nobody_there() if answer == "away" else receiver.url, answer)
        except UtsendelseError:
            log.exception("alert.failed")  # with its traceback, and that of what came before
    assert SECRET not in caplog.text
    assert ("alert.failed" in caplog.text) is (answer != 200)


# -- which there are


async def test_those_that_are_configured_are_there_and_no_other() -> None:
    both = {"ALERT_EMAIL": "drift@example.no", "ALERT_WEBHOOK": "https://hooks.example/x"}
    for given in ({}, {"ALERT_EMAIL": both["ALERT_EMAIL"]}, both):
        services = bootstrap(settings(**given))
        names = [herald.name for herald in services.heralds]
        assert names == ["email", "webhook"][: len(given)]
        await services.close()
