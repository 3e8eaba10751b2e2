"""What goes on the wire is legal whatever people wrote, and says what they wrote."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters import mime
from shared.domain.delivery import OpenDelivery
from shared.domain.message import File, Message, Sender
from shared.domain.recipient import Recipient

DATE = datetime(2026, 2, 3, 8, 15, tzinfo=UTC)
DELIVERY = OpenDelivery(
    "5e9f6a3c-0000-5000-8000-000000000001",
    "20417-1",
    Recipient("user:31", "Kari Nordmann", "kari@example.no"),
    round=2,
)
MESSAGE = Message(
    "Vannet stenges på tirsdag",
    "<p>Hei på deg</p>",
    "Hei på deg",
    Sender("post@fjordvik.no", "Fjordvik kommune", "svar@fjordvik.no", "retur@retur.fjordvik.no"),
)
PDF = File("Vedtak – Ærøy.pdf", "application/pdf", 4, "20417-1/file-1")

#: What tidying leaves alone, so that it must arrive as it was.
TIDY = st.text(
    st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zs", "Zl", "Zp"]), max_size=70
).map(lambda word: word.strip())
TEXT = st.lists(TIDY | st.sampled_from(["Grønn,", '"Kalle"', "=?utf-8?q?x?=", "<ola@b.no>"])).map(
    lambda words: " ".join(filter(None, words))
)


def mail(
    message: Message = MESSAGE,
    delivery: OpenDelivery = DELIVERY,
    files: list[tuple[File, bytes]] | None = None,
) -> bytes:
    return mime.build(delivery, message, mime.body(message, files or []), DATE)


def parsed(raw: bytes) -> EmailMessage:
    policy: Any = default
    message: EmailMessage = message_from_bytes(raw, policy=policy)
    assert not [part.defects for part in message.walk() if part.defects]
    return message


def words(raw: bytes, header: str) -> str:
    """The header as people see it. (`policy.default` reads it wrong: python/cpython#128110.)"""
    return str(make_header(decode_header(message_from_bytes(raw)[header])))


def named(name: str) -> OpenDelivery:
    return replace(DELIVERY, recipient=replace(DELIVERY.recipient, name=name))


def assert_legal(raw: bytes) -> None:
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\0" not in raw


def test_the_headers_say_who_what_and_that_a_machine_sent_it() -> None:
    message = parsed(mail())
    assert message["From"] == "Fjordvik kommune <post@fjordvik.no>"
    assert message["To"] == "Kari Nordmann <kari@example.no>"
    assert message["Reply-To"] == "svar@fjordvik.no"
    assert message["Subject"] == "Vannet stenges på tirsdag"
    assert message["Date"].datetime == DATE
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == (
        "<20417-1.5e9f6a3c-0000-5000-8000-000000000001.2@retur.fjordvik.no>"
    )


def test_without_a_name_or_a_reply_address_there_is_only_the_address() -> None:
    plain = replace(MESSAGE, sender=Sender("post@fjordvik.no"))
    message = parsed(mail(plain, named("")))
    assert message["From"] == "post@fjordvik.no"
    assert message["To"] == "kari@example.no"
    assert message["Reply-To"] is None
    assert message["Message-ID"].endswith("@fjordvik.no>")


def test_text_and_html_are_alternatives_and_files_come_beside_them() -> None:
    raw = mail(files=[(PDF, b"%PDF"), (replace(PDF, name="b.csv", content_type="text/csv"), b"a")])
    assert_legal(raw)
    message = parsed(raw)
    assert message.get_content_type() == "multipart/mixed"
    alternative, *attachments = message.iter_parts()
    assert [part.get_content_type() for part in alternative.iter_parts()] == [
        "text/plain",
        "text/html",
    ]
    assert [part.get_content().strip() for part in alternative.iter_parts()] == [
        "Hei på deg",
        "<p>Hei på deg</p>",
    ]
    assert [(a.get_filename(), a.get_content_type()) for a in attachments] == [
        ("Vedtak – Ærøy.pdf", "application/pdf"),
        ("b.csv", "text/csv"),
    ]
    assert attachments[0].get_content() == b"%PDF"


def test_a_file_name_with_norwegian_letters_is_encoded_as_the_standard_says() -> None:
    raw = mail(files=[(PDF, b"%PDF")])
    assert b"filename*=utf-8''Vedtak%20%E2%80%93%20%C3%86r%C3%B8y.pdf" in raw


@pytest.mark.parametrize(
    ("given_type", "sent_as"),
    [
        ("application/pdf; name=x", "application/pdf"),
        ("", "application/octet-stream"),
        ("pdf", "application/octet-stream"),
        ("message/rfc822", "application/octet-stream"),
        ("multipart/mixed", "application/octet-stream"),
        ("image/png\r\nBcc: eva@ond.no", "image/png"),
    ],
)
def test_whatever_a_file_says_it_is_it_travels_whole(given_type: str, sent_as: str) -> None:
    raw = mail(files=[(replace(PDF, content_type=given_type), b"\0\r\n.\r\nFrom x\xff")])
    assert_legal(raw)
    [attachment] = parsed(raw).iter_attachments()
    assert attachment.get_content_type() == sent_as
    assert attachment.get_payload(decode=True) == b"\0\r\n.\r\nFrom x\xff"
    assert b"Bcc" not in raw


@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\x0b", "\x85", "\u2028"])
def test_nobody_adds_a_header_through_a_name_a_subject_or_a_file(line_break: str) -> None:
    evil = f"Kari{line_break}Bcc: eva@ond.no{line_break}{line_break}<script>"
    message = replace(MESSAGE, subject=evil, sender=replace(MESSAGE.sender, name=evil))
    raw = mail(message, named(evil), [(replace(PDF, name=evil), b"x")])
    assert_legal(raw)
    seen = parsed(raw)
    assert set(map(str.lower, seen.keys())) == set(map(str.lower, parsed(mail()).keys()))
    assert [address.addr_spec for address in seen["To"].addresses] == ["kari@example.no"]
    assert words(raw, "Subject").split() == ["Kari", "Bcc:", "eva@ond.no", "<script>"]
    [attachment] = seen.iter_attachments()
    assert attachment.get_filename() == "Kari Bcc- eva@ond.no -script"


def test_marks_that_reverse_or_hide_text_do_not_reach_the_reader() -> None:
    evil = "Fak\u202etura\u200b\ufeff"
    raw = mail(replace(MESSAGE, subject=evil), named(evil))
    assert words(raw, "Subject") == "Faktura"
    assert words(raw, "To") == "Faktura <kari@example.no>"


def test_half_a_character_does_not_stop_a_campaign() -> None:
    half = replace(MESSAGE, subject="Hei \ud83d", html="<p>\ud83d</p>", text="\ud83d")
    raw = mail(half, named("Kari \ud83d"), [(replace(PDF, name="\ud83d.pdf"), b"x")])
    assert_legal(raw)
    assert words(raw, "Subject") == "Hei ?"


@given(TEXT)
def test_any_subject_and_name_arrive_as_they_were(text: str) -> None:
    raw = mail(replace(MESSAGE, subject=text), named(text))
    assert_legal(raw)
    assert words(raw, "Subject") == text
    assert words(raw, "To").removesuffix("<kari@example.no>").removesuffix(" ") == (
        text or "kari@example.no"
    )
    assert [address.addr_spec for address in parsed(raw)["To"].addresses] == ["kari@example.no"]


@pytest.mark.parametrize("text", ["x" * 10_000, "blåbær " * 1_500, "å" * 10_000, "a, " * 3_000])
def test_a_subject_of_10_kb_is_folded_and_survives(text: str) -> None:
    raw = mail(replace(MESSAGE, subject=text))
    head = raw.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78 + len(DELIVERY.id)  # but for the Message-ID
    assert words(raw, "Subject") == text.strip()


@given(st.text(), st.text())
def test_any_text_and_html_arrive_but_for_control_characters(text: str, html: str) -> None:
    raw = mail(replace(MESSAGE, text=text, html=html))
    assert_legal(raw)
    parts = [part.get_content().replace("\r\n", "\n") for part in parsed(raw).iter_parts()]
    for was, is_now in zip((text, html), parts, strict=True):
        kept = was.replace("\r\n", "\n").replace("\r", "\n")
        kept = "".join(c for c in kept if c in "\n\t" or (c >= " " and c != "\x7f"))
        assert is_now.rstrip("\n") == kept.rstrip("\n")


def test_html_on_one_endless_line_is_broken_up_for_the_journey_only() -> None:
    html = f"<p>{'a' * 100_000}</p>"
    raw = mail(replace(MESSAGE, html=html))
    assert_legal(raw)
    assert [part.get_content() for part in parsed(raw).iter_parts()][1].strip() == html


def test_an_address_with_norwegian_letters_is_the_only_thing_that_is_not_ascii() -> None:
    recipient = replace(DELIVERY.recipient, name="Bjørg", address="bjørg@example.no")
    raw = mail(delivery=replace(DELIVERY, recipient=recipient))
    assert raw.replace("bjørg@example.no".encode(), b"").isascii()


def test_the_archive_copy_is_the_same_mail_to_nobody() -> None:
    body = mime.body(MESSAGE, [(PDF, b"%PDF")])
    copy = mime.archive_copy(MESSAGE, body, DATE)
    sent = mime.build(DELIVERY, MESSAGE, body, DATE)
    assert b"kari@example.no" in sent
    assert sent.endswith(copy)
    assert parsed(copy)["To"] is None
    assert parsed(copy)["Subject"] == MESSAGE.subject
