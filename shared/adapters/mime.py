"""A message as a mail on the wire: RFC 5322 and MIME, all ASCII but for addresses that are not.

What everybody gets (`body`) is made once per campaign; `build` puts a recipient's headers in
front of it. The headers are written by `email.header`, not `EmailMessage`, whose folding loses
spaces between encoded words (python/cpython#144156: Yahoo refuses such mail) and in older
versions unquotes commas in names (#121284).
"""

import re
from collections.abc import Sequence
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from shared.domain.delivery import OpenDelivery
from shared.domain.html import encodable, one_line, safe_file_name
from shared.domain.message import File, Message, Sender

#: 7bit: no server need offer 8BITMIME, and no line is longer than the standard allows.
_POLICY = SMTP.clone(cte_type="7bit")
#: May stand in a header as it is, also in a name. Everything else goes as encoded words.
_PLAIN = re.compile(r"[A-Za-z0-9 !'*+/&_-]{0,60}")
_CONTENT_TYPE = re.compile(r"(?!multipart/|message/)([a-z]+)/([a-z0-9.+_-]+)", re.IGNORECASE)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


def message_id(delivery: OpenDelivery, sender: Sender) -> str:
    """Names campaign, delivery and round, so that a bounce or a mailbox can be matched with us."""
    domain = sender.envelope_from.rpartition("@")[2]
    return f"<{delivery.campaign}.{delivery.id}.{delivery.round}@{domain}>"


def body(message: Message, files: Sequence[tuple[File, bytes]]) -> bytes:
    """What is the same for everybody: text, HTML and attachments, from `Content-Type` on."""
    mail = EmailMessage(policy=_POLICY)
    mail.set_content(_text(message.text))
    mail.add_alternative(_text(message.html), subtype="html")
    for file, data in files:
        known = _CONTENT_TYPE.match(file.content_type)
        maintype, subtype = known.groups() if known else ("application", "octet-stream")
        name = safe_file_name(file.name)
        mail.add_attachment(data, maintype=maintype, subtype=subtype, filename=name)
    return mail.as_bytes()


def build(delivery: OpenDelivery, message: Message, body: bytes, date: datetime) -> bytes:
    """The mail to one recipient, ready for DATA."""
    to = _mailbox("To", delivery.recipient.name, delivery.recipient.address)
    own = {"To": to, "Message-ID": message_id(delivery, message.sender)}
    return _lines(own | _common_headers(message, date)) + body


def plain(message: Message, to: str, message_id: str, date: datetime) -> bytes:
    """A mail to somebody who is no recipient: the text alone."""
    mail = EmailMessage(policy=_POLICY)
    mail.set_content(_text(message.text))
    own = {"To": to, "Message-ID": message_id}
    return _lines(own | _common_headers(message, date)) + mail.as_bytes()


def archive_copy(message: Message, body: bytes, date: datetime) -> bytes:
    """What was sent, as an `.eml` that names no recipient."""
    return _lines(_common_headers(message, date)) + body


def _common_headers(message: Message, date: datetime) -> dict[str, str]:
    sender = message.sender
    return {
        "From": _mailbox("From", sender.name, sender.address),
        **({"Reply-To": sender.reply_to} if sender.reply_to else {}),
        "Subject": _words("Subject", message.subject),
        "Date": format_datetime(date),
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply",  # what Exchange goes by instead
    }


def _lines(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


def _mailbox(header: str, name: str, address: str) -> str:
    words = _words(header, name)
    return f"{words} <{address}>" if words else address


def _words(header: str, text: str) -> str:
    text = one_line(text)
    if _PLAIN.fullmatch(text):
        return text
    return Header(text, "utf-8", header_name=header).encode(linesep="\r\n")


def _text(text: str) -> str:
    return _CONTROLS.sub("", encodable(text).replace("\r\n", "\n").replace("\r", "\n"))
