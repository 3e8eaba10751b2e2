"""Forget: after the period nobody can tell who it was, and how it went still stands."""

import logging
from contextlib import suppress
from dataclasses import replace

import pytest

from shared.domain.alert import Alert, Cause
from shared.domain.campaign import ENDED, Phase
from shared.domain.delivery import Outcome, Reason, Status
from shared.domain.recipient import LeftOut, LeftOutReason, Member, MemberKind
from shared.errors import ClashError, DoubtfulError
from shared.flow.forget import LONGEST_RUN, forget
from shared.flow.tally import tally
from shared.ledger.erasure import FORGETTING, FORGOTTEN
from tests.flow.edges import Moments, Stop, another, stop, under_way

OUTCOMES = (
    Outcome(Status.SENT, reference="<1@example.no>", detail="250 OK 0@example.no"),
    Outcome(Status.FAILED, Reason.REFUSED, detail="550 1@example.no"),
    Outcome(Status.UNCERTAIN, Reason.NO_ANSWER),
)
LEFT_OUT = LeftOut(
    610, Member(MemberKind.USER, 9, "Åse Utelatt", "aase@example.no"), LeftOutReason.DUPLICATE
)
#: Who somebody is, in any of the ways that it is stored.
PERSONAL = ("åse", "@example.no", "user:1'", "user:2'", "'user': '1'", "søknad")


async def over(house, number: int = 20417, *, phase: Phase = Phase.DONE, recipients: int = 3):
    """A campaign that is over as of now: one sent, one failed, one uncertain, one left out."""
    campaign = await under_way(house, recipients, number=number, left_out=(LEFT_OUT,))
    for n, delivery in enumerate(await house.deliveries(campaign)):
        opened = await house.ledger.deliveries.get_open(campaign.id, delivery.id)
        claimed = await house.ledger.deliveries.claim(opened, house.clock(), house.settings.lease)
        await house.ledger.deliveries.settle(claimed, OUTCOMES[n % 3], house.clock())
    await house.files.put(f"{campaign.id}/file-7", b"vedlegg")
    ended = replace(
        campaign,
        phase=phase,
        finished_at=house.clock(),
        detail={"name": "Søknad fra Åse.pdf"},
        who_print="ab12",
    )
    return await house.ledger.campaigns.save(ended)


async def run(host) -> None:
    await forget(ledger=host.ledger, files=host.files, settings=host.settings, clock=host.clock)


def after_the_period(house) -> None:
    house.clock.tick(days=house.settings.RETENTION_DAYS, seconds=1)


def personal(house, number: int = 20417) -> list[str]:
    """Everything in storage that tells who somebody is, or what was written to them."""
    rows = [
        key
        for table in house.tables.values()
        for (partition, key), row in table.rows.items()
        if str(number) in f"{partition} {key}"
        and any(one in f"{key}' {dict(row.values)}".lower() for one in PERSONAL)
    ]
    return rows + [name for name in house.files.blobs if str(number) in name]


def stored(house):
    return {name: dict(table.rows) for name, table in house.tables.items()}, dict(house.files.blobs)


async def check(house, *, moment: str = "") -> None:
    """Nothing tells who it was; how it went stands, and nobody can be written to again."""
    assert personal(house) == [], moment
    campaign = await house.ledger.campaigns.get("20417-1")
    assert {FORGETTING, FORGOTTEN} <= campaign.steps, moment
    assert (campaign.detail, campaign.who_print) == ({}, ""), moment
    assert (campaign.phase, campaign.planned, campaign.left_out) == (Phase.DONE, 3, 1), moment
    counted = await tally(campaign, house.ledger)
    assert counted.statuses == {Status.SENT: 1, Status.FAILED: 1, Status.UNCERTAIN: 1}, moment
    for delivery in await house.deliveries(campaign):
        assert delivery.recipient.erased, moment
        assert (delivery.attempts, delivery.round) == (1, 1), moment
        assert len(await house.ledger.deliveries.attempts(campaign.id, delivery.id)) == 1, moment


async def test_what_has_been_over_for_the_period_is_forgotten_and_counts_stay(house):
    await over(house)
    after_the_period(house)
    assert len(personal(house)) == 9
    await run(house)
    await check(house)


async def test_nothing_goes_before_the_period_is_over(house):
    await over(house)
    house.clock.tick(days=house.settings.RETENTION_DAYS)
    before = stored(house)
    await run(house)
    assert stored(house) == before


@pytest.mark.parametrize("phase", sorted(set(Phase) - ENDED))
async def test_a_campaign_that_is_not_over_is_never_touched(house, phase):
    campaign = await under_way(house, 2, left_out=(LEFT_OUT,), phase=phase)
    await house.ledger.campaigns.save(replace(campaign, finished_at=house.clock()))
    house.clock.tick(days=9_000)
    before = stored(house)
    await run(house)
    assert stored(house) == before


async def test_one_that_was_called_off_early_is_forgotten_and_never_sent(house):
    campaign = await under_way(house, 2, phase=Phase.APPROVED)
    await house.ledger.campaigns.save(campaign.to(Phase.CANCELLED))
    after_the_period(house)
    await run(house)
    assert personal(house) == []
    assert await house.statuses(campaign) == {Status.CANCELLED: 2}
    assert not await house.ledger.deliveries.any_open(campaign.id)


async def test_with_nothing_to_do_the_campaigns_are_read_once_and_no_delivery_is(house):
    for number in (20417, 20418):
        await over(house, number)
    after_the_period(house)
    await run(house)
    await over(house, 20419)
    before = stored(house)
    await run(another(house, moments := Moments()))
    assert moments.passed == [
        "before campaigns.query",  # the alerts
        "before users.query",
        "before suppressions.query",
        "before register.query",
        *("before register.get", "after register.get"),
        "before register.query",  # the receipts
        "before campaigns.query",
    ]
    assert stored(house) == before


async def test_a_crash_at_any_call_leaves_something_that_the_next_run_finishes(make_house):
    house = make_house()
    await over(house)
    after_the_period(house)
    await run(another(house, moments := Moments()))
    await check(house)
    assert len(moments.passed) > 20
    for at, moment in enumerate(moments.passed):
        house = make_house()
        await over(house)
        after_the_period(house)
        with pytest.raises(Stop):
            await run(another(house, Moments(at, stop)))
        await run(another(house, Moments()))
        await check(house, moment=f"{at} {moment}")


async def test_a_failure_of_any_call_leaves_something_that_the_next_run_finishes(make_house):
    async def fail() -> None:
        raise DoubtfulError("503")

    house = make_house()
    await over(house)
    after_the_period(house)
    await run(another(house, moments := Moments()))
    for at, moment in enumerate(moments.passed):
        house = make_house()
        await over(house)
        after_the_period(house)
        with suppress(DoubtfulError):  # the scan itself: the host logs it, and calls again
            await run(another(house, Moments(at, fail)))
        await run(house)
        await check(house, moment=f"{at} {moment}")


async def test_a_run_ends_in_time_and_the_next_goes_on_with_the_oldest_first(house, caplog):
    for number in (20417, 20418, 20419):
        await over(house, number, recipients=130)
        house.clock.tick(hours=1)
    after_the_period(house)
    began = house.clock()

    async def slow(moment: str) -> None:
        if moment == "before deliveries.write":
            house.clock.tick(seconds=50)

    with caplog.at_level(logging.INFO, "shared.flow.forget"):
        await run(another(house, slow))
    assert house.clock() - began < LONGEST_RUN * 1.5
    assert "forget.not_finished campaign_id=20417-1" in caplog.text
    assert "forget.not_reached campaign_id=20418-1" in caplog.text
    while waiting := await house.ledger.erasure.over_since(house.clock()):
        oldest, *others = (int(one.removesuffix("-1")) for one in waiting)
        before = len(personal(house, oldest)), [len(personal(house, one)) for one in others]
        await run(another(house, slow))
        assert len(personal(house, oldest)) < before[0] or not before[0]
        if personal(house, oldest):
            assert [len(personal(house, one)) for one in others] == before[1]
    assert personal(house, 2041) == []


async def test_one_that_fails_does_not_stop_the_others(house, caplog):
    for number in (20417, 20418, 20419):
        await over(house, number)
    after_the_period(house)
    files = house.files.remove_all

    class Broken:
        async def remove_all(self, campaign: str) -> None:
            if campaign == "20417-1":
                raise DoubtfulError("503")
            if campaign == "20418-1":
                raise ZeroDivisionError
            await files(campaign)

    with pytest.raises(ExceptionGroup):  # a bug is told of, at the end
        await forget(
            ledger=house.ledger, files=Broken(), settings=house.settings, clock=house.clock
        )
    assert "forget.postponed campaign_id=20417-1" in caplog.text
    assert "forget.failed campaign_id=20418-1" in caplog.text
    assert personal(house, 20417) and personal(house, 20418)
    assert personal(house, 20419) == []


@pytest.mark.parametrize("moment", ["before campaigns.get", "before campaigns.write"])
async def test_a_campaign_that_is_opened_again_at_this_moment_is_not_forgotten(house, moment):
    campaign = await over(house)
    after_the_period(house)
    before = personal(house)

    async def reopened() -> None:
        await house.ledger.campaigns.save(campaign.to(Phase.REOPENING, round=2))

    at = (await moments_of_a_copy(house)).index(moment)
    await run(another(house, Moments(at, reopened)))
    assert personal(house) == before
    assert (await house.ledger.campaigns.get(campaign.id)).phase is Phase.REOPENING


async def moments_of_a_copy(house) -> list[str]:
    """The calls that a run makes, with storage as it was afterwards."""
    before, blobs = stored(house)
    await run(another(house, moments := Moments()))
    for name, rows in before.items():
        house.tables[name].rows.clear()
        house.tables[name].rows.update(rows)
    house.files.blobs.update(blobs)
    return moments.passed


async def test_that_it_has_begun_is_stored_before_anything_goes(house):
    """From then on the campaign must not be opened again."""
    campaign = await over(house)
    after_the_period(house)
    before = personal(house)
    at = (await moments_of_a_copy(house)).index("after campaigns.write")
    with pytest.raises(Stop):
        await run(another(house, Moments(at, stop)))
    begun = await house.ledger.campaigns.get(campaign.id)
    assert FORGETTING in begun.steps and FORGOTTEN not in begun.steps
    assert personal(house) == before
    with pytest.raises(ClashError):  # whoever has read it earlier
        await house.ledger.campaigns.save(campaign.to(Phase.REOPENING, round=2))


async def test_old_alerts_and_claims_go_as_well(house):
    alert = Alert("blocked 20417-1 1", Cause.BLOCKED)
    await house.ledger.alerts.raised(alert, house.clock())
    await house.ledger.alerts.over(alert, house.clock())
    await house.ledger.users.take("post@example.no", house.clock(), house.settings.lease)
    house.clock.tick(days=2)
    await run(house)
    assert [key for _, key in house.tables["campaigns"].rows] == ["x:blocked 20417-1 1"]
    assert not house.tables["users"].rows
    after_the_period(house)
    await run(house)
    assert not house.tables["campaigns"].rows


async def test_the_log_names_no_person(house, caplog):
    await over(house)
    after_the_period(house)
    with caplog.at_level(logging.DEBUG):
        await run(house)
    assert "forget.done campaign_id=20417-1" in caplog.text
    assert not [one for one in PERSONAL if one in caplog.text.lower()]
