"""An Azure Communication Services on this machine that takes mail and delivers none.

It is stricter than the real one where that is not documented, and behaves by data, so that anyone
can try the unhappy path. The recipient's domain decides, as in `kari@bounce.example`:

    bounce.example    accepted and *Succeeded*; a report says later that it bounced
    refuse.example    accepted, but the operation ends as *Failed*
    slow.example      accepted, and the operation stays *Running*
    lost.example      accepted, but the answer is 503
    throttle.example  429 with a Retry-After of seven seconds, and not accepted
    invalid.example   400, as for an address that cannot be
    denied.example    401, as for a wrong key

With a local part that ends in `+once`, the last four happen only the first time for that address.
An operation goes from *NotStarted* over *Running* to its end by being looked at, never by time.

Beside the API: `/_sim/sent` has what was mailed, `/_sim/reports` what Event Grid would deliver.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Self
from uuid import UUID, uuid4

import uvicorn
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.in_thread import InThread
from dev.process import wait_until

API_VERSIONS = {"2023-03-31", "2024-07-01-preview", "2025-09-01"}
DOMAIN = "fjordvik.no"
KEY = base64.b64encode(b"demo-key").decode()
MOST_BYTES = 10_000_000
MOST_RECIPIENTS = 50
RETRY_AFTER = 7
REPORTED = "Microsoft.Communication.EmailDeliveryReportReceived"
_REFUSED_AT_ONCE = {"throttle.example", "invalid.example", "denied.example"}


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("is not base64") from None
    return text


def _address(text: str) -> str:
    local, _, domain = text.rpartition("@")
    if not local or not domain or any(c.isspace() or c in "<>,;" for c in text):
        raise ValueError("Invalid format for email address")
    return text


Text = Annotated[str, Field(min_length=1)]
Email = Annotated[str, AfterValidator(_address)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class EmailAddress(_Strict):
    address: Email
    display_name: str | None = None


class Recipients(_Strict):
    to: list[EmailAddress] = []
    cc: list[EmailAddress] = []
    bcc: list[EmailAddress] = []

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if not 1 <= len(self.everybody) <= MOST_RECIPIENTS:
            raise ValueError(f"must be 1 to {MOST_RECIPIENTS}")
        return self

    @property
    def everybody(self) -> list[str]:
        return [one.address for one in (*self.to, *self.cc, *self.bcc)]


class Content(_Strict):
    subject: Text
    plain_text: str | None = None
    html: str | None = None

    @model_validator(mode="after")
    def _has_a_body(self) -> Self:
        if not (self.plain_text or self.html):
            raise ValueError("needs plainText or html")
        return self


class Attachment(_Strict):
    name: Text
    content_type: Text
    content_in_base64: Annotated[str, AfterValidator(_base64)]
    content_id: Text | None = None


class EmailMessage(_Strict):
    sender_address: Email
    recipients: Recipients
    content: Content
    reply_to: list[EmailAddress] = []
    headers: dict[str, str] = {}
    attachments: list[Attachment] = []
    user_engagement_tracking_disabled: bool = False

    @model_validator(mode="after")
    def _each_picture_once(self) -> Self:
        ids = [one.content_id for one in self.attachments if one.content_id]
        if len(ids) > len(set(ids)):
            raise ValueError("has a contentId twice")
        return self


@dataclass
class Operation:
    """One accepted mail, and how often somebody has looked at it."""

    id: str
    body: bytes
    message: EmailMessage
    looks: int = 0

    @property
    def domains(self) -> set[str]:
        return {to.rpartition("@")[2] for to in self.message.recipients.everybody}

    @property
    def mailed(self) -> bool:
        return "refuse.example" not in self.domains

    def look(self) -> dict[str, Any]:
        self.looks += 1
        if self.looks <= 1:
            return {"id": self.id, "status": "NotStarted"}
        if self.looks == 2 or "slow.example" in self.domains:
            return {"id": self.id, "status": "Running"}
        if self.mailed:
            return {"id": self.id, "status": "Succeeded", "error": None}
        to = self.message.recipients.everybody[0]
        problem = {"code": "EmailDropped", "message": f"Email to {to} was dropped."}
        return {"id": self.id, "status": "Failed", "error": problem}


@dataclass
class AcsSimulator:
    """What has been sent, and the app that takes more."""

    key: str = KEY
    domains: frozenset[str] = frozenset({DOMAIN})
    operations: dict[str, Operation] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  #: method and path of every request to the API
    _happened: set[str] = field(default_factory=set)  #: addresses whose "once" is over

    @property
    def sent(self) -> list[dict[str, Any]]:
        """What would have gone out: `{"id": …, "message": …}`, oldest first."""
        return [
            {"id": one.id, "message": one.message.model_dump(by_alias=True, exclude_defaults=True)}
            for one in self.operations.values()
            if one.mailed
        ]

    def reports(self) -> list[dict[str, Any]]:
        """A report for each address, as Event Grid sends them in its own schema."""
        return [
            _report(one, to)
            for one in self.operations.values()
            if one.mailed
            for to in one.message.recipients.everybody
        ]

    def forget(self) -> None:
        """As if it had just been started."""
        self.operations.clear()
        self.asked.clear()
        self._happened.clear()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/emails:send", self._send, methods=["POST"]),
                Route("/emails/operations/{id}", self._look, methods=["GET"]),
                Route("/_sim/sent", self._show_sent),
                Route("/_sim/reports", self._show_reports),
            ]
        )

    async def _send(self, request: Request) -> Response:
        self.asked.append("POST /emails:send")
        body = await request.body()
        if len(body) > MOST_BYTES:
            return _refusal(413, "RequestEntityTooLarge", "The request is too large.")
        if refusal := self._refused(request, body):
            return refusal
        if request.headers.get("Content-Type", "").partition(";")[0] != "application/json":
            return _refusal(415, "UnsupportedMediaType", "Only application/json.")
        try:
            id_ = str(UUID(request.headers.get("Operation-Id") or str(uuid4())))
            message = EmailMessage.model_validate_json(body)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            said = f"{problem['msg']}: {problem['input']}"
            return _refusal(400, "BadRequest", said, where)
        except ValueError:
            return _refusal(400, "BadRequest", "Operation-Id is no UUID.", "Operation-Id")
        return self._accepted(request, id_, body, message)

    def _accepted(self, request: Request, id_: str, body: bytes, message: EmailMessage) -> Response:
        if message.sender_address.rpartition("@")[2] not in self.domains:
            said = "The specified sender domain has not been linked."
            return _refusal(404, "DomainNotLinked", said)
        happens = self._now(message)
        if known := self.operations.get(id_):
            # Microsoft's guidelines for repeated POSTs. What ACS itself answers is not documented.
            if known.body != body:
                return _refusal(400, "BadRequest", "The id is taken by another request.")
        elif happens & _REFUSED_AT_ONCE:
            return self._refused_for(happens, message)
        else:
            self.operations[id_] = Operation(id_, body, message)
            if "lost.example" in happens:
                return Response(status_code=503)
        place = f"{request.url.scheme}://{request.url.netloc}/emails/operations/{id_}"
        headers = {
            "Operation-Location": f"{place}?{request.url.query}",
            "Retry-After": "30",
        }
        return JSONResponse({"id": id_, "status": "Running"}, 202, headers)

    def _refused_for(self, happens: set[str], message: EmailMessage) -> Response:
        to = message.recipients.everybody[0]
        if "throttle.example" in happens:
            refusal = _refusal(429, "TooManyRequests", "Please try again later.")
            refusal.headers["Retry-After"] = str(RETRY_AFTER)
            return refusal
        if "denied.example" in happens:
            return _refusal(401, "Denied", "Denied by the resource provider.")
        return _refusal(400, "BadRequest", f"Invalid format for email address: {to}")

    def _now(self, message: EmailMessage) -> set[str]:
        """The domains that misbehave this time."""
        now = set()
        for to in message.recipients.everybody:
            local, _, domain = to.rpartition("@")
            if not (local.endswith("+once") and to in self._happened):
                now.add(domain)
            self._happened.add(to)
        return now

    async def _look(self, request: Request) -> Response:
        id_ = request.path_params["id"]
        self.asked.append(f"GET /emails/operations/{id_}")
        if refusal := self._refused(request, b""):
            return refusal
        operation = self.operations.get(id_)
        if operation is None:
            return _refusal(404, "NotFound", "There is no such operation.")
        return JSONResponse(operation.look(), headers={"Retry-After": "30"})

    async def _show_sent(self, request: Request) -> Response:
        return JSONResponse(self.sent)

    async def _show_reports(self, request: Request) -> Response:
        return JSONResponse(self.reports())

    def _refused(self, request: Request, body: bytes) -> Response | None:
        """What is wrong with a request of any kind."""
        if not self._signed(request, body):
            return _refusal(401, "Denied", "Denied by the resource provider.")
        if request.query_params.get("api-version") not in API_VERSIONS:
            return _refusal(400, "BadRequest", "The api-version is missing or unknown.")
        return None

    def _signed(self, request: Request, body: bytes) -> bool:
        """Whether the signature is the key's, of this very request."""
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        date, host = request.headers.get("x-ms-date", ""), request.headers.get("host", "")
        try:
            parsedate_to_datetime(date)
        except ValueError:
            return False
        query = f"?{request.url.query}" if request.url.query else ""
        signed = f"{request.method}\n{request.url.path}{query}\n{date};{host};{digest}"
        key = base64.b64decode(self.key)
        signature = base64.b64encode(hmac.digest(key, signed.encode(), "sha256")).decode()
        wanted = (
            f"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}"
        )
        given = request.headers.get("Authorization", "")
        return request.headers.get("x-ms-content-sha256") == digest and hmac.compare_digest(
            given.encode(), wanted.encode()
        )


def _report(operation: Operation, to: str) -> dict[str, Any]:
    bounced = to.rpartition("@")[2] == "bounce.example"
    now = datetime.now(UTC).isoformat()
    sender = operation.message.sender_address
    said = f"550 5.1.1 <{to}>: Recipient address rejected: unknown" if bounced else ""
    return {
        "id": str(uuid4()),
        "topic": "/subscriptions/0/resourceGroups/dev/providers/microsoft.communication/sim",
        "subject": f"sender/{sender}/message/{operation.id}",
        "data": {
            "sender": sender,
            "recipient": to,
            "messageId": operation.id,
            "internetMessageId": operation.message.headers.get("Message-ID"),
            "status": "Bounced" if bounced else "Delivered",
            "deliveryStatusDetails": {"statusMessage": said},
            "deliveryAttemptTimeStamp": now,
        },
        "eventType": REPORTED,
        "dataVersion": "1.0",
        "metadataVersion": "1",
        "eventTime": now,
    }


def _refusal(status: int, code: str, message: str, target: str | None = None) -> Response:
    problem = {"code": code, "message": message, **({"target": target} if target else {})}
    return JSONResponse({"error": problem}, status, {"x-ms-error-code": code})


class RunningAcs(InThread[str]):
    """The simulator on a port of this machine, a free one unless told, until left."""

    def __init__(self, simulator: AcsSimulator | None = None, port: int = 0) -> None:
        self.simulator = simulator or AcsSimulator()
        self.url = ""
        self._port = port

    def __enter__(self) -> Self:
        self.url = self._start()
        return self

    @property
    def connection_string(self) -> str:
        return f"endpoint={self.url}/;accesskey={self.simulator.key}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        config = uvicorn.Config(
            self.simulator.app(), access_log=False, log_level="warning", ws="none", lifespan="off"
        )
        # Of TCP by name: otherwise asyncio leaves it waiting to fill its packets, 40 ms each time.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", self._port))
            server = uvicorn.Server(config)
            task = asyncio.create_task(server.serve([listening]))
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                server.should_exit = server.force_exit = True
                await task


def main(argv: list[str]) -> int:
    """Run the simulator until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m dev acs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=int(os.environ.get("ACS_PORT", "7091")))
    parser.add_argument(
        "--domain", action="append", metavar="DOMAIN", help="a verified one; else the examples'"
    )
    options = parser.parse_args(argv)
    simulator = AcsSimulator(domains=frozenset(options.domain or [DOMAIN, "example.org"]))
    with RunningAcs(simulator, options.port) as running:
        print("Azure Communication Services is ready:", flush=True)
        print(f"ACS_CONNECTION_STRING={running.connection_string}", flush=True)
        wait_until(lambda: False)
    return 0
