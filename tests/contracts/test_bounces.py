"""What the ledger promises about what came back."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from shared.domain.bounce import Bounce, BounceKind
from shared.domain.campaign import Campaign
from shared.domain.delivery import NEVER, Delivery, Outcome, Reason, Status, delivery_id
from shared.domain.recipient import Recipient
from shared.errors import ClashError, DoubtfulError
from shared.ledger.bounces import Bounces, Owed
from shared.ledger.deliveries import Deliveries
from shared.ledger.rounds import Again, Rounds
from shared.ports import Table, Write
from tests.fakes import MemoryTable

C = "20417-1"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
LEASE = timedelta(minutes=5)
ID = delivery_id(C, "åse@example.no")
SENT = Outcome(Status.SENT, reference="<1@example.no>", detail="250 OK")
UNCERTAIN = Outcome(Status.UNCERTAIN, Reason.INTERRUPTED, "<1@example.no>")
BOUNCE = Bounce(C, ID, 1, BounceKind.HARD, "mailbox", NOW + LEASE, "550 5.1.1 no such user")


@pytest.fixture
def deliveries(table: Table) -> Deliveries:
    return Deliveries(table)


@pytest.fixture
def bounces(table: Table) -> Bounces:
    return Bounces(table, table)


async def claimed(deliveries: Deliveries):
    recipient = Recipient("user:1", "Åse", "åse@example.no", 1)
    await deliveries.plan(C, [Delivery(ID, C, recipient, "email")], [])
    return await deliveries.claim(await deliveries.get_open(C, ID), NOW, LEASE)


async def settled(deliveries: Deliveries, outcome: Outcome = SENT):
    claim = await claimed(deliveries)
    await deliveries.settle(claim, outcome, NOW)
    return claim


@pytest.mark.parametrize("outcome", [SENT, UNCERTAIN], ids=["sent", "uncertain"])
async def test_it_has_failed_and_what_was_tried_stays(deliveries, bounces, outcome):
    await settled(deliveries, outcome)
    before = await bounces.delivery(C, ID)
    assert await bounces.record(before, BOUNCE, LATER)
    after = await bounces.delivery(C, ID)
    assert (after.status, after.reason, after.detail, after.settled_at) == (
        *(Status.FAILED, Reason.BOUNCED, BOUNCE.detail, LATER),
    )
    for same in ("recipient", "round", "attempts", "reference", "channel"):
        assert getattr(after, same) == getattr(before, same)
    assert await deliveries.problems(C) == [ID]
    [(problem, since)] = [one async for one in deliveries.problem_times(C)]
    assert (problem.status, problem.reason, since) == (Status.FAILED, Reason.BOUNCED, LATER)
    attempt, bounce = await deliveries.attempts(C, ID)
    assert attempt.values["status"] == outcome.status
    assert (bounce.values["reason"], bounce.values["detail"]) == (Reason.BOUNCED, BOUNCE.detail)
    assert bounce.values["at"] == "2026-11-22T08:05:00.000000+00:00"
    assert bounce.values["by"] == "mailbox"


async def test_one_whose_provider_was_to_answer_later_is_settled(deliveries, bounces):
    opened = await claimed(deliveries)
    await deliveries.submit(opened, Outcome(Status.SUBMITTED, reference="op-1"), NOW, LATER)
    assert await bounces.record(await bounces.delivery(C, ID), BOUNCE, LATER)
    assert (await bounces.delivery(C, ID)).reason is Reason.BOUNCED
    assert not await deliveries.any_open(C)


async def test_the_same_again_changes_nothing(table, deliveries, bounces):
    await settled(deliveries)
    before = await bounces.delivery(C, ID)
    await bounces.record(before, BOUNCE, LATER)
    stored = [row async for row in table.query(C, " ", "~")]
    for known in (before, await bounces.delivery(C, ID)):
        assert await bounces.record(known, replace(BOUNCE, detail="again"), LATER + LEASE)
    assert [row async for row in table.query(C, " ", "~")] == stored


async def test_one_that_has_changed_meanwhile_is_to_be_looked_at_again(deliveries, bounces, table):
    await settled(deliveries, UNCERTAIN)
    before = await bounces.delivery(C, ID)
    changed = Delivery(ID, C, before.recipient, "email", status=Status.FAILED)
    campaign = Campaign(C, 5012, 20417, "email", NOW, "ab12", round=2)
    stored = await bounces.delivery(C, ID)
    await Rounds(table).open_again(
        campaign, [Again(replace(changed, version=stored.version), before.recipient)]
    )
    assert (await bounces.delivery(C, ID)).round == 2
    assert not await bounces.record(before, BOUNCE, LATER)
    assert (await bounces.delivery(C, ID)).status is Status.PLANNED
    assert len(await deliveries.attempts(C, ID)) == 1


async def test_who_has_it_back_knows_more_than_who_comes_late_with_its_sending(deliveries, bounces):
    """A worker was taken for dead, and hears only now that its mail was taken."""
    claim = await claimed(deliveries)
    sweep = await deliveries.take_over(claim, NOW + 2 * LEASE, LEASE, timedelta())
    await deliveries.settle(sweep, UNCERTAIN, NOW + 2 * LEASE)
    await bounces.record(await bounces.delivery(C, ID), BOUNCE, LATER)
    assert not await deliveries.settle(claim, SENT, LATER)
    assert (await bounces.delivery(C, ID)).reason is Reason.BOUNCED
    assert await deliveries.problems(C) == [ID]
    assert len(await deliveries.attempts(C, ID)) == 3


class Failing(MemoryTable):
    """The next write fails so, carried out or not."""

    fails: Exception | None = None
    done = False

    async def write(self, partition: str, *writes: Write) -> list[str]:
        fails, self.fails = self.fails, None
        if fails and not self.done:
            raise fails
        versions = await super().write(partition, *writes)
        if fails:
            raise fails
        return versions


@pytest.mark.parametrize("error", [DoubtfulError("no answer"), ClashError("changed")])
async def test_a_doubtful_answer_is_looked_into(error):
    for done in (True, False):
        table = Failing()
        bounces = Bounces(table, table)
        await settled(Deliveries(table))
        table.fails, table.done = error, done
        before = await bounces.delivery(C, ID)
        if done:
            assert await bounces.record(before, BOUNCE, LATER)
        else:
            with pytest.raises(type(error)):
                await bounces.record(before, BOUNCE, LATER)
        assert (await bounces.delivery(C, ID)).status is (Status.FAILED if done else Status.SENT)


async def test_what_came_back_is_found_by_the_time(deliveries, bounces):
    await settled(deliveries)
    await bounces.record(await bounces.delivery(C, ID), BOUNCE, LATER)
    assert await bounces.came_back(C, NOW, LATER) == []
    assert await bounces.came_back(C, LATER, LATER + LEASE) == [ID]
    assert await bounces.came_back("20417-2", NOW, LATER + LEASE) == []


async def test_what_is_owed_is_owed_once_until_it_is_paid(bounces):
    saturday, sunday = date(2026, 11, 21), date(2026, 11, 22)
    for owed in (Owed(sunday, C), Owed(saturday, "20417-2"), Owed(saturday, C), Owed(sunday, C)):
        await bounces.owe(owed)
    assert await bounces.owed(saturday) == []
    assert await bounces.owed(sunday) == [Owed(saturday, C), Owed(saturday, "20417-2")]
    for _ in range(2):
        await bounces.paid(Owed(saturday, C))
    assert len(await bounces.owed(date(2026, 11, 30))) == 2


async def test_how_far_a_mailbox_is_read_is_remembered(bounces):
    assert await bounces.read_until("a") == NEVER
    await bounces.read_on("a", NOW)
    await bounces.read_on("a", LATER)
    assert (await bounces.read_until("a"), await bounces.read_until("b")) == (LATER, NEVER)
