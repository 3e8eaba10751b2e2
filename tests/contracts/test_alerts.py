"""What people must be told of is kept until they have been, on the twin and on Azurite."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from shared.domain.alert import Alert, Cause
from shared.domain.campaign import Campaign, Phase
from shared.domain.pace import ChannelState
from shared.errors import ClashError
from shared.ledger.alerts import Alerts, Untold
from shared.ports import Table

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
CAMPAIGN = Campaign("20417-1", 731, 20417, "email", NOW, "n", Phase.SENDING, problem="no_lists")
CLOSED = ChannelState("ticket", closed_since=NOW)
ALL = [
    Alert.blocked(CAMPAIGN),
    Alert.self_paused(CAMPAIGN),
    Alert.key_refused(NOW),
    Alert.name_unknown(NOW),
    Alert.silent(NOW),
    Alert.channel_stopped(CLOSED),
    Alert.poison(CAMPAIGN),
    Alert.stuck(CAMPAIGN, NOW),
    Alert.uncertain(CAMPAIGN),
    Alert.letter_job(CAMPAIGN, 2, "unknown"),
    Alert.receipt("ab12cd34", "unreadable"),
    Alert.register(3, "failed"),
]
BLOCKED = ALL[0]


@pytest.fixture
def alerts(table: Table) -> Alerts:
    return Alerts(table)


async def test_every_kind_comes_back_as_it_was_raised(alerts: Alerts) -> None:
    assert {one.cause for one in ALL} == set(Cause)
    for one in ALL:
        await alerts.raised(one, NOW)
    found = {one.alert.key: one for one in await alerts.untold()}
    assert found == {one.key: Untold(one, NOW) for one in ALL}


async def test_one_cause_is_one_alert_however_often_it_is_raised(alerts: Alerts) -> None:
    await asyncio.gather(*(alerts.raised(BLOCKED, NOW) for _ in range(8)))
    await alerts.raised(BLOCKED, LATER)
    assert await alerts.untold() == [Untold(BLOCKED, NOW)]


async def test_what_everybody_has_been_told_is_never_raised_again(alerts: Alerts) -> None:
    await alerts.raised(BLOCKED, NOW)
    await alerts.over(BLOCKED, LATER)
    await alerts.raised(BLOCKED, LATER)
    assert await alerts.untold() == []


async def test_who_has_been_told_and_who_may_have_been_is_kept_for_each(alerts: Alerts) -> None:
    await alerts.raised(BLOCKED, NOW)
    await alerts.doubted(BLOCKED, "webhook", NOW)
    await asyncio.gather(
        alerts.told(BLOCKED, "email", LATER), alerts.doubted(BLOCKED, "webhook", LATER)
    )
    [found] = await alerts.untold()
    assert found == Untold(BLOCKED, NOW, frozenset({"email"}), frozenset({"webhook"}))


async def test_a_host_that_comes_late_does_not_bring_it_back(alerts: Alerts) -> None:
    await alerts.raised(BLOCKED, NOW)
    await alerts.over(BLOCKED, NOW)
    for late in (
        alerts.told(BLOCKED, "email", LATER),
        alerts.doubted(BLOCKED, "email", LATER),
        alerts.over(BLOCKED, LATER),
    ):
        with pytest.raises(ClashError):
            await late
    assert await alerts.untold() == []


async def test_of_many_a_hundred_are_given_at_a_time(alerts: Alerts) -> None:
    for number in range(103):
        await alerts.raised(replace(BLOCKED, key=f"blocked:20417-1:{number}"), NOW)
    assert len(await alerts.untold()) == 100


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Alert.blocked(CAMPAIGN), Alert.blocked(replace(CAMPAIGN, times_blocked=1))),
        (Alert.self_paused(CAMPAIGN), Alert.self_paused(replace(CAMPAIGN, stops=1))),
        (Alert.key_refused(date(2026, 11, 22)), Alert.key_refused(date(2026, 11, 23))),
        (
            Alert.channel_stopped(CLOSED),
            Alert.channel_stopped(replace(CLOSED, closed_since=LATER)),
        ),
        (Alert.channel_stopped(CLOSED), Alert.channel_stopped(replace(CLOSED, name="email"))),
        (Alert.poison(CAMPAIGN), Alert.poison(replace(CAMPAIGN, round=2))),
        (Alert.stuck(CAMPAIGN, NOW), Alert.stuck(CAMPAIGN, LATER)),
        (Alert.uncertain(CAMPAIGN), Alert.uncertain(replace(CAMPAIGN, round=2))),
        (Alert.uncertain(CAMPAIGN), Alert.uncertain(replace(CAMPAIGN, id="20417-2"))),
    ],
    ids=lambda alert: alert.key,
)
async def test_what_happens_anew_is_told_anew(alerts: Alerts, before: Alert, after: Alert) -> None:
    await alerts.raised(before, NOW)
    await alerts.over(before, NOW)
    await alerts.raised(after, LATER)
    assert await alerts.untold() == [Untold(after, LATER)]


def test_the_same_incident_is_the_same_whatever_else_has_changed() -> None:
    later = replace(CAMPAIGN, phase=Phase.PAUSED, planned=7, version="2", stops=3, round=4)
    assert Alert.blocked(later).key == BLOCKED.key
    still = replace(CLOSED, gate_until=LATER, gate_reason="401", version="2")
    assert Alert.channel_stopped(still).key == Alert.channel_stopped(CLOSED).key
    assert Alert.key_refused(NOW).key == Alert.key_refused(NOW.date()).key


def test_no_alert_names_a_recipient_or_repeats_what_a_server_said() -> None:
    refused = replace(CLOSED, gate_reason="smtp: RCPT TO: 550 kari@example.no")
    campaign = replace(CAMPAIGN, detail={"name": "Kari Nordmann"})
    assert "kari" not in f"{Alert.channel_stopped(refused)} {Alert.blocked(campaign)}".casefold()
