"""Mails that say that a mail came back: as servers write them, and as nobody should."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.bounce_mail import read_bounce
from shared.adapters.mime import message_id
from shared.domain.bounce import BounceKind, Posted, posted
from shared.domain.delivery import OpenDelivery, delivery_id
from shared.domain.message import Sender
from shared.domain.recipient import Recipient
from tests.examples import ROOT

ID = delivery_id("20417-1/ab12", "kari@example.no")
OURS = f"<20417-1.{ID}.2@example.org>"
HARD, REFUSED, SOFT = BounceKind.HARD, BounceKind.REFUSED, BounceKind.SOFT

ORIGINAL = f"""Content-Type: message/rfc822

From: Fjordvik <ikke-svar@example.org>
To: =?utf-8?q?K=C3=A5re?= <kari@example.no>
Message-ID: {OURS}
Subject: =?utf-8?q?H=C3=B8ring?=
Content-Type: text/plain

Hei."""

HEADERS = f"""Content-Type: text/rfc822-headers

From: Fjordvik <ikke-svar@example.org>
Message-ID: {OURS}
Subject: Hei
"""

POSTFIX = """Final-Recipient: rfc822; kari@example.no
Original-Recipient: rfc822;Kari@example.no
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.no
Diagnostic-Code: smtp; 550 5.1.1 <kari@example.no>: Recipient address
    rejected: User unknown"""


def report(
    recipient: str = POSTFIX,
    original: str = ORIGINAL,
    head: str = "",
    kind: str = "delivery-status",
    per_mail: str = "Reporting-MTA: dns; mx.example.org\nX-Postfix-Queue-ID: 4F1\n\n",
    part: str = "message/delivery-status",
) -> bytes:
    """A report as Postfix writes it; it says that it is an automatic answer, as it should."""
    text = f"""From: MAILER-DAEMON@example.org
To: retur@example.org
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
{head}MIME-Version: 1.0
Content-Type: multipart/report; report-type={kind};
    boundary="4F1/mx"

This is a MIME-encapsulated message.

--4F1/mx
Content-Type: text/plain; charset=utf-8

Jeg beklager.

--4F1/mx
Content-Type: {part}

{per_mail}{recipient}

--4F1/mx
{original}

--4F1/mx--
"""
    return text.replace("\n", "\r\n").encode()


def test_a_postfix_report_says_who_did_not_get_which_mail_and_why():
    [returned] = read_bounce(report())
    assert returned.references == (OURS,)
    assert posted(returned.references[0]) == Posted("20417-1", ID, 2)
    assert returned.kind is HARD
    assert returned.addresses == ("Kari@example.no", "kari@example.no")
    assert returned.detail == "550 5.1.1 … Recipient address rejected: User unknown (5.1.1)"


@pytest.mark.parametrize(
    ("file", "kind", "address", "detail"),
    [
        ("postfix", HARD, "gone@example.no", "Ingen bruker med det navnet (5.1.1)"),
        ("postfix_headers_only", REFUSED, "full@example.no", "Postkassen er full (5.2.2)"),
        ("postfix_international", HARD, "kåre@example.no", "Ukjent (5.1.1)"),
    ],
)
def test_what_a_real_postfix_sent_back_is_understood(file, kind, address, detail):
    """Made by Postfix 3 of a mail of ours to an address that it was told to refuse."""
    mail = (ROOT / f"tests/adapters/bounces/{file}.eml").read_bytes()
    [returned] = read_bounce(mail)
    assert (returned.kind, returned.references) == (kind, (OURS,))
    assert (set(returned.addresses), returned.detail) == ({address}, detail)


def test_line_ends_do_not_matter():
    assert read_bounce(report().replace(b"\r\n", b"\n")) == read_bounce(report())


def test_the_id_is_the_one_that_our_mails_have():
    recipient = Recipient("user:1", "Kari", "kari@example.no", 1)
    delivery = OpenDelivery(ID, "20417-1", recipient, round=2)
    assert message_id(delivery, Sender("a@example.org", "Fjordvik", "", "r@example.org")) == OURS


@pytest.mark.parametrize(
    "message_id",
    [
        "<20417-1.3f2a.1@example.org>",
        f"<20417.{ID}.1@example.org>",
        f"<020417-1.{ID}.1@example.org>",
        f"<20417-1.{ID}.0@example.org>",
        f"<20417-1.{ID}.1x@example.org>",
        f"<20417-1.{ID.upper()}.1@example.org>",
        f"<20417-1.{ID}.1\N{ARABIC-INDIC DIGIT ONE}@example.org>",
        f"<x.20417-1.{ID}.1@example.org>",
        f"<20417-1.{ID}.1@a@b>",
        f"20417-1.{ID}.1@example.org",
        "",
    ],
)
def test_what_only_looks_like_an_id_of_ours_is_none(message_id):
    assert posted(message_id) is None


def test_the_lost_mails_headers_are_enough():
    [returned] = read_bounce(report(original=HEADERS))
    assert returned.references == (OURS,)


def exchange(original: str) -> bytes:
    return report(
        """Final-Recipient: rfc822;kari@example.no
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient kari@example.no not
 found by SMTP address lookup
X-Display-Name: Kari""",
        original=original,
        head=f"""In-Reply-To: {OURS}
References: <first@example.org>
 {OURS}
X-MS-Exchange-Message-Is-Ndr:
""",
        per_mail="Reporting-MTA: dns;OSLP279MB1234.NORP279.PROD.OUTLOOK.COM\n\n",
    )


def test_an_exchange_report_without_the_lost_mail_says_what_it_answers():
    [returned] = read_bounce(exchange("Content-Type: text/html\n\n<p>Delivery has failed</p>"))
    assert returned.references == (OURS, "<first@example.org>")
    assert returned.kind is HARD
    assert returned.addresses == ("kari@example.no",)
    assert "@" not in returned.detail
    assert "RESOLVER.ADR.RecipientNotFound" in returned.detail


def test_what_the_lost_mail_says_itself_comes_first():
    other = ORIGINAL.replace(OURS, "<AM6PR07@eurprd07.prod.outlook.com>")
    [returned] = read_bounce(exchange(other))
    assert returned.references[:2] == ("<AM6PR07@eurprd07.prod.outlook.com>", OURS)


@pytest.mark.parametrize(
    ("action", "status", "diagnostic", "kind"),
    [
        ("failed", "5.1.1", "smtp; 550 5.1.1 no such user", HARD),
        ("FAILED", "5.1.2", "", HARD),
        ("failed", "5.1.10", "smtp; 556 5.1.10 null MX", HARD),
        ("failed", "5.2.1", "smtp; 550 5.2.1 disabled", HARD),
        ("failed", "5.0.0", "smtp; 550-5.1.1 The email account does not exist", HARD),
        ("failed", "", "smtp; 550 5.1.1 no such user", HARD),
        ("failed", "5.0.0", "smtp; 550 from 10.5.1.1: no", REFUSED),
        ("failed", "5.0.0", "smtp; 550 from 5.1.1.7: no", REFUSED),
        ("failed", "5.7.1", "smtp; 550 5.1.1 says somebody else", REFUSED),
        ("failed", "5.1.0", "smtp; 550 no", REFUSED),
        ("failed", "5.1.8", "smtp; 550 5.1.8 bad sender domain", REFUSED),
        ("failed", "5.2.2", "smtp; 552 5.2.2 mailbox full", REFUSED),
        ("failed", "5.4.1", "smtp; 550 5.4.1 Access denied", REFUSED),
        ("failed", "5.7.1", "smtp; 550 5.7.1 5.1.1 spam", REFUSED),
        ("failed", "4.4.7", "smtp; 450 4.1.1 greylisted for long", REFUSED),
        ("failed", "", "", REFUSED),
        ("failed", "fem.en.en", "x", REFUSED),
        ("delayed", "4.4.1", "smtp; 450 4.1.1 try later", SOFT),
        ("delivered", "2.0.0", "", None),
        ("relayed", "2.0.0", "", None),
        ("expanded", "2.0.0", "", None),
    ],
)
def test_what_statuses_mean(action, status, diagnostic, kind):
    block = f"Final-Recipient: rfc822; kari@example.no\nAction: {action}\nStatus: {status}\n"
    block += f"Diagnostic-Code: {diagnostic}" if diagnostic else "X-Nothing: 1"
    assert [one.kind for one in read_bounce(report(block))] == ([kind] if kind else [])


def test_each_recipient_in_a_report_is_told_of():
    others = POSTFIX.replace("kari@", "ola@").replace("Kari@", "ola@").replace("5.1.1", "5.7.1")
    told = read_bounce(report(f"{POSTFIX}\n\n{others}"))
    assert [(one.addresses[-1], one.kind) for one in told] == [
        ("kari@example.no", HARD),
        ("ola@example.no", REFUSED),
    ]


def test_an_international_report_is_read_too():
    block = POSTFIX.replace("rfc822; kari@", "utf-8; kåre@").replace("<kari@", "<kåre@")
    original = ORIGINAL.replace("message/rfc822", "message/global")
    part = "message/global-delivery-status"
    [returned] = read_bounce(report(block, original, part=part))
    assert (returned.kind, returned.references) == (HARD, (OURS,))
    assert returned.addresses[0] == "Kari@example.no"


OUT_OF_OFFICE = f"""From: kari@example.no
To: ikke-svar@example.org
Subject: Automatisk svar: Ferie
Auto-Submitted: auto-replied
In-Reply-To: {OURS}
References: {OURS}
Content-Type: text/plain; charset=utf-8

Jeg er tilbake mandag. Final-Recipient: rfc822; kari@example.no
Action: failed
"""
READ_RECEIPT = report(
    "Final-Recipient: rfc822; kari@example.no\nDisposition: manual-action/MDN-sent; displayed",
    kind="disposition-notification",
    part="message/disposition-notification",
)


@pytest.mark.parametrize(
    "mail",
    [
        OUT_OF_OFFICE.encode(),
        READ_RECEIPT,
        ORIGINAL.encode(),
        b"",
        b"\x00\xff\xfe",
        b"Content-Type: multipart/report\r\n\r\n",
        b"Content-Type: multipart/report; boundary=\r\n\r\n--\r\n",
        report("", ""),
        report("Final-Recipient: rfc822; kari@example.no"),
    ],
    ids=range(9),
)
def test_answers_receipts_and_rubbish_say_nothing(mail):
    assert read_bounce(mail) == []


def test_a_report_that_somebody_passes_on_is_none():
    passed_on = b"Content-Type: message/rfc822\r\nSubject: Fwd\r\n\r\n" + report()
    assert read_bounce(report()) != []
    assert read_bounce(passed_on) == []
    mixed = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + passed_on + b"\r\n--x--"
    assert read_bounce(mixed) == []


def test_a_report_that_a_gateway_has_put_its_note_around_is_read():
    mixed = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + report() + b"\r\n--x--"
    assert [one.kind for one in read_bounce(mixed)] == [HARD]


def test_a_lost_mail_with_large_files_is_not_read_to_its_end():
    started = time.process_time()
    [returned] = read_bounce(report() + b"A" * 70 + b"\r\n" * 5_000_000)
    assert returned.references == (OURS,)
    assert time.process_time() - started < 1


def nested(depth: int) -> bytes:
    opened = "".join(
        f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(depth)
    )
    return opened.encode() + report()


def mails_in_mails(depth: int) -> bytes:
    return b"Content-Type: message/rfc822\r\n\r\n" * depth + report()


@pytest.mark.parametrize(
    "mail",
    [
        nested(5_000),
        nested(300) + b"\n" * 150_000,
        mails_in_mails(20_000),
        b"Content-Type: multipart/report; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 100_000,
        report(head="References: " + "<a@b> " * 100_000 + "\n"),
        report(head="X-A: b\n" * 100_000),
        report(POSTFIX + "\n\n" + "Action: failed\n\n" * 50_000),
        report(POSTFIX.replace("5.1.1", "5.1." + "1" * 100_000)),
        report(POSTFIX.replace("User", "<" * 300_000)),
        report(original=ORIGINAL.replace(OURS, "<" * 300_000)),
        report(original=ORIGINAL.replace("=?utf-8?q?H=C3=B8ring?=", "=?x?q?" * 50_000)),
    ],
    ids=range(11),
)
def test_nobody_can_make_it_take_long(mail):
    started = time.process_time()
    read_bounce(mail)
    assert time.process_time() - started < 2


def test_encodings_that_do_not_exist_do_not_matter():
    strange = report().replace(b"message/delivery-status", b"message/delivery-status; charset=x")
    strange = strange.replace(b"Jeg beklager.", b"\xff\xfe\x00")
    assert [one.kind for one in read_bounce(strange)] == [HARD]
    encoded = HEADERS.replace("\n\n", "; charset=klingon\nContent-Transfer-Encoding: 8bit\n\n", 1)
    assert [one.references for one in read_bounce(report(original=encoded))] == [(OURS,)]


WORDS = st.sampled_from(
    [
        *("Content-Type: ", "multipart/report", "; report-type=", "delivery-status", "boundary="),
        *("--x", "message/delivery-status", "message/rfc822", "text/rfc822-headers", "\r\n", "\n"),
        *("Final-Recipient: ", "rfc822;", "Action: failed", "Status: ", "5.1.1", "Message-ID: "),
        *(OURS, "<", ">", "@", '"', "=?utf-8?q?", "?=", "\x00", "æøå", "Content-Transfer-Encoding"),
        *(": base64", "\r\n\r\n", "x", ";", " ", "charset=", "utf-7", "*0*=", "''%ff", "(", "\\"),
    ]
)
GRAMMAR = st.lists(WORDS, max_size=60).map(lambda words: "".join(words).encode())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300) | GRAMMAR, st.integers(0, len(report())))
def test_nothing_that_can_be_sent_raises(piece, at):
    """The library's own bugs are caught too; what comes of it is plain data without addresses."""
    for mail in (piece, report()[:at] + piece + report()[at:]):
        for returned in read_bounce(mail):
            assert "@" not in returned.detail
            assert all(isinstance(one, str) for one in (*returned.references, *returned.addresses))
