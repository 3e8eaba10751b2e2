"""What every way of sending e-mail promises, each against its own server or simulator."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dev.acs import RunningAcs
from dev.graph import GraphSimulator
from dev.mail import MailSink
from shared.adapters.acs import AcsTransport
from shared.adapters.graph import GraphTransport
from shared.adapters.smtp import SmtpTransport
from shared.adapters.transport import Mail, Transport
from shared.domain.message import File, Message, Sender
from shared.errors import (
    PermanentError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.ports import Promise, Receipt
from tests.adapters.between import TOKEN, Between, Credential
from tests.examples import settings

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
SENDER = Sender("post@fjordvik.no", "Fjordvik kommune", "svar@fjordvik.no")
PICTURE = File("kart.png", "image/png", 8, "", content_id="kart@bilde")
PLAN = File("årsplan æøå.pdf", "application/pdf", 8, "")
MESSAGE = Message(
    "Vannet stenges på Østre brygge – «hele» natten",
    '<p>Hei på deg, se <a href="https://fjordvik.no">kartet</a></p>'
    '<img src="cid:kart@bilde" alt="">',
    "Hei på deg, se kartet <https://fjordvik.no>",
    SENDER,
    (PICTURE, PLAN),
)
CONTENTS = ((PICTURE, b"\x89PNG\r\n\x1a\n"), (PLAN, b"%PDF-1.7"))


@dataclass(frozen=True)
class Arrived:
    """What a recipient has got, as far as every provider can tell."""

    address: str
    subject: str
    html: str
    text: str
    files: frozenset[tuple[str, bytes]]


@dataclass
class Provider:
    """A transport, what has arrived by it, and whom to write to for which trouble."""

    transport: Transport
    arrived: Callable[[], list[Arrived]]
    well: str = "kari@fjordvik.example"
    refused: str = ""  #: when it is handed over; "" where the provider says so only later
    throttled: str = ""
    lost: str = ""  #: it arrives, and the answer does not
    vanished: str = ""  #: neither arrives
    noted: list[str] = field(default_factory=list)

    def mail(self, address: str, key: int = 1, message: Message = MESSAGE) -> Mail:
        id_ = f"5e9f6a3c-0000-5000-8000-{key:012}"
        files = CONTENTS if message.files else ()
        message_id = f"<20417-1.{id_}.1@fjordvik.no>"
        name = 'Kari "Kaia" Nordmann, Ås'
        return Mail(f"delivery {id_}", id_, message_id, name, address, message, NOW, files)

    async def send(self, mail: Mail, reference: str = "") -> Receipt:
        async def note(reference: str) -> None:
            self.noted.append(reference)

        return await self.transport.send(mail, reference, note)


def _parts(message: Any) -> Arrived:
    html, text = (
        "" if part is None else part.get_content().replace("\r\n", "\n").rstrip("\n")
        for part in (message.get_body(("html",)), message.get_body(("plain",)))
    )
    files = [
        (part.get_filename(), part.get_content())
        for part in message.walk()
        if part.get_content_disposition() in {"attachment", "inline"} and part.get_filename()
    ]
    return Arrived(
        str(message["To"].addresses[0].addr_spec), message["Subject"], html, text, frozenset(files)
    )


@pytest.fixture(params=["smtp", "graph", "acs"])
async def provider(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Provider]:
    made: Provider
    if request.param == "smtp":
        with MailSink(tmp_path, slow=0.3) as sink:
            values = {"SMTP_PORT": str(sink.port), "SMTP_TIMEOUT_SECONDS": "20"}
            made = Provider(
                SmtpTransport(settings(**values)),
                lambda: [_parts(mail) for mail in sink.messages()],
                refused="kari+550@fjordvik.example",
                throttled="kari+421@fjordvik.example",
                lost="kari+drop@fjordvik.example",
                vanished="kari+dropdata@fjordvik.example",
            )
            yield made
            await made.transport.close()
    elif request.param == "graph":
        graph = GraphSimulator((SENDER.address,), clock=lambda: NOW)
        graph.tokens[TOKEN] = NOW + timedelta(days=1)
        values = {"GRAPH_URL": "http://127.0.0.1:7090/v1.0"}
        made = Provider(
            GraphTransport(
                settings(**values),
                lambda: NOW,
                transport=Between(graph),
                credential=Credential(),
            ),
            lambda: [_parts(one.mime) for one in graph.sent],
            refused="kari@refuse.example",
            throttled="kari@throttle.example",
            lost="kari@lost.example",
            vanished="kari+once@vanish.example",
        )
        yield made
        await made.transport.close()
    else:
        with RunningAcs() as acs:
            values = {"ACS_CONNECTION_STRING": acs.connection_string, "ACS_ENDPOINT": ""}
            made = Provider(
                AcsTransport(settings(**values), lambda: NOW),
                lambda: [_of_acs(one["message"]) for one in acs.simulator.sent],
                refused="kari@invalid.example",
                throttled="kari@throttle.example",
                lost="kari+once@lost.example",
            )
            yield made
            await made.transport.close()


def _of_acs(sent: dict[str, Any]) -> Arrived:
    content = sent["content"]
    return Arrived(
        sent["recipients"]["to"][0]["address"],
        content["subject"],
        content.get("html", ""),
        content["plainText"],
        frozenset(
            (one["name"], base64.b64decode(one["contentInBase64"]))
            for one in sent.get("attachments", [])
        ),
    )


async def test_what_is_handed_over_arrives_once_and_whole(provider: Provider) -> None:
    receipt = await provider.send(provider.mail(provider.well))
    assert receipt.reference
    [arrived] = provider.arrived()
    assert arrived.address == provider.well
    assert arrived.subject == MESSAGE.subject
    assert MESSAGE.html in arrived.html
    assert arrived.html.startswith("<!DOCTYPE html>")
    assert arrived.text == MESSAGE.text
    assert arrived.files == {("kart.png", CONTENTS[0][1]), ("årsplan æøå.pdf", CONTENTS[1][1])}


async def test_many_one_after_another_each_arrive_once(provider: Provider) -> None:
    addresses = [f"kari{n}@fjordvik.example" for n in range(4)]
    for n, address in enumerate(addresses):
        await provider.send(provider.mail(address, n))
    assert [one.address for one in provider.arrived()] == addresses


async def test_a_refused_recipient_is_refused_for_good_and_nobody_gets_it(
    provider: Provider,
) -> None:
    with pytest.raises(PermanentError):
        await provider.send(provider.mail(provider.refused))
    assert provider.arrived() == []


async def test_one_that_is_too_busy_has_not_sent_it_and_everybody_waits(
    provider: Provider,
) -> None:
    with pytest.raises(ThrottledError) as caught:
        await provider.send(provider.mail(provider.throttled))
    assert caught.value.retry_after > timedelta()
    assert provider.arrived() == []


async def test_a_lost_answer_is_never_taken_for_a_no(provider: Provider) -> None:
    with pytest.raises(UncertainError):
        await provider.send(provider.mail(provider.lost))
    assert len(provider.arrived()) == 1


async def test_whoever_can_be_asked_says_that_it_went_out(provider: Provider) -> None:
    """And whoever cannot, never says anything else."""
    mail = provider.mail(provider.lost)
    with pytest.raises(UncertainError):
        await provider.send(mail)
    reference = provider.noted[-1] if provider.noted else ""
    if provider.transport.promise is Promise.NEITHER:
        with pytest.raises(UncertainError):
            await provider.transport.find(mail.key, reference)
    else:
        assert isinstance(await provider.transport.find(mail.key, reference), Receipt)


async def test_going_on_from_what_was_found_reaches_the_recipient_once(provider: Provider) -> None:
    if provider.transport.promise is Promise.NEITHER:
        return  # it is for a person to find out
    mail = provider.mail(provider.vanished or provider.lost)
    with pytest.raises(UncertainError):
        await provider.send(mail)
    reference = provider.noted[-1] if provider.noted else ""
    found = await provider.transport.find(mail.key, reference)
    if not isinstance(found, Receipt):
        await provider.send(mail, found)
    elif provider.transport.promise is Promise.DEDUPLICATES:
        await provider.send(mail)  # even so
    assert len(provider.arrived()) == 1


async def test_what_is_not_final_is_answered_later(provider: Provider) -> None:
    receipt = await provider.send(provider.mail(provider.well))
    if receipt.final:
        assert not await provider.transport.check([receipt.reference])
        return
    told = {}
    for _ in range(3):
        told = dict(await provider.transport.check([receipt.reference]))
    assert [outcome.status for outcome in told.values()] == ["sent"]


@pytest.mark.parametrize("trouble", ["refused", "throttled", "lost"])
async def test_no_error_tells_whom_or_what_it_was_about(provider: Provider, trouble: str) -> None:
    with pytest.raises(UtsendelseError) as caught:
        await provider.send(provider.mail(getattr(provider, trouble)))
    told = f"{caught.value} {caught.value.__cause__}"
    assert "5e9f6a3c" in told
    for secret in ("@", "Nordmann", "Østre brygge", "Hei på deg"):
        assert secret not in told


async def test_a_mail_of_nothing_but_text_goes_too(provider: Provider) -> None:
    plain = Message("Varsel", "", "Noe har stanset.", SENDER)
    await provider.send(provider.mail(provider.well, message=plain))
    [arrived] = provider.arrived()
    assert (arrived.html, arrived.text) == ("", "Noe har stanset.")


async def test_it_says_how_large_a_mail_may_be_and_whether_it_is_there(provider: Provider) -> None:
    assert await provider.transport.largest() >= 1_000_000
    assert await provider.transport.answers()


async def test_nobody_is_written_to_where_nobody_answers() -> None:
    """Not even connected: nothing was sent, whoever it is."""
    nobody = "127.0.0.1:9"
    transports: list[Transport] = [
        SmtpTransport(settings(SMTP_PORT="9")),
        GraphTransport(
            settings(GRAPH_URL=f"http://{nobody}/v1.0"), lambda: NOW, credential=Credential()
        ),
        AcsTransport(
            settings(ACS_CONNECTION_STRING=f"endpoint=http://{nobody}/;accesskey=ZGVtbw=="),
            lambda: NOW,
        ),
    ]
    for transport in transports:
        provider = Provider(transport, list)
        with pytest.raises(TransientError):
            await provider.send(provider.mail(provider.well))
        assert not await transport.answers()
        await transport.close()
