"""Digipost's area over SFTP: whom we trust, and what each way of breaking off means."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from dev.digipost.area import SEND, Area, Files, Keys, keys
from dev.digipost.switches import Switches
from shared.adapters.digipost_area import DigipostArea
from shared.domain.letter_job import JobKind
from shared.errors import PermanentError, StoppedError, TransientError, UncertainError
from tests.adapters.sftp import area_settings

NAME = "kommune.20417-1.3fa9c2d1.send-2.1.zip"
LARGE = bytes(range(256)) * 4000


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return keys(tmp_path_factory.mktemp("keys"))


class Served:
    """An area, its port, and adapters for it."""

    def __init__(self, area: Area, port: int) -> None:
        self.area = area
        self.port = port

    def adapter(self, **values: Any) -> DigipostArea:
        return DigipostArea(area_settings(self.area.keys, self.port, **values))

    def left(self, name: str = NAME) -> bytes | None:
        file = self.area.folder / SEND / name
        return file.read_bytes() if file.exists() else None

    async def upload(self, data: bytes = LARGE, **values: Any) -> None:
        await self.adapter(**values).upload(JobKind.SEND, NAME, BytesIO(data), len(data))


@pytest.fixture
async def served(tmp_path: Path, known: Keys) -> AsyncIterator[Served]:
    async with serving(tmp_path, known) as running:
        yield running


@asynccontextmanager
async def serving(
    folder: Path, known: Keys, *, host_keys: list[str] | None = None, **switches: Any
):
    area = Area(folder, known, switches=lambda: Switches(**switches))
    area.host_keys = host_keys or area.host_keys
    async with area.serving() as port:
        yield Served(area, port)


def new_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


# --- whom we trust ---


async def test_a_host_with_another_key_gets_nothing_and_the_message_says_what_to_do(
    served: Served,
) -> None:
    other = new_key().get_fingerprint()
    with pytest.raises(StoppedError) as refused:
        await served.upload(DIGIPOST_HOST_KEY=other)
    said = str(refused.value)
    assert served.area.keys.host_fingerprint in said  # what was shown, for a person to compare
    assert other not in said
    assert "DIGIPOST_HOST_KEY" in said and "another way" in said
    assert served.left() is None


async def test_two_keys_may_be_pinned_while_the_host_changes_its_own(served: Served) -> None:
    pinned = f"{new_key().get_fingerprint()}, {served.area.keys.host_fingerprint}"
    await served.upload(DIGIPOST_HOST_KEY=pinned)
    assert served.left() == LARGE


async def test_nothing_is_pinned_means_that_nobody_is_trusted(served: Served) -> None:
    with pytest.raises(StoppedError):
        await served.upload(DIGIPOST_HOST_KEY="")


async def test_the_known_hosts_of_whoever_runs_it_are_not_looked_at(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ssh = tmp_path / "home/.ssh"
    ssh.mkdir(parents=True)
    host_key = asyncssh.import_private_key(served.area.keys.host_key)
    trusted = host_key.export_public_key().decode()
    (ssh / "known_hosts").write_text(f"127.0.0.1,[127.0.0.1]:{served.port} {trusted}")
    (ssh / "config").write_text("Host *\n  StrictHostKeyChecking no\n  HostName 127.0.0.9\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert not await served.adapter(DIGIPOST_HOST_KEY=new_key().get_fingerprint()).answers()
    assert await served.adapter().answers()


async def test_of_a_host_with_keys_of_several_kinds_any_may_be_pinned(
    tmp_path: Path, known: Keys
) -> None:
    every = [new_key(), new_key("ecdsa-sha2-nistp256"), new_key("ecdsa-sha2-nistp384")]
    private = [key.export_private_key().decode() for key in every]
    async with serving(tmp_path, known, host_keys=private) as served:
        for key in every[:2]:
            adapter = served.adapter(DIGIPOST_HOST_KEY=key.get_fingerprint())
            assert await adapter.answers()
            before = served.area.connections
            assert await adapter.answers()
            assert served.area.connections == before + 1  # it remembers which kind it was
        with pytest.raises(StoppedError) as refused:
            await served.upload(DIGIPOST_HOST_KEY=new_key().get_fingerprint())
    assert all(key.get_fingerprint() in str(refused.value) for key in every[:2])


async def test_a_key_that_the_host_does_not_know_stops_the_channel(served: Served) -> None:
    strange = new_key().export_private_key().decode()
    with pytest.raises(StoppedError, match="DIGIPOST_KEY"):
        await served.upload(DIGIPOST_KEY=strange)
    with pytest.raises(StoppedError, match="DIGIPOST_USER"):
        await served.upload(DIGIPOST_USER="prod_2")
    assert served.left() is None


@pytest.mark.parametrize(
    "form",
    [
        "openssh",
        "openssh with a passphrase",
        "pkcs8-pem",
        "pkcs8-pem with a passphrase",
        "lines kept",
    ],
)
async def test_the_key_is_taken_in_every_usual_form(served: Served, form: str) -> None:
    key = asyncssh.import_private_key(served.area.keys.private_key)
    form, _, with_passphrase = form.partition(" with")
    passphrase = "Blåbær & tyttebær" if with_passphrase else None
    kind = "openssh" if form == "lines kept" else form
    text = key.export_private_key(kind, passphrase).decode()
    if form != "lines kept":
        text = text.replace("\n", "\\n")
    await served.upload(DIGIPOST_KEY=text, DIGIPOST_KEY_PASSPHRASE=passphrase or "")
    assert served.left() == LARGE


@pytest.mark.parametrize("passphrase", ["", "hemmelig"])
@pytest.mark.parametrize("cut", [0, 60, 200])
async def test_a_key_that_cannot_be_read_is_named_and_never_shown(
    served: Served, passphrase: str, cut: int
) -> None:
    key = asyncssh.import_private_key(served.area.keys.private_key)
    broken = key.export_private_key("pkcs8-pem", "tyttebær").decode()
    broken = broken[:cut] + broken[cut + 9 :] if cut else broken
    with pytest.raises(StoppedError, match="DIGIPOST_KEY") as refused:
        await served.upload(DIGIPOST_KEY=broken, DIGIPOST_KEY_PASSPHRASE=passphrase)
    assert refused.value.__cause__ is None
    assert broken[30:60] not in str(refused.value) and "tyttebær" not in str(refused.value)


# --- what breaks ---


async def test_nobody_there_is_a_failure_in_passing(known: Keys) -> None:
    adapter = DigipostArea(area_settings(known, 1))
    for attempt in (
        adapter.upload(JobKind.SEND, NAME, BytesIO(b"a"), 1),
        adapter.size_of(JobKind.SEND, NAME),
        adapter.receipts(JobKind.SEND),
        adapter.fetch(JobKind.SEND, NAME, 1),
        adapter.remove(JobKind.SEND, NAME),
    ):
        with pytest.raises(TransientError) as failed:
            await attempt
        assert not isinstance(failed.value, StoppedError)
    assert not await adapter.answers()


@pytest.mark.parametrize("after", [0, 1, 300_000])
async def test_an_upload_that_breaks_in_the_middle_is_in_doubt_and_partly_there(
    tmp_path: Path, known: Keys, after: int
) -> None:
    switches = {"break_upload": "partial", "break_after_bytes": after}
    async with serving(tmp_path, known, **switches) as served:
        with pytest.raises(UncertainError):
            await served.upload()
        left = served.left()
        assert left is not None and len(left) < len(LARGE)
        assert await served.adapter().size_of(JobKind.SEND, NAME) == len(left)


async def test_an_upload_whose_last_answer_is_lost_is_in_doubt_though_it_is_whole(
    tmp_path: Path, known: Keys
) -> None:
    async with serving(tmp_path, known, break_upload="complete") as served:
        with pytest.raises(UncertainError):
            await served.upload()
        assert served.left() == LARGE


async def test_with_rename_a_broken_upload_never_has_the_final_name(
    tmp_path: Path, known: Keys
) -> None:
    async with serving(tmp_path, known, break_upload="partial", break_after_bytes=5) as served:
        with pytest.raises(UncertainError):
            await served.upload(DIGIPOST_UPLOAD="rename")
        assert served.left() is None
        assert served.left(f"{NAME}.part") is not None


async def test_with_rename_nothing_is_left_beside_the_final_name(served: Served) -> None:
    await served.upload(DIGIPOST_UPLOAD="rename")
    assert served.left() == LARGE
    assert served.left(f"{NAME}.part") is None


async def test_a_host_that_stops_answering_in_the_middle_is_not_waited_for(
    tmp_path: Path, known: Keys
) -> None:
    async with serving(tmp_path, known, break_upload="hang") as served:
        with pytest.raises(UncertainError):
            await served.upload(DIGIPOST_TIMEOUT_SECONDS=3)


async def test_a_host_that_never_says_a_word_is_not_waited_for(known: Keys) -> None:
    over = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        adapter = DigipostArea(area_settings(known, port, DIGIPOST_TIMEOUT_SECONDS=1))
        with pytest.raises(TransientError):
            await adapter.size_of(JobKind.SEND, NAME)
        over.set()


async def test_without_the_folder_nothing_is_written_and_trying_again_is_no_use(
    served: Served,
) -> None:
    shutil.rmtree(served.area.folder / SEND)
    with pytest.raises(PermanentError):
        await served.upload()
    assert await served.adapter().receipts(JobKind.SEND) == {}
    assert not await served.adapter().answers()


class Unwilling(Files):
    """Refuses to make a file, in the way that is set."""

    error: type[asyncssh.SFTPError] = asyncssh.SFTPFailure

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        raise self.error("no")


class Forbidding(Unwilling):
    error = asyncssh.SFTPPermissionDenied


@pytest.mark.parametrize(
    ("files", "error"), [(Forbidding, PermanentError), (Unwilling, TransientError)]
)
async def test_a_file_that_the_host_will_not_make_was_not_made(
    served: Served, files: type[Files], error: type[Exception]
) -> None:
    served.area.files = files
    with pytest.raises(error):
        await served.upload()
    assert served.left() is None


class Vanishing(Files):
    """Makes the file, and is gone before it says so."""

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        super().close(super().open(path, pflags, attrs))
        self._connection.abort()
        raise asyncssh.SFTPConnectionLost("gone")


async def test_a_file_that_may_have_been_made_is_in_doubt(served: Served) -> None:
    served.area.files = Vanishing
    with pytest.raises(UncertainError):
        await served.upload()
    assert served.left() == b""


class Losing(Files):
    """Says that it has written everything, and has not."""

    async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        await super().write(file_obj, offset, data[:-1])
        return len(data)


async def test_what_is_not_as_large_there_as_here_is_in_doubt(served: Served) -> None:
    served.area.files = Losing
    with pytest.raises(UncertainError, match="as large"):
        await served.upload()


class Quick(Files):
    """Takes the file away as soon as it is closed."""

    def close(self, file_obj: Any) -> None:
        super().close(file_obj)
        (self._area.folder / SEND / NAME).unlink()


async def test_a_file_that_is_taken_at_once_was_whole_when_it_was_closed(served: Served) -> None:
    served.area.files = Quick
    await served.upload()
    assert served.left() is None


async def test_folders_among_the_receipts_and_names_that_are_not_utf8_are_no_obstacle(
    served: Served,
) -> None:
    receipts = served.area.folder / SEND / "kvittering"
    (receipts / "gammelt").mkdir()
    (receipts / "b.resultat.zip").write_bytes(b"b")
    (receipts / "\udce6.zip").write_bytes(b"a")
    names = list(await served.adapter().receipts(JobKind.SEND))
    assert names == ["\\xe6.zip", "b.resultat.zip"]
    with pytest.raises(PermanentError):
        await served.adapter().fetch(JobKind.SEND, names[0], 9)


class Growing(Files):
    """Tells a size that is too small."""

    def stat(self, path: bytes) -> Any:
        return asyncssh.SFTPAttrs(size=1, permissions=0o100644)


async def test_a_receipt_that_is_larger_than_it_said_is_not_read_to_its_end(
    served: Served,
) -> None:
    served.area.files = Growing
    (served.area.folder / SEND / "kvittering/a.zip").write_bytes(LARGE)
    with pytest.raises(PermanentError, match="larger"):
        await served.adapter().fetch(JobKind.SEND, "a.zip", 500_000)


async def test_every_call_ends_its_connection_and_logs_nothing(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await served.upload()
    await served.adapter().size_of(JobKind.SEND, NAME)
    for _ in range(50):
        await asyncio.sleep(0)
    assert served.area.connections == 2
    assert not served.area.connected
    assert not [one for one in caplog.records if one.name.startswith("asyncssh")]
