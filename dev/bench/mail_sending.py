"""What it takes to hand a mail to a server on this machine, with connections kept and without."""

import asyncio
import json
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from time import perf_counter, process_time
from types import TracebackType
from typing import Any, Self

from dev import process
from dev.bench import mail_server
from dev.bench.mail_building import deliveries, example, same_for_everybody, unnoted
from dev.bench.mail_server import Count, Place
from dev.setup import ROOT
from shared.adapters import mime
from shared.adapters.smtp import SmtpTransport
from shared.adapters.transport import Mail, operation_id

#: Mails over one connection, where connections are kept.
USUAL_REUSE = 100
AT_A_TIME = (1, 8)


@dataclass(frozen=True, slots=True)
class Sent:
    """So many mails, handed over by so many at a time."""

    tls: bool
    at_a_time: int
    per_connection: int
    arrived: int
    connections: int
    seconds: float
    cpu: float  #: ours, in seconds
    server_cpu: float

    @property
    def each(self) -> float:
        """Seconds of our CPU for a mail."""
        return self.cpu / self.arrived


def sending(mails: int, reuse: int = USUAL_REUSE) -> Iterator[tuple[Sent, Sent]]:
    """With a connection for each, and with connections kept; plain and with STARTTLS."""
    many = _mails(mails)
    with _Server() as server:
        # nothing that is measured is to be done for the first time
        asyncio.run(_send(server, many[:5], tls=True, at_a_time=1, per_connection=1))
        for tls, at_a_time in product((False, True), AT_A_TIME):
            anew = asyncio.run(_send(server, many, tls, at_a_time, per_connection=1))
            kept = asyncio.run(_send(server, many, tls, at_a_time, per_connection=reuse))
            yield anew, kept


def _mails(number: int) -> list[Mail]:
    """The same message, its body made once as the channel has it."""
    message, now = same_for_everybody(), datetime.now(UTC)
    body = mime.body(message, ())
    return [
        Mail(
            what=f"delivery {delivery.id}",
            key=operation_id(delivery),
            message_id=mime.message_id(delivery, message.sender),
            name=delivery.recipient.name,
            address=delivery.recipient.address,
            message=message,
            date=now,
            body=body,
        )
        for delivery in deliveries(number)
    ]


async def _send(
    server: "_Server", mails: list[Mail], tls: bool, at_a_time: int, per_connection: int
) -> Sent:
    settings = example(
        SMTP_HOST="127.0.0.1",
        SMTP_PORT=server.place.port,
        SMTP_TLS="starttls" if tls else "none",
        SMTP_MESSAGES_PER_CONNECTION=per_connection,
    )
    trusting = ssl.create_default_context(cafile=server.place.certificate)
    transport = SmtpTransport(settings, tls=trusting)
    left = iter(mails)

    async def work() -> None:
        for mail in left:
            await transport.send(mail, "", unnoted)

    before, began, cpu = server.count(), perf_counter(), process_time()
    await asyncio.gather(*(work() for _ in range(at_a_time)))
    await transport.close()
    seconds, cpu = perf_counter() - began, process_time() - cpu
    after = server.count()
    return Sent(
        tls=tls,
        at_a_time=at_a_time,
        per_connection=per_connection,
        arrived=after.mails - before.mails,
        connections=after.connections - before.connections,
        seconds=seconds,
        cpu=cpu,
        server_cpu=after.cpu - before.cpu,
    )


class _Server:
    """The mail server, in a process of its own: its work is not to be taken for ours."""

    def __enter__(self) -> Self:
        # by its file: as a part of the package it would bring all the benchmark along
        script = str(Path(mail_server.__file__))
        self._child = process.start(
            [sys.executable, "-X", "utf8", script], env={"PYTHONPATH": str(ROOT)}
        )
        self.place = Place(*self._line())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process.stop(self._child)

    def count(self) -> Count:
        assert self._child.stdin
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return Count(*self._line())

    def _line(self) -> list[Any]:
        assert self._child.stdout
        line = self._child.stdout.readline()
        try:
            told: list[Any] = json.loads(line)
        except ValueError:
            rest = self._child.stdout.read() if self._child.poll() is not None else ""
            raise RuntimeError(f"The mail server did not start. It said:\n{line}{rest}") from None
        return told
