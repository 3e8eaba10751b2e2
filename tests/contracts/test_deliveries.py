"""What the ledger promises about deliveries, on the in-memory table and on Azurite."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from shared.domain.addressee import Addressee, Flaw, PostalAddress
from shared.domain.delivery import Delivery, Outcome, Reason, Status, delivery_id
from shared.domain.recipient import (
    LeftOut,
    LeftOutReason,
    Member,
    MemberKind,
    Recipient,
    tidy_values,
)
from shared.errors import ClashError, DoubtfulError
from shared.ledger.deliveries import Deliveries
from shared.ports import Delete, Insert, Write
from tests.fakes import MemoryTable

C = "20417-1"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LEASE = timedelta(minutes=5)
GRACE = timedelta(minutes=1)
SENT = Outcome(Status.SENT, reference="<1@example.no>", detail="250 OK")
FAILED = Outcome(Status.FAILED, Reason.REFUSED, detail="550")
UNCERTAIN = Outcome(Status.UNCERTAIN, Reason.INTERRUPTED)


def planned(number: int, page: int = 0) -> Delivery:
    address = f"mottaker{number}@example.no"
    return Delivery(
        id=delivery_id(C, address),
        campaign=C,
        recipient=Recipient(f"user:{number}", f"Åse Nr. {number}", address, number or 9_000),
        channel="email",
        page=page,
    )


@pytest.fixture
def ledger(table) -> Deliveries:
    return Deliveries(table)


async def one_open(ledger: Deliveries, number: int = 1):
    await ledger.plan(C, [planned(number)], [])
    return await ledger.get_open(C, planned(number).id)


async def one_claimed(ledger: Deliveries, number: int = 1):
    return await ledger.claim(await one_open(ledger, number), NOW, LEASE)


async def counts(ledger: Deliveries) -> tuple[int, int, int]:
    found = await ledger.count(C)
    return found.planned, found.unknown, found.left_out


async def statuses(ledger: Deliveries) -> dict[str, Status]:
    return {d.recipient.member: d.status async for d in ledger.all(C)}


# --- planning ---


async def test_what_is_planned_is_open_and_due(ledger):
    many = [planned(n) for n in range(120)]
    await ledger.plan(C, many, [])
    assert {d.id async for d in ledger.all(C)} == {d.id for d in many}
    assert len(await ledger.due(C, NOW, 500)) == 120
    assert len(await ledger.due(C, NOW, 7)) == 7
    assert await counts(ledger) == (120, 0, 0)


async def test_planning_twice_creates_nothing_twice_and_revives_nothing(ledger):
    opened = await one_claimed(ledger, 1)
    await ledger.settle(opened, SENT, NOW)
    await ledger.plan(C, [planned(1), planned(2)], [])
    assert await statuses(ledger) == {"user:1": Status.SENT, "user:2": Status.PLANNED}
    assert await ledger.get_open(C, planned(1).id) is None
    assert await ledger.get_open(C, planned(2).id) is not None


async def test_left_out_memberships_keep_their_reason_and_are_counted(ledger):
    member = Member(MemberKind.COMPANY, 9, "Fjordvik", None, relation=77)
    left_out = LeftOut(610, member, LeftOutReason.NO_ADDRESS)
    await ledger.plan(C, [planned(1)], [left_out])
    await ledger.plan(C, [planned(1)], [left_out])
    assert [row async for row in ledger.left_out(C)] == [left_out]
    assert await counts(ledger) == (1, 0, 1)


async def test_ids_of_finished_pages_only(ledger):
    await ledger.plan(C, [planned(1, page=0), planned(2, page=1)], [])
    assert [i async for i in ledger.planned_ids(C, before_page=1)] == [planned(1).id]


async def test_a_discarded_plan_leaves_nothing(ledger):
    left_out = LeftOut(1, Member(MemberKind.USER, 3, "X", relation=1), LeftOutReason.DISABLED)
    await ledger.plan(C, [planned(n) for n in range(110)], [left_out])
    await ledger.discard_plan(C, before_page=1)
    assert await counts(ledger) == (0, 0, 0)
    assert not await ledger.any_open(C)


async def test_a_later_reading_is_not_discarded_by_one_who_has_fallen_behind(ledger):
    older = [planned(n, page=0) for n in range(3)]
    await ledger.plan(C, older, [])
    await ledger.discard_plan(C, before_page=1)
    await ledger.plan(C, [planned(n, page=1) for n in range(3)], [])
    await ledger.discard_plan(C, before_page=1)
    assert await counts(ledger) == (3, 0, 0)
    assert len(await ledger.due(C, NOW, 10)) == 3


# --- what a message may say of its recipient ---

KNOWN = (("company", 'Fisk & "Vilt" AS'), ("first_name", "Åse 🙂"))


def known(number: int, values: tuple[tuple[str, str], ...] = KNOWN) -> Delivery:
    one = planned(number)
    return replace(one, recipient=replace(one.recipient, values=values))


async def test_values_are_kept_with_the_account_and_with_what_is_left_to_do(ledger):
    await ledger.plan(C, [known(1), planned(2)], [])
    kept = {one.recipient.member: one.recipient.values async for one in ledger.all(C)}
    assert kept == {"user:1": KNOWN, "user:2": ()}
    claimed = await ledger.claim(await ledger.get_open(C, known(1).id), NOW, LEASE)
    assert claimed.recipient == known(1).recipient
    await ledger.settle(claimed, SENT, NOW)
    assert KNOWN in [one.recipient.values async for one in ledger.all(C)]


async def test_a_row_from_before_there_were_values_has_none(table, ledger):
    await ledger.plan(C, [planned(1)], [])
    for prefix in ("d:", "o:"):
        row = await table.get(C, prefix + planned(1).id)
        old = {name: value for name, value in row.values.items() if name != "values"}
        await table.write(C, Delete(row.key, None))
        await table.write(C, Insert(row.key, old))
    assert [one.recipient async for one in ledger.all(C)] == [planned(1).recipient]
    assert (await ledger.get_open(C, planned(1).id)).recipient == planned(1).recipient


NUMBER = "17857410084"
HOME = PostalAddress(("Gatan 2", "111 22 Stockholm"), "111 22", "Stockholm", "SE")
KARI = Addressee(
    'Kari "K" Ås 🙂',
    "Kari",
    "K",
    "Ås",
    has_national_id=True,
    birth_date=date(1988, 11, 2),
    phone="+4799999999",
    email="kari@example.no",
    postal=HOME,
    flaws=(Flaw.ORGANIZATION_NUMBER,),
)
FIRM = Addressee("Firma", organization_number="313012344", postal=PostalAddress((), "0155", "Ås"))


def letter_to(number: int, addressee: Addressee | None, address: str = "") -> Delivery:
    who = Recipient(f"user:{number}", "Kari", address, number, addressee=addressee)
    return Delivery(delivery_id(C, who.member), C, who, "digipost")


async def test_whom_a_letter_is_for_is_kept_and_their_national_id_is_not(table, ledger):
    with_number = replace(KARI, national_id=NUMBER)
    both = [letter_to(1, with_number), letter_to(2, FIRM), letter_to(3, Addressee(""))]
    await ledger.plan(C, both, [])
    kept = {one.recipient.member: one.recipient async for one in ledger.all(C)}
    assert [kept[f"user:{n}"].addressee for n in (1, 2, 3)] == [KARI, FIRM, Addressee("")]
    assert not any(who.erased for who in kept.values())
    claimed = await ledger.claim(await ledger.get_open(C, both[0].id), NOW, LEASE)
    assert claimed.recipient == both[0].recipient
    await ledger.settle(claimed, SENT, NOW)
    async for row in table.query(C, "0", "~"):
        assert NUMBER not in str(dict(row.values))


async def test_a_row_from_before_there_were_letters_is_for_whom_it_was(table, ledger):
    old = planned(1)
    await ledger.plan(C, [old], [])
    for prefix in ("d:", "o:"):
        row = await table.get(C, prefix + old.id)
        values = {name: value for name, value in row.values.items() if name != "addressee"}
        await table.write(C, Delete(row.key, None))
        await table.write(C, Insert(row.key, values))
    [kept] = [one.recipient async for one in ledger.all(C)]
    assert (kept, kept.erased) == (old.recipient, False)
    assert (await ledger.get_open(C, old.id)).recipient == old.recipient


async def test_ordinary_addressees_take_no_more_transactions_and_long_ones_are_stored_whole():
    class Counting(MemoryTable):
        def __init__(self) -> None:
            super().__init__()
            self.sizes: list[int] = []

        async def write(self, partition: str, *writes: Write) -> list[str]:
            self.sizes.append(sum(len(json.dumps(dict(one.values))) for one in writes))
            return await super().write(partition, *writes)

    table = Counting()
    await Deliveries(table).plan(C, [letter_to(n, KARI) for n in range(500)], [])
    assert len(table.sizes) == 10
    table.sizes.clear()
    long = replace(KARI, name="🙂" * 5_000)
    await Deliveries(table).plan(C, [letter_to(n, long) for n in range(600, 700)], [])
    assert max(table.sizes) < 1_000_000


@pytest.mark.parametrize("letter", ["🙂", "å", '"'])
async def test_very_long_values_of_very_many_are_stored_whole(ledger, letter):
    """A transaction takes four million bytes, and a column 64 KiB."""
    long = tidy_values((f"field_{n}", letter * 1_001) for n in range(23))
    many = [known(n, long) for n in range(12)]
    await ledger.plan(C, many, [])
    kept = {one.recipient.member: one.recipient.values async for one in ledger.all(C)}
    assert kept == {one.recipient.member: long for one in many}
    assert len(await ledger.due(C, NOW, 500)) == 12


async def test_ordinary_values_take_no_more_transactions_than_none():
    class Counting(MemoryTable):
        written = 0

        async def write(self, partition: str, *writes: Write) -> list[str]:
            self.written += 1
            return await super().write(partition, *writes)

    for values in ((), KNOWN):
        table = Counting()
        await Deliveries(table).plan(C, [known(n, values) for n in range(500)], [])
        assert table.written == 10


# --- releasing ---


async def test_released_is_not_due_until_its_slot_is_long_over(ledger):
    opened = await one_open(ledger)
    await ledger.release([(opened, NOW)])
    assert await ledger.due(C, NOW, 10) == []
    later = NOW + timedelta(minutes=10, seconds=1)
    assert [o.id for o in await ledger.due(C, later, 10)] == [opened.id]


async def test_one_row_that_changed_does_not_stop_the_release_of_the_others(ledger):
    await ledger.plan(C, [planned(1), planned(2)], [])
    due = await ledger.due(C, NOW, 10)
    await ledger.claim(due[0], NOW, LEASE)
    await ledger.release([(one, NOW) for one in due])
    assert await ledger.due(C, NOW, 10) == []


async def test_taken_back_is_due_again_from_then_on(ledger):
    opened = await one_open(ledger)
    await ledger.release([(opened, NOW)])
    opened = await ledger.get_open(C, opened.id)
    await ledger.take_back(opened, NOW + timedelta(minutes=3))
    assert await ledger.due(C, NOW + timedelta(minutes=2), 10) == []
    assert len(await ledger.due(C, NOW + timedelta(minutes=3), 10)) == 1


# --- claiming and settling ---


async def test_only_one_of_two_gets_the_claim(ledger):
    opened = await one_open(ledger)
    first = await ledger.claim(opened, NOW, LEASE)
    second = await ledger.claim(opened, NOW, LEASE)
    assert first.claim.until == NOW + LEASE
    assert first.attempt == 1
    assert second is None
    assert await ledger.claim(await ledger.get_open(C, opened.id), NOW, LEASE) is None


async def test_an_expired_claim_is_not_for_a_worker(ledger):
    claimed = await one_claimed(ledger)
    stored = await ledger.get_open(C, claimed.id)
    assert await ledger.claim(stored, NOW + timedelta(days=1), LEASE) is None
    assert await ledger.due(C, NOW + timedelta(days=1), 10) == []


async def test_settling_closes_the_account_and_keeps_the_attempt(ledger):
    claimed = await one_claimed(ledger)
    assert await ledger.settle(claimed, SENT, NOW)
    [delivery] = [d async for d in ledger.all(C)]
    assert (delivery.status, delivery.reference, delivery.attempts, delivery.settled_at) == (
        Status.SENT,
        "<1@example.no>",
        1,
        NOW,
    )
    assert not await ledger.any_open(C)
    assert await ledger.problems(C) == []
    [attempt] = await ledger.attempts(C, claimed.id)
    assert attempt.values["detail"] == "250 OK"


@pytest.mark.parametrize("outcome", [FAILED, UNCERTAIN])
async def test_a_failure_is_listed_as_a_problem(ledger, outcome):
    claimed = await one_claimed(ledger)
    await ledger.settle(claimed, outcome, NOW)
    assert await ledger.problems(C) == [claimed.id]


async def test_settling_twice_changes_nothing(ledger):
    claimed = await one_claimed(ledger)
    await ledger.settle(claimed, SENT, NOW)
    assert await ledger.settle(claimed, SENT, NOW)
    assert len(await ledger.attempts(C, claimed.id)) == 1


async def test_put_back_waits_and_only_a_real_attempt_counts(ledger):
    claimed = await one_claimed(ledger)
    await ledger.put_back(claimed, NOW + timedelta(minutes=1))
    stored = await ledger.get_open(C, claimed.id)
    assert (stored.claim, stored.attempt) == (None, 0)
    assert await ledger.claim(stored, NOW, LEASE) is None
    again = await ledger.claim(stored, NOW + timedelta(minutes=1), LEASE)
    transient = Outcome(Status.PLANNED, detail="450 try later")
    await ledger.put_back(again, NOW + timedelta(minutes=2), transient, NOW)
    stored = await ledger.get_open(C, claimed.id)
    assert stored.attempt == 1
    assert [a.values["detail"] for a in await ledger.attempts(C, claimed.id)] == ["450 try later"]


async def test_a_note_survives_and_a_lost_claim_cannot_note(ledger):
    claimed = await one_claimed(ledger)
    noted = await ledger.note(claimed, "ticket:77")
    assert (await ledger.get_open(C, claimed.id)).note == "ticket:77"
    late = NOW + LEASE + GRACE + timedelta(seconds=1)
    await ledger.take_over(noted, late, LEASE, GRACE)
    with pytest.raises(ClashError):
        await ledger.note(noted, "ticket:78")
    assert (await ledger.get_open(C, claimed.id)).note == "ticket:77"


async def test_submitted_stays_open_but_is_nobodys_to_send(ledger):
    claimed = await one_claimed(ledger)
    await ledger.submit(claimed, Outcome(Status.SUBMITTED, reference="job:1"), NOW, NOW)
    assert await ledger.any_open(C)
    assert await ledger.due(C, NOW + timedelta(days=1), 10) == []
    stored = await ledger.get_open(C, claimed.id)
    assert (stored.note, stored.claimable(NOW + LEASE)) == ("job:1", False)
    assert await statuses(ledger) == {"user:1": Status.SUBMITTED}
    assert await ledger.settle(stored, SENT, NOW)
    assert await statuses(ledger) == {"user:1": Status.SENT}


async def test_what_was_submitted_is_asked_about_when_its_time_has_come(ledger):
    claimed = await one_claimed(ledger)
    later = NOW + timedelta(minutes=2)
    await ledger.submit(claimed, Outcome(Status.SUBMITTED, reference="5013/20418"), NOW, later)
    assert await ledger.unanswered(C, NOW) == []
    [waiting] = await ledger.unanswered(C, later)
    assert (waiting.id, waiting.submitted_at) == (claimed.id, NOW)
    await ledger.ask_later([(waiting, later + timedelta(minutes=2))])
    assert await ledger.unanswered(C, later) == []
    [waiting] = await ledger.unanswered(C, later + timedelta(minutes=2))
    assert await ledger.settle(waiting, SENT, later)
    assert await ledger.unanswered(C, NOW + timedelta(days=1)) == []


async def test_asking_later_brings_nothing_back_that_was_settled_meanwhile(ledger):
    claimed = await one_claimed(ledger)
    await ledger.submit(claimed, Outcome(Status.SUBMITTED, reference="5013/20418"), NOW, NOW)
    [waiting] = await ledger.unanswered(C, NOW)
    await ledger.settle(waiting, SENT, NOW)
    await ledger.ask_later([(waiting, NOW + timedelta(minutes=2))])
    assert not await ledger.any_open(C)
    assert await statuses(ledger) == {"user:1": Status.SENT}


async def test_those_whose_user_is_not_known_are_counted_apart(ledger):
    unknown = [
        replace(one, recipient=replace(one.recipient, member="company:9", user=0))
        for one in (planned(9), planned(11))
    ]
    await ledger.plan(C, [planned(1), *unknown], [])
    assert await counts(ledger) == (3, 2, 0)


# --- interrupted, and late truth ---


async def test_a_claim_is_taken_over_only_after_lease_and_grace(ledger):
    claimed = await one_claimed(ledger)
    for moment, found in ((NOW + LEASE, 0), (NOW + LEASE + GRACE + timedelta(seconds=1), 1)):
        assert len(await ledger.overdue(C, moment, GRACE)) == found
        taken = await ledger.take_over(claimed, moment, LEASE, GRACE)
        assert (taken is not None) == bool(found)


@pytest.mark.parametrize(("truth", "problems"), [(SENT, 0), (FAILED, 1)], ids=["sent", "failed"])
async def test_a_slow_worker_that_hears_the_answer_after_all_is_believed(ledger, truth, problems):
    claimed = await one_claimed(ledger)
    late = NOW + LEASE + GRACE + timedelta(seconds=1)
    taken = await ledger.take_over(claimed, late, LEASE, GRACE)
    await ledger.settle(taken, UNCERTAIN, late)
    assert await ledger.settle(claimed, truth, late)
    assert await statuses(ledger) == {"user:1": truth.status}
    assert len(await ledger.problems(C)) == problems
    assert len(await ledger.attempts(C, claimed.id)) == 2


async def test_uncertainty_that_comes_late_changes_nothing_but_is_kept(ledger):
    claimed = await one_claimed(ledger)
    late = NOW + LEASE + GRACE + timedelta(seconds=1)
    taken = await ledger.take_over(claimed, late, LEASE, GRACE)
    await ledger.settle(taken, SENT, late)
    assert not await ledger.settle(claimed, UNCERTAIN, late)
    assert await statuses(ledger) == {"user:1": Status.SENT}
    assert len(await ledger.attempts(C, claimed.id)) == 2


async def test_what_was_put_back_does_not_go_out_again_when_the_slow_worker_had_sent_it(ledger):
    claimed = await one_claimed(ledger)
    late = NOW + LEASE + GRACE + timedelta(seconds=1)
    taken = await ledger.take_over(claimed, late, LEASE, GRACE)
    await ledger.put_back(taken, late)
    assert await ledger.settle(claimed, SENT, late)
    assert not await ledger.any_open(C)
    assert await statuses(ledger) == {"user:1": Status.SENT}


# --- storage that lies ---


class LyingTable(MemoryTable):
    """Commits the write, then answers as the SDK does after repeating a lost one."""

    lie: Exception | None = None
    commit = True

    async def write(self, partition: str, *writes: Write) -> list[str]:
        lie, self.lie = self.lie, None
        if lie is None:
            return await super().write(partition, *writes)
        if self.commit:
            await super().write(partition, *writes)
        raise lie


LIES = [ClashError("412"), DoubtfulError("503")]


@pytest.mark.parametrize("lie", LIES, ids=["clash", "doubt"])
async def test_a_claim_that_was_committed_is_had_whatever_the_answer_was(lie):
    table = LyingTable()
    ledger = Deliveries(table)
    opened = await one_open(ledger)
    table.lie = lie
    claimed = await ledger.claim(opened, NOW, LEASE)
    assert claimed.claim == (await ledger.get_open(C, opened.id)).claim
    assert await ledger.settle(claimed, SENT, NOW)


@pytest.mark.parametrize("lie", LIES, ids=["clash", "doubt"])
@pytest.mark.parametrize("outcome", [SENT, FAILED, UNCERTAIN], ids=lambda o: o.status)
async def test_a_settle_that_was_committed_stands_whatever_the_answer_was(lie, outcome):
    table = LyingTable()
    ledger = Deliveries(table)
    claimed = await one_claimed(ledger)
    table.lie = lie
    assert await ledger.settle(claimed, outcome, NOW)
    assert await statuses(ledger) == {"user:1": outcome.status}
    assert len(await ledger.attempts(C, claimed.id)) == 1


@pytest.mark.parametrize("lie", LIES, ids=["clash", "doubt"])
async def test_the_rest_of_what_was_committed_stands_too(lie):
    table = LyingTable()
    ledger = Deliveries(table)
    table.lie = lie
    claimed = await one_claimed(ledger)  # the plan is what is lied about
    table.lie = lie
    noted = await ledger.note(claimed, "x")
    table.lie = lie
    await ledger.put_back(noted, NOW)
    again = await ledger.claim(await ledger.get_open(C, claimed.id), NOW, LEASE)
    table.lie = lie
    await ledger.submit(again, Outcome(Status.SUBMITTED, reference="y"), NOW, NOW)
    assert await statuses(ledger) == {"user:1": Status.SUBMITTED}


async def test_an_outage_is_raised_and_what_was_not_written_is_not_believed():
    table = LyingTable()
    table.commit = False
    ledger = Deliveries(table)
    opened = await one_open(ledger)
    table.lie = DoubtfulError("503")
    with pytest.raises(DoubtfulError):
        await ledger.claim(opened, NOW, LEASE)
    claimed = await ledger.claim(opened, NOW, LEASE)
    table.lie = DoubtfulError("503")
    with pytest.raises(DoubtfulError):
        await ledger.settle(claimed, SENT, NOW)
    table.lie = DoubtfulError("503")
    with pytest.raises(DoubtfulError):
        await ledger.put_back(claimed, NOW)
    assert await ledger.settle(claimed, SENT, NOW)


async def test_a_settle_finds_its_row_again_when_only_the_version_moved(ledger):
    claimed = await one_claimed(ledger)
    noted = await ledger.note(claimed, "x")
    assert noted.version != claimed.version
    assert await ledger.settle(replace(noted, version=claimed.version), SENT, NOW)
    assert await statuses(ledger) == {"user:1": Status.SENT}


# --- calling off ---


async def test_calling_off_closes_what_nobody_has_and_keeps_what_was_begun(ledger):
    await ledger.plan(C, [planned(n) for n in range(120)], [])
    [claimed, submitted, begun, *_] = await ledger.due(C, NOW, 3)
    claimed = await ledger.claim(claimed, NOW, LEASE)
    ours = await ledger.claim(submitted, NOW, LEASE)
    await ledger.submit(ours, Outcome(Status.SUBMITTED, reference="1/2"), NOW, NOW)
    ours = await ledger.note(await ledger.claim(begun, NOW, LEASE), "5013/20418")
    await ledger.put_back(ours, NOW)
    await ledger.cancel_open(C, NOW)
    assert await ledger.count_open(C) == 2
    rows = {one.id: one async for one in ledger.all(C)}
    assert Counter(one.status for one in rows.values())[Status.CANCELLED] == 118
    assert rows[begun.id].reference == "5013/20418"
    await ledger.cancel_open(C, NOW)  # again changes nothing
    assert await ledger.settle(claimed, Outcome(Status.SENT), NOW)
    assert await ledger.count_open(C) == 1


async def test_what_is_claimed_while_it_is_called_off_goes_on(table):
    """Between the reading and the write: one of the two is first."""
    ledger = Deliveries(table)
    await ledger.plan(C, [planned(1), planned(2)], [])
    write, taken = table.write, []

    class Busy:
        def __getattr__(self, name):
            return getattr(table, name)

        async def write(self, partition, *writes):
            if not taken:
                [one, _] = await ledger.due(C, NOW, 2)
                taken.append(await ledger.claim(one, NOW, LEASE))
            return await write(partition, *writes)

    await Deliveries(Busy()).cancel_open(C, NOW)
    [left] = [one.id async for one in ledger.all(C) if one.status is Status.PLANNED]
    assert left == taken[0].id
    assert await ledger.settle(taken[0], Outcome(Status.SENT), NOW)


async def test_what_arrived_after_it_was_called_off_or_given_up_is_sent(ledger):
    await ledger.plan(C, [planned(1), planned(2)], [])
    [one, two] = await ledger.due(C, NOW, 2)
    late = NOW + LEASE + GRACE + timedelta(seconds=1)
    slow = [await ledger.claim(opened, NOW, LEASE) for opened in (one, two)]
    for opened in slow:
        ours = await ledger.take_over(opened, late, LEASE, GRACE)
        await ledger.put_back(ours, late)
    failed = await ledger.get_open(C, two.id)
    await ledger.settle(failed, Outcome(Status.FAILED, Reason.TECHNICAL), late)
    await ledger.cancel_open(C, late)
    for opened in slow:
        assert await ledger.settle(opened, Outcome(Status.SENT), late)
    assert {d.status async for d in ledger.all(C)} == {Status.SENT}
    assert await ledger.problems(C) == []


async def test_a_late_failure_never_takes_back_what_was_sent(ledger):
    await ledger.plan(C, [planned(1)], [])
    [one] = await ledger.due(C, NOW, 1)
    slow = await ledger.claim(one, NOW, LEASE)
    late = NOW + LEASE + GRACE + timedelta(seconds=1)
    ours = await ledger.take_over(slow, late, LEASE, GRACE)
    await ledger.settle(ours, Outcome(Status.SENT), late)
    assert not await ledger.settle(slow, Outcome(Status.FAILED, Reason.REFUSED), late)
    assert {d.status async for d in ledger.all(C)} == {Status.SENT}
