"""The mail sink keeps what it accepts, and misbehaves exactly as the address asks."""

import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from dev.mail import MailSink

SENDER = "kommune@example.no"


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    with MailSink(tmp_path, slow=0.3) as sink:
        yield sink


def client(sink: MailSink) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", sink.port, timeout=10)


def mail(text: str = "Blåbærsyltetøy") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, "kari@example.no", "Hei på deg"
    message.set_content(text)
    return message


def send(sink: MailSink, *recipients: str) -> None:
    with client(sink) as smtp:
        smtp.send_message(mail(), SENDER, recipients)


def test_a_message_is_kept_whole_with_its_envelope(sink: MailSink) -> None:
    send(sink, "kari@example.no", "ola@example.no")
    (kept,) = sink.messages()
    assert kept["Subject"] == "Hei på deg"
    assert kept.get_content().strip() == "Blåbærsyltetøy"
    assert kept["X-Envelope-From"] == SENDER
    assert kept["X-Envelope-To"] == "kari@example.no, ola@example.no"
    assert sink.connections == 1
    assert not list(sink.dir.glob("*.part"))


def test_messages_come_in_the_order_they_arrived(sink: MailSink) -> None:
    with client(sink) as smtp:
        for number in range(3):
            smtp.sendmail(SENDER, ["kari@example.no"], f"Subject: {number}\r\n\r\n")
    assert [message["Subject"] for message in sink.messages()] == ["0", "1", "2"]


def test_an_address_with_norwegian_letters_is_accepted_and_recorded(sink: MailSink) -> None:
    with client(sink) as smtp:
        smtp.ehlo()
        smtp.mail(SENDER, ["SMTPUTF8"])
        assert smtp.rcpt("bjørg@bærum.example")[0] == 250
        assert smtp.data(b"Subject: x\r\n\r\n")[0] == 250
    assert sink.messages()[0]["X-Envelope-To"] == "bjørg@bærum.example"


@pytest.mark.parametrize("code", [450, 550, 552])
def test_a_code_in_the_address_is_the_answer_to_that_recipient_alone(
    sink: MailSink, code: int
) -> None:
    with client(sink) as smtp:
        refused = smtp.send_message(mail(), SENDER, [f"kari+{code}@example.no", "ola@example.no"])
    assert [answer for answer, _ in refused.values()] == [code]
    assert sink.messages()[0]["X-Envelope-To"] == "ola@example.no"


@pytest.mark.parametrize("code", [451, 552])
def test_a_code_after_data_keeps_nothing(sink: MailSink, code: int) -> None:
    with pytest.raises(smtplib.SMTPDataError) as refusal:
        send(sink, f"kari+{code}data@example.no")
    assert refusal.value.smtp_code == code
    assert sink.messages() == []


def test_421_answers_and_ends_the_connection(sink: MailSink) -> None:
    with client(sink) as smtp:
        smtp.ehlo()
        smtp.mail(SENDER)
        assert smtp.rcpt("kari+421@example.no")[0] == 421
        with pytest.raises(smtplib.SMTPServerDisconnected):
            smtp.noop()


@pytest.mark.parametrize(("act", "kept"), [("drop", 1), ("dropdata", 0)])
def test_a_lost_connection_leaves_the_client_without_an_answer(
    sink: MailSink, act: str, kept: int
) -> None:
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(sink, f"kari+{act}@example.no")
    assert len(sink.messages()) == kept


def test_slow_has_kept_the_message_when_the_client_gives_up(sink: MailSink) -> None:
    with smtplib.SMTP("127.0.0.1", sink.port, timeout=10) as smtp:
        smtp.ehlo()
        assert smtp.sock
        smtp.sock.settimeout(0.1)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            smtp.send_message(mail(), SENDER, ["kari+slow@example.no"])
    assert len(sink.messages()) == 1


def test_once_fails_the_first_time_for_each_address(sink: MailSink) -> None:
    for address in ("kari+450once@example.no", "ola+450once@example.no"):
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(sink, address)
        send(sink, address)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(sink, "kari+droponce@example.no")
    send(sink, "kari+droponce@example.no")
    assert len(sink.messages()) == 4


def test_without_the_login_nobody_sends(tmp_path: Path) -> None:
    with MailSink(tmp_path, login=("bruker", "hemmelig")) as sink:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(sink, "kari@example.no")
        with client(sink) as smtp, pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login("bruker", "feil")
        with client(sink) as smtp:
            smtp.login("bruker", "hemmelig")
            smtp.send_message(mail(), SENDER, ["kari@example.no"])
        assert len(sink.messages()) == 1


def test_starttls_is_demanded_and_its_certificate_can_be_trusted(tmp_path: Path) -> None:
    with MailSink(tmp_path, tls="starttls") as sink:
        with pytest.raises(smtplib.SMTPResponseException) as refusal:
            send(sink, "kari@example.no")
        assert refusal.value.smtp_code == 530
        with client(sink) as smtp:
            smtp.starttls(context=ssl.create_default_context(cafile=sink.certificate))
            smtp.send_message(mail(), SENDER, ["kari@example.no"])
        assert len(sink.messages()) == 1
        assert sink.connections == 2


def test_implicit_tls(tmp_path: Path) -> None:
    with MailSink(tmp_path, tls="implicit") as sink:
        context = ssl.create_default_context(cafile=sink.certificate)
        with smtplib.SMTP_SSL("localhost", sink.port, timeout=10, context=context) as smtp:
            smtp.send_message(mail(), SENDER, ["kari@example.no"])
        assert len(sink.messages()) == 1


def test_a_port_in_use_is_an_error_at_once(sink: MailSink, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="address"), MailSink(tmp_path, sink.port):
        pass
