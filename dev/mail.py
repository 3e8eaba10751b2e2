"""A mail server on this machine that delivers nothing: each message becomes an `.eml` file.

It behaves by data, so that anyone can try the unhappy path. The end of the recipient's local part
decides, as in `kari+550@example.no`:

    +550, +450, …   that code at RCPT (any 4xx or 5xx); +421 also ends the connection
    +451data, …     that code when the message has been received
    +drop           the message is kept, but the connection is lost before the answer
    +dropdata       the connection is lost and nothing is kept
    +slow           the message is kept, and the answer comes late (--slow SECONDS)

Followed by `once` (`+450once`, `+droponce`), it happens only the first time for that address.
"""

import argparse
import asyncio
import datetime
import email.policy
import ipaddress
import os
import re
import secrets
import ssl
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dev.in_thread import InThread
from dev.process import wait_until

_BEHAVIOUR = re.compile(
    r"\+(?:(?P<code>[45]\d\d)(?P<data>data)?|(?P<act>dropdata|drop|slow))(?P<once>once)?$"
)


class MailSink(InThread[int]):
    """A running mail server, on a free port unless told, stopped when left.

    With `tls`, `certificate` is the file a client must trust; with `login`, nobody sends without.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        slow: float = 5,
        login: tuple[str, str] | None = None,
        tls: Literal["starttls", "implicit"] | None = None,
    ):
        self.dir = folder
        self.port = port
        self.connections = 0
        self._slow = slow
        self._login = login
        self._tls = tls
        self._happened: set[str] = set()  # addresses whose "once" is over
        self._open: set[_Protocol] = set()

    def __enter__(self) -> Self:
        self.dir.mkdir(parents=True, exist_ok=True)
        self._context = self._make_certificate() if self._tls else None
        self.port = self._start()
        return self

    def messages(self) -> list[EmailMessage]:
        """What has been kept, oldest first."""
        policy: Any = email.policy.default
        files = sorted(self.dir.glob("*.eml"))
        return [email.message_from_bytes(file.read_bytes(), policy=policy) for file in files]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        implicit = self._context if self._tls == "implicit" else None
        server = await asyncio.get_running_loop().create_server(
            lambda: _Protocol(self, self._context if self._tls == "starttls" else None),
            "127.0.0.1",
            self.port,
            ssl=implicit,
        )
        yield server.sockets[0].getsockname()[1]
        server.close()
        while self._open:
            for protocol in self._open:
                protocol.abort()
            await asyncio.sleep(0.01)

    def _make_certificate(self) -> ssl.SSLContext:
        """A certificate for this run only, signed by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        self.certificate = self.dir / "certificate.pem"
        self.certificate.write_bytes(certificate.public_bytes(pem))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.TemporaryDirectory() as folder:
            private = Path(folder) / "key.pem"
            private.write_bytes(
                key.private_bytes(
                    pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
            context.load_cert_chain(self.certificate, private)
        return context

    # What aiosmtpd calls, by these names.

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        behaviour = _BEHAVIOUR.search(address.rpartition("@")[0])
        if behaviour and behaviour["code"] and not behaviour["data"] and self._now(address):
            answer = _answer(behaviour["code"])
            if behaviour["code"] == "421":
                await server.push(answer)
                await _lose(server)
            return answer
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        behaviours = [
            behaviour
            for address in envelope.rcpt_tos
            if (behaviour := _BEHAVIOUR.search(address.rpartition("@")[0]))
            and (behaviour["act"] or behaviour["data"])
            and self._now(address)
        ]
        acts = {behaviour["act"] for behaviour in behaviours}
        for behaviour in behaviours:
            if behaviour["code"]:
                return _answer(behaviour["code"])
        if "dropdata" in acts:
            await _lose(server)
        self._keep(envelope)
        if "drop" in acts:
            await _lose(server)
        if "slow" in acts:
            await asyncio.sleep(self._slow)
        return "250 2.0.0 Message accepted"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        given = (
            (data.login.decode(), data.password.decode())
            if isinstance(data, LoginPassword)
            else None
        )
        return AuthResult(success=given == self._login, handled=False)

    def _now(self, address: str) -> bool:
        """Whether the address misbehaves this time."""
        if not address.rpartition("@")[0].endswith("once"):
            return True
        first = address not in self._happened
        self._happened.add(address)
        return first

    def _keep(self, envelope: Envelope) -> None:
        heading = EmailMessage(policy=email.policy.SMTP)
        heading["X-Envelope-From"] = envelope.mail_from
        heading["X-Envelope-To"] = ", ".join(envelope.rcpt_tos)
        content = heading.as_bytes().removesuffix(b"\r\n") + (envelope.original_content or b"")
        # The name sorts by time; nobody sees a file before it is whole.
        name = f"{time.time_ns():020}-{secrets.token_hex(4)}"
        part = self.dir / f"{name}.part"
        part.write_bytes(content)
        part.rename(self.dir / f"{name}.eml")


class _Protocol(SMTP):
    """One connection, counted while it is open."""

    def __init__(self, sink: MailSink, starttls: ssl.SSLContext | None):
        super().__init__(
            sink,
            hostname="localhost",
            enable_SMTPUTF8=True,
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_require_tls=False,  # an implicit TLS connection does not count as one for aiosmtpd
            authenticator=sink.authenticate,
            loop=asyncio.get_running_loop(),
        )
        self._sink = sink

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self not in self._sink._open:  # STARTTLS makes it a second time
            self._sink.connections += 1
            self._sink._open.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._sink._open.discard(self)
        super().connection_lost(error)

    def abort(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()


def _answer(code: str) -> str:
    kind = "try again later" if code.startswith("4") else "no"
    return f"{code} {code[0]}.0.0 As the address asks: {kind}"


async def _lose(server: SMTP) -> None:
    """End the connection; never returns, because losing it cancels the conversation."""
    assert server.transport
    server.transport.close()
    await asyncio.Event().wait()


def main(argv: list[str]) -> int:
    """Run the mail sink until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m dev mail",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=int(os.environ.get("MAIL_PORT", "7025")))
    parser.add_argument("--dir", type=Path, default=Path(".dev/mail"), help="where messages go")
    parser.add_argument("--slow", type=float, default=5, metavar="SECONDS")
    parser.add_argument("--login", nargs=2, metavar=("USER", "PASSWORD"), help="demand this login")
    parser.add_argument("--tls", choices=["starttls", "implicit"], help="with a new certificate")
    options = parser.parse_args(argv)
    login = (options.login[0], options.login[1]) if options.login else None
    with MailSink(
        options.dir, options.port, slow=options.slow, login=login, tls=options.tls
    ) as sink:
        print(f"The mail sink is ready: 127.0.0.1:{sink.port}, messages in {sink.dir}", flush=True)
        wait_until(lambda: False)
    return 0
