"""Erase: whoever asks for it is gone from every campaign, and nobody else is."""

import logging
from contextlib import suppress
from dataclasses import replace

import pytest

from shared.domain.campaign import Phase
from shared.domain.delivery import Delivery, Outcome, Reason, Status, delivery_id
from shared.domain.recipient import LeftOut, LeftOutReason, Member, MemberKind, Recipient
from shared.errors import DoubtfulError
from shared.flow.enqueue import DeliverItem
from shared.flow.erase import Found, erase, find
from shared.flow.recipients_csv import recipients_csv
from shared.flow.tally import tally
from shared.ledger.erasure import FORGOTTEN
from tests.flow.edges import Moments, Stop, another, stop, under_way

KARI, OLA = "Kari.Nordmann@example.no", "ola@example.no"
NOBODY = Found([], [])
SENT = Outcome(Status.SENT, reference="<1@example.no>", detail=f"250 OK {KARI}")
FAILED = Outcome(Status.FAILED, Reason.REFUSED, detail=f"550 {KARI}")
LEFT_OUT = LeftOut(
    610, Member(MemberKind.USER, 9, "Kari", f" {KARI.upper()}"), LeftOutReason.DUPLICATE
)


async def campaign_with(
    house,
    *addresses: str,
    number: int = 20417,
    channel: str = "email",
    left_out: tuple[LeftOut, ...] = (),
    **changes,
):
    """A campaign under way to these; nobody has got anything so far."""
    campaign = await under_way(
        house, 0, number=number, channel=channel, left_out=left_out, **changes
    )
    deliveries = [
        Delivery(
            delivery_id(campaign.run, address.lower()),
            campaign.id,
            Recipient(f"user:{n}", address.partition("@")[0], address, n),
            channel,
        )
        for n, address in enumerate(addresses, 31)
    ]
    await house.ledger.deliveries.plan(campaign.id, deliveries, [])
    return await house.ledger.campaigns.save(replace(campaign, planned=len(addresses)))


async def one(house, campaign, n: int = 0) -> Delivery:
    """The delivery to whoever was named as number n."""
    everybody = {d.recipient.member: d for d in await house.deliveries(campaign)}
    return everybody[f"user:{31 + n}"]


async def claim(house, delivery: Delivery):
    opened = await house.ledger.deliveries.get_open(delivery.campaign, delivery.id)
    return await house.ledger.deliveries.claim(opened, house.clock(), house.settings.lease)


async def settle(house, campaign, outcome: Outcome, n: int = 0) -> None:
    claimed = await claim(house, await one(house, campaign, n))
    await house.ledger.deliveries.settle(claimed, outcome, house.clock())


async def ask(host, address: str = KARI):
    return (await erase(address, ledger=host.ledger, files=host.files, clock=host.clock)).campaigns


def traces(house, address: str = KARI) -> list[str]:
    """The rows that name them by address, name or member."""
    name = address.partition("@")[0].lower()
    return [
        key
        for table in house.tables.values()
        for (_, key), row in table.rows.items()
        if name in str(dict(row.values)).lower() or (address == KARI and ":user:9:" in key)
    ]


async def test_a_person_is_found_in_every_campaign_and_nothing_changes(house):
    first = await campaign_with(house, KARI, OLA)
    await settle(house, first, SENT)
    await campaign_with(house, OLA, KARI.upper(), number=20418, left_out=(LEFT_OUT,))
    await campaign_with(house, OLA, number=20419)
    before = {name: dict(table.rows) for name, table in house.tables.items()}
    found = (await find(KARI.lower(), ledger=house.ledger)).campaigns
    assert [(known.campaign.id, known.rows, known.own_tickets) for known in found] == [
        ("20417-1", 1, []),
        ("20418-1", 2, []),
    ]
    assert {name: dict(table.rows) for name, table in house.tables.items()} == before


async def test_a_person_goes_from_all_of_them_and_what_became_of_it_stays(house):
    done = await campaign_with(house, KARI, OLA)
    await settle(house, done, SENT)
    done = await house.ledger.campaigns.save(replace(done, phase=Phase.DONE))
    going = await campaign_with(house, KARI, OLA, number=20418, left_out=(LEFT_OUT,))
    await settle(house, going, FAILED)
    others = len(traces(house, OLA))

    found = await ask(house)
    assert [(known.campaign.id, known.rows, known.in_flight) for known in found] == [
        ("20417-1", 1, 0),
        ("20418-1", 2, 0),
    ]
    assert traces(house) == []
    assert len(traces(house, OLA)) == others
    assert await house.statuses(done) == {Status.SENT: 1, Status.PLANNED: 1}
    assert await house.statuses(going) == {Status.FAILED: 1, Status.PLANNED: 1}
    assert (await tally(going, house.ledger)).left_out == {LeftOutReason.DUPLICATE: 1}
    assert await ask(house) == []
    assert await find(KARI, ledger=house.ledger) == NOBODY


async def test_whoever_waits_for_their_turn_is_skipped_and_never_written_to(house):
    campaign = await campaign_with(house, KARI, OLA)
    kari = await one(house, campaign)
    await ask(house)
    account = {d.id: d for d in await house.deliveries(campaign)}[kari.id]
    assert (account.status, account.reason) == (Status.SKIPPED, Reason.ERASED)
    assert traces(house) == []
    item = DeliverItem(campaign=campaign.id, delivery=kari.id).model_dump_json()
    await house.deliver(item)  # it was on the queue
    await house.ledger.deliveries.plan(campaign.id, [kari], [])  # the lists are read again
    assert not await house.ledger.deliveries.get_open(campaign.id, kari.id)
    assert house.channel.sent == []


@pytest.mark.parametrize("submitted", [False, True])
async def test_one_on_its_way_is_left_alone_and_can_be_asked_for_again(house, submitted):
    campaign = await campaign_with(house, KARI, OLA)
    claimed = await claim(house, await one(house, campaign))
    outcome = SENT
    if submitted:
        waits = Outcome(Status.SUBMITTED, reference="7/20500")
        await house.ledger.deliveries.submit(claimed, waits, house.clock(), house.clock())
        [claimed] = await house.ledger.deliveries.unanswered(campaign.id, house.clock())
    before = {name: dict(table.rows) for name, table in house.tables.items()}
    [known] = await ask(house)
    assert (known.rows, known.in_flight) == (1, 1)
    assert {name: dict(table.rows) for name, table in house.tables.items()} == before
    await house.ledger.deliveries.settle(claimed, outcome, house.clock())
    [known] = await ask(house)
    assert (known.rows, known.in_flight) == (1, 0)
    assert traces(house) == []
    assert await house.statuses(campaign) == {Status.SENT: 1, Status.PLANNED: 1}


@pytest.mark.parametrize("phase", [Phase.FOUND, Phase.EXPANDING, Phase.APPROVED, Phase.BLOCKED])
async def test_a_campaign_that_may_still_be_planned_anew_is_asked_again(house, phase):
    blocked = {"blocked_from": Phase.EXPANDING} if phase is Phase.BLOCKED else {}
    campaign = await campaign_with(house, KARI, left_out=(LEFT_OUT,), phase=phase, **blocked)
    [known] = await ask(house)
    assert (known.rows, known.in_flight) == (2, 2)
    assert traces(house)
    # called off while its lists were read: how many there are was never counted
    await house.ledger.campaigns.save(replace(campaign, phase=Phase.CANCELLED, planned=0))
    [known] = await ask(house)
    assert known.in_flight == 0
    assert traces(house) == []


async def test_the_answer_names_the_tickets_that_the_person_has_got(house):
    made = await campaign_with(house, KARI, channel="ticket")
    await settle(house, made, Outcome(Status.SENT, reference="7/20500"))
    begun = await campaign_with(house, KARI, number=20418, channel="ticket")
    noted = await house.ledger.deliveries.note(
        await claim(house, await one(house, begun)), "8/20501/mailing"
    )
    await house.ledger.deliveries.put_back(noted, house.clock())
    failed = await campaign_with(house, KARI, number=20419, channel="ticket")
    await settle(house, failed, FAILED)
    found = (await find(KARI, ledger=house.ledger)).campaigns
    assert [known.own_tickets for known in found] == [[20500], [20501], []]
    assert [known.own_tickets for known in await ask(house)] == [[20500], [20501], []]
    assert traces(house) == []
    assert "20500" not in str(house.tables["deliveries"].rows)


async def test_what_is_forgotten_is_not_looked_through(house):
    campaign = await campaign_with(house, OLA)
    await house.ledger.campaigns.save(replace(campaign, phase=Phase.DONE).did(FORGOTTEN))
    assert await find(KARI, ledger=another(house, moments := Moments()).ledger) == NOBODY
    assert moments.passed == ["before campaigns.query"]


async def test_the_report_of_a_campaign_counts_whoever_is_erased(house):
    campaign = await campaign_with(house, KARI, OLA, left_out=(LEFT_OUT,))
    await settle(house, campaign, replace(SENT, detail="250 OK"), 1)
    await ask(house)
    [part] = [
        part async for part in recipients_csv(campaign, house.ledger.deliveries, 100, "{}".format)
    ]
    lines = part.decode("utf-8-sig").splitlines()
    assert len(lines) == 4
    assert any(line.startswith(";;utelatt;Personopplysningene er slettet") for line in lines)
    assert "kari" not in part.decode().lower()


async def test_a_crash_at_any_call_leaves_something_that_asking_again_finishes(make_house):
    async def scene():
        house = make_house()
        settled = await campaign_with(house, KARI, OLA)
        await settle(house, settled, FAILED)
        await campaign_with(house, KARI, OLA, number=20418, left_out=(LEFT_OUT,))
        return house

    async def fail() -> None:
        raise DoubtfulError("503")

    await ask(another(await scene(), moments := Moments()))
    assert len(moments.passed) > 20
    for then in (stop, fail):
        for at, moment in enumerate(moments.passed):
            house = await scene()
            with suppress(Stop, DoubtfulError):
                await ask(another(house, Moments(at, then)))
            await ask(house)
            assert traces(house) == [], f"{at} {moment}"
            assert len(traces(house, OLA)) == 4, f"{at} {moment}"
            going = await house.ledger.campaigns.get("20418-1")
            assert await house.statuses(going) == {Status.SKIPPED: 1, Status.PLANNED: 1}
            assert (await tally(going, house.ledger)).left_out.total() == 1, f"{at} {moment}"


async def test_the_log_names_no_person(house, caplog):
    campaign = await campaign_with(house, KARI, OLA)
    await settle(house, campaign, SENT)
    with caplog.at_level(logging.DEBUG):
        await find(KARI, ledger=house.ledger)
        await ask(house)
    assert "erase.done campaign_id=20417-1 rows=1 in_flight=0" in caplog.text
    assert "kari" not in caplog.text.lower()
