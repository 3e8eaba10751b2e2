"""The register: one row per member whom Digipost has been asked about.

register  <member>        what Digipost has answered; see `shared/domain/register.py`
receipts  <hash>          a receipt that has been read, by its name and content
survey    latest          the last round of asking about everybody
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from shared.domain.addressee import Identity
from shared.domain.job_receipt import RecipientReason
from shared.domain.portions import in_portions
from shared.domain.register import Entry, Standing, Survey
from shared.errors import ClashError, StorageError
from shared.ledger.rows import moment, stamp
from shared.ports import Delete, Insert, Merge, Put, Row, Table, Value, Where, Write

_REGISTER, _RECEIPTS = "register", "receipts"
_SURVEY, _LATEST = "survey", "latest"
#: So few are read one by one; for more, reading all of the register takes fewer requests.
_ONE_BY_ONE = 20
#: Sorts behind every key of ours.
_LAST = "~"


class Register:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def entries(self, members: Collection[str]) -> dict[str, Entry]:
        """What is known of these, by member."""
        if len(members) > _ONE_BY_ONE:
            wanted = set(members)
            return {entry.member: entry async for entry in self.all() if entry.member in wanted}
        rows = [await self._table.get(_REGISTER, member) for member in members]
        return {row.key: _entry(row) for row in rows if row}

    async def all(self, behind: str = "") -> AsyncIterator[Entry]:
        """By member, in the order of their names as text; those behind this one."""
        first = f"{behind} " if behind else ""  # no key comes between the two
        async for row in self._table.query(_REGISTER, first, _LAST):
            yield _entry(row)

    async def keep(self, entries: Iterable[Entry]) -> None:
        """These as they are now, whatever was known before."""
        latest = {entry.member: entry for entry in entries}
        for some in in_portions(list(latest.values()), 100):
            await self._table.write(_REGISTER, *(Put(e.member, _columns(e)) for e in some))

    async def forget(self, members: Sequence[str]) -> None:
        """Nothing is known of these any more."""
        for member in members:
            if row := await self._table.get(_REGISTER, member):
                await self._table.write(_REGISTER, Delete(row.key, None))

    async def drop(self, before: datetime) -> int:
        """Forget those who have not been asked about since then; how many they were."""
        old = [Where("asked_at", "lt", stamp(before))]
        rows = self._table.query(_REGISTER, "", _LAST, old, ["asked_at"])
        gone = [Delete(row.key, row.version) async for row in rows]
        await self._delete(_REGISTER, gone)
        return len(gone)

    async def _delete(self, partition: str, rows: Sequence[Delete]) -> None:
        """These, apart from what has changed meanwhile."""
        for some in in_portions(rows, 100):
            try:
                await self._table.write(partition, *some)
            except StorageError:
                for row in some:  # a clash names only the first that it met
                    with suppress(ClashError):
                        await self._table.write(partition, row)

    # --- rounds of asking ---

    async def survey(self) -> Survey | None:
        """The last one; None when nobody has ever been asked about."""
        row = await self._table.get(_SURVEY, _LATEST)
        return _survey(row) if row else None

    async def save_survey(self, survey: Survey) -> Survey:
        """Store it, in place of the version that was read; ClashError if somebody else did."""
        columns: dict[str, Value] = {
            "number": survey.number,
            "nonce": survey.nonce,
            "began_at": stamp(survey.began_at),
            "list_id": survey.list_id,
            "start": survey.start,
            "read": survey.read,
            "over": survey.over,
        }
        write: Write = Insert(_LATEST, columns)
        if survey.version:
            write = Merge(_LATEST, columns, survey.version)
        try:
            [version] = await self._table.write(_SURVEY, write)
        except StorageError as error:
            stored = await self.survey()
            if stored is None or replace(stored, version=survey.version) != survey:
                raise ClashError("the survey was changed meanwhile") from error
            return stored
        return replace(survey, version=version)

    # --- receipts ---

    async def receipt(self, file: str) -> "SeenReceipt | None":
        row = await self._table.get(_RECEIPTS, _key(file))
        return SeenReceipt(str(row.values["sha256"]), str(row.values["what"])) if row else None

    async def note_receipt(self, file: str, content: str, what: str, at: datetime) -> None:
        """Remember that this file, by whatever tells it from others, has been looked at.

        `content` is its SHA-256.
        """
        columns: dict[str, Value] = {"sha256": content, "what": what, "at": stamp(at)}
        await self._table.write(_RECEIPTS, Put(_key(file), columns))

    async def old_receipts(self, before: datetime) -> list["OldReceipt"]:
        """Those that were looked at before then, and have not been marked as forgotten."""
        old = [Where("at", "lt", stamp(before)), Where("at", "gt", "")]
        rows = self._table.query(_RECEIPTS, "", _LAST, old)
        return [
            OldReceipt(str(row.values["sha256"]), str(row.values["what"]), row.key, row.version)
            async for row in rows
        ]

    async def forget_receipts(self, some: Iterable["OldReceipt"]) -> None:
        """They have never been looked at, as far as we know."""
        await self._delete(_RECEIPTS, [Delete(one.key, one.version) for one in some])

    async def mark_forgotten(self, one: "OldReceipt") -> None:
        """Nothing is kept of it but that it was looked at: the file may lie there still."""
        with suppress(ClashError):  # looked at again just now
            await self._table.write(_RECEIPTS, Merge(one.key, {"at": ""}, one.version))


@dataclass(frozen=True, slots=True)
class SeenReceipt:
    """A file in the folder of receipts that has been looked at, and what it was."""

    sha256: str
    what: str


@dataclass(frozen=True, slots=True)
class OldReceipt(SeenReceipt):
    """One that was looked at long ago."""

    key: str
    version: str


def _key(file: str) -> str:
    """Whatever it may be called."""
    return sha256(file.encode()).hexdigest()


def _columns(entry: Entry) -> dict[str, Value]:
    return {
        "standing": entry.standing,
        "digipost_address": entry.digipost_address,
        "alias": entry.alias,
        "reasons": ",".join(entry.reasons),
        "washed": entry.washed,
        "by": entry.by or "",
        "asked_at": stamp(entry.asked_at),
        "job": entry.job,
        "fingerprint": entry.fingerprint,
    }


def _entry(row: Row) -> Entry:
    v = row.values
    return Entry(
        member=row.key,
        standing=Standing(str(v["standing"])),
        digipost_address=str(v["digipost_address"]),
        alias=str(v["alias"]),
        reasons=tuple(RecipientReason(one) for one in str(v["reasons"]).split(",") if one),
        washed=v["washed"] is True,
        by=Identity(str(v["by"])) if v["by"] else None,
        asked_at=moment(v["asked_at"]),
        job=str(v["job"]),
        fingerprint=str(v["fingerprint"]),
    )


def _survey(row: Row) -> Survey:
    v = row.values
    return Survey(
        number=int(v["number"]),
        nonce=str(v["nonce"]),
        began_at=moment(v["began_at"]),
        list_id=int(v["list_id"]),
        start=int(v["start"]),
        read=v["read"] is True,
        over=v["over"] is True,
        version=row.version,
    )
