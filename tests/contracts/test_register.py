"""What the ledger promises about the register, its rounds and the receipts that were read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.addressee import Identity
from shared.domain.job_receipt import RecipientReason
from shared.domain.register import Entry, Standing, Survey
from shared.errors import ClashError
from shared.ledger.register import Register
from shared.ports import Table

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)
KARI = Entry(
    "user:31",
    Standing.USER,
    digipost_address="kari.ås#1AB2/?",
    alias="abc#9ZY8",
    reasons=(RecipientReason.SEVERAL_MATCHES, RecipientReason.POSTAL_CODE),
    washed=True,
    by=Identity.NAME_AND_ADDRESS,
    asked_at=NOW,
    job="kommune.register.3fa9c2d1.split-2",
    fingerprint="0123456789abcdef",
)
FIRM = Entry("company:9", Standing.UNKNOWN, asked_at=NOW - DAY)


@pytest.fixture
def register(table: Table) -> Register:
    return Register(table)


async def members(register: Register, behind: str = "") -> list[str]:
    return [entry.member async for entry in register.all(behind)]


async def test_what_is_kept_reads_back_and_nothing_else_is_there(register):
    await register.keep([KARI, FIRM])
    assert [entry async for entry in register.all()] == [FIRM, KARI]
    assert await register.entries(["user:31", "user:32"]) == {"user:31": KARI}
    everybody = [f"user:{n}" for n in range(60)]
    assert await register.entries(everybody) == {"user:31": KARI}


async def test_keeping_again_replaces_all_of_it(register):
    await register.keep([KARI])
    bare = Entry("user:31", Standing.UNKNOWN, asked_at=NOW + DAY)
    await register.keep([KARI, bare])
    assert await register.entries(["user:31"]) == {"user:31": bare}


async def test_more_than_a_transaction_holds_are_kept(register):
    many = [replace(KARI, member=f"user:{n}") for n in range(150)]
    await register.keep(many)
    assert len(await members(register)) == 150


async def test_reading_goes_on_behind_a_member(register):
    await register.keep([replace(KARI, member=f"user:{n}") for n in (1, 10, 2)])
    assert await members(register, "user:1") == ["user:10", "user:2"]
    assert await members(register, "user:10") == ["user:2"]
    assert await members(register, "user:2") == []


async def test_forgetting_takes_those_members_alone(register):
    await register.keep([KARI, FIRM])
    await register.forget(["user:31", "user:404"])
    assert await members(register) == ["company:9"]


async def test_who_was_asked_about_before_then_is_dropped(register):
    many = [replace(FIRM, member=f"user:{n}") for n in range(1_000, 1_150)]
    await register.keep([KARI, *many])
    await register.save_survey(Survey(1, "ab12", NOW - DAY))
    assert await register.drop(NOW) == 150
    assert await members(register) == ["user:31"]
    assert await register.drop(NOW) == 0
    assert await register.survey()


async def test_a_round_is_stored_once_and_changed_by_whoever_has_read_it_last(register):
    assert await register.survey() is None
    first = await register.save_survey(Survey(1, "ab12cd34", NOW))
    assert await register.survey() == first
    with pytest.raises(ClashError):
        await register.save_survey(Survey(1, "another", NOW))
    on = await register.save_survey(replace(first, list_id=610, start=500))
    with pytest.raises(ClashError):
        await register.save_survey(replace(first, read=True))
    done = await register.save_survey(replace(on, read=True, over=True))
    assert await register.survey() == done
    assert (done.list_id, done.start, done.nonce) == (610, 500, "ab12cd34")


async def test_old_receipts_are_forgotten_or_marked_and_later_ones_stay(register):
    name = "Kvittering æøå/?#.zip"
    for n, at in enumerate((NOW - DAY, NOW - DAY, NOW)):
        await register.note_receipt(f"{n}{name}", f"sha{n}", "success", at)
    one, two = sorted(await register.old_receipts(NOW), key=lambda old: old.sha256)
    assert (one.sha256, two.sha256, one.what) == ("sha0", "sha1", "success")
    await register.forget_receipts([one])
    await register.mark_forgotten(two)
    assert await register.old_receipts(NOW) == []
    assert await register.receipt(f"0{name}") is None
    assert (await register.receipt(f"1{name}")).what == "success"
    assert [old.sha256 for old in await register.old_receipts(NOW + DAY)] == ["sha2"]


async def test_a_receipt_that_was_looked_at_again_meanwhile_stays(register):
    await register.note_receipt("a.zip", "sha", "half", NOW - DAY)
    [old] = await register.old_receipts(NOW)
    await register.note_receipt("a.zip", "sha2", "success", NOW)
    await register.forget_receipts([old])
    await register.mark_forgotten(old)
    assert (await register.receipt("a.zip")).sha256 == "sha2"
    assert len(await register.old_receipts(NOW + DAY)) == 1
