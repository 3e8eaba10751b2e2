"""What the ledger promises of letter jobs, on the in-memory table and on Azurite."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.delivery import Delivery, Outcome, Reason, Status
from shared.domain.letter_job import Job, JobKind, JobState
from shared.domain.recipient import Recipient
from shared.domain.register import Answer, Standing
from shared.errors import ClashError, StorageError
from shared.ledger.deliveries import Deliveries
from shared.ledger.jobs import Ends, GoesOn, Jobs
from tests.contracts.test_deliveries import LIES, LyingTable

C = "20417-1"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
JOB = Job("kommune.20417-1.3fa9c2d1.send-1", C, JobKind.SEND, 1, created_at=NOW)
SPLIT = Job("kommune.20417-1.3fa9c2d1.split-2", C, JobKind.SPLIT, 2, created_at=NOW)
ON_DIGIPOST = ("digipost", "print")
SENT = Outcome(Status.SENT, reference="6f0c")
NOT_THERE = Outcome(Status.SKIPPED, Reason.NOT_IN_DIGIPOST)
REFUSED = Outcome(Status.FAILED, Reason.BAD_DOCUMENT, detail="Kan ikke leses")


class Book:
    def __init__(self, table) -> None:
        self.table = table
        self.deliveries, self.jobs = Deliveries(table), Jobs(table)

    async def plan(self, count: int, channel: str = "digipost") -> None:
        people = [Recipient(f"user:{n}", f"Åse {n}", f"n{n}@example.no") for n in range(count)]
        planned = [Delivery(f"d{n:03}", C, who, channel) for n, who in enumerate(people)]
        await self.deliveries.plan(C, planned, [])

    async def waiting(self) -> list[str]:
        return [one.id async for one in self.jobs.waiting(C, ON_DIGIPOST, NOW)]

    async def claimed(self, job: Job, count: int = 2) -> Job:
        """A job in the ledger that has the first so many deliveries."""
        job = await self.jobs.add(job)
        some = [one async for one in self.jobs.waiting(C, ON_DIGIPOST, NOW)]
        return await self.jobs.claim(job, some[:count])

    async def owned(self, job: Job) -> list:
        return [one async for some in self.jobs.owned(job) for one in some]

    async def account(self, id_: str = "d000") -> Delivery:
        return {one.id: one async for one in self.deliveries.all(C)}[id_]


@pytest.fixture
def book(table) -> Book:
    return Book(table)


async def test_a_job_is_stored_as_it_is_and_found_again(book):
    stored = await book.jobs.add(JOB)
    moved = stored.to(
        JobState.READY, NOW + timedelta(minutes=1), letters=7, size=3_000_000_000, sha256="ab"
    ).did("told")
    saved = await book.jobs.save(moved)
    assert await book.jobs.of(C) == [saved]
    assert replace(saved, version="") == replace(moved, version="")


async def test_a_job_that_somebody_else_has_changed_is_not_saved(book):
    stored = await book.jobs.add(JOB)
    await book.jobs.save(stored.to(JobState.READY, NOW))
    with pytest.raises(ClashError):
        await book.jobs.save(stored.to(JobState.ABANDONED, NOW))
    with pytest.raises(ClashError):
        await book.jobs.add(replace(JOB, letters=1))


async def test_what_a_job_has_nobody_else_takes_sends_or_sweeps(book):
    await book.plan(3)
    job = await book.claimed(JOB)
    assert [one.id for one in await book.owned(job)] == ["d000", "d001"]
    assert await book.waiting() == ["d002"]
    later = NOW + timedelta(days=9)
    [first, _] = await book.owned(job)
    assert not first.claimable(later)
    assert await book.deliveries.overdue(C, later, timedelta()) == []
    assert [one.id for one in await book.deliveries.due(C, later, 10)] == ["d002"]
    await book.deliveries.cancel_open(C, later)
    assert [one.id for one in await book.owned(job)] == ["d000", "d001"]


async def test_more_than_a_transaction_holds_is_claimed_settled_and_freed(book):
    await book.plan(210)
    job = await book.claimed(JOB, 210)
    owned = await book.owned(job)
    assert len(owned) == 210
    await book.jobs.finish(C, [Ends(one, SENT) for one in owned[:150]], NOW)
    assert len(await book.owned(job)) == 60
    await book.jobs.free(job)
    assert len(await book.waiting()) == 60


async def test_one_who_has_fallen_behind_claims_nothing(book):
    await book.plan(2)
    behind = await book.jobs.add(JOB)
    await book.jobs.save(behind.to(JobState.READY, NOW))
    some = [one async for one in book.jobs.waiting(C, ON_DIGIPOST, NOW)]
    with pytest.raises(ClashError):
        await book.jobs.claim(behind, some)
    assert len(await book.waiting()) == 2


async def test_a_letter_is_an_attempt_and_a_question_is_none(book):
    await book.plan(1)
    split = await book.claimed(SPLIT)
    [asked] = await book.owned(split)
    assert asked.attempt == 0
    await book.jobs.free(split)
    send = await book.claimed(JOB)
    [sent] = await book.owned(send)
    assert sent.attempt == 1
    await book.jobs.free(send)
    [back] = [one async for one in book.jobs.waiting(C, ON_DIGIPOST, NOW)]
    assert back.attempt == 0


async def test_an_answer_is_kept_and_its_delivery_is_free_for_a_letter(book):
    await book.plan(1)
    [asked] = await book.owned(await book.claimed(SPLIT))
    answer = Answer(Standing.USER, "åse#1AB2")
    await book.jobs.note_answers(C, [(asked, answer)])
    await book.jobs.note_answers(C, [(asked, Answer(Standing.UNKNOWN))])  # an old one, again
    [waiting] = [one async for one in book.jobs.waiting(C, ON_DIGIPOST, NOW)]
    assert Answer.of(waiting.answer) == answer


@pytest.mark.parametrize(
    ("outcome", "way", "channel"), [(SENT, "print", "print"), (REFUSED, "", "digipost")]
)
async def test_the_end_of_a_letter_is_in_its_account_and_its_history(book, outcome, way, channel):
    await book.plan(1)
    [opened] = await book.owned(await book.claimed(JOB))
    for _ in range(2):  # the second time it is over already
        await book.jobs.finish(C, [Ends(opened, outcome, way)], NOW)
    account = await book.account()
    assert (account.status, account.reason, account.channel) == (
        outcome.status,
        outcome.reason,
        channel,
    )
    assert not await book.deliveries.any_open(C)
    assert len(await book.deliveries.attempts(C, "d000")) == 1
    assert await book.deliveries.problems(C) == (["d000"] if outcome is REFUSED else [])


async def test_who_goes_on_is_open_on_the_next_channel_with_the_same_history(book):
    await book.plan(1)
    [asked] = await book.owned(await book.claimed(SPLIT))
    await book.jobs.finish(C, [GoesOn(asked, "print", NOT_THERE)], NOW)
    job = await book.claimed(JOB)
    [opened] = await book.owned(job)
    for _ in range(2):
        await book.jobs.finish(C, [GoesOn(opened, "email", REFUSED)], NOW)
    assert await book.waiting() == []
    assert await book.jobs.any_open(C, ["ticket", "email"])
    [due] = await book.deliveries.due(C, NOW, 10, channel="email")
    assert await book.deliveries.due(C, NOW, 10, channel="ticket") == []
    assert (await book.account()).channel == "email"
    claimed = await book.deliveries.claim(due, NOW, timedelta(minutes=5))
    await book.deliveries.settle(claimed, SENT, NOW)
    rows = await book.deliveries.attempts(C, "d000")
    assert [row.values["status"] for row in rows] == ["skipped", "failed", "sent"]


async def test_who_failed_on_a_way_is_open_on_the_next_unless_it_was_sent_after_all(book):
    await book.plan(2, channel="email")
    for id_ in ("d000", "d001"):
        opened = await book.deliveries.get_open(C, id_)
        claimed = await book.deliveries.claim(opened, NOW, timedelta(minutes=5))
        await book.deliveries.settle(claimed, REFUSED, NOW)
    first, second = sorted([one async for one in book.jobs.failed(C)], key=lambda one: one.id)
    assert await book.jobs.go_on(first, "ticket")
    assert not await book.jobs.go_on(first, "ticket")
    assert [one.id async for one in book.jobs.failed(C)] == ["d001"]
    [again] = await book.deliveries.due(C, NOW, 10, channel="ticket")
    assert (again.id, again.attempt) == ("d000", 1)
    assert second.channel == "email"


async def lying(step: str, lie: Exception | None) -> tuple[Book, Job]:
    """A book whose next write is done and answered otherwise, and a job with one delivery."""
    book = Book(LyingTable())
    await book.plan(1)
    job = await book.claimed(JOB) if step else JOB
    book.table.lie = lie
    return book, job


@pytest.mark.parametrize("lie", LIES, ids=["clash", "doubt"])
async def test_what_was_written_and_answered_otherwise_is_written_once(lie):
    book, _ = await lying("", lie)
    assert replace(await book.jobs.add(JOB), version="") == JOB
    book, job = await lying("save", lie)
    assert (await book.jobs.save(job.to(JobState.READY, NOW))).state is JobState.READY
    book, job = await lying("finish", None)
    [opened] = await book.owned(job)
    book.table.lie = lie
    await book.jobs.finish(C, [Ends(opened, SENT)], NOW)
    assert (await book.account()).status is Status.SENT
    book, job = await lying("note", None)
    [opened] = await book.owned(job)
    book.table.lie = lie
    await book.jobs.note_answers(C, [(opened, Answer(Standing.UNKNOWN))])
    assert await book.waiting() == ["d000"]


@pytest.mark.parametrize("lie", LIES, ids=["clash", "doubt"])
async def test_what_is_not_known_to_be_written_is_found_so_by_the_next_look(lie):
    book, job = await lying("free", lie)
    with pytest.raises(StorageError):
        await book.jobs.free(job)
    await book.jobs.free(job)
    assert await book.waiting() == ["d000"]
    book, job = await lying("go_on", None)
    [opened] = await book.owned(job)
    await book.jobs.finish(C, [Ends(opened, REFUSED)], NOW)
    [failed] = [one async for one in book.jobs.failed(C)]
    book.table.lie = lie
    with suppress(StorageError):
        assert not await book.jobs.go_on(failed, "email")
    assert await book.jobs.any_open(C, ["email"])
    assert not [one async for one in book.jobs.failed(C)]
