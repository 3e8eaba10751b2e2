"""What the area for letter jobs promises: in memory, over SFTP, and before OpenSSH's own server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path

import pytest

from dev.digipost.area import RECEIPTS, SEND, SPLIT, Area, Keys, keys
from shared.adapters.digipost_area import DigipostArea
from shared.domain.letter_job import JobKind
from shared.errors import PermanentError, UncertainError
from shared.ports import JobArea
from tests.adapters.sftp import area_settings, openssh, sftp_server
from tests.letters import MemoryArea

NAME = "kommune.20417-1.3fa9c2d1.send-2.1.zip"
FOLDERS = {JobKind.SPLIT: SPLIT, JobKind.SEND: SEND}
LARGE = bytes(range(256)) * 4000  # more than one chunk

Receipt = Callable[[JobKind, str, bytes], None]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return keys(tmp_path_factory.mktemp("keys"))


def on_disk(folder: Path) -> Receipt:
    def put(kind: JobKind, name: str, data: bytes) -> None:
        (folder / FOLDERS[kind] / RECEIPTS / name).write_bytes(data)

    return put


@pytest.fixture(params=["memory", "sftp", "renamed", "openssh"])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, known: Keys
) -> AsyncIterator[tuple[JobArea, Receipt]]:
    if request.param == "memory":
        memory = MemoryArea()
        yield memory, memory.put_receipt
        return
    if request.param == "openssh" and not sftp_server():
        pytest.skip("there is no sftp-server here (Debian's openssh-sftp-server)")
    area = Area(tmp_path, known)
    serving = openssh(area) if request.param == "openssh" else area.serving()
    how = "rename" if request.param == "renamed" else "direct"
    async with serving as port:
        yield DigipostArea(area_settings(known, port, DIGIPOST_UPLOAD=how)), on_disk(tmp_path)


@pytest.fixture
def area(place: tuple[JobArea, Receipt]) -> JobArea:
    return place[0]


@pytest.fixture
def receipt(place: tuple[JobArea, Receipt]) -> Receipt:
    return place[1]


@pytest.mark.parametrize("kind", JobKind)
async def test_what_is_uploaded_is_there_whole(area: JobArea, kind: JobKind) -> None:
    await area.upload(kind, NAME, BytesIO(LARGE), len(LARGE))
    assert await area.size_of(kind, NAME) == len(LARGE)
    other = JobKind.SEND if kind is JobKind.SPLIT else JobKind.SPLIT
    assert await area.size_of(other, NAME) is None


async def test_a_name_that_is_there_is_not_written_over(area: JobArea) -> None:
    await area.upload(JobKind.SEND, NAME, BytesIO(b"the first"), 9)
    with pytest.raises(UncertainError):
        await area.upload(JobKind.SEND, NAME, BytesIO(b"another one"), 11)
    assert await area.size_of(JobKind.SEND, NAME) == 9


async def test_a_file_of_another_size_than_was_meant_is_in_doubt(area: JobArea) -> None:
    with pytest.raises(UncertainError):
        await area.upload(JobKind.SEND, NAME, BytesIO(b"short"), 6)
    assert await area.size_of(JobKind.SEND, NAME) == 5


async def test_what_was_never_uploaded_is_not_there(area: JobArea) -> None:
    assert await area.size_of(JobKind.SEND, NAME) is None


async def test_receipts_are_listed_by_name_and_fetched_whole(
    area: JobArea, receipt: Receipt
) -> None:
    assert await area.receipts(JobKind.SEND) == {}
    for name in ("b.resultat.zip", "a.mottatt.zip", ".half.zip"):
        receipt(JobKind.SEND, name, name.encode() + LARGE)
    receipt(JobKind.SPLIT, "c.resultat.zip", b"c")
    assert list(await area.receipts(JobKind.SEND)) == ["a.mottatt.zip", "b.resultat.zip"]
    whole = b"a.mottatt.zip" + LARGE
    assert await area.fetch(JobKind.SEND, "a.mottatt.zip", len(whole)) == whole


async def test_a_receipt_that_is_too_large_or_gone_is_not_fetched(
    area: JobArea, receipt: Receipt
) -> None:
    receipt(JobKind.SEND, "a.resultat.zip", b"12345")
    assert await area.fetch(JobKind.SEND, "a.resultat.zip", 5) == b"12345"
    with pytest.raises(PermanentError):
        await area.fetch(JobKind.SEND, "a.resultat.zip", 4)
    with pytest.raises(PermanentError):
        await area.fetch(JobKind.SPLIT, "a.resultat.zip", 5)


async def test_a_removed_receipt_is_gone_and_removed_again_without_a_word(
    area: JobArea, receipt: Receipt
) -> None:
    receipt(JobKind.SEND, "a.resultat.zip", b"12345")
    receipt(JobKind.SEND, "b.resultat.zip", b"12345")
    await area.remove(JobKind.SEND, "a.resultat.zip")
    await area.remove(JobKind.SEND, "a.resultat.zip")
    assert list(await area.receipts(JobKind.SEND)) == ["b.resultat.zip"]


@pytest.mark.parametrize("name", ["", "..", "../a.zip", "kvittering/a.zip", "a\0.zip"])
async def test_a_name_that_leads_elsewhere_is_refused(area: JobArea, name: str) -> None:
    for attempt in (
        area.upload(JobKind.SEND, name, BytesIO(b"a"), 1),
        area.size_of(JobKind.SEND, name),
        area.fetch(JobKind.SEND, name, 10),
        area.remove(JobKind.SEND, name),
    ):
        with pytest.raises(PermanentError):
            await attempt


async def test_it_answers(area: JobArea) -> None:
    assert await area.answers()
