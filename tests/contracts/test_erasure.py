"""What the ledger promises about erasing: what is personal goes, what became of it stays."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.storage.blob.aio import ContainerClient

from shared.adapters.azure_blobs import AzureBlobs
from shared.domain.addressee import Addressee, PostalAddress
from shared.domain.alert import Alert, Cause
from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import Delivery, Outcome, Reason, Status, delivery_id
from shared.domain.recipient import LeftOut, LeftOutReason, Member, MemberKind, Recipient
from shared.errors import ClashError, DoubtfulError
from shared.ledger.alerts import Alerts
from shared.ledger.campaigns import Campaigns
from shared.ledger.claims import Claims
from shared.ledger.deliveries import Deliveries
from shared.ledger.erasure import FORGETTING, FORGOTTEN, Erasure, person_key
from shared.ledger.rounds import Again, Rounds
from shared.ports import Files, Insert, Merge, Row, Table, Write
from tests.fakes import MemoryFiles, MemoryTable

C = "20417-1"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)
LEASE = timedelta(minutes=5)
SENT = Outcome(Status.SENT, reference="<1@example.no>", detail="250 OK kari@example.no")
FAILED = Outcome(Status.FAILED, Reason.REFUSED, "7/8", "550 kari@example.no finnes ikke")


def planned(number: int, address: str = "", campaign: str = C) -> Delivery:
    address = address or f"kari{number}@example.no"
    return Delivery(
        id=delivery_id(campaign, address.lower()),
        campaign=campaign,
        recipient=Recipient(
            f"user:{number}",
            f"Kari Nr. {number}",
            address,
            number,
            (("company", f"Karisund {number}"), ("first_name", "Kari")),
        ),
        channel="email",
    )


def left_out(number: int, address: str | None, reason=LeftOutReason.DUPLICATE) -> LeftOut:
    member = Member(MemberKind.COMPANY, number, f"Karisund {number}", address, relation=number)
    return LeftOut(610, member, reason)


@pytest.fixture
def deliveries(table: Table) -> Deliveries:
    return Deliveries(table)


@pytest.fixture
def campaigns(table: Table) -> Campaigns:
    return Campaigns(table)


@pytest.fixture
def erasure(table: Table) -> Erasure:
    return Erasure(table, table)


async def settled(deliveries: Deliveries, delivery: Delivery, outcome: Outcome = SENT) -> None:
    await deliveries.plan(delivery.campaign, [delivery], [])
    opened = await deliveries.get_open(delivery.campaign, delivery.id)
    claimed = await deliveries.claim(opened, NOW, LEASE)
    await deliveries.settle(claimed, outcome, NOW)


async def rows(table: Table, partition: str = C) -> list[Row]:
    return [row async for row in table.query(partition, "0", "~")]


async def kinds(table: Table) -> list[str]:
    return [row.key[:2] for row in await rows(table)]


async def personal(table: Table) -> list[str]:
    """The rows that still say who somebody is."""
    traces = ("kari", "user:1", "user:2", "company:", "<1@", "7/8")
    return [r.key for r in await rows(table) if any(one in f"{r}".lower() for one in traces)]


async def wipe(erasure: Erasure, campaign: str = C) -> int:
    return sum([some async for some in erasure.wipe(campaign)])


# --- campaigns that have been over for long ---


def campaign(number: int, **changes) -> Campaign:
    fresh = Campaign(f"{number}-1", number, number, "email", NOW, "ab12cd34")
    return replace(fresh, **changes)


async def test_only_what_has_been_over_since_before_then_and_the_oldest_first(campaigns, erasure):
    over = {"phase": Phase.DONE, "found_at": NOW - 9 * DAY}
    for one in (
        campaign(1, **over, finished_at=NOW - 3 * DAY),
        campaign(2, **over, finished_at=NOW - 4 * DAY),
        campaign(3, **over, finished_at=NOW - DAY),
        campaign(4, phase=Phase.SENDING, found_at=NOW - 9 * DAY),
        campaign(5, phase=Phase.REOPENING, found_at=NOW - 9 * DAY, finished_at=NOW - 8 * DAY),
        campaign(6, **over, finished_at=NOW - 5 * DAY, steps=frozenset({FORGETTING})),
        campaign(7, **over, finished_at=NOW - 5 * DAY, steps=frozenset({FORGETTING, FORGOTTEN})),
        campaign(8, phase=Phase.BLOCKED, blocked_from=Phase.SENDING, found_at=NOW - 9 * DAY),
    ):
        # as in its life: made while it is active
        made = await campaigns.create(replace(one, phase=Phase.FOUND))
        await campaigns.save(replace(made, phase=one.phase))
    assert await erasure.over_since(NOW - 2 * DAY) == ["6-1", "2-1", "1-1"]


async def test_one_that_was_called_off_before_it_began_counts_from_what_is_known(
    campaigns, erasure
):
    called_off = {"phase": Phase.CANCELLED, "found_at": NOW - 9 * DAY}
    for one in (
        campaign(1, **called_off),
        campaign(2, **called_off, stopped_at=NOW - DAY),
        campaign(3, phase=Phase.CANCELLED, found_at=NOW - DAY),
    ):
        await campaigns.save(replace(await campaigns.create(one), phase=Phase.CANCELLED))
    assert await erasure.over_since(NOW - 2 * DAY) == ["1-1"]


async def test_a_campaign_from_before_some_columns_is_found_as_well(campaigns, erasure, table):
    made = await campaigns.create(campaign(1, phase=Phase.DONE, found_at=NOW - 9 * DAY))
    await campaigns.save(made)
    values = dict((await table.get("campaign", "c:1-1")).values)
    for newer in ("stopped_at", "paused_for", "who_print"):
        del values[newer]
    await table.write("campaign", Insert("c:2-1", {**values, "finished_at": ""}))
    assert await erasure.over_since(NOW) == ["1-1", "2-1"]
    assert await erasure.remembered() == ["1-1", "2-1"]


async def test_what_is_left_of_a_campaign_is_a_tombstone_for_each_delivery(
    deliveries, erasure, table
):
    await settled(deliveries, planned(1))
    await settled(deliveries, planned(2), FAILED)
    await deliveries.plan(C, [], [left_out(9, "kari@example.no"), left_out(8, None)])
    before = {one.id: one async for one in deliveries.all(C)}
    assert len(await personal(table)) == 6
    await wipe(erasure)
    assert await personal(table) == []
    assert sorted(await kinds(table)) == ["a:", "a:", "d:", "d:"]
    after = {one.id: one async for one in deliveries.all(C)}
    assert after.keys() == before.keys()
    for id_, one in after.items():
        was = before[id_]
        nobody = Recipient("user:0", "", "")
        assert one == replace(was, recipient=nobody, reference="", detail="", version=one.version)
        assert one.recipient.erased and not was.recipient.erased
        [attempt] = await deliveries.attempts(C, id_)
        assert (attempt.values["status"], attempt.values["at"]) == (
            was.status,
            "2026-11-22T08:00:00.000000+00:00",
        )


async def test_whoever_is_erased_cannot_be_planned_again(deliveries, erasure, table):
    await settled(deliveries, planned(1))
    await wipe(erasure)
    await deliveries.plan(C, [planned(1)], [])
    assert not await deliveries.any_open(C)
    assert await personal(table) == []


async def test_what_was_called_off_early_is_closed(deliveries, erasure, table):
    await deliveries.plan(C, [planned(1), planned(2)], [])
    await wipe(erasure)
    assert await kinds(table) == ["d:", "d:"]
    assert {one.status async for one in deliveries.all(C)} == {Status.CANCELLED}
    assert await personal(table) == []


async def test_it_may_be_left_off_after_any_transaction_and_goes_on_there(
    deliveries, erasure, table
):
    for n in (1, 2):
        await settled(deliveries, planned(n), FAILED)
    await deliveries.plan(C, [planned(n) for n in range(3, 123)], [left_out(9, "kari@x.no")])
    rounds = 0
    taken = []
    while await personal(table):
        async for some in erasure.wipe(C):
            taken.append(some)
            break
        rounds += 1
    # 120 open rows, 50 at a time; the attempts; 122 accounts, 100 at a time; a membership
    assert taken == [50, 50, 20, 2, 100, 22, 1]
    assert await wipe(erasure) == 2  # the problems, which name nobody
    assert await wipe(erasure) == 0


async def test_another_campaign_keeps_its_people(deliveries, erasure, table):
    await settled(deliveries, planned(1))
    await settled(deliveries, planned(1, campaign="20417-10"))
    before = await rows(table, "20417-10")
    await wipe(erasure)
    assert await rows(table, "20417-10") == before


class Lying(MemoryTable):
    """Each write is done, and answered as its repetition by the client would be."""

    lies = False

    async def write(self, partition: str, *writes: Write) -> list[str]:
        versions = await super().write(partition, *writes)
        if self.lies:
            raise ClashError("412")
        return versions


async def test_a_write_that_got_through_and_was_answered_otherwise_is_no_harm():
    table = Lying()
    deliveries, erasure = Deliveries(table), Erasure(table, table)
    for n in (1, 2):
        await settled(deliveries, planned(n), FAILED)
    await deliveries.plan(C, [planned(3)], [left_out(9, "kari@example.no")])
    [membership] = (await erasure.traces(C, "kari@example.no")).left_out
    table.lies = True
    assert await erasure.erase(C, planned(1).id)
    await erasure.erase_left_out(C, membership)
    await wipe(erasure)
    assert await personal(table) == []
    assert sorted(await kinds(table)) == ["a:", "a:", "d:", "d:", "d:"]


async def test_a_storage_that_does_not_write_is_told_of():
    table = MemoryTable()
    deliveries = Deliveries(table)
    await settled(deliveries, planned(1))

    class Silent:
        get, query = table.get, table.query

        async def write(self, partition: str, *writes: Write) -> list[str]:
            raise DoubtfulError("503")

    erasure = Erasure(table, Silent())
    with pytest.raises(DoubtfulError):
        await wipe(erasure)
    with pytest.raises(DoubtfulError):
        await erasure.erase(C, planned(1).id)


# --- one person ---


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("kari.nordmann@example.no", "Kari.Nordmann@example.no"),
        (" KARI.NORDMANN@EXAMPLE.NO ", "kari.nordmann@example.no"),
        ("åse@ålfjord.example.no", "åse@xn--lfjord-hua.example.no"),
        ("Åse@xn--lfjord-hua.example.no", "åse@xn--lfjord-hua.example.no"),
    ],
)
async def test_a_person_is_found_however_their_address_is_spelt(deliveries, erasure, asked, stored):
    await deliveries.plan(C, [planned(1, stored), planned(2)], [left_out(9, f" {asked.upper()}")])
    traces = await erasure.traces(C, person_key(asked))
    assert [one.recipient.address for one in traces.deliveries] == [stored]
    assert traces.left_out == ["s:610:company:9:9"]


async def test_nobody_else_is_found(deliveries, erasure):
    away = [left_out(9, "ola@example.no"), left_out(8, None), left_out(7, "ikke en adresse")]
    await deliveries.plan(C, [planned(1), planned(2)], away)
    assert await erasure.traces(C, person_key("kari@example.no")) == ([], [])
    assert await erasure.traces(C, person_key("")) == ([], [])
    wrong = await erasure.traces(C, person_key("Ikke en adresse "))
    assert wrong == ([], ["s:610:company:7:7"])


async def test_what_a_message_said_of_them_is_erased_where_there_is_nothing_else_left(
    deliveries, erasure, table
):
    """Somebody has blanked the rest already: one who stopped half-way, or an older version."""
    await settled(deliveries, planned(1))
    await wipe(erasure)
    row = await table.get(C, f"d:{planned(1).id}")
    await table.write(C, Merge(row.key, {"values": '{"first_name": "Kari"}'}, None))
    assert await personal(table) == [row.key]
    await wipe(erasure)
    assert await personal(table) == []


async def test_one_person_is_erased_and_the_others_stay(deliveries, erasure, table):
    await settled(deliveries, planned(1), FAILED)
    await settled(deliveries, planned(2))
    before = {one.id: one async for one in deliveries.all(C)}
    assert await erasure.erase(C, planned(1).id)
    after = {one.id: one async for one in deliveries.all(C)}
    nobody = Recipient("user:0", "", "")
    one, other = planned(1).id, planned(2).id
    assert after[other] == before[other]
    assert after[one] == replace(
        before[one], recipient=nobody, reference="", detail="", version=after[one].version
    )
    assert len(await personal(table)) == 2  # the other's account and attempt
    assert await deliveries.problems(C) == [one]  # it still has to be looked at
    assert await erasure.erase(C, one)


# --- letters, which may be for somebody without an e-mail address

KARIS_HOME = PostalAddress(("Karigata 1",), "0155", "Karisund")
KARI = Addressee("Kari Nr. 1", "Kari", has_national_id=True, postal=KARIS_HOME)


def letter_to(number: int, address: str = "") -> Delivery:
    who = Recipient(f"user:{number}", f"Kari Nr. {number}", address, number, addressee=KARI)
    return Delivery(delivery_id(C, who.member), C, who, "digipost")


async def test_whoever_a_letter_was_for_is_erased_with_all_that_it_was_addressed_by(
    deliveries, erasure, table
):
    await settled(deliveries, letter_to(1), FAILED)
    await settled(deliveries, letter_to(2, "kari@example.no"))
    assert await erasure.erase(C, letter_to(1).id)
    after = {one.id: one.recipient async for one in deliveries.all(C)}
    assert after[letter_to(1).id] == Recipient("user:0", "", "")
    assert after[letter_to(1).id].erased
    assert after[letter_to(2).id] == letter_to(2, "kari@example.no").recipient
    await wipe(erasure)
    assert await personal(table) == []
    assert all([one.recipient.erased async for one in deliveries.all(C)])


async def test_whoever_has_no_address_is_found_by_who_they_are(deliveries, erasure):
    away = [left_out(9, None), left_out(90, "kari@example.no")]
    await deliveries.plan(C, [letter_to(1), letter_to(11), planned(2)], away)
    found = await erasure.traces(C, "user:1")
    assert [one.recipient.member for one in found.deliveries] == ["user:1"]
    assert await erasure.traces(C, "company:9") == ([], ["s:610:company:9:9"])
    assert await erasure.traces(C, "company:1") == ([], [])
    # whoever was erased before is nobody's to find
    await settled(deliveries, letter_to(3))
    assert await erasure.erase(C, letter_to(3).id)
    assert await erasure.traces(C, "user:0") == ([], [])
    assert await erasure.traces(C, person_key("")) == ([], [])


async def test_one_that_is_opened_again_at_this_moment_is_left_alone():
    table = MemoryTable()
    deliveries = Deliveries(table)
    await settled(deliveries, planned(1), FAILED)

    class Meanwhile:
        query = table.query

        async def get(self, partition: str, key: str) -> Row | None:
            row = await table.get(partition, key)
            if row and not await deliveries.any_open(C):
                again = [Again(one, one.recipient) async for one in deliveries.all(C)]
                await Rounds(table).open_again(campaign(20417, round=2), again)
            return row

        async def write(self, partition: str, *writes: Write) -> list[str]:
            return await table.write(partition, *writes)

    assert not await Erasure(table, Meanwhile()).erase(C, planned(1).id)
    [opened] = await deliveries.due(C, NOW, 10)
    [account] = [one async for one in deliveries.all(C)]
    assert account.recipient == opened.recipient == planned(1).recipient


async def test_a_membership_left_out_still_counts_when_nobody_can_tell_whose_it_was(
    deliveries, erasure, table
):
    away = left_out(9, "kari@example.no")
    await deliveries.plan(C, [], [away, left_out(8, "ola@example.no", LeftOutReason.DISABLED)])
    [key] = (await erasure.traces(C, "kari@example.no")).left_out
    await erasure.erase_left_out(C, key)
    await erasure.erase_left_out(C, key)  # it is gone already
    now = [one async for one in deliveries.left_out(C)]
    assert {one.reason for one in now} == {LeftOutReason.DUPLICATE, LeftOutReason.DISABLED}
    [nobody] = [one for one in now if one.reason is LeftOutReason.DUPLICATE]
    assert (nobody.member.name, nobody.member.address, nobody.member.id) == ("", None, 0)
    assert [row.key for row in await rows(table) if ":9" in row.key[:16]] == []
    assert (await erasure.traces(C, "kari@example.no")).left_out == []


# --- what else lies about ---


async def test_alerts_that_were_told_long_ago_are_dropped_and_no_others(table):
    alerts = Alerts(table)

    def alert(key: str) -> Alert:
        return Alert(key, Cause.BLOCKED)

    for key, told_at in (("old", NOW - 3 * DAY), ("new", NOW), ("untold", None)):
        await alerts.raised(alert(key), NOW - 9 * DAY)
        if told_at:
            await alerts.over(alert(key), told_at)
    await alerts.drop(NOW - DAY)
    assert [row.key async for row in table.query("alert", "x:", "x;")] == ["x:new", "x:untold"]
    assert [one.alert.key for one in await alerts.untold()] == ["untold"]


async def test_claims_that_nobody_came_back_for_are_dropped_and_no_others(table):
    claims = Claims(table)
    await claims.take("old", NOW - 3 * DAY, LEASE)
    await claims.take("new", NOW, LEASE)
    await claims.drop(NOW - DAY)
    assert len([row async for row in table.query("claim", "0", "g")]) == 1
    assert await claims.take("new", NOW, LEASE) is None


@pytest.fixture(params=["memory", "azurite"])
async def files(request: pytest.FixtureRequest) -> AsyncIterator[Files]:
    if request.param == "memory":
        yield MemoryFiles()
        return
    connection_string = request.getfixturevalue("azurite")
    name = f"c{uuid4().hex}"
    async with ContainerClient.from_connection_string(connection_string, name) as client:
        await client.create_container()
        yield AzureBlobs(client)


async def test_a_campaigns_files_go_and_no_others(files):
    for name in (f"{C}/message.json", f"{C}/file-7", "20417-10/message.json"):
        await files.put(name, b"Hei")
    await files.remove_all(C)
    await files.remove_all(C)
    assert await files.get(f"{C}/message.json") is None
    assert await files.get(f"{C}/file-7") is None
    assert await files.get("20417-10/message.json") == b"Hei"
