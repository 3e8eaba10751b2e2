"""The e-mail channel against real SMTP conversations: what is sent, and what each answer becomes.

Most tests talk to the mail sink, which misbehaves as the address asks; what no decent server does
is played by `Script`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import pytest

from dev.mail import MailSink
from shared.adapters.email import EmailChannel
from shared.adapters.smtp import SmtpTransport
from shared.domain.delivery import OpenDelivery
from shared.domain.message import File, Message, Sender
from shared.domain.recipient import Recipient
from shared.errors import (
    PermanentError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.ports import Receipt
from shared.settings import Settings
from tests.fakes import MemoryFiles
from tests.mailing import email_channel

NOW = datetime(2026, 2, 3, 8, 15, tzinfo=UTC)
MESSAGE = Message(
    "Vannet stenges på tirsdag",
    "<p>Hei på deg</p>",
    "Hei på deg",
    Sender("post@fjordvik.no", "Fjordvik kommune", envelope="retur@fjordvik.no"),
)

Connect = Callable[..., EmailChannel]


def to(address: str, number: int = 1) -> OpenDelivery:
    id_ = f"5e9f6a3c-0000-5000-8000-{number:012}"
    return OpenDelivery(id_, "20417-1", Recipient("user:31", "Kari Nordmann", address))


async def send(channel: EmailChannel, address: str, message: Message = MESSAGE) -> Receipt:
    async def note(reference: str) -> None:
        raise AssertionError("one effect, so nothing to note")

    return await channel.send(to(address), message, note)


async def answers(channel: EmailChannel) -> bool:
    """Whether its only transport can be reached."""
    [transport] = channel._transports.values()
    return await transport.answers()


async def refusal(channel: EmailChannel, address: str, message: Message = MESSAGE) -> Any:
    """What the send ended with; it never tells the address."""
    with pytest.raises(UtsendelseError) as caught:
        await send(channel, address, message)
    told = str(caught.value)
    assert address not in told
    assert "@" not in told
    assert told.startswith(("smtp: ", "email: "))
    return caught.value


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    with MailSink(tmp_path / "mail", slow=0.3) as sink:
        yield sink


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes channels: `connect(port, files, tls=…, idle=…, SETTING=…)`."""
    made: list[EmailChannel] = []

    def make(port: int, files: Any = None, **values: Any) -> EmailChannel:
        own = {name: values.pop(name) for name in list(values) if name.islower()}
        settings = Settings(
            **{
                "INSTALLATION": "test",
                "ONLY_SEND_TO": "*",
                "AzureWebJobsStorage": "UseDevelopmentStorage=true",
                "DISCOVER_SCHEDULE": "0 * * * * *",
                "ACCOUNT_SCHEDULE": "30 * * * * *",
                "DELIVER_EMAIL_QUEUE": "deliver-email",
                "DELIVER_TICKET_QUEUE": "deliver-ticket",
                "LISTS_SCHEDULE": "0 0 3 * * *",
                "FORGET_SCHEDULE": "0 0 4 * * *",
                "BOUNCES_SCHEDULE": "0 */5 * * * *",
                "LETTERS_SCHEDULE": "20 * * * * *",
                "RECEIPTS_SCHEDULE": "40 * * * * *",
                "REGISTER_SCHEDULE": "0 0 5 * * 0",
                "PURESERVICE_URL": "https://fjordvik.pureservice.example",
                "PURESERVICE_KEY": "x",
                "SMTP_HOST": "127.0.0.1",
                "SMTP_PORT": port,
                "SMTP_TLS": "none",
                "SMTP_TIMEOUT_SECONDS": 20,
                "MAIL_FROM": "post@fjordvik.no",
            }
            | values
        )
        transport = SmtpTransport(settings, **own)
        made.append(email_channel(settings, files or MemoryFiles(), lambda: NOW, transport))
        return made[-1]

    yield make
    for channel in made:
        await channel.close()


class Script:
    """A server that answers each command as told; `None` hangs up, `...` is silence.

    A list is used up, one answer at a time. `end` is the answer to a message.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "greeting": "220 hei",
            "EHLO": "250-hei\r\n250 SIZE 1000000",
            "MAIL": "250 ok",
            "RCPT": "250 ok",
            "DATA": "354 fram med det",
            "end": "250 ok",
            "QUIT": "221 ha det",
            **answers,
        }
        self.heard: list[str] = []
        self.bodies = 0
        self.connections = 0
        self.left = asyncio.Event()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            said = await self.say(writer, "greeting")
            while said and (line := (await reader.readline()).decode()):
                self.heard.append(line.rstrip())
                if line == "QUIT\r\n":
                    self.left.set()
                said = await self.say(writer, line[:4].rstrip())
                if said and said.startswith("354"):
                    await reader.readuntil(b"\r\n.\r\n")
                    self.bodies += 1
                    said = await self.say(writer, "end")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def say(self, writer: asyncio.StreamWriter, what: str) -> str | None:
        answer = self.answers.get(what, "500 hva?")
        answer = answer.pop(0) if isinstance(answer, list) else answer
        if answer is ...:
            await asyncio.Event().wait()
        if answer is not None:
            writer.write(f"{answer}\r\n".encode())
            await writer.drain()
        return answer


@asynccontextmanager
async def playing(script: Script) -> AsyncIterator[int]:
    """The script as a server on the port that is given; its conversations end with it."""
    tasks: set[asyncio.Task[None]] = set()

    def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(script.talk(reader, writer))
        tasks.add(task)

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=2**24)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# What is sent


async def test_the_server_gets_the_mail_in_an_envelope_of_its_own(
    sink: MailSink, connect: Connect
) -> None:
    receipt = await send(connect(sink.port), "kari@example.no")
    [mail] = sink.messages()
    assert mail["X-Envelope-From"] == "retur@fjordvik.no"
    assert mail["X-Envelope-To"] == "kari@example.no"
    assert mail["Subject"] == "Vannet stenges på tirsdag"
    assert mail["Date"].datetime == NOW
    assert receipt.reference == mail["Message-ID"]
    assert receipt.reference == f"<20417-1.{to('').id}.1@fjordvik.no>"
    assert receipt.detail == "250 2.0.0 Message accepted"
    assert receipt.final


async def test_lines_with_dots_and_a_10_kb_subject_arrive_as_they_were(
    sink: MailSink, connect: Connect
) -> None:
    text = "\n.\n..\n. .\n.\r\nMAIL FROM:<eva@ond.no>\nFrom her\nslutt"
    subject = "blåbær, " * 1_250
    await send(connect(sink.port), "kari@example.no", replace(MESSAGE, text=text, subject=subject))
    [mail] = sink.messages()
    plain, _ = mail.iter_parts()
    assert plain.get_content().replace("\r\n", "\n").strip() == text.replace("\r", "").strip()
    [raw] = [file.read_bytes() for file in sink.dir.glob("*.eml")]
    folded = raw.partition(b"\r\nSubject: ")[2].partition(b"\r\nDate:")[0].decode()
    assert str(make_header(decode_header(folded))) == subject.strip()


async def test_a_file_is_read_once_however_many_workers_send_it(
    sink: MailSink, connect: Connect
) -> None:
    files = SlowFiles({"20417-1/file-1": b"%PDF"})
    message = replace(MESSAGE, files=(File("Kart.pdf", "application/pdf", 4, "20417-1/file-1"),))
    channel = connect(sink.port, files)
    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(send(channel, f"kari{number}@example.no", message))
    assert files.read == ["20417-1/file-1"]
    assert [
        [part.get_content() for part in mail.iter_attachments()] for mail in sink.messages()
    ] == [[b"%PDF"]] * 6


async def test_only_the_campaigns_used_last_are_kept_in_memory(
    sink: MailSink, connect: Connect
) -> None:
    files = SlowFiles({f"{n}": b"x" for n in range(4)})
    messages = [replace(MESSAGE, files=(File("a", "", 1, f"{n}"),)) for n in range(4)]
    channel = connect(sink.port, files)
    for n in (0, 1, 2, 0, 3, 0, 1):
        await send(channel, "kari@example.no", messages[n])
    assert files.read == ["0", "1", "2", "3", "1"]


async def test_a_file_that_could_not_be_read_is_read_again_and_a_missing_one_sends_nothing(
    sink: MailSink, connect: Connect
) -> None:
    files = SlowFiles({})
    message = replace(MESSAGE, files=(File("a", "", 1, "borte"),))
    channel = connect(sink.port, files)
    assert isinstance(await refusal(channel, "kari@example.no", message), TransientError)
    assert sink.connections == 0
    files.blobs["borte"] = b"x"
    await send(channel, "kari@example.no", message)
    assert len(sink.messages()) == 1


async def test_the_archive_copy_names_no_recipient(connect: Connect) -> None:
    message = replace(MESSAGE, files=(File("a.txt", "", 1, "a"),))
    archived = await connect(1, MemoryFiles({"a": b"hei"})).archive("20417-1", message)
    assert (archived.suffix, archived.content_type) == (".eml", "message/rfc822")
    assert b"\r\nTo:" not in archived.data
    assert b"a.txt" in archived.data


class SlowFiles(MemoryFiles):
    def __init__(self, blobs: dict[str, bytes]) -> None:
        super().__init__(blobs)
        self.read: list[str] = []

    async def get(self, name: str) -> bytes | None:
        self.read.append(name)
        await asyncio.sleep(0)
        return await super().get(name)


# What each answer becomes


@pytest.mark.parametrize(
    ("address", "kind", "told"),
    [
        ("kari+550@example.no", PermanentError, "smtp: RCPT TO: 550 5.0.0 As the address asks"),
        ("kari+450@example.no", TransientError, "smtp: RCPT TO: 450 "),
        ("kari+421@example.no", ThrottledError, "smtp: RCPT TO: 421 "),
        ("kari+530@example.no", StoppedError, "smtp: RCPT TO: 530 "),
        ("kari+451data@example.no", TransientError, "smtp: DATA: 451 "),
        ("kari+554data@example.no", PermanentError, "smtp: DATA: 554 "),
        ("kari+421data@example.no", ThrottledError, "smtp: DATA: 421 "),
        ("kari+drop@example.no", UncertainError, "smtp: DATA: "),
        ("kari+dropdata@example.no", UncertainError, "smtp: DATA: "),
    ],
)
async def test_an_answer_says_whose_fault_it_is_and_what_to_do(
    sink: MailSink, connect: Connect, address: str, kind: type, told: str
) -> None:
    channel = connect(sink.port)
    error = await refusal(channel, address)
    assert type(error) is kind
    assert str(error).startswith(told)
    assert str(error).endswith(f"for delivery {to('').id}")
    # The connection that failed is not used again.
    await send(channel, "ola@example.no")
    assert sink.connections == 2


@pytest.mark.parametrize(
    ("stage", "answer", "kind"),
    [
        ("greeting", "554 ikke du", ThrottledError),
        ("greeting", "450 ikke nå", ThrottledError),
        ("greeting", "421 ikke nå", ThrottledError),
        ("greeting", None, ThrottledError),
        ("EHLO", "550 hvem?", ThrottledError),
        ("EHLO", "421 ikke nå", ThrottledError),
        ("EHLO", None, ThrottledError),
        ("MAIL", "550 5.7.1 not you", StoppedError),
        ("MAIL", "530 5.7.0 log in first", StoppedError),
        ("MAIL", "552 5.3.4 too large", PermanentError),
        ("MAIL", "554 5.3.4 too large", PermanentError),
        ("MAIL", "452 4.3.1 full", ThrottledError),
        ("MAIL", None, TransientError),
        ("RCPT", "553 5.1.3 what?", PermanentError),
        ("RCPT", "554 5.7.1 <retur@fjordvik.no>: Sender address rejected: no", StoppedError),
        ("RCPT", "550 5.1.8 bad sender", StoppedError),
        ("RCPT", "554 5.7.1 <k@…>: Relay access denied", StoppedError),
        ("RCPT", "550 5.7.54 SMTP; Unable to relay recipient", StoppedError),
        ("end", "550 5.1.90 daily limit for message recipients", ThrottledError),
        ("RCPT", "452 4.5.3 too many", TransientError),
        ("RCPT", None, TransientError),
        ("DATA", "554 no valid recipients", PermanentError),
        ("DATA", "451 later", TransientError),
        ("DATA", None, UncertainError),
        ("end", "550 5.7.60 SMTP; Client does not have permissions", StoppedError),
        ("end", "554 5.2.252 SendAsDenied; kari not allowed", StoppedError),
        ("end", "552 5.2.2 full", PermanentError),
        ("end", "432 4.3.2 too many connections", TransientError),
        ("end", "299 kanskje", UncertainError),
        ("end", "tull", UncertainError),
        ("end", None, UncertainError),
    ],
)
async def test_what_it_means_depends_on_how_far_the_conversation_had_come(
    connect: Connect, stage: str, answer: str | None, kind: type
) -> None:
    async with playing(Script(**{stage: answer})) as port:
        error = await refusal(connect(port), "kari@example.no")
    assert type(error) is kind


async def test_a_silent_server_is_given_up_in_time(connect: Connect) -> None:
    async def silent(stage: str) -> Any:
        async with playing(Script(**{stage: ...})) as port:
            channel = connect(port, SMTP_TIMEOUT_SECONDS=3)
            assert channel.time_limit >= timedelta(seconds=3)
            return await refusal(channel, "kari@example.no")

    stages = ("greeting", "RCPT", "DATA", "end")
    errors = await asyncio.gather(*map(silent, stages))  # all at once: each takes three seconds
    assert [(type(error), str(error).partition(" for ")[0]) for error in errors] == [
        (ThrottledError, "smtp: connect: timed out"),
        (TransientError, "smtp: RCPT TO: timed out"),
        (UncertainError, "smtp: DATA: timed out"),
        (UncertainError, "smtp: DATA: timed out"),
    ]


async def test_a_server_that_is_not_there_can_be_tried_later(connect: Connect) -> None:
    async with playing(Script()) as port:
        pass
    assert type(await refusal(connect(port), "kari@example.no")) is ThrottledError


async def test_nothing_of_a_mail_that_was_given_up_arrives_afterwards(connect: Connect) -> None:
    """Neither when the time is up nor when the host stops: what is buffered goes with it."""
    reading, may_read, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in ("220 hei", "250 hei", "250 ok", "250 ok", "354 kom"):
            writer.write(f"{answer}\r\n".encode())
            await reader.readline()
        reading.set()
        await may_read.wait()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readuntil(b"\r\n.\r\n")
        writer.close()
        ended.set()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=2**25)
    channel = connect(server.sockets[0].getsockname()[1])
    large = replace(MESSAGE, text="x" * 76 + "\n" + "hei på deg " * 1_000_000)
    sending = asyncio.create_task(send(channel, "kari@example.no", large))
    await reading.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    may_read.set()
    await asyncio.wait_for(ended.wait(), 10)
    server.close()


async def test_the_servers_words_are_kept_short_and_without_addresses(connect: Connect) -> None:
    words = "550-5.1.1 <kari@example.no> er\x1b\u202e ukjent, se\r\n550 https://x.no/?a=kari%40b "
    async with playing(Script(RCPT=words + "bla " * 500)) as port:
        told = str(await refusal(connect(port), "kari@example.no"))
    assert told.startswith("smtp: RCPT TO: 550 5.1.1 … er ukjent, se … bla bla")
    assert len(told) < 320


async def test_a_traceback_does_not_tell_the_address_either(
    sink: MailSink, connect: Connect
) -> None:
    error = await refusal(connect(sink.port), "kari+550@example.no")
    assert error.__cause__ is None
    assert error.__suppress_context__


# Addresses with other letters


async def test_a_norwegian_letter_in_an_address_goes_where_the_server_can_take_it(
    sink: MailSink, connect: Connect
) -> None:
    await send(connect(sink.port), "bjørg@example.no")
    [mail] = sink.messages()
    assert mail["X-Envelope-To"] == "bjørg@example.no"


async def test_and_fails_for_good_where_the_server_cannot(connect: Connect) -> None:
    async with playing(Script()) as port:
        channel = connect(port)
        assert type(await refusal(channel, "bjørg@example.no")) is PermanentError
        ours = replace(MESSAGE, sender=Sender("blåbær@fjordvik.no"))
        assert type(await refusal(channel, "kari@example.no", ours)) is StoppedError


# Encryption and login


@pytest.mark.parametrize(("mode", "setting"), [("starttls", "starttls"), ("implicit", "tls")])
async def test_mail_goes_encrypted_and_logged_in(
    tmp_path: Path, connect: Connect, mode: Any, setting: str
) -> None:
    with MailSink(tmp_path, tls=mode, login=("fjordvik", "blåbær")) as sink:
        trusting = ssl.create_default_context(cafile=sink.certificate)
        channel = connect(
            sink.port, tls=trusting, SMTP_TLS=setting, SMTP_USER="fjordvik", SMTP_PASSWORD="blåbær"
        )
        await send(channel, "kari@example.no")
        await send(channel, "ola@example.no")
        assert len(sink.messages()) == 2
        assert sink.connections == 1
        await channel.close()


@pytest.mark.parametrize(("mode", "setting"), [("starttls", "starttls"), ("implicit", "tls")])
async def test_a_certificate_nobody_vouches_for_is_not_trusted(
    tmp_path: Path, connect: Connect, mode: Any, setting: str
) -> None:
    with MailSink(tmp_path, tls=mode) as sink:
        channel = connect(sink.port, SMTP_TLS=setting)
        assert type(await refusal(channel, "kari@example.no")) is ThrottledError
        assert not await answers(channel)
        assert sink.messages() == []


async def test_a_server_without_encryption_gets_neither_mail_nor_password(
    connect: Connect,
) -> None:
    script = Script(EHLO="250-hei\r\n250 AUTH PLAIN")
    async with playing(script) as port:
        channel = connect(port, SMTP_TLS="starttls", SMTP_USER="u", SMTP_PASSWORD="p")
        assert type(await refusal(channel, "kari@example.no")) is ThrottledError
    assert [line[:4] for line in script.heard] == ["EHLO"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("535 5.7.8 wrong", StoppedError),
        ("534 5.7.9 too weak", StoppedError),
        ("530 5.7.0 first", StoppedError),
        ("454 4.7.0 busy", ThrottledError),
        ("421 4.7.0 busy", ThrottledError),
        (None, ThrottledError),
    ],
)
async def test_a_login_that_is_refused_is_tried_once_and_with_one_method(
    connect: Connect, answer: str | None, kind: type
) -> None:
    script = Script(EHLO="250-hei\r\n250 AUTH LOGIN PLAIN", AUTH=answer)
    async with playing(script) as port:
        channel = connect(port, SMTP_USER="fjordvik", SMTP_PASSWORD="feil")
        error = await refusal(channel, "kari@example.no")
    assert type(error) is kind
    assert [line.split()[0] for line in script.heard] == ["EHLO", "AUTH"]
    assert "feil" not in str(error)


async def test_a_server_that_only_knows_the_older_login_is_fine(connect: Connect) -> None:
    script = Script(EHLO="250-hei\r\n250 AUTH XOAUTH2 LOGIN", AUTH="334 x")
    script.answers |= {"cA==": "235 inn"}  # the password, in base64
    async with playing(script) as port:
        channel = connect(port, SMTP_USER="u", SMTP_PASSWORD="p")
        await send(channel, "kari@example.no")
        await channel.close()
    assert script.bodies == 1


async def test_a_server_with_no_login_that_we_know_needs_a_person(connect: Connect) -> None:
    async with playing(Script(EHLO="250-hei\r\n250 AUTH XOAUTH2")) as port:
        channel = connect(port, SMTP_USER="u", SMTP_PASSWORD="p")
        assert type(await refusal(channel, "kari@example.no")) is StoppedError


# Connections


async def test_a_connection_is_used_again_but_by_one_send_at_a_time(
    sink: MailSink, connect: Connect
) -> None:
    channel = connect(sink.port)
    for number in range(5):
        await send(channel, f"kari{number}@example.no")
    assert sink.connections == 1
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(send(channel, f"ola{number}@example.no"))
    assert sink.connections == 4
    assert len({mail["X-Envelope-To"] for mail in sink.messages()}) == 9


async def test_making_a_channel_connects_to_nothing(sink: MailSink, connect: Connect) -> None:
    connect(sink.port)
    assert sink.connections == 0


async def test_a_connection_is_left_politely_after_enough_messages(connect: Connect) -> None:
    script = Script()
    async with playing(script) as port:
        channel = connect(port, SMTP_MESSAGES_PER_CONNECTION=2)
        for _ in range(3):
            await send(channel, "kari@example.no")
        await channel.close()
    assert script.connections == 2
    assert [line for line in script.heard if line[:4] in ("EHLO", "QUIT")] == [
        "EHLO fjordvik.no",
        "QUIT",
        "EHLO fjordvik.no",
        "QUIT",
    ]


async def test_an_idle_connection_is_left_after_a_while(connect: Connect) -> None:
    script = Script()
    async with playing(script) as port:
        channel = connect(port, idle=timedelta(0))
        await send(channel, "kari@example.no")
        await asyncio.wait_for(script.left.wait(), 10)
        await send(channel, "kari@example.no")
        await channel.close()
    assert script.connections == 2


@pytest.mark.parametrize(
    ("stage", "farewell"), [("MAIL", None), ("MAIL", "421 too old"), ("RCPT", None)]
)
async def test_an_idle_connection_that_is_dead_is_replaced_and_nobody_notices(
    connect: Connect, stage: str, farewell: str | None
) -> None:
    script = Script(**{stage: ["250 ok", farewell, "250 ok"]})
    async with playing(script) as port:
        channel = connect(port)
        await send(channel, "kari@example.no")
        await send(channel, "ola@example.no")
        await channel.close()
    assert script.bodies == 2
    assert script.connections == 2


async def test_a_dead_connection_is_replaced_once_only(connect: Connect) -> None:
    script = Script(MAIL=["250 ok", None, None])
    async with playing(script) as port:
        channel = connect(port)
        await send(channel, "kari@example.no")
        assert type(await refusal(channel, "ola@example.no")) is TransientError
    assert script.connections == 2


async def test_a_reused_connection_that_is_lost_at_data_is_never_replaced(
    connect: Connect,
) -> None:
    script = Script(end=["250 ok", None])
    async with playing(script) as port:
        channel = connect(port)
        await send(channel, "kari@example.no")
        assert type(await refusal(channel, "ola@example.no")) is UncertainError
    assert script.bodies == 2
    assert script.connections == 1


async def test_the_server_answers_or_does_not(sink: MailSink, connect: Connect) -> None:
    channel = connect(sink.port, SMTP_USER="u", SMTP_PASSWORD="p")
    assert await answers(channel)
    await channel.close()
    async with playing(Script(greeting="554 nei")) as port:
        assert not await answers(connect(port))
    assert not await answers(connect(port))
