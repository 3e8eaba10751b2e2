"""A message as a mail on the wire: RFC 5322 and MIME, all ASCII but for addresses that are not.

    multipart/mixed              where there are attachments
      multipart/related          where the text shows pictures that travel with it
        multipart/alternative    where there is HTML
          text/plain
          text/html
        the pictures
      the attachments

What everybody gets (`body`) is made once per campaign; `build` puts a recipient's headers in
front of it. Those are written by `email.header`, not `EmailMessage`, whose folding loses
spaces between encoded words (python/cpython#144156: Yahoo refuses such mail) and in older
versions unquotes commas in names (#121284). See docs/decisions/0019-how-mail-is-made.md.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from email.header import Header
from email.message import MIMEPart
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import sha256
from html import escape
from urllib.parse import quote

from shared.domain.delivery import OpenDelivery
from shared.domain.html import encodable, one_line, safe_file_name
from shared.domain.message import File, Message, Sender
from shared.domain.pictures import shown

#: 7bit: no server need offer 8BITMIME, and no line is longer than the standard allows.
_POLICY = SMTP.clone(cte_type="7bit")
#: The headers of parts are not folded: the standard library would break a long `Content-ID` into
#: encoded words (python/cpython#100293), and a file name into pieces that few can put together.
_UNFOLDED = _POLICY.clone(max_line_length=998)
#: May stand in a header as it is, also in a name. Everything else goes as encoded words.
_PLAIN = re.compile(r"[A-Za-z0-9 !'*+/&_-]{0,60}")
_PLAIN_FILE_NAME = re.compile(r"[A-Za-z0-9 !'+&_().,-]{1,60}")
_CONTENT_TYPE = re.compile(r"(?!multipart/|message/)([a-z]+)/([a-z0-9.+_-]+)", re.IGNORECASE)
#: What mail programs make. With anything else a picture could not be found by its id anyway.
_CONTENT_ID = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~@-]{1,200}")
_NOT_IN_ADDRESSES = re.compile(r"[\s\x00-\x20\x7f-\xa0<>,;]")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,3}")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


def message_id(delivery: OpenDelivery, sender: Sender) -> str:
    """Names campaign, delivery and round, so that a bounce or a mailbox can be matched with us."""
    domain = _address(sender.envelope_from).rpartition("@")[2]
    return f"<{delivery.campaign}.{delivery.id}.{delivery.round}@{domain}>"


def body(message: Message, files: Sequence[tuple[File, bytes]]) -> bytes:
    """What is the same for everybody: text, HTML and files, from `Content-Type` on.

    A file that the HTML shows by its content id is a picture in the text; the others, and any that
    has the same content id as one before it, are attachments.
    """
    html = document(message) if message.html else ""
    wanted = shown(html)
    inside: list[MIMEPart] = []
    beside: list[MIMEPart] = []
    for file, data in files:
        content_id = file.content_id.strip().strip("<>")
        if content_id in wanted and _CONTENT_ID.fullmatch(content_id):
            wanted.remove(content_id)
            inside.append(_file(file, data, content_id))
        else:
            beside.append(_file(file, data))
    # No part can have such a line: it would have to hold its own hash.
    boundary = f"=_{sha256(encodable(message.text + html).encode()).hexdigest()[:32]}"
    part = _words_of(message.text, "plain")
    if html:
        part = _multipart("alternative", [part, _words_of(html, "html")], boundary)
    if inside:
        part = _multipart("related", [part, *inside], boundary)
    if beside:
        part = _multipart("mixed", [part, *beside], boundary)
    mail = part.as_bytes(policy=_UNFOLDED)
    return b"MIME-Version: 1.0\r\n" + mail


def document(message: Message) -> str:
    """The message's HTML as a whole document, with its language and title."""
    language = _language(message)
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(one_line(message.subject))}</title>\n</head>\n<body>\n"
        f"{message.html}\n</body>\n</html>"
    )


def build(
    name: str, address: str, message_id: str, message: Message, body: bytes, date: datetime
) -> bytes:
    """The mail to one recipient, ready for DATA."""
    own = {"To": _mailbox("To", name, address), "Message-ID": one_line(message_id)}
    return _lines(own | _common_headers(message, date)) + body


def archive_copy(message: Message, body: bytes, date: datetime) -> bytes:
    """What was sent, as an `.eml` that names no recipient."""
    return _lines(_common_headers(message, date)) + body


def _common_headers(message: Message, date: datetime) -> dict[str, str]:
    sender = message.sender
    return {
        "From": _mailbox("From", sender.name, sender.address),
        **({"Reply-To": _address(sender.reply_to)} if sender.reply_to else {}),
        "Subject": _words("Subject", message.subject),
        "Date": format_datetime(date),
        "Content-Language": _language(message),
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply",  # what Exchange goes by instead
    }


def _words_of(text: str, subtype: str) -> MIMEPart:
    part = MIMEPart(policy=_POLICY)
    part.set_content(_text(text), subtype=subtype)
    return part


def _multipart(subtype: str, parts: Sequence[MIMEPart], boundary: str) -> MIMEPart:
    whole = MIMEPart(policy=_POLICY)
    whole.set_raw("Content-Type", f'multipart/{subtype}; boundary="{boundary}-{subtype}"')
    if subtype == "related":
        root = parts[0].get_content_type()
        whole.replace_header("Content-Type", f'{whole["Content-Type"]}; type="{root}"')
    for part in parts:
        whole.attach(part)
    return whole


def _file(file: File, data: bytes, content_id: str = "") -> MIMEPart:
    """A file as a part: a picture in the text if it has a content id, else an attachment.

    Its name stands there twice: as RFC 2231 has it, and in the type as encoded words, which are
    against the rules but what Outlook reads where it fetches mail by POP or IMAP.
    """
    known = _CONTENT_TYPE.match(file.content_type)
    kind = known[0].lower() if known else "application/octet-stream"
    name = safe_file_name(file.name)
    part = MIMEPart(policy=_POLICY)
    part.set_content(data, *kind.split("/"))
    del part["Content-Type"]
    if _PLAIN_FILE_NAME.fullmatch(name):
        named, filename = f'name="{name}"', f'filename="{name}"'
    else:
        named = f'name="{Header(name, "utf-8").encode(linesep="")}"'
        filename = f"filename*=utf-8''{quote(name, safe='')}"
    part.set_raw("Content-Type", f"{kind}; {named}")
    if content_id:
        part.set_raw("Content-Disposition", f"inline; {filename}")
        part.set_raw("Content-ID", f"<{content_id}>")
    else:
        part.set_raw("Content-Disposition", f"attachment; {filename}")
    return part


def _language(message: Message) -> str:
    return message.lang if _LANGUAGE.fullmatch(message.lang) else "nb"


def _lines(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


def _mailbox(header: str, name: str, address: str) -> str:
    words = _words(header, name)
    return f"{words} <{_address(address)}>" if words else _address(address)


def _address(address: str) -> str:
    """One address and nothing else. Its domain in ASCII: only what is before the @ may need
    SMTPUTF8. Of recipients both are seen to before; settings may hold others.
    """
    local, at, domain = _NOT_IN_ADDRESSES.sub("", encodable(address)).rpartition("@")
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode()
    return f"{local}{at}{domain}"


def _words(header: str, text: str) -> str:
    text = one_line(text)
    if _PLAIN.fullmatch(text):
        return text
    return Header(text, "utf-8", header_name=header).encode(linesep="\r\n")


def _text(text: str) -> str:
    return _CONTROLS.sub("", encodable(text).replace("\r\n", "\n").replace("\r", "\n"))
