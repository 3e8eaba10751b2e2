"""The SFTP area: a folder on this machine, one user with a key, and a host key of its own."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from .switches import Switches

USER = "prod_100123"
SPLIT, SEND = "mottakersplitt", "masseutsendelse"
RECEIPTS = "kvittering"


@dataclass(frozen=True)
class Keys:
    """What both ends need. In files, so that both may be started again."""

    private_key: str  #: the setting DIGIPOST_KEY
    host_fingerprint: str  #: the setting DIGIPOST_HOST_KEY
    public_key: str
    host_key: str

    @property
    def one_line(self) -> str:
        """The private key as an app setting holds it."""
        return self.private_key.strip().replace("\n", "\\n")


def keys(folder: Path) -> Keys:
    """Those in the folder; made where there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    key, host = _key(folder / "digipost_key"), _key(folder / "digipost_host_key")
    fingerprint = host.get_fingerprint()
    (folder / "fingerprint.txt").write_text(f"{fingerprint}\n", "ascii")
    return Keys(_private(key), fingerprint, key.export_public_key().decode("ascii"), _private(host))


def _key(file: Path) -> asyncssh.SSHKey:
    if not file.exists():
        made = asyncssh.generate_private_key("ssh-ed25519")
        file.touch(mode=0o600)
        file.write_bytes(made.export_private_key())
    return asyncssh.read_private_key(file)


def _private(key: asyncssh.SSHKey) -> str:
    return key.export_private_key().decode("ascii")


class Area:
    """The folders, and the server that lets the app into them."""

    def __init__(
        self,
        folder: Path,
        keys: Keys,
        *,
        user: str = USER,
        switches: Callable[[], Switches] = Switches,
    ) -> None:
        self.folder = folder
        self.keys = keys
        self.user = user
        self.switches = switches
        self.broken = 0  #: uploads that were broken off
        self.connections = 0  #: that were ever made
        self.connected: set[asyncssh.SSHServerConnection] = set()
        self.host_keys = [keys.host_key]
        self.files: type[Files] = Files
        self._open: dict[int, tuple[object, Path, Any]] = {}
        for name in (SPLIT, SEND):
            (folder / name / RECEIPTS).mkdir(parents=True, exist_ok=True)

    def uploads(self, root: str) -> list[Path]:
        """Files that are not being written to, the oldest first."""
        busy = {path for _, path, _ in self._open.values()}
        found = [
            (entry.stat().st_mtime_ns, Path(entry.path))
            for entry in os.scandir(self.folder / root)
            if entry.is_file()
        ]
        return [path for _, path in sorted(found) if path not in busy]

    def receipts(self, root: str) -> list[Path]:
        return sorted((self.folder / root / RECEIPTS).glob("[!.]*"))

    def writes_to(self, file: Any, path: Path, connection: object) -> None:
        self._open[id(file)] = (connection, path, file)

    def written(self, file: Any) -> None:
        self._open.pop(id(file), None)

    def cut(self, connection: object) -> None:
        """Nobody writes to its files any more."""
        for number, (whose, _, file) in list(self._open.items()):
            if whose is connection:
                file.close()
                del self._open[number]

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[int]:
        """Entered with the port on this machine."""
        listener = await asyncssh.listen(
            "127.0.0.1",
            port,
            server_host_keys=[asyncssh.import_private_key(one) for one in self.host_keys],
            server_factory=lambda: Door(self),
            sftp_factory=lambda channel: self.files(channel, self),
            allow_scp=False,
            gss_host=None,
            config=[],
        )
        try:
            yield listener.get_port()
        finally:
            listener.close()
            for connection in list(self.connected):
                connection.abort()
            await listener.wait_closed()


class Door(asyncssh.SSHServer):
    """Lets in the one user with the one key."""

    def __init__(self, area: Area) -> None:
        self._area = area

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._area.connections += 1
        self._area.connected.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._area.connected.discard(self._connection)
        self._area.cut(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        known = asyncssh.import_public_key(self._area.keys.public_key)
        return username == self._area.user and key == known


class Files(asyncssh.SFTPServer):
    """Files in the area, which know when they are being written to, and when to break off."""

    def __init__(self, channel: "asyncssh.SSHServerChannel[bytes]", area: Area) -> None:
        super().__init__(channel, chroot=os.fsencode(area.folder))
        self._area = area
        self._connection = channel.get_connection()
        self._written: dict[int, int] = {}

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        file = super().open(path, pflags, attrs)
        if pflags & asyncssh.FXF_WRITE:
            self._area.writes_to(file, Path(os.fsdecode(self.map_path(path))), self._connection)
            self._written[id(file)] = 0
        return file

    async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        switches = self._area.switches()
        written = self._written.get(id(file_obj), 0)
        if self._breaks() and switches.break_upload in {"partial", "hang"}:
            room = switches.break_after_bytes - written
            if len(data) > room:
                if room > 0:
                    self._keep(file_obj, offset, data[:room])
                if switches.break_upload == "hang":
                    await self._connection.wait_closed()
                self._break()
                raise asyncssh.SFTPConnectionLost("broken off by a switch")
        self._written[id(file_obj)] = written + len(data)
        return self._keep(file_obj, offset, data)

    def close(self, file_obj: Any) -> None:
        writing = self._written.pop(id(file_obj), None) is not None
        super().close(file_obj)
        self._area.written(file_obj)
        if writing and self._breaks() and self._area.switches().break_upload == "complete":
            self._break()
            raise asyncssh.SFTPConnectionLost("broken off by a switch")

    def _keep(self, file_obj: Any, offset: int, data: bytes) -> int:
        written = super().write(file_obj, offset, data)
        assert isinstance(written, int)
        return written

    def _breaks(self) -> bool:
        switches = self._area.switches()
        times = switches.break_times
        return switches.break_upload != "off" and (not times or self._area.broken < times)

    def _break(self) -> None:
        self._area.broken += 1
        self._connection.abort()
