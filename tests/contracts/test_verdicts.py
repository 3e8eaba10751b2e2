"""What the ledger promises about a person's word on what nobody could tell of."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.campaign import Campaign
from shared.domain.delivery import Delivery, Outcome, Reason, Status, delivery_id
from shared.domain.recipient import Recipient
from shared.errors import ClashError, DoubtfulError
from shared.ledger.deliveries import Deliveries
from shared.ledger.rounds import Again, Rounds
from shared.ledger.verdicts import Doubt, Verdicts
from shared.ports import Table, Write
from tests.fakes import MemoryTable

C = "20417-1"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
LEASE = timedelta(minutes=5)
SENT = Outcome(Status.SENT, reference="<1@example.no>", detail="250 OK")
REFUSED = Outcome(Status.FAILED, Reason.REFUSED, detail="550")
UNCERTAIN = Outcome(Status.UNCERTAIN, Reason.INTERRUPTED, "<1@example.no>", "421 brutt")


@pytest.fixture
def deliveries(table: Table) -> Deliveries:
    return Deliveries(table)


@pytest.fixture
def verdicts(table: Table) -> Verdicts:
    return Verdicts(table)


async def settled(deliveries: Deliveries, number: int, outcome: Outcome = UNCERTAIN):
    """A claim that was taken over and settled; its first owner may still be at it."""
    address = f"{number}@example.no"
    id_ = delivery_id(C, address)
    recipient = Recipient(f"user:{number}", "Åse", address, number)
    await deliveries.plan(C, [Delivery(id_, C, recipient, "email")], [])
    claimed = await deliveries.claim(await deliveries.get_open(C, id_), NOW - 2 * LEASE, LEASE)
    sweep = await deliveries.take_over(claimed, NOW, LEASE, timedelta())
    await deliveries.settle(sweep, outcome, NOW)
    return claimed


async def doubts(verdicts: Verdicts) -> set[Doubt]:
    return {doubt async for doubt in verdicts.doubts(C)}


async def test_the_doubts_are_what_is_uncertain_and_nothing_else(deliveries, verdicts):
    for number, outcome in enumerate((SENT, REFUSED, UNCERTAIN, UNCERTAIN)):
        await settled(deliveries, number, outcome)
    ids = [delivery_id(C, f"{number}@example.no") for number in (2, 3)]
    assert await doubts(verdicts) == {Doubt(id_, Status.UNCERTAIN, NOW) for id_ in ids}


@pytest.mark.parametrize("sent", [True, False])
async def test_a_verdict_settles_it_and_leaves_what_the_attempt_was(deliveries, verdicts, sent):
    id_ = (await settled(deliveries, 1)).id
    before = await verdicts.get(C, id_)
    assert await verdicts.give(before, sent, LATER, "http")
    after = await verdicts.get(C, id_)
    status = Status.SENT if sent else Status.FAILED
    assert (after.status, after.reason) == (status, Reason.SETTLED_BY_HAND)
    for same in ("recipient", "round", "attempts", "reference", "detail", "settled_at"):
        assert getattr(after, same) == getattr(before, same)
    assert await deliveries.problems(C) == ([] if sent else [id_])
    attempt, verdict = await deliveries.attempts(C, id_)
    assert attempt.values["status"] == Status.UNCERTAIN
    assert (verdict.values["status"], verdict.values["by"]) == (status, "http")
    assert verdict.values["at"] == "2026-11-22T09:00:00.000000+00:00"


async def test_not_sent_stays_in_doubt_until_it_is_opened_again(table, deliveries, verdicts):
    id_ = (await settled(deliveries, 1)).id
    await verdicts.give(await verdicts.get(C, id_), False, LATER, "note")
    assert await doubts(verdicts) == {Doubt(id_, Status.FAILED, NOW)}
    known = await verdicts.get(C, id_)
    second = Campaign(C, 5012, 20417, "email", NOW, "ab12", round=2)
    await Rounds(table).open_again(second, [Again(known, known.recipient)])
    assert await doubts(verdicts) == set()
    claimed = await deliveries.claim(await deliveries.get_open(C, id_), LATER, LEASE)
    # as it was counted before, but a round later
    sweep = await deliveries.take_over(claimed, LATER + 2 * LEASE, LEASE, timedelta())
    await deliveries.settle(sweep, UNCERTAIN, LATER)
    assert await doubts(verdicts) == {Doubt(id_, Status.UNCERTAIN, LATER)}
    assert await verdicts.give(await verdicts.get(C, id_), False, LATER, "note")


async def test_not_sent_can_be_corrected_to_sent(deliveries, verdicts):
    id_ = (await settled(deliveries, 1)).id
    for sent in (False, True):
        assert await verdicts.give(await verdicts.get(C, id_), sent, LATER, "note")
    assert (await verdicts.get(C, id_)).status is Status.SENT
    assert await deliveries.problems(C) == []
    assert len(await deliveries.attempts(C, id_)) == 3


@pytest.mark.parametrize("late", [SENT, REFUSED])
async def test_whoever_is_slower_than_late_truth_changes_nothing(deliveries, verdicts, late):
    claimed = await settled(deliveries, 1)
    read = await verdicts.get(C, claimed.id)
    await deliveries.settle(claimed, late, LATER)
    known = await verdicts.get(C, claimed.id)
    assert known.status is late.status
    assert not await verdicts.give(read, late is REFUSED, LATER, "note")
    assert await verdicts.get(C, claimed.id) == known


async def test_a_verdict_that_got_through_and_was_answered_otherwise_is_given():
    class Lying(MemoryTable):
        lies = False

        async def write(self, partition: str, *writes: Write) -> list[str]:
            versions = await super().write(partition, *writes)
            if self.lies:
                raise ClashError("409")
            return versions

    table = Lying()
    id_ = (await settled(Deliveries(table), 1)).id
    table.lies = True
    verdicts = Verdicts(table)
    assert await verdicts.give(await verdicts.get(C, id_), False, LATER, "note")
    assert (await verdicts.get(C, id_)).status is Status.FAILED


async def test_a_verdict_that_was_not_stored_is_told_of():
    class Silent(MemoryTable):
        silent = False

        async def write(self, partition: str, *writes: Write) -> list[str]:
            if self.silent:
                raise DoubtfulError("503")
            return await super().write(partition, *writes)

    table = Silent()
    id_ = (await settled(Deliveries(table), 1)).id
    table.silent = True
    verdicts = Verdicts(table)
    with pytest.raises(DoubtfulError):
        await verdicts.give(await verdicts.get(C, id_), False, LATER, "note")
    assert (await verdicts.get(C, id_)).status is Status.UNCERTAIN
