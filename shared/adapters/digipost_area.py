"""Digipost's SFTP area: job files are left there, and receipts are fetched from it.

A connection is made for each call and closed after it. Only what the settings say is trusted: the
key and the host's keys; known_hosts, the ssh configuration and the agent of whoever runs this are
never looked at. What a failed upload means depends on how far it had come:

before the file is opened   nothing was written
the opening is answered     a refusal: nothing was written either
the file is open            nobody knows what Digipost makes of what is there; a person must look
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import BinaryIO, TypeVar

import asyncssh
from asyncssh import SFTPClient, SSHClientConnection, SSHKey

from shared.domain.letter_job import JobKind
from shared.errors import PermanentError, StoppedError, TransientError, UncertainError
from shared.settings import Settings

# Several lines about each connection, with user and host in them.
logging.getLogger("asyncssh").setLevel(logging.WARNING)

#: Seen from home, which is where everybody begins; known clients write them so, and with `/` too.
_FOLDERS = {JobKind.SPLIT: "mottakersplitt", JobKind.SEND: "masseutsendelse"}
_RECEIPTS = "kvittering"
_CHUNK = 256 * 1024
_GOODBYE_SECONDS = 5

#: The kinds of host key, by what they sign with; the first that the server has is used. Not
#: `ssh-rsa`, which signs with SHA-1: an RSA key is the same one, however it signs.
_HOST_KEYS: tuple[tuple[str, ...], ...] = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
#: What ends a connection or never lets it begin. A time-out is an OSError.
_BROKEN = (OSError, asyncssh.Error)
#: Answers that say that the file was not made, and never will be like this.
_REFUSALS = (
    asyncssh.SFTPNoSuchFile,
    asyncssh.SFTPNoSuchPath,
    asyncssh.SFTPNotADirectory,
    asyncssh.SFTPPermissionDenied,
    asyncssh.SFTPWriteProtect,
    asyncssh.SFTPOpUnsupported,
    asyncssh.SFTPInvalidFilename,
)
_GONE = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
#: Not answers, though they are of the same family.
_UNANSWERED = (
    asyncssh.SFTPNoConnection,
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPBadMessage,
    asyncssh.SFTPEOFError,
)

T = TypeVar("T")


class DigipostArea:
    """Folders for jobs and for receipts. Nothing waits longer than the time limit for an answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seconds = settings.DIGIPOST_TIMEOUT_SECONDS
        self._pinned = {one.strip() for one in settings.DIGIPOST_HOST_KEY.split(",") if one.strip()}
        self._host_keys = _HOST_KEYS

    async def upload(self, kind: JobKind, name: str, file: BinaryIO, size: int) -> None:
        """The file is there, whole: its size was read back."""
        path = f"{_FOLDERS[kind]}/{_plain(name)}"
        rename = self._settings.DIGIPOST_UPLOAD == "rename"
        async with self._connected() as sftp:
            begun = f"{path}.part" if rename else path
            there = await self._open(sftp, begun, name)
            # Also with `rename` everything from here on is in doubt: that a name which does not
            # end in `.zip` is left alone is Digipost's word, and a person may as well look.
            with _doubtful(name):
                while chunk := await asyncio.to_thread(file.read, _CHUNK):
                    await self._in_time(there.write(chunk))
                written = (await self._in_time(there.stat())).size
                await self._in_time(there.close())
                if rename:
                    await self._in_time(sftp.rename(begun, path))
                found = await self._size(sftp, path)
            # Digipost may have taken it away already; then the size that it had has to do.
            if (written if found is None else found) != size:
                raise UncertainError(f"digipost: {name} is not as large there as here")

    async def size_of(self, kind: JobKind, name: str) -> int | None:
        """How large the uploaded file is there; None when it is not there (any more)."""
        async with self._connected() as sftp:
            with _in_our_words("looking for", name):
                return await self._size(sftp, f"{_FOLDERS[kind]}/{_plain(name)}")

    async def receipts(self, kind: JobKind) -> dict[str, int]:
        """The files among the receipts, in order of name; hidden ones and folders left out.

        A folder that is not there has none: whether Digipost makes it before the first receipt
        is not known, and that receipts never come is watched over elsewhere.
        """
        async with self._connected() as sftp:
            with _in_our_words("listing the receipts of", kind):
                try:
                    entries = await self._in_time(sftp.readdir(f"{_FOLDERS[kind]}/{_RECEIPTS}"))
                except _GONE:
                    return {}
        files = [(str(one.filename), one.attrs.size or 0) for one in entries if not _is_folder(one)]
        return {name: size for name, size in sorted(files) if name[:1] != "." and "/" not in name}

    async def fetch(self, kind: JobKind, name: str, limit: int) -> bytes:
        """The receipt file. Raises PermanentError when it is gone, or larger than `limit` bytes."""
        path = f"{_FOLDERS[kind]}/{_RECEIPTS}/{_plain(name)}"
        too_large = PermanentError(f"digipost: {name} is larger than {limit} bytes")
        async with self._connected() as sftp:
            with _in_our_words("fetching", name):
                try:
                    if (await self._size(sftp, path) or 0) > limit:
                        raise too_large
                    there = await self._in_time(sftp.open(path, "rb"))
                except _GONE as error:
                    raise PermanentError(f"digipost: {name} is not there") from error
                data = bytearray()
                # what was listed may have grown, and a server may say anything of sizes
                while len(data) <= limit:
                    size = min(_CHUNK, limit + 1 - len(data))
                    chunk = await self._in_time(there.read(size))
                    if not chunk:
                        return bytes(data)
                    data += chunk if isinstance(chunk, bytes) else chunk.encode()
                raise too_large

    async def remove(self, kind: JobKind, name: str) -> None:
        """It is not there any more; it may have been gone before."""
        async with self._connected() as sftp:
            with _in_our_words("removing", name), suppress(*_GONE):
                path = f"{_FOLDERS[kind]}/{_RECEIPTS}/{_plain(name)}"
                await self._in_time(sftp.remove(path))

    async def answers(self) -> bool:
        """Whether it lets us in, and the folders for jobs are there."""
        try:
            async with self._connected() as sftp:
                for folder in _FOLDERS.values():
                    if not await self._in_time(sftp.isdir(folder)):
                        return False
        except (TransientError, *_BROKEN):
            return False
        return True

    async def _open(self, sftp: SFTPClient, path: str, name: str) -> asyncssh.SFTPClientFile:
        """A new file. Names are used once, so whatever has this one is an upload of ours."""
        doubt = UncertainError(f"digipost: opening {name}: nobody knows whether it was made")
        try:
            return await self._in_time(sftp.open(path, "xb"))
        except asyncssh.SFTPFileAlreadyExists as error:
            raise UncertainError(f"digipost: {name} is there already") from error
        except _UNANSWERED as error:
            raise doubt from error
        except _REFUSALS as error:
            said = type(error).__name__
            raise PermanentError(f"digipost: {name} is refused: {said}") from error
        except asyncssh.SFTPError as error:
            # The answer that old servers give to everything, also to a name that is taken.
            with _doubtful(name):
                found = await self._size(sftp, path)
            if found is not None:
                raise UncertainError(f"digipost: {name} is there already") from error
            said = type(error).__name__
            raise TransientError(f"digipost: {name} cannot be made: {said}") from error
        except _BROKEN as error:
            raise doubt from error

    async def _size(self, sftp: SFTPClient, path: str) -> int | None:
        try:
            return (await self._in_time(sftp.stat(path))).size or 0
        except _GONE:
            return None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[SFTPClient]:
        """Raises TransientError or StoppedError before it is entered, and nothing of its own then.

        Left by an error, it is cut: a goodbye may hang like everything else.
        """
        connection = await self._connect()
        leave = connection.abort
        try:
            try:
                # a name that is not UTF-8 must not keep us from the others
                start = connection.start_sftp_client(path_errors="backslashreplace")
                sftp = await self._in_time(start)
            except _BROKEN as error:
                said = type(error).__name__
                raise TransientError(f"digipost: no SFTP to be had: {said}") from error
            yield sftp
            leave = connection.close
        finally:
            leave()
            with suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await connection.wait_closed()

    async def _connect(self) -> SSHClientConnection:
        """Logged in at a host that has a key which is pinned.

        A fingerprint does not tell what kind of key it is of, and a server may have one of each:
        after a key that is not known, the server is asked for its other kinds.
        """
        key = self._key()
        shown: list[str] = []
        for number in range(len(self._host_keys)):
            kinds = self._host_keys[number:]
            pin = _Pin(self._pinned)
            try:
                connection = await self._in_time(self._log_in(key, kinds, pin))
            except asyncssh.HostKeyNotVerifiable:
                shown.append(pin.shown)
                continue
            except asyncssh.KeyExchangeFailed as error:
                if shown:
                    break
                said = "digipost: no way of encrypting, or kind of host key, in common"
                raise StoppedError(f"{said}; {self._settings.DIGIPOST_HOST} is too old") from error
            except asyncssh.PermissionDenied as error:
                said = "digipost: the key is not accepted: DIGIPOST_KEY, DIGIPOST_USER"
                raise StoppedError(said) from error
            except _BROKEN as error:
                said = type(error).__name__
                raise TransientError(f"digipost: no connection: {said}") from error
            self._host_keys = kinds  # next time it is asked for right away
            return connection
        raise StoppedError(_unknown_host(self._settings.DIGIPOST_HOST, shown))

    async def _log_in(
        self, key: SSHKey, kinds: tuple[tuple[str, ...], ...], pin: "_Pin"
    ) -> SSHClientConnection:
        return await asyncssh.connect(
            self._settings.DIGIPOST_HOST,
            self._settings.DIGIPOST_PORT,
            username=self._settings.DIGIPOST_USER,
            client_keys=[key],
            client_factory=lambda: pin,
            # It has none, which makes asyncssh ask the factory's client about every key. A list
            # that is empty would make it read ~/.ssh/known_hosts, and None would check nothing.
            known_hosts=lambda host, address, port: ([], [], []),
            server_host_key_algs=[one for kind in kinds for one in kind],
            x509_trusted_certs=None,
            config=None,
            agent_path=None,
            password=None,
            preferred_auth="publickey",
            gss_host=None,
            keepalive_interval=min(30, self._seconds),
        )

    def _key(self) -> SSHKey:
        """App settings are one line; there the lines of a key are parted by the two signs `\\n`."""
        text = self._settings.DIGIPOST_KEY.get_secret_value().replace("\\n", "\n")
        passphrase = self._settings.DIGIPOST_KEY_PASSPHRASE.get_secret_value() or None
        try:
            return asyncssh.import_private_key(text, passphrase)
        except asyncssh.KeyEncryptionError:
            said = "digipost: DIGIPOST_KEY cannot be opened with DIGIPOST_KEY_PASSPHRASE"
            raise StoppedError(said) from None
        except (asyncssh.KeyImportError, ValueError):
            # not `from` it: what cannot be decoded may be in the error
            said = "digipost: DIGIPOST_KEY is not a private key in PEM or OpenSSH form"
            if passphrase:  # what a wrong one makes of a key cannot be told from a broken key
                said += ", or DIGIPOST_KEY_PASSPHRASE does not open it"
            raise StoppedError(said) from None

    async def _in_time(self, answer: Awaitable[T]) -> T:
        async with asyncio.timeout(self._seconds):
            return await answer


class _Pin(asyncssh.SSHClient):
    """Knows the host by its fingerprint alone."""

    def __init__(self, pinned: set[str]) -> None:
        self._pinned = pinned
        self.shown = ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: SSHKey) -> bool:
        self.shown = key.get_fingerprint()
        return self.shown in self._pinned


def _unknown_host(host: str, shown: list[str]) -> str:
    return (
        f"digipost: {host} shows a key that is not in DIGIPOST_HOST_KEY: {', '.join(shown)}. "
        "Nothing was sent. Ask Digipost for the fingerprint of their server by another way; "
        "only if it is this one, put it in DIGIPOST_HOST_KEY"
    )


def _plain(name: str) -> str:
    """Raises PermanentError for what is not the name of a file in the folder."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise PermanentError("digipost: not the name of a file")
    return name


def _is_folder(entry: asyncssh.SFTPName) -> bool:
    return entry.attrs.type == asyncssh.FILEXFER_TYPE_DIRECTORY


@contextmanager
def _in_our_words(doing: str, name: str) -> Iterator[None]:
    """For what can be done again: whatever breaks it is in passing."""
    try:
        yield
    except _BROKEN as error:
        said = type(error).__name__
        raise TransientError(f"digipost: {doing} {name}: {said}") from error


@contextmanager
def _doubtful(name: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        said = type(error).__name__
        raise UncertainError(f"digipost: {name} was begun and broken off: {said}") from error
