"""What the ledger promises of later rounds, on the in-memory table and on Azurite."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.addressee import Addressee
from shared.domain.campaign import Campaign, Phase
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
from shared.ledger.erasure import Erasure
from shared.ledger.rounds import Again, Opened, Rounds
from shared.ports import Delete, Merge
from tests.contracts.test_deliveries import LyingTable
from tests.fakes import MemoryTable

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LEASE = timedelta(minutes=5)
SENT = Outcome(Status.SENT, reference="<1@example.no>", detail="250 OK")
FAILED = Outcome(Status.FAILED, Reason.REFUSED, detail="550")
UNCERTAIN = Outcome(Status.UNCERTAIN, Reason.INTERRUPTED)
SKIPPED = Outcome(Status.SKIPPED, Reason.NOT_ON_TEST_LIST)
ROUND = Campaign("20417-1", 5001, 20417, "email", NOW, "ab12cd34", Phase.REOPENING, round=2)


class Book:
    """A campaign's rows, and what can be done with them."""

    def __init__(self, table) -> None:
        self.table = table
        self.deliveries, self.rounds = Deliveries(table), Rounds(table)

    async def settled(self, number: int, outcome: Outcome, address: str = "") -> Delivery:
        """A delivery of round 1 that ended like this, after one attempt."""
        who = recipient(number, address)
        one = Delivery(key(who), ROUND.id, who, "email")
        await self.deliveries.plan(ROUND.id, [one], [])
        opened = await self.deliveries.get_open(ROUND.id, one.id)
        claimed = await self.deliveries.claim(opened, NOW, LEASE)
        await self.deliveries.settle(claimed, outcome, NOW)
        return await self.delivery(one.id)

    async def left_out(self, number: int, reason: LeftOutReason, address: str = "") -> LeftOut:
        who = Member(
            MemberKind.USER, number, f"Åse {number}", address or None, relation=70 + number
        )
        one = LeftOut(610, who, reason)
        await self.deliveries.plan(ROUND.id, [], [one])
        return one

    async def delivery(self, id_: str) -> Delivery:
        [found] = [one async for one in self.deliveries.all(ROUND.id) if one.id == id_]
        return found

    async def place(self, before, number: int, address: str = "", **options) -> None:
        await self.rounds.place(ROUND, before, recipient(number, address), **options)

    async def open(self) -> dict[str, str]:
        """Who is open, and where they are written to."""
        found = await self.deliveries.due(ROUND.id, NOW, 500)
        assert {one.round for one in found} <= {2}
        assert {one.attempt for one in found} <= {0}
        return {one.recipient.member: one.recipient.address for one in found}

    async def accounts(self) -> Counter[str]:
        """How often each member is counted: by a delivery that stands, or as left out."""
        everybody = [one async for one in self.deliveries.all(ROUND.id) if not one.replaced]
        left_out = [str(one.member) async for one in self.deliveries.left_out(ROUND.id)]
        return Counter([*(one.recipient.member for one in everybody), *left_out])

    async def rows(self) -> list[tuple[str, dict]]:
        return [(row.key, dict(row.values)) async for row in self.table.query(ROUND.id, "a:", "t:")]


def recipient(number: int, address: str = "") -> Recipient:
    return Recipient(f"user:{number}", f"Åse {number}", address or f"{number}@example.no", number)


def key(who: Recipient) -> str:
    return delivery_id(ROUND.run, who.address.lower())


def merge(row, values) -> Merge:
    return Merge(row.key, values, row.version)


@pytest.fixture
def book(table) -> Book:
    return Book(table)


# --- where they stand ---


async def test_exactly_those_not_reached_are_opened_again_and_doing_it_twice_changes_nothing(book):
    outcomes = {1: SENT, 2: FAILED, 3: UNCERTAIN, 4: SKIPPED}
    everybody = [await book.settled(n, outcome) for n, outcome in outcomes.items()]
    for _ in range(2):
        await book.rounds.open_again(ROUND, [Again(one, one.recipient) for one in everybody])
        assert set(await book.open()) == {"user:2", "user:4"}
    assert await book.deliveries.problems(ROUND.id) == [everybody[2].id]
    assert [one.id for one in everybody if one.status is Status.SENT] == [everybody[0].id]
    found = await book.delivery(everybody[0].id)
    assert (found.status, found.round, found.version) == (Status.SENT, 1, everybody[0].version)


async def test_those_not_reached_are_found_in_order_from_behind_a_row(book):
    outcomes = [FAILED, SENT, SKIPPED, FAILED, UNCERTAIN, FAILED]
    all_ = [await book.settled(n, outcome) for n, outcome in enumerate(outcomes, 1)]
    wanted = sorted(one.id for one in all_ if one.status in {Status.FAILED, Status.SKIPPED})
    first = await book.rounds.not_reached(ROUND.id, "", 3)
    rest = await book.rounds.not_reached(ROUND.id, f"d:{first[-1].id}", 3)
    assert [one.id for one in (*first, *rest)] == wanted
    assert await book.rounds.not_reached(ROUND.id, f"d:{rest[-1].id}", 3) == []


async def test_a_page_of_nobody_does_not_hide_those_behind_it(book):
    """Those who are forgotten or replaced are passed over, not taken for the end."""
    all_ = sorted([await book.settled(n, FAILED) for n in range(1, 6)], key=lambda one: one.id)
    for one in all_[:2]:
        forgotten = {"name": "", "address": "", "member": "user:0"}
        row = await book.table.get(ROUND.id, f"d:{one.id}")
        await book.table.write(ROUND.id, merge(row, forgotten))
    row = await book.table.get(ROUND.id, f"d:{all_[2].id}")
    await book.table.write(ROUND.id, merge(row, {"reason": Reason.REPLACED}))
    found = await book.rounds.not_reached(ROUND.id, "", 2)
    assert [one.id for one in found] == [one.id for one in all_[3:]]


async def test_memberships_left_out_are_found_from_behind_a_row_though_one_key_begins_another(book):
    for number in (7, 77, 777):
        await book.left_out(number, LeftOutReason.NO_ADDRESS)
    keys, behind = [], "d:whatever"
    while found := await book.rounds.left_out(ROUND.id, behind, 1):
        keys.append(str(found[0].member))
        behind = f"s:610:{found[0].member}:{found[0].member.relation}"
    assert sorted(keys) == ["user:7", "user:77", "user:777"]


async def test_what_is_opened_again_has_the_data_of_today_and_all_attempts_of_the_round(book):
    failed = await book.settled(1, FAILED)
    today = replace(failed.recipient, name="Åse Ny", address="1@EXAMPLE.no", user=99)
    await book.rounds.open_again(ROUND, [Again(failed, today, "5012/20418", mended=True)])
    [opened] = await book.deliveries.due(ROUND.id, NOW, 5)
    assert (opened.recipient, opened.note) == (today, "5012/20418")
    assert (opened.round, opened.attempt, opened.claim) == (2, 0, None)
    account = await book.delivery(failed.id)
    assert (account.status, account.reason, account.detail) == (Status.PLANNED, Reason.NONE, "")
    assert (account.earlier_attempts, account.attempts) == (1, 0)
    assert await book.rounds.opened(ROUND.id) == Opened(1, 0, 1)


async def test_whoever_is_opened_has_the_values_of_today_wherever_they_are_opened(book):
    async def values() -> dict[str, tuple]:
        """Of those who are open; the account says the same of them."""
        found = await book.deliveries.due(ROUND.id, NOW, 9)
        accounts = {one.id: one async for one in book.deliveries.all(ROUND.id)}
        assert [accounts[one.id].recipient for one in found] == [one.recipient for one in found]
        return {one.recipient.member: one.recipient.values for one in found}

    def today(number: int, address: str = "") -> Recipient:
        return replace(recipient(number, address), values=(("first_name", f"Åse {number}"),))

    stays, moves, theirs = [await book.settled(n, FAILED) for n in (1, 2, 3)]
    away = await book.left_out(4, LeftOutReason.NO_ADDRESS)
    await book.rounds.open_again(ROUND, [Again(stays, today(1))])
    await book.rounds.place(ROUND, moves, today(2, "ny@example.no"))
    await book.rounds.place(ROUND, away, today(4, theirs.recipient.address))
    assert await values() == {f"user:{n}": (("first_name", f"Åse {n}"),) for n in (1, 2, 4)}


async def test_very_many_with_very_long_values_are_opened_again(book):
    long = tidy_values((f"field_{n}", "å" * 1_001) for n in range(23))
    many = [await book.settled(n, FAILED) for n in range(1, 6)]
    again = [Again(one, replace(one.recipient, values=long)) for one in many]
    await book.rounds.open_again(ROUND, again)
    found = await book.deliveries.due(ROUND.id, NOW, 500)
    assert [one.recipient.values for one in found] == [long] * 5


async def test_the_history_of_an_earlier_round_is_never_overwritten(book):
    before = await book.settled(1, FAILED)
    for round_ in (2, 3):
        campaign = replace(ROUND, round=round_)
        await book.rounds.open_again(campaign, [Again(before, before.recipient)])
        [opened] = await book.deliveries.due(ROUND.id, NOW, 5)
        claimed = await book.deliveries.claim(opened, NOW, LEASE)
        assert await book.deliveries.settle(claimed, FAILED, NOW)
        before = await book.delivery(before.id)
    history = await book.deliveries.attempts(ROUND.id, before.id)
    assert [row.values["round"] for row in history] == [1, 2, 3]
    assert (before.earlier_attempts, before.attempts) == (2, 1)


async def test_very_many_are_opened_and_one_that_changed_does_not_stop_the_others(book):
    many = [await book.settled(n, FAILED) for n in range(1, 41)]
    many.sort(key=lambda one: one.id)
    row = await book.table.get(ROUND.id, f"d:{many[3].id}")
    await book.table.write(ROUND.id, merge(row, {"status": Status.SENT}))  # late truth
    await book.rounds.open_again(ROUND, [Again(one, one.recipient) for one in many])
    assert len(await book.open()) == 39
    assert (await book.delivery(many[3].id)).status is Status.SENT


async def test_a_worker_of_the_round_before_who_had_sent_it_after_all_closes_what_was_opened(book):
    who = recipient(1)
    one = Delivery(key(who), ROUND.id, who, "email")
    await book.deliveries.plan(ROUND.id, [one], [])
    slow = await book.deliveries.claim(await book.deliveries.get_open(ROUND.id, one.id), NOW, LEASE)
    late = NOW + timedelta(minutes=10)
    taken = await book.deliveries.take_over(slow, late, LEASE, timedelta(minutes=1))
    await book.deliveries.settle(taken, FAILED, late)
    failed = await book.delivery(one.id)
    await book.rounds.open_again(ROUND, [Again(failed, who)])
    assert await book.deliveries.settle(slow, SENT, late)
    assert await book.open() == {}
    assert (await book.delivery(one.id)).status is Status.SENT


# --- where somebody has moved ---


async def test_a_new_address_is_a_new_delivery_and_the_old_one_says_so(book):
    old = await book.settled(1, FAILED)
    for _ in range(2):
        await book.place(old, 1, "ny@example.no")
        assert await book.open() == {"user:1": "ny@example.no"}
    old, new = await book.delivery(old.id), await book.delivery(key(recipient(1, "ny@example.no")))
    assert (old.status, old.reason, old.reference) == (Status.FAILED, Reason.REPLACED, new.id)
    assert (old.detail, old.attempts) == ("550", 1)
    assert (new.round, new.earlier_attempts) == (2, 0)
    assert await book.deliveries.problems(ROUND.id) == []
    assert await book.accounts() == {"user:1": 1}
    count = await book.deliveries.count(ROUND.id)
    assert (count.planned, count.left_out) == (1, 0)
    assert await book.rounds.not_reached(ROUND.id, "", 9) == []


@pytest.mark.parametrize("outcome", [SENT, UNCERTAIN], ids=lambda outcome: outcome.status)
async def test_nobody_is_sent_to_where_somebody_was_reached_or_may_have_been(book, outcome):
    there, old = await book.settled(1, outcome), await book.settled(2, FAILED)
    for _ in range(2):
        await book.place(old, 2, "1@example.no")
    assert await book.open() == {}
    assert (await book.delivery(old.id)).reference == there.id
    assert (await book.delivery(there.id)).version == there.version
    assert await book.accounts() == {"user:1": 1, "user:2": 1}
    [left_out] = [one async for one in book.deliveries.left_out(ROUND.id)]
    assert left_out.reason is LeftOutReason.DUPLICATE


async def test_two_who_have_moved_to_the_same_address_get_one(book):
    for number in (1, 2):
        await book.place(await book.settled(number, FAILED), number, "felles@example.no")
    assert await book.open() == {"user:1": "felles@example.no"}
    assert await book.accounts() == {"user:1": 1, "user:2": 1}


async def test_who_moves_to_where_somebody_failed_is_sent_to_and_the_other_is_still_counted(book):
    old, there = await book.settled(1, FAILED), await book.settled(2, FAILED)
    for _ in range(2):
        await book.place(old, 1, "2@example.no")
    assert await book.open() == {"user:1": "2@example.no"}
    assert await book.accounts() == {"user:1": 1, "user:2": 1}
    assert (await book.delivery(there.id)).recipient.member == "user:1"


async def test_two_who_have_changed_places_both_get_theirs(book):
    """The second is left out for a moment, and let in where the first one stood."""
    first, second = await book.settled(1, FAILED), await book.settled(2, FAILED)
    await book.place(first, 1, "2@example.no")
    await book.place(second, 2, "1@example.no")  # opened for the other meanwhile: left alone
    [moved] = await book.rounds.left_out(ROUND.id, "", 9)
    await book.place(moved, 2, "1@example.no")
    assert await book.open() == {"user:1": "2@example.no", "user:2": "1@example.no"}
    assert await book.accounts() == {"user:1": 1, "user:2": 1}


async def test_who_asked_to_be_forgotten_is_not_written_to_through_somebody_else(book):
    old, there = await book.settled(1, FAILED), await book.settled(2, FAILED)
    row = await book.table.get(ROUND.id, f"d:{there.id}")
    await book.table.write(ROUND.id, merge(row, {"name": "", "address": "", "member": "user:0"}))
    await book.place(old, 1, "2@example.no")
    assert await book.open() == {}


# --- who was left out ---


@pytest.mark.parametrize(
    "reason", [LeftOutReason.NO_ADDRESS, LeftOutReason.DISABLED, LeftOutReason.NOT_ON_TEST_LIST]
)
async def test_who_was_left_out_and_can_be_reached_now_has_a_delivery_instead(book, reason):
    before = await book.left_out(5, reason)
    for _ in range(2):
        await book.place(before, 5)
        assert await book.open() == {"user:5": "5@example.no"}
    assert await book.accounts() == {"user:5": 1}
    assert await book.rounds.opened(ROUND.id) == Opened(1, 0, 1)


@pytest.mark.parametrize("outcome", [SENT, UNCERTAIN, None])
async def test_who_was_left_out_stays_so_as_a_duplicate_where_somebody_stands(book, outcome):
    if outcome:
        await book.settled(1, outcome)
    else:
        await book.place(await book.left_out(1, LeftOutReason.NO_ADDRESS), 1)
    before = await book.left_out(5, LeftOutReason.NO_ADDRESS)
    for _ in range(2):
        await book.place(before, 5, "1@example.no")
    assert "user:5" not in await book.open()
    assert await book.accounts() == {"user:1": 1, "user:5": 1}
    reasons = {str(one.member): one.reason async for one in book.deliveries.left_out(ROUND.id)}
    assert reasons["user:5"] is LeftOutReason.DUPLICATE


async def test_the_same_member_on_two_lists_gets_one(book):
    first = await book.left_out(5, LeftOutReason.NO_ADDRESS)
    second = replace(first, list_id=611, member=replace(first.member, relation=99))
    await book.deliveries.plan(ROUND.id, [], [second])
    for before in (first, second):
        await book.place(before, 5)
    assert await book.open() == {"user:5": "5@example.no"}
    assert await book.accounts() == {"user:5": 2}


async def test_a_shared_address_comes_to_life_for_the_one_who_stayed(book):
    """Two shared it and the mail failed; the one whose delivery it was has moved since."""
    old = await book.settled(1, FAILED, "felles@example.no")
    stayed = await book.left_out(2, LeftOutReason.DUPLICATE, "felles@example.no")
    await book.place(old, 1, "ny@example.no")
    await book.place(stayed, 2, "felles@example.no")
    assert await book.open() == {"user:1": "ny@example.no", "user:2": "felles@example.no"}
    assert await book.accounts() == {"user:1": 1, "user:2": 1}


@pytest.mark.parametrize("taken", [True, False])
async def test_a_new_membership_is_counted_once(book, taken):
    if taken:
        await book.settled(1, SENT)
    member = Member(MemberKind.USER, 5, "Åse 5", "1@example.no", relation=75)
    new = LeftOut(610, member, LeftOutReason.DUPLICATE)
    for _ in range(2):
        await book.place(new, 5, "1@example.no", new=True)
    assert set(await book.open()) == (set() if taken else {"user:5"})
    assert await book.accounts() == {"user:5": 1, **({"user:1": 1} if taken else {})}


# --- what else is asked ---


async def test_a_message_that_went_out_after_all_is_sent_and_keeps_its_history(book):
    failed = await book.settled(1, FAILED)
    for _ in range(2):
        await book.rounds.went_out(failed, SENT, NOW)
    found = await book.delivery(failed.id)
    assert (found.status, found.reason, found.reference) == (
        Status.SENT,
        Reason.NONE,
        SENT.reference,
    )
    assert await book.deliveries.problems(ROUND.id) == []
    history = await book.deliveries.attempts(ROUND.id, failed.id)
    assert [row.values["status"] for row in history] == [Status.FAILED, Status.SENT]


async def test_who_was_sent_to_is_told_in_order_without_those_who_are_forgotten(book):
    sent = sorted([await book.settled(n, SENT) for n in range(1, 5)], key=lambda one: one.id)
    await book.settled(5, FAILED)
    row = await book.table.get(ROUND.id, f"d:{sent[0].id}")
    await book.table.write(ROUND.id, merge(row, {"name": "", "address": "", "member": "user:0"}))
    first = await book.rounds.sent(ROUND.id, "", 2)
    rest = await book.rounds.sent(ROUND.id, f"d:{first[-1].id}", 2)
    assert [one.id for one in (*first, *rest)] == [one.id for one in sent[1:]]


async def test_who_got_a_letter_is_told_of_also_without_an_address_for_mail(book):
    who = Recipient("user:31", "Åse", "", 31, addressee=Addressee("Åse", has_national_id=True))
    one = Delivery(delivery_id(ROUND.run, who.member), ROUND.id, who, "digipost")
    await book.deliveries.plan(ROUND.id, [one], [])
    claimed = await book.deliveries.claim(
        await book.deliveries.get_open(ROUND.id, one.id), NOW, LEASE
    )
    await book.deliveries.settle(claimed, SENT, NOW)
    assert [found.recipient for found in await book.rounds.sent(ROUND.id, "", 9)] == [who]
    assert await Erasure(book.table, book.table).erase(ROUND.id, one.id)
    assert await book.rounds.sent(ROUND.id, "", 9) == []


# --- storage that lies ---


@pytest.mark.parametrize("lie", [ClashError("412"), DoubtfulError("503")], ids=["clash", "doubt"])
@pytest.mark.parametrize("commit", [True, False])
async def test_whatever_the_storage_answers_everybody_is_opened_once(lie, commit):
    def lying():
        table = LyingTable()
        table.commit = commit
        return Book(table)

    async def opened_again(book):
        failed = await book.settled(1, FAILED)
        book.table.lie = lie
        await book.rounds.open_again(ROUND, [Again(failed, failed.recipient)])

    async def moved(book):
        failed = await book.settled(1, FAILED)
        book.table.lie = lie
        await book.place(failed, 1, "ny@example.no")

    async def let_in(book):
        before = await book.left_out(1, LeftOutReason.NO_ADDRESS)
        book.table.lie = lie
        await book.place(before, 1)

    async def gone_out(book):
        failed = await book.settled(1, FAILED)
        book.table.lie = lie
        if commit:
            await book.rounds.went_out(failed, SENT, NOW)
        else:
            with pytest.raises(type(lie)):
                await book.rounds.went_out(failed, SENT, NOW)

    for act in (opened_again, moved, let_in):
        book = lying()
        await act(book)
        assert set(await book.open()) == {"user:1"}, act.__name__
        assert await book.accounts() == {"user:1": 1}, act.__name__
    book = lying()
    await gone_out(book)
    assert await book.open() == {}


async def test_two_hosts_at_any_write_place_nobody_twice():
    """The other one does the same, in full, just before each of our writes."""

    async def all_of_it(rounds: Rounds, before: list) -> None:
        first, second, left_out = before
        await rounds.open_again(ROUND, [Again(first, first.recipient)])
        await rounds.place(ROUND, second, recipient(2, "ny@example.no"))
        await rounds.place(ROUND, left_out, recipient(3))

    for at in range(3):
        table = MemoryTable()
        book = Book(table)
        first, second = await book.settled(1, FAILED), await book.settled(2, FAILED)
        before = [first, second, await book.left_out(3, LeftOutReason.NO_ADDRESS)]
        written = 0

        class Late:
            def __getattr__(self, name, table=table):
                return getattr(table, name)

            async def write(self, partition, *writes, at=at, table=table, before=before):
                nonlocal written
                if written == at:
                    await all_of_it(Rounds(table), before)
                written += 1
                return await table.write(partition, *writes)

        await all_of_it(Rounds(Late()), before)
        assert written > at
        assert await book.open() == {
            "user:1": "1@example.no",
            "user:2": "ny@example.no",
            "user:3": "3@example.no",
        }
        assert await book.accounts() == {"user:1": 1, "user:2": 1, "user:3": 1}


async def test_a_problem_row_that_is_not_there_keeps_nobody_from_being_opened(book):
    failed = await book.settled(1, FAILED)
    await book.table.write(ROUND.id, Delete(f"p:{failed.id}", None))
    await book.rounds.open_again(ROUND, [Again(failed, failed.recipient)])
    assert set(await book.open()) == {"user:1"}
