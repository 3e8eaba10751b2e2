"""Every example of a mail goes through a real Postfix and comes out as it went in.

Where it is not installed, or the tests are not run by root, this is skipped; CI runs it.
"""

from __future__ import annotations

import smtplib

import pytest

from tests.adapters.mails import EXAMPLES, Example, parts_of
from tests.adapters.postfix import missing, postfix

reason = missing()


@pytest.mark.skipif(bool(reason), reason=reason)
def test_every_mail_comes_out_of_a_real_postfix_with_the_same_headers_and_parts() -> None:
    with postfix() as server:
        with smtplib.SMTP("127.0.0.1", server.port) as client:
            client.ehlo()
            for number, example in enumerate(EXAMPLES.values()):
                plain = example.address.isascii()
                options = () if plain else ("SMTPUTF8", "BODY=8BITMIME")
                # whose it is, as one recipient gets many
                sender = f"retur-{number}@fjordvik.no"
                refused = client.sendmail(sender, [example.address], example.raw, options)
                assert not refused
        received = server.received(len(EXAMPLES))
    by_sender = {sender_of(mail): mail for mail in received}
    assert len(by_sender) == len(received) == len(EXAMPLES)
    for number, (name, example) in enumerate(EXAMPLES.items()):
        mail = by_sender[f"<retur-{number}@fjordvik.no>"]
        assert_untouched(mail, example, name)


def sender_of(mail: bytes) -> str:
    """What Postfix has written at the top of it."""
    return dict(parts_of(mail)[0].headers)["Return-Path"]


def assert_untouched(mail: bytes, example: Example, name: str) -> None:
    (came, *parts), (went, *sent) = parts_of(mail), parts_of(example.raw)
    added = {"Return-Path", "X-Original-To", "Delivered-To", "Received"}
    kept = tuple(header for header in came.headers if header[0] not in added)
    assert kept == went.headers, name
    assert came.content == went.content, name
    assert parts == sent, name
    assert mail.replace(b"\r\n", b"\n").endswith(example.body.replace(b"\r\n", b"\n")), name
