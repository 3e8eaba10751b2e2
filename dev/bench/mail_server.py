"""A mail server that keeps nothing and looks at nothing, to measure against.

The mail sink is made for trying things out, and takes longer over a mail than we do. Whoever starts
this as a script gets a line of JSON to begin with (Place), and one for each line written to it
(Count); it ends with its input.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import process_time
from typing import NamedTuple

from dev.mail import MailSink


class Place(NamedTuple):
    port: int
    certificate: str  #: the file a client must trust


class Count(NamedTuple):
    """Since it was started."""

    connections: int
    mails: int
    cpu: float  #: seconds


class Bin(MailSink):
    """Takes mail on a free port, with STARTTLS for those who want it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, tls="starttls")
        self.mails = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._talk, "127.0.0.1", limit=1 << 24)
        yield server.sockets[0].getsockname()[1]
        server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"220 localhost\r\n")
        try:
            while command := await reader.readline():
                match command[:4].upper():
                    case b"EHLO":
                        writer.write(b"250-localhost\r\n250-STARTTLS\r\n250 SIZE 10000000\r\n")
                    case b"STAR":
                        writer.write(b"220 Go ahead\r\n")
                        assert self._context
                        await writer.start_tls(self._context)
                    case b"DATA":
                        writer.write(b"354 Go ahead\r\n")
                        await reader.readuntil(b"\r\n.\r\n")
                        self.mails += 1
                        writer.write(b"250 Thank you\r\n")
                    case b"QUIT":
                        writer.write(b"221 Bye\r\n")
                        break
                    case _:
                        writer.write(b"250 Ok\r\n")
        finally:
            writer.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Bin(Path(folder)) as server:
        print(json.dumps(Place(server.port, str(server.certificate))), flush=True)
        for _ in sys.stdin:
            count = Count(server.connections, server.mails, process_time())
            print(json.dumps(count), flush=True)


if __name__ == "__main__":
    main()
