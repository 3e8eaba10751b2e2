"""Mails that say that a mail came back (RFC 3464), read with the standard library alone.

They come from anybody who can write to the mailbox, so nothing in them is trusted: what cannot be
read says nothing, and only so much of it is looked at.
"""

import logging
import re
from collections.abc import Iterator
from email import message_from_bytes, message_from_string
from email.message import Message
from email.utils import parseaddr

from shared.domain.bounce import BounceKind, Returned, kind_of
from shared.domain.html import masked

log = logging.getLogger(__name__)

#: The report comes first, and then the lost mail; of that only its headers count.
_READ = 256 * 1024
#: Each level of parts in parts names its boundary; all are looked for in each line.
_MOST_BOUNDARIES = 40
_MOST_RECIPIENTS = 50

_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)", re.ASCII)
_MESSAGE_ID = re.compile(r"<[^<>\s]{3,900}>")
_REPORT = frozenset({"message/delivery-status", "message/global-delivery-status"})
_ORIGINAL = frozenset({"message/rfc822", "message/global"})
_HEADERS = frozenset({"text/rfc822-headers", "message/global-headers", "message/rfc822-headers"})


def read_bounce(mime: bytes) -> list[Returned]:
    """What the mail says came back, recipient by recipient.

    Nothing when it is no such report: an answer, an out-of-office note (RFC 3834), a receipt, or
    something that nobody can read. Never raises.
    """
    mime = mime[:_READ]
    if mime.lower().count(b"boundary") > _MOST_BOUNDARIES:
        return []  # nested so deep that reading it would take for ever
    try:
        return list(_returned(message_from_bytes(mime)))
    except Exception as error:  # the library has met what it was not made for, and so it may
        log.warning("bounce_mail.unreadable error=%s", type(error).__name__)
        return []


def _returned(mail: Message) -> Iterator[Returned]:
    parts = list(_parts(mail))
    reports = [part for part in parts if part.get_content_type() in _REPORT]
    if not reports:
        return
    references = tuple(dict.fromkeys(_references(mail, parts)))
    for block in [one for part in reports for one in _blocks(part)][:_MOST_RECIPIENTS]:
        if kind := _kind(block):
            yield Returned(references, kind, _detail(block), tuple(_addresses(block)))


def _parts(mail: Message) -> Iterator[Message]:
    """The mail's own parts, not those of the mails in it: a report that is passed on is none."""
    yield mail
    if mail.get_content_maintype() == "multipart" and mail.is_multipart():
        for part in mail.get_payload():
            if isinstance(part, Message):
                yield from _parts(part)


def _blocks(report: Message) -> Iterator[Message]:
    """A block of fields for each recipient; without those about the mail as a whole."""
    payload = report.get_payload()
    blocks = [one for one in payload if isinstance(one, Message)] if report.is_multipart() else []
    if report.get_content_type() != "message/delivery-status":
        # the library takes it for a mail: the first block for its headers, the rest for its text
        text = "\n\n".join(_text(one) for one in blocks) or _text(report)
        blocks += [message_from_string(one) for one in re.split(r"\r?\n\r?\n", text)]
    elif not blocks:
        blocks = [message_from_string(one) for one in re.split(r"\r?\n\r?\n", _text(report))]
    for block in blocks:
        if block["Final-Recipient"] or block["Original-Recipient"] or block["Action"]:
            yield block


def _kind(block: Message) -> BounceKind | None:
    action = _field(block, "Action").split(";")[0].strip().lower()
    return kind_of(action, _status(block))


def _status(block: Message) -> str:
    """The status; what the other server said itself, where the report says no more than 5.0.0."""
    told = _STATUS.search(_field(block, "Status"))
    said = _STATUS.search(_field(block, "Diagnostic-Code"))
    vague = told is None or told.group(2) == "0"
    match = said if vague and said and (told is None or said[1] == told[1]) else told
    return match.group() if match else ""


def _detail(block: Message) -> str:
    """What was said to it, without the kind of its code (`smtp;`)."""
    kind, semicolon, said = _field(block, "Diagnostic-Code").partition(";")
    words = said if semicolon and " " not in kind.strip() else kind + semicolon + said
    return masked(f"{words.strip()} ({_field(block, 'Status')})" if words.strip() else "")


def _addresses(block: Message) -> Iterator[str]:
    """As we wrote it, and as it came to be on its way."""
    for name in ("Original-Recipient", "Final-Recipient"):
        kind, _, written = _field(block, name).rpartition(";")
        address = parseaddr(written.strip())[1]
        if "@" in address and kind.strip().lower() in {"", "rfc822", "utf-8"}:
            yield address


def _references(mail: Message, parts: list[Message]) -> Iterator[str]:
    """Which mail it is about: as that mail says itself, and else as the report does."""
    for part in parts:
        if part.get_content_type() in _ORIGINAL and part.is_multipart():
            for original in [one for one in part.get_payload() if isinstance(one, Message)]:
                yield from _ids(original, "Message-ID")
        elif part.get_content_type() in _HEADERS:
            yield from _ids(message_from_string(_text(part).lstrip()), "Message-ID")
    for name in ("X-Original-Message-ID", "In-Reply-To", "References"):
        yield from reversed(_ids(mail, name))  # the last reference is the nearest


def _ids(mail: Message, name: str) -> list[str]:
    """At most a few: a header may hold thousands."""
    found = [id_ for value in mail.get_all(name, [])[:3] for id_ in _MESSAGE_ID.findall(str(value))]
    return found[-5:]


def _field(block: Message, name: str) -> str:
    return " ".join(str(block[name] or "").split())


def _text(part: Message) -> str:
    """The part as text, whatever it is in."""
    if part.is_multipart():
        return "\n\n".join(_text(one) for one in part.get_payload() if isinstance(one, Message))
    payload = part.get_payload(decode=True)
    return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
