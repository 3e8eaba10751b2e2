"""The mail of Microsoft Graph on this machine: mailboxes that send to nobody.

It refuses what Graph refuses, does the worst where Graph's behaviour is not documented (a draft
gets another Message-ID, and its id ends with its sending), and behaves by data, so that anyone can
try the unhappy path. The recipient's domain decides, as in `kari@bounce.example`:

    bounce.example    sent, and a report that it bounced comes to the sender's Inbox
    away.example      sent, and an out-of-office answer comes to the sender's Inbox
    refuse.example    400 ErrorInvalidRecipients when it is sent
    denied.example    403 ErrorSendAsDenied
    quota.example     403 ErrorExceededMessageLimit
    throttle.example  429 with a Retry-After of seven seconds
    lost.example      sent, but the answer is 504
    vanish.example    504, and not sent

With a local part that ends in `+once` it happens only the first time for that address.

Beside the API: `/msi/token` gives tokens as App Service gives an app its identity's, `/_sim/sent`
has what was sent, and mail (as MIME) that is posted to `/_sim/received/MAILBOX` is received there.
"""

import argparse
import base64
import binascii
import email.policy
import os
import re
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.header import Header
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses
from typing import Any, Literal
from uuid import uuid4

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MAILBOX = "ikke-svar@example.org"  #: the sender in local.settings.example.json
#: The App Service setting IDENTITY_HEADER, for those who want a token.
IDENTITY_HEADER = "the simulator's own secret, known to all"
MOST_REQUEST = 4 * 1024 * 1024
#: Larger MIME is answered with 200 and forgotten (microsoft-graph-docs#13979).
MOST_MIME = 2240 * 1024
MOST_MESSAGE = 35 * 1024 * 1024
SESSION_FROM = 3 * 1024 * 1024  #: an upload session's smallest file, and too much for a POST
MOST_ATTACHMENT = 150 * 1024 * 1024
MOST_AT_ONCE = 4
RETRY_AFTER = 7

_LINE_END = "\r\n"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_DRAFTS, _SENT, _INBOX, _DELETED = "drafts", "sentitems", "inbox", "deleteditems"
_FOLDERS = {_DRAFTS, _SENT, _INBOX, _DELETED, "outbox"}
_FILTER_ID = re.compile(r"internetMessageId eq '((?:[^']|'')+)'")
_FILTER_TIME = re.compile(r"receivedDateTime ge (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_SELECTABLE = {
    *("id", "isDraft", "internetMessageId", "receivedDateTime", "parentFolderId", "subject"),
    "internetMessageHeaders",
}
#: Graph leaves these out of a received mail's headers.
_UNTOLD = {"from", "to", "cc", "bcc", "sender"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class FileAttachment(_Strict):
    type: Literal["#microsoft.graph.fileAttachment"] = Field(alias="@odata.type")
    name: str = Field(min_length=1)
    content_bytes: str
    content_type: str | None = None
    is_inline: bool = False
    content_id: str | None = None


class AttachmentItem(_Strict):
    attachment_type: Literal["file"]
    name: str = Field(min_length=1)
    size: int = Field(gt=0)
    content_type: str | None = None
    is_inline: bool = False
    content_id: str | None = None


class SessionWanted(_Strict):
    item: AttachmentItem = Field(alias="AttachmentItem")


@dataclass(frozen=True)
class Attachment:
    name: str
    content_type: str
    data: bytes
    content_id: str = ""  #: set when it is shown in the text


@dataclass
class Message:
    """Something in a mailbox."""

    mime: EmailMessage
    folder: str
    received: datetime
    message_id: str
    id: str = ""
    added: list[Attachment] = field(default_factory=list)  #: beside what is in the MIME

    @property
    def draft(self) -> bool:
        return self.folder in (_DRAFTS, _DELETED, "outbox")

    @property
    def to(self) -> list[str]:
        lines = [
            str(value) for name in ("To", "Cc", "Bcc") for value in self.mime.get_all(name, [])
        ]
        return [address for _, address in getaddresses(lines) if address]

    @property
    def attachments(self) -> list[Attachment]:
        """Everything but the text: attachments and pictures, in the MIME and beside it."""
        inside = [
            Attachment(
                part.get_filename("") or "",
                part.get_content_type(),
                data if isinstance(data := part.get_payload(decode=True), bytes) else b"",
                str(part.get("Content-ID", "")).strip("<>"),
            )
            for part in self.mime.walk()
            if part.get_filename() or "Content-ID" in part
        ]
        return [*inside, *self.added]

    def shown(self, properties: Sequence[str]) -> dict[str, Any]:
        every = {
            "id": self.id,
            "isDraft": self.draft,
            "internetMessageId": self.message_id,
            "receivedDateTime": self.received.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "parentFolderId": f"folder-{self.folder}",
            "subject": str(self.mime.get("Subject", "")),
        }
        if self.folder == _INBOX:  # of what was sent, Graph does not tell the headers
            every["internetMessageHeaders"] = [
                {"name": name, "value": str(value)}
                for name, value in self.mime.items()
                if name.casefold() not in _UNTOLD
            ]
        told = properties or [name for name in every if name != "internetMessageHeaders"]
        return {"@odata.etag": 'W/"1"'} | {name: every[name] for name in told if name in every}


@dataclass
class Upload:
    """A file on its way to a draft."""

    message: Message
    item: AttachmentItem
    data: bytearray = field(default_factory=bytearray)


class Trouble(Exception):
    """An answer that ends a request."""

    def __init__(self, status: int, code: str, message: str = "", **headers: str) -> None:
        self.response = _error(status, code, message, headers)


Handler = Callable[[Request, str], Awaitable[Response]]


@dataclass
class GraphSimulator:
    """Mailboxes, what they have sent, and the app that serves them."""

    mailboxes: Sequence[str] = (MAILBOX,)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    keeps_message_ids: bool = False
    asked: list[str] = field(default_factory=list)  #: method and path of every request to the API
    tokens: dict[str, datetime] = field(default_factory=dict)  #: until when each is good
    messages: dict[str, list[Message]] = field(default_factory=dict)  #: by mailbox
    _uploads: dict[str, Upload] = field(default_factory=dict)
    _busy: Counter[str] = field(default_factory=Counter)
    _happened: set[str] = field(default_factory=set)  #: addresses whose "once" is over

    @property
    def sent(self) -> list[Message]:
        """What would have gone out, oldest first."""
        return [one for box in self.messages.values() for one in box if one.folder == _SENT]

    def in_folder(self, folder: str, mailbox: str = "") -> list[Message]:
        box = self.messages.get((mailbox or self.mailboxes[0]).casefold(), [])
        return [one for one in box if one.folder == folder]

    def token(self, lifetime: timedelta = timedelta(hours=1)) -> str:
        token = secrets.token_urlsafe(24)
        self.tokens[token] = datetime.now(UTC) + lifetime
        return token

    def receive(self, mailbox: str, mime: bytes, received: datetime | None = None) -> Message:
        """A mail that comes to the mailbox's Inbox."""
        mail = _parsed(mime)
        name = str(mail.get("Message-ID", "")) or self._name()
        return self._keep(mailbox, Message(mail, _INBOX, received or self.clock(), name))

    def forget(self) -> None:
        """As if it had just been started."""
        for kept in (self.asked, self.messages, self._uploads, self._busy, self._happened):
            kept.clear()

    def app(self) -> Starlette:
        box = "/v1.0/users/{mailbox}"
        one = f"{box}/messages/{{id}}"
        api = [
            ("POST", f"{box}/messages", self._create),
            ("GET", f"{box}/messages", self._list),
            ("GET", f"{box}/mailFolders/{{folder}}/messages", self._list),
            ("GET", one, self._get),
            ("DELETE", one, self._delete),
            ("GET", f"{one}/$value", self._value),
            ("POST", f"{one}/attachments", self._attach),
            ("POST", f"{one}/attachments/createUploadSession", self._begin_upload),
            ("POST", f"{one}/send", self._send),
        ]
        return Starlette(
            routes=[
                *(Route(path, self._api(do), methods=[method]) for method, path, do in api),
                Route("/v1.0/{rest:path}", self._api(_no_such_path), methods=_METHODS),
                Route("/upload/{session}", self._upload, methods=["PUT"]),
                Route("/msi/token", self._give_token),
                Route("/_sim/sent", self._show_sent),
                Route("/_sim/received/{mailbox}", self._receive_posted, methods=["POST"]),
            ]
        )

    # --- who may ask, and how much ---

    def _api(self, do: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            self.asked.append(f"{request.method} {request.url.path}")
            mailbox = str(request.path_params.get("mailbox", "")).casefold()
            try:
                self._admit(request, mailbox)
                self._busy[mailbox] += 1
                try:
                    return await do(request, mailbox)
                finally:
                    self._busy[mailbox] -= 1
            except Trouble as trouble:
                return trouble.response

        return answer

    def _admit(self, request: Request, mailbox: str) -> None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or self.tokens.get(token, datetime.min.replace(tzinfo=UTC)) <= (
            datetime.now(UTC)
        ):
            raise Trouble(401, "InvalidAuthenticationToken", "Access token is empty or expired.")
        if mailbox and mailbox not in {one.casefold() for one in self.mailboxes}:
            raise Trouble(404, "ErrorInvalidUser", f"The requested user '{mailbox}' is invalid.")
        if mailbox and self._busy[mailbox] >= MOST_AT_ONCE:
            said = "Application is over its MailboxConcurrency limit."
            raise Trouble(429, "ApplicationThrottled", said, **{"Retry-After": str(RETRY_AFTER)})

    async def _body(self, request: Request, content_type: str) -> bytes:
        if request.headers.get("Content-Type", "").partition(";")[0] != content_type:
            raise Trouble(415, "UnsupportedMediaType", f"Only {content_type} here.")
        body = await request.body()
        if len(body) > MOST_REQUEST:
            said = "The maximum request length supported is 4MB."
            raise Trouble(413, "RequestEntityTooLarge", said)
        return body

    def _message(self, request: Request, mailbox: str) -> Message:
        for message in self.messages.get(mailbox, []):
            if message.id == request.path_params["id"]:
                return message
        raise Trouble(404, "ErrorItemNotFound", "The specified object was not found in the store.")

    def _draft(self, request: Request, mailbox: str) -> Message:
        message = self._message(request, mailbox)
        if not message.draft:  # not documented
            raise Trouble(400, "ErrorInvalidOperation", "It is not a draft.")
        return message

    # --- drafts ---

    async def _create(self, request: Request, mailbox: str) -> Response:
        body = await self._body(request, "text/plain")
        try:
            mime = base64.b64decode(body, validate=True)
        except binascii.Error:
            said = "Invalid base64 string for MIME content."
            raise Trouble(400, "ErrorMimeContentInvalidBase64String", said) from None
        if len(mime) > MOST_MIME:
            return Response(status_code=200)
        mail = _parsed(mime)
        own = str(mail.get("Message-ID", "")) if self.keeps_message_ids else ""
        del mail["Message-ID"]
        mail["Message-ID"] = own or self._name()
        message = Message(mail, _DRAFTS, self.clock(), str(mail["Message-ID"]))
        self._keep(mailbox, message)
        return JSONResponse(message.shown(()), 201)

    async def _attach(self, request: Request, mailbox: str) -> Response:
        message = self._draft(request, mailbox)
        wanted = _model(FileAttachment, await self._body(request, "application/json"))
        try:
            data = base64.b64decode(wanted.content_bytes, validate=True)
        except binascii.Error:
            raise Trouble(400, "RequestBodyRead", "Cannot convert to Edm.Binary.") from None
        if len(data) > SESSION_FROM:
            raise Trouble(413, "ErrorMessageSizeExceeded", "The attachment is too large.")
        message.added.append(_attachment(wanted, data))
        return JSONResponse({"id": f"att-{len(message.added)}", "name": wanted.name}, 201)

    async def _begin_upload(self, request: Request, mailbox: str) -> Response:
        message = self._draft(request, mailbox)
        item = _model(SessionWanted, await self._body(request, "application/json")).item
        if item.size < SESSION_FROM:
            code = "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"
            raise Trouble(400, code, "The attachment is too small for an upload session.")
        if item.size > MOST_ATTACHMENT:
            raise Trouble(400, "ErrorAttachmentSizeLimitExceeded", "The attachment is too large.")
        session = secrets.token_urlsafe(12)
        self._uploads[session] = Upload(message, item)
        place = f"{request.url.scheme}://{request.url.netloc}/upload/{session}?authtoken=secret"
        expiry = (self.clock() + timedelta(hours=1)).isoformat()
        told = {"uploadUrl": place, "expirationDateTime": expiry, "nextExpectedRanges": ["0-"]}
        return JSONResponse(told, 201)

    async def _upload(self, request: Request) -> Response:
        self.asked.append("PUT /upload")
        upload = self._uploads.get(request.path_params["session"])
        if upload is None or request.query_params.get("authtoken") != "secret":
            return _error(404, "ErrorItemNotFound", "There is no such session.")
        if "Authorization" in request.headers:
            return _error(401, "InvalidAudience", "The audience claim value is invalid.")
        if request.headers.get("Content-Type") != "application/octet-stream":
            return _error(400, "BadRequest", "Only application/octet-stream.")
        data, size = await request.body(), upload.item.size
        given = _RANGE.fullmatch(request.headers.get("Content-Range", ""))
        first, last, total = (int(part) for part in given.groups()) if given else (-1, -1, -1)
        whole_range = last - first + 1 == len(data) and total == size and last < size
        if not data or not whole_range or len(data) >= 4_000_000 or first != len(upload.data):
            return _error(400, "ErrorInvalidRange", "The Content-Range is not what was expected.")
        upload.data += data
        if len(upload.data) < size:
            return JSONResponse({"nextExpectedRanges": [str(len(upload.data))]})
        upload.message.added.append(_attachment(upload.item, bytes(upload.data)))
        del self._uploads[request.path_params["session"]]
        return Response(status_code=201, headers={"Location": f"{request.url}/Attachments('1')"})

    async def _delete(self, request: Request, mailbox: str) -> Response:
        self._message(request, mailbox).folder = _DELETED
        return Response(status_code=204)

    # --- sending ---

    async def _send(self, request: Request, mailbox: str) -> Response:
        message = self._draft(request, mailbox)
        if len(await request.body()) > 0:
            raise Trouble(400, "BadRequest", "There is nothing to say here.")
        senders = getaddresses([str(message.mime.get("From", ""))])
        happens = self._now(message)
        if "denied.example" in happens or senders[0][1].casefold() != mailbox:
            said = f"The user account does not have the right to send as {senders[0][1]}."
            raise Trouble(403, "ErrorSendAsDenied", said)
        if not message.to:
            said = "At least one recipient is not valid., It contains no recipients."
            raise Trouble(400, "ErrorInvalidRecipients", said)
        if len(message.mime.as_bytes()) + sum(len(a.data) for a in message.added) > MOST_MESSAGE:
            raise Trouble(413, "ErrorMessageSizeExceeded", "The message is too large.")
        self._refuse(message, happens)
        if "vanish.example" not in happens:
            message.folder, message.id = _SENT, _new_id()
            message.received = self.clock()
            self._come_back(mailbox, message)
        if happens & {"lost.example", "vanish.example"}:
            return Response("<h1>504 Gateway Time-out</h1>", 504, media_type="text/html")
        return Response(status_code=202)

    def _refuse(self, message: Message, happens: set[str]) -> None:
        if "throttle.example" in happens:
            headers = {"Retry-After": str(RETRY_AFTER)}
            raise Trouble(429, "ApplicationThrottled", "Please try again later.", **headers)
        if "refuse.example" in happens:
            said = f"At least one recipient is not valid., Recipient '{message.to[0]}' isn't."
            raise Trouble(400, "ErrorInvalidRecipients", said)
        if "quota.example" in happens:
            said = "Cannot send mail. Daily Message/Recipient limit exceeded."
            raise Trouble(403, "ErrorExceededMessageLimit", said)

    def _come_back(self, mailbox: str, message: Message) -> None:
        for to in message.to:
            match to.rpartition("@")[2]:
                case "bounce.example":
                    self.receive(mailbox, bounce(mailbox, to, message, self.clock()))
                case "away.example":
                    self.receive(mailbox, out_of_office(mailbox, to, message, self.clock()))

    def _now(self, message: Message) -> set[str]:
        """The domains that misbehave this time."""
        now = set()
        for to in message.to:
            local, _, domain = to.rpartition("@")
            if not (local.endswith("+once") and to in self._happened):
                now.add(domain)
            self._happened.add(to)
        return now

    # --- looking ---

    async def _list(self, request: Request, mailbox: str) -> Response:
        folder = str(request.path_params.get("folder", "")).casefold()
        if folder and folder not in _FOLDERS:
            raise Trouble(404, "ErrorInvalidIdMalformed", "There is no such folder.")
        query = dict(request.query_params)
        properties = [name for name in query.pop("$select", "").split(",") if name]
        wanted, order = query.pop("$filter", ""), query.pop("$orderby", "")
        top, skip = int(query.pop("$top", "10")), int(query.pop("$skip", "0"))
        by_id, by_time = _FILTER_ID.fullmatch(wanted), _FILTER_TIME.fullmatch(wanted)
        if query or not set(properties) <= _SELECTABLE or (wanted and not (by_id or by_time)):
            raise Trouble(400, "BadRequest", "Invalid filter clause or query option.")
        if order not in ("", "receivedDateTime") or (order and not by_time):
            said = "The restriction or sort order is too complex for this operation."
            raise Trouble(400, "InefficientFilter", said)
        if not 1 <= top <= 1000:
            raise Trouble(400, "BadRequest", "Invalid value for $top.")
        found = [one for one in self.messages.get(mailbox, []) if folder in ("", one.folder)]
        if by_id:
            name = by_id[1].replace("''", "'")
            found = [one for one in found if one.message_id == name]
        if by_time:
            since = datetime.fromisoformat(by_time[1])
            found = [one for one in found if one.received.replace(microsecond=0) >= since]
            found.sort(key=lambda one: one.received)
        told: dict[str, Any] = {
            "value": [one.shown(properties) for one in found[skip : skip + top]]
        }
        if len(found) > skip + top:
            told["@odata.nextLink"] = str(request.url.include_query_params(**{"$skip": skip + top}))
        return JSONResponse(told)

    async def _get(self, request: Request, mailbox: str) -> Response:
        return JSONResponse(self._message(request, mailbox).shown(()))

    async def _value(self, request: Request, mailbox: str) -> Response:
        message = self._message(request, mailbox)
        return Response(message.mime.as_bytes(), media_type="text/plain")

    # --- beside the API ---

    async def _give_token(self, request: Request) -> Response:
        """As App Service does for an app with an identity."""
        query = request.query_params
        if request.headers.get("X-IDENTITY-HEADER") != IDENTITY_HEADER:
            return JSONResponse({"statusCode": 401, "message": "Unauthorized"}, 401)
        if query.get("api-version") != "2019-08-01" or not query.get("resource"):
            return JSONResponse({"statusCode": 400, "message": "Bad Request"}, 400)
        ours = query["resource"] == f"{request.url.scheme}://{request.url.netloc}"
        told = {  # one for another resource is of no use here
            "access_token": self.token(timedelta(hours=24)) if ours else secrets.token_urlsafe(),
            "client_id": query.get("client_id", "system-assigned"),
            "expires_on": str(int((datetime.now(UTC) + timedelta(hours=24)).timestamp())),
            "resource": query["resource"],
            "token_type": "Bearer",
        }
        return JSONResponse(told)

    async def _show_sent(self, request: Request) -> Response:
        told = [
            {
                "to": one.to,
                "messageId": one.message_id,
                "mime": one.mime.as_bytes().decode("utf-8", "replace"),
                "attachments": [
                    {"name": a.name, "size": len(a.data), "contentId": a.content_id}
                    for a in one.attachments
                ],
            }
            for one in self.sent
        ]
        return JSONResponse(told)

    async def _receive_posted(self, request: Request) -> Response:
        mailbox = str(request.path_params["mailbox"])
        return JSONResponse({"id": self.receive(mailbox, await request.body()).id}, 201)

    def _keep(self, mailbox: str, message: Message) -> Message:
        message.id = _new_id()
        self.messages.setdefault(mailbox.casefold(), []).append(message)
        return message

    def _name(self) -> str:
        return f"<{secrets.token_hex(8).upper()}@SIM.eurprd01.prod.outlook.example>"


def bounce(mailbox: str, to: str, original: Message, now: datetime) -> bytes:
    """A report that `to` cannot be reached, as RFC 3464 has it, with the original's headers."""
    headers = original.mime.as_bytes().partition(b"\r\n\r\n")[0].decode("ascii", "replace")
    boundary, subject = secrets.token_hex(8), original.mime.get("Subject", "")
    parts = [
        ("text/plain; charset=utf-8", f"Meldingen til {to} kunne ikke leveres."),
        (
            "message/delivery-status",
            f"Reporting-MTA: dns; SIM.outlook.example\r\n\r\nFinal-Recipient: rfc822; {to}\r\n"
            "Action: failed\r\nStatus: 5.1.10\r\n"
            f"Diagnostic-Code: smtp; 550 5.1.10 RESOLVER.ADR.RecipientNotFound; <{to}>\r\n",
        ),
        ("text/rfc822-headers", headers),
    ]
    lines = [
        "Return-Path: <>",
        f"Date: {format_datetime(now)}",
        "From: Microsoft Outlook <postmaster@example.org>",
        f"To: {mailbox}",
        f"Subject: {Header(f'Kan ikke leveres: {subject}', 'utf-8').encode(linesep=_LINE_END)}",
        f"Message-ID: <{uuid4()}@SIM.outlook.example>",
        f"In-Reply-To: {original.message_id}",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"',
        "",
    ]
    for content_type, text in parts:
        lines += [f"--{boundary}", f"Content-Type: {content_type}", "", text]
    return "\r\n".join([*lines, f"--{boundary}--", ""]).encode()


def out_of_office(mailbox: str, to: str, original: Message, now: datetime) -> bytes:
    """What a colleague's mailbox answers while they are away."""
    answer = EmailMessage(policy=email.policy.SMTP)
    answer["Return-Path"] = "<>"
    answer["Date"] = format_datetime(now)
    answer["From"] = to
    answer["To"] = mailbox
    answer["Subject"] = "Automatisk svar: ute av kontoret"
    answer["Message-ID"] = f"<{uuid4()}@SIM.outlook.example>"
    answer["In-Reply-To"] = original.message_id
    answer["Auto-Submitted"] = "auto-generated"
    answer["X-Auto-Response-Suppress"] = "All"
    answer.set_content("Jeg er tilbake på mandag.")
    return answer.as_bytes()


async def _no_such_path(request: Request, mailbox: str) -> Response:
    raise Trouble(400, "BadRequest", "Resource not found for the segment.")


def _model(model: type[Any], body: bytes) -> Any:
    try:
        return model.model_validate_json(body)
    except ValidationError:
        raise Trouble(400, "UnableToDeserializePostBody", "Unable to deserialize.") from None


def _attachment(wanted: FileAttachment | AttachmentItem, data: bytes) -> Attachment:
    shown = wanted.content_id if wanted.is_inline and wanted.content_id else ""
    return Attachment(wanted.name, wanted.content_type or "", data, shown)


def _parsed(mime: bytes) -> EmailMessage:
    return message_from_bytes(mime, EmailMessage, policy=email.policy.SMTP)


def _new_id() -> str:
    return f"AAkALg{secrets.token_urlsafe(48)}="


def _error(status: int, code: str, message: str, headers: Any = None) -> Response:
    request = str(uuid4())
    told = {"code": code, "message": message, "innerError": {"request-id": request}}
    return JSONResponse({"error": told}, status, {"request-id": request, **(headers or {})})


def main(argv: list[str]) -> int:
    """Run the simulator until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m dev graph",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=int(os.environ.get("GRAPH_PORT", "7090")))
    parser.add_argument("--mailbox", action="append", help="in place of the usual one; repeatable")
    options = parser.parse_args(argv)
    simulator = GraphSimulator(options.mailbox or (MAILBOX,))
    place = f"http://127.0.0.1:{options.port}"
    print(f"Graph is simulated: GRAPH_URL={place}/v1.0", flush=True)
    print(f"The app wants: IDENTITY_ENDPOINT={place}/msi/token", flush=True)
    print(f"               IDENTITY_HEADER={IDENTITY_HEADER}", flush=True)
    uvicorn.run(
        simulator.app(), host="127.0.0.1", port=options.port, access_log=False, log_level="warning"
    )
    return 0
