"""What the ledger promises about campaigns and channels."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.campaign import Campaign, Cursor, Phase, RecipientList
from shared.domain.pace import ChannelState
from shared.errors import ClashError
from shared.ledger.campaigns import Campaigns
from shared.ledger.channels import Channels

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def found(ordinal: int = 1, request_number: int = 20417) -> Campaign:
    return Campaign(
        id=f"{request_number}-{ordinal}",
        ticket_id=5012,
        request_number=request_number,
        channel="email",
        found_at=NOW,
        nonce="ab12cd34",
    )


@pytest.fixture
def campaigns(table) -> Campaigns:
    return Campaigns(table)


async def test_a_campaign_comes_back_as_it_was_saved(campaigns):
    stored = await campaigns.create(found())
    cursor = Cursor().past(500, "aa", last=False).past(20, "bb", last=True).past(3, "cc", last=True)
    full = replace(
        stored,
        problem="nobody",
        detail={"left_out": "3", "navn": "Åse «Ø»"},
        round=2,
        message="communication:731",
        api_user=2,
        lists=(RecipientList(610, "Kommuner – «alle»"), RecipientList(611, "Gammel", True)),
        cursor=cursor,
        planned=12,
        left_out=3,
        starts_at=NOW,
        finished_at=NOW + timedelta(hours=1),
        steps=frozenset({"told", "listed"}),
        ticket_seen="2026-11-22T08:00:00+00:00",
        times_blocked=2,
        phase=Phase.BLOCKED,
        blocked_from=Phase.EXPANDING,
    )
    saved = await campaigns.save(full)
    assert await campaigns.get("20417-1") == saved == replace(full, version=saved.version)


async def test_the_same_campaign_is_created_once(campaigns):
    assert await campaigns.create(found()) is not None
    assert await campaigns.create(found()) is None


async def test_the_one_who_read_an_old_version_saves_nothing(campaigns):
    first = await campaigns.create(found())
    await campaigns.save(replace(first, planned=1))
    with pytest.raises(ClashError):
        await campaigns.save(replace(first, planned=2))
    assert (await campaigns.get(first.id)).planned == 1


async def test_ended_campaigns_cost_the_active_ones_nothing(campaigns):
    over = await campaigns.create(found(1))
    await campaigns.create(found(2))
    over = await campaigns.save(over.to(Phase.CANCELLED))
    over = await campaigns.save(replace(over, planned=7))
    assert [c.id for c in await campaigns.active()] == ["20417-2"]
    assert (await campaigns.get("20417-1")).planned == 7


async def test_completion_loses_against_a_change_made_since_it_was_read(campaigns):
    sending = await campaigns.save(replace(await campaigns.create(found()), phase=Phase.SENDING))
    await campaigns.save(sending.to(Phase.PAUSED))
    with pytest.raises(ClashError):
        await campaigns.save(sending.to(Phase.REPORTING))


async def test_reopening_makes_a_campaign_active_again(campaigns):
    done = await campaigns.save(replace(await campaigns.create(found()), phase=Phase.DONE))
    assert await campaigns.active() == []
    reopening = await campaigns.save(done.to(Phase.REOPENING, round=2))
    assert [c.round for c in await campaigns.active()] == [2]
    with pytest.raises(ClashError):  # two who ask at once re-open once
        await campaigns.save(done.to(Phase.REOPENING, round=2))
    await campaigns.save(reopening.to(Phase.SENDING))


async def test_a_tickets_campaigns_are_its_own(campaigns):
    for one in (found(1), found(2), found(1, 2041), found(1, 204170)):
        await campaigns.create(one)
    assert [c.id for c in await campaigns.on_ticket(20417)] == ["20417-1", "20417-2"]


async def test_a_channel_is_shared_and_the_second_to_take_slots_loses(table):
    channels = Channels(table)
    fresh = await channels.get("email")
    assert fresh == ChannelState("email")
    older = await channels.save(replace(fresh, next_slot=NOW))
    mine = await channels.save(older)
    for stale in (fresh, older):
        with pytest.raises(ClashError):
            await channels.save(replace(stale, next_slot=NOW + timedelta(minutes=1)))
    closed = await channels.save(mine.close_gate(NOW + timedelta(minutes=5), "421", NOW))
    assert await channels.get("email") == closed
