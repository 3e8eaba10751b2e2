"""What tests of the SFTP area need: its settings, and OpenSSH's own server before a folder."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import asyncssh

from dev.digipost.area import Area, Door, Keys
from shared.settings import Settings
from tests.examples import settings

Asked = asyncio.Queue[bytes]  #: b"" is the end

_PLACES = ("/usr/lib/openssh", "/usr/libexec/openssh", "/usr/libexec", "/usr/lib/ssh")


def area_settings(known: Keys, port: int, **values: Any) -> Settings:
    return settings(
        **{
            "DIGIPOST_HOST": "127.0.0.1",
            "DIGIPOST_PORT": port,
            "DIGIPOST_USER": "prod_100123",
            "DIGIPOST_KEY": known.one_line,
            "DIGIPOST_HOST_KEY": known.host_fingerprint,
            "DIGIPOST_TIMEOUT_SECONDS": 20,
        }
        | values
    )


def sftp_server() -> str:
    """Where OpenSSH's is; "" where there is none."""
    return shutil.which("sftp-server", path=":".join(_PLACES)) or ""


@asynccontextmanager
async def openssh(area: Area) -> AsyncIterator[int]:
    """Serves the area's folder with OpenSSH's sftp-server; the encryption is asyncssh's."""
    listener = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.import_private_key(area.keys.host_key)],
        server_factory=lambda: _OpenSshDoor(area),
        encoding=None,
        gss_host=None,
        config=[],
    )
    try:
        yield listener.get_port()
    finally:
        listener.close()
        await listener.wait_closed()
        await asyncio.gather(*(server.over.wait() for server in _OpenSshDoor.servers))
        _OpenSshDoor.servers.clear()


class _OpenSshDoor(Door):
    servers: ClassVar[list[_Server]] = []

    def session_requested(self) -> asyncssh.SSHServerSession[bytes]:
        self.servers.append(_Server(self._area.folder))
        return _Session(self.servers[-1])


class _Server(asyncio.SubprocessProtocol):
    """A process of sftp-server, and the channel that it answers on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.over = asyncio.Event()

    async def serve(self, channel: asyncssh.SSHServerChannel[bytes], asked: Asked) -> None:
        self._channel = channel
        run = asyncio.get_running_loop().subprocess_exec
        command = (sftp_server(), "-e", "-d", str(self.folder))
        self._transport, _ = await run(lambda: self, *command, stderr=None)
        requests = self._transport.get_pipe_transport(0)
        assert isinstance(requests, asyncio.WriteTransport)
        while data := await asked.get():
            requests.write(data)
        requests.close()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if not self._channel.is_closing():
            self._channel.write(data)

    def process_exited(self) -> None:
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set()
        if not self._channel.is_closing():
            self._channel.exit(self._transport.get_returncode() or 0)


class _Session(asyncssh.SSHServerSession[bytes]):
    """Passes on what the client asks for."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._asked: Asked = asyncio.Queue()

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp"

    def session_started(self) -> None:
        self._task = asyncio.create_task(self._server.serve(self._channel, self._asked))

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._asked.put_nowait(data)

    def eof_received(self) -> bool:
        self._asked.put_nowait(b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._asked.put_nowait(b"")
