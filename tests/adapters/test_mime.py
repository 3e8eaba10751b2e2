"""What goes on the wire is legal whatever people wrote, and says what they wrote.

`mails.py` has the examples of `golden/`, and how to renew these.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters import mime
from shared.domain.delivery import OpenDelivery
from shared.domain.message import File, Message, Sender
from shared.domain.recipient import Recipient
from tests.adapters.mails import EXAMPLES, GOLDEN, Example, Part, parts_of

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
    to, id_ = delivery.recipient, mime.message_id(delivery, message.sender)
    return mime.build(to.name, to.address, id_, message, mime.body(message, files or []), DATE)


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
    contents = [part.get_content().replace("\r\n", "\n") for part in alternative.iter_parts()]
    assert [content.strip() for content in contents] == [
        "Hei på deg",
        mime.document(MESSAGE),
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


@given(st.text(), st.text(min_size=1))
def test_any_text_and_html_arrive_but_for_control_characters(text: str, html: str) -> None:
    message = replace(MESSAGE, text=text, html=html)
    raw = mail(message)
    assert_legal(raw)
    parts = [part.get_content().replace("\r\n", "\n") for part in parsed(raw).iter_parts()]
    for was, is_now in zip((text, mime.document(message)), parts, strict=True):
        kept = was.replace("\r\n", "\n").replace("\r", "\n")
        kept = "".join(c for c in kept if c in "\n\t" or (c >= " " and c != "\x7f"))
        assert is_now.rstrip("\n") == kept.rstrip("\n")


def test_html_on_one_endless_line_is_broken_up_for_the_journey_only() -> None:
    html = f"<p>{'a' * 100_000}</p>"
    raw = mail(replace(MESSAGE, html=html))
    assert_legal(raw)
    assert html in [part.get_content() for part in parsed(raw).iter_parts()][1]


def test_an_address_with_norwegian_letters_is_the_only_thing_that_is_not_ascii() -> None:
    recipient = replace(DELIVERY.recipient, name="Bjørg", address="bjørg@example.no")
    raw = mail(delivery=replace(DELIVERY, recipient=recipient))
    assert raw.replace("bjørg@example.no".encode(), b"").isascii()


def test_the_archive_copy_is_the_same_mail_to_nobody() -> None:
    body = mime.body(MESSAGE, [(PDF, b"%PDF")])
    copy = mime.archive_copy(MESSAGE, body, DATE)
    sent = mime.build("Kari", "kari@example.no", "<1@b.no>", MESSAGE, body, DATE)
    assert b"kari@example.no" in sent
    assert sent.endswith(copy)
    assert parsed(copy)["To"] is None
    assert parsed(copy)["Subject"] == MESSAGE.subject


HEADERS = [
    *("To", "Message-ID", "From", "Reply-To", "Subject", "Date", "Content-Language"),
    *("Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version", "Content-Type"),
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_mail_is_part_by_part_and_header_by_header_as_it_is_kept(name: str) -> None:
    kept = (GOLDEN / f"{name}.eml").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert parts_of(EXAMPLES[name].raw) == parts_of(kept)


def test_there_is_nothing_kept_that_is_not_compared() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_was_put_in_comes_out(name: str) -> None:
    example = EXAMPLES[name]
    raw = example.raw
    assert raw.count(b"\r\n") == raw.count(b"\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    whole = parts_of(raw)[0]
    assert sorted(set(whole.names) - {"Content-Transfer-Encoding"}) == sorted(HEADERS)
    assert words(raw, "Subject") == example.message.subject
    address = example.address.encode()
    assert b"<%b>" % address in raw
    assert words(raw.replace(address, b"a@b.no"), "To") == f"{example.name} <a@b.no>"
    assert_same_parts(raw, example)


def assert_same_parts(raw: bytes, example: Example) -> None:
    text, *html, files = split(raw)
    assert text.content.rstrip("\n") == example.message.text.rstrip("\n")
    if example.message.html:
        assert html[0].content.rstrip("\n") == mime.document(example.message).rstrip("\n")
    assert sorted(as_sent(part) for part in files) == sorted(
        (file.name, data) for file, data in example.files
    )


def as_sent(part: Part) -> tuple[str | None, str | bytes]:
    return part.name, part.content


def split(raw: bytes) -> list[Any]:
    """Text, perhaps HTML, and a list of the files."""
    leaves = [part for part in parts_of(raw) if not part.content_type.startswith("multipart/")]
    words = [part for part in leaves if part.name is None]
    return [*words, [part for part in leaves if part.name is not None]]


def layers(raw: bytes) -> list[str]:
    kinds = [part.content_type for part in parts_of(raw)]
    return [kind.removeprefix("multipart/") for kind in kinds]


@pytest.mark.parametrize(
    ("html", "files", "expected"),
    [
        ("", "", "text/plain"),
        ("", "F", "mixed text/plain application/pdf"),
        ("", "P", "mixed text/plain image/png"),
        ("<p>a</p>", "", "alternative text/plain text/html"),
        ("<p>a</p>", "F", "mixed alternative text/plain text/html application/pdf"),
        ("<img src='cid:p%40x'>", "P", "related alternative text/plain text/html image/png"),
        ("<img src='cid:andre'>", "P", "mixed alternative text/plain text/html image/png"),
        (
            "<img src='cid:p@x'>",
            "FPP",
            "mixed related alternative text/plain text/html image/png application/pdf image/png",
        ),
    ],
)
def test_there_are_only_as_many_layers_as_are_needed(html: str, files: str, expected: str) -> None:
    picture = (File("a.png", "image/png", 1, "b", content_id="<p@x>"), b"p")
    content = [{"F": (PDF, b"%PDF"), "P": picture}[kind] for kind in files]
    raw = mail(replace(MESSAGE, html=html), files=content)
    assert_legal(raw)
    assert layers(raw) == expected.split()


def test_a_picture_in_the_text_is_found_by_its_id_and_is_no_attachment() -> None:
    raw = mail(
        replace(MESSAGE, html='<img src="cid:%3Cp@x%3E">'),
        files=[(File("Våpen.png", "image/png", 1, "b", content_id="p@x"), b"p")],
    )
    [picture] = split(raw)[-1]
    assert picture.content_id == "p@x"
    assert dict(picture.headers)["Content-Disposition"].startswith("inline;")
    assert picture.name == "Våpen.png"
    assert layers(raw)[0] == "related"


@pytest.mark.parametrize("evil", ["a@x>\r\nBcc: eva@ond.no", "a b@x", "å@x", "a" * 300, '"a"@x'])
def test_a_content_id_that_no_header_can_hold_makes_an_attachment(evil: str) -> None:
    html = f'<img src="cid:{quote(evil)}">'
    file = File("a.png", "image/png", 1, "b", content_id=evil)
    raw = mail(replace(MESSAGE, html=html), files=[(file, b"p")])
    assert_legal(raw)
    assert layers(raw)[0] == "mixed"
    assert b"Content-ID" not in raw
    assert b"\nBcc" not in raw


def test_a_long_content_id_and_a_long_file_name_are_not_broken_up() -> None:
    id_, name = f"{'a' * 150}@fjordvik.no", "å" * 70 + ".pdf"
    file = File(name, "image/png", 1, "b", content_id=id_)
    raw = mail(replace(MESSAGE, html=f'<img src="cid:{id_}">'), files=[(file, b"p")])
    assert f"Content-ID: <{id_}>\r\n".encode() in raw
    assert f"filename*=utf-8''{'%C3%A5' * 70}.pdf\r\n".encode() in raw
    assert words_in(raw, "name") == name


def words_in(raw: bytes, parameter: str) -> str:
    """The last file's name as those read it who know encoded words only."""
    *_, found = re.findall(rf'[ ;]{parameter}="([^"]*)"'.encode(), raw)
    return str(make_header(decode_header(found.decode())))


def test_the_same_message_makes_the_same_body() -> None:
    example = EXAMPLES["alt-samtidig"]
    assert example.body == example.body


def test_a_document_says_its_language_and_its_title() -> None:
    document = mime.document(replace(MESSAGE, subject="Vann & <avløp>", lang="nn"))
    assert document.startswith('<!DOCTYPE html>\n<html lang="nn">')
    assert "<title>Vann &amp; &lt;avløp&gt;</title>" in document
    assert '<meta charset="utf-8">' in document


def test_a_language_that_is_none_is_bokmål() -> None:
    message = replace(MESSAGE, lang='nb"><script>\r\nBcc: eva@ond.no')
    assert '<html lang="nb">' in mime.document(message)
    assert parsed(mail(message))["Content-Language"] == "nb"


def test_an_address_in_settings_with_another_domain_than_ascii_needs_no_smtputf8() -> None:
    sender = Sender("post@blåbær.no", "Blåbær", "svar@blåbær.no")
    raw = mail(replace(MESSAGE, sender=sender))
    assert b"<post@xn--blbr-roah.no>" in raw
    assert b"Reply-To: svar@xn--blbr-roah.no\r\n" in raw
    assert_legal(raw)


HOSTILE = st.text(max_size=40) | st.lists(
    st.sampled_from(
        [
            *("\r\n", "\n", "\0", "\u2028", "\x85", "%0d%0a", "\ud83d", "å", "🙂", " "),
            *('"', "'", "<", ">", ",", ";", "@", "*", "/", "..", "\\"),
            *("Bcc: eva@ond.no", "=?utf-8?q?", "?=", "--=_"),
        ]
    ),
    max_size=10,
).map("".join)


@settings(max_examples=60)
@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_nothing_that_strangers_write_adds_a_header_or_loses_a_part(
    name: str, address: str, subject: str, file_name: str, html: str, id_: str
) -> None:
    sender = Sender(f"a{address}@b.no", name, f"c{address}@b.no", f"d{address}@b.no")
    message = Message(subject, f'<img src="cid:p@x">{html}', html, sender, lang=name)
    delivery = OpenDelivery("1", id_, Recipient("user:1", name, f"k{address}@b.no"))
    data = f"{html}\r\n.\r\n{name}".encode("utf-8", "replace")
    files = [
        (File(file_name, f"{id_}/{name}", 1, "b", content_id=id_), data),
        (File(file_name, "image/png", 1, "b", content_id="p@x"), data),
    ]
    raw = mail(message, delivery, files)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert b"\0" not in raw
    seen = message_from_bytes(raw)
    assert seen.keys() == HEADERS
    content = [part for part in seen.walk() if not part.is_multipart()]
    kinds = [part.get_content_type() for part in content]
    assert kinds[:2] == ["text/plain", "text/html"]
    assert [part.get_payload(decode=True) for part in content[2:]] == [data, data]
    for part in content:
        assert len(part.keys()) == len(set(part.keys()))
        assert {*part.keys()} <= {
            *("Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID")
        }
