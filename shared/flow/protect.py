"""Protect: count how far a campaign has come, and stop what plainly goes wrong.

Counted each minute from the rows that are open and from those that somebody must look at, so that
there is no counter that every worker would have to change.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.domain.alert import Alert
from shared.domain.campaign import BEFORE_SENDING, ENDED, Campaign, Pause, Phase
from shared.domain.delivery import Reason, Status
from shared.errors import BlockedError
from shared.flow.block import hold
from shared.flow.enqueue import Lane
from shared.flow.steer import pause
from shared.ledger import Ledger
from shared.ledger.progress import Progress
from shared.settings import Settings

log = logging.getLogger(__name__)

#: Counting so many open rows takes twenty requests; what is larger is counted less often.
_COUNTED_A_MINUTE = 20_000
#: What takes longer than this, and could go on, is stuck. Retries may rest for an hour.
_STUCK_AFTER = timedelta(hours=2)
#: When nobody has counted for so long, nobody knows since when it has stood still.
_NOBODY_LOOKED = timedelta(hours=1)
#: A gate that was closed so lately is one that is being tried.
_TRIED_LATELY = timedelta(hours=1)
#: So long a phase may take that is over in minutes when all is well.
_STALLED_AFTER = timedelta(hours=1)
_PASSING = BEFORE_SENDING | {Phase.CANCELLING, Phase.REPORTING, Phase.REOPENING}


async def protect(
    campaign: Campaign, lane: Lane, *, ledger: Ledger, settings: Settings, now: datetime
) -> Campaign:
    """The campaign, paused when too many have failed since it was last let go.

    Both a number and a share: three wrong addresses of four are no reason to stop, nor are twenty
    of ten thousand. People outside are told of what is uncertain, and of what does not move.
    """
    before = await ledger.progress.get(campaign.id) or Progress(campaign.id, moved_at=now)
    if now < before.at + timedelta(minutes=before.open // _COUNTED_A_MINUTE):
        return campaign
    failed = uncertain = lately = 0
    async for outcome, settled_at in ledger.deliveries.problem_times(campaign.id):
        failed += outcome.status is Status.FAILED
        uncertain += outcome.status is Status.UNCERTAIN
        by_itself = outcome.reason is not Reason.SETTLED_BY_HAND
        late = settled_at >= campaign.judged_from
        lately += outcome.status is Status.FAILED and by_itself and late
    open_ = await ledger.deliveries.count_open(campaign.id)
    still = open_ == before.open and now < before.at + _NOBODY_LOOKED
    still = still and await _may_move(campaign, lane, ledger, now)
    progress = Progress(
        campaign.id,
        phase=campaign.phase,
        planned=campaign.planned,
        left_out=campaign.left_out,
        open=open_,
        failed=failed,
        uncertain=uncertain,
        at=now,
        moved_at=before.moved_at if still else now,
    )
    await ledger.progress.keep(progress)
    if uncertain:
        await ledger.alerts.raised(Alert.uncertain(campaign), now)
    if campaign.phase is not Phase.SENDING:
        return campaign
    if _too_many(lately, max(lately, campaign.open_then - open_), settings):
        return await pause(campaign, Pause.FAILURES, ledger=ledger, now=now)
    waited = lane.asked.longest_wait if lane.asked else lane.patience
    if open_ and progress.moved_at + _STUCK_AFTER + waited <= now:
        log.warning("campaign.stuck campaign_id=%s open=%s", campaign.id, open_)
        await ledger.alerts.raised(Alert.stuck(campaign, progress.moved_at), now)
    return campaign


def _too_many(failed: int, settled: int, settings: Settings) -> bool:
    enough = 0 < settings.PAUSE_AFTER_FAILURES <= failed
    return enough and failed * 100 >= settings.PAUSE_AT_FAILED_PERCENT * settled


async def _may_move(campaign: Campaign, lane: Lane, ledger: Ledger, now: datetime) -> bool:
    """Whether nothing that we know of keeps it: neither its time nor a channel that is closed."""
    if campaign.phase is not Phase.SENDING or campaign.starts_at > now or lane.opens(now) > now:
        return False
    states = [await ledger.channels.get(pace.channel) for pace in lane.paces]
    return not any(
        state.doubtful  # that is told of by itself
        or (pace.per_day and state.released_on(now) >= pace.per_day)
        for state, pace in zip(states, lane.paces, strict=True)
    )


async def note_the_end(campaign: Campaign, *, ledger: Ledger, now: datetime) -> None:
    """The progress of a campaign that is over says so."""
    if campaign.phase in ENDED and (counted := await ledger.progress.get(campaign.id)):
        await ledger.progress.keep(replace(counted, phase=campaign.phase, at=now))


async def tell_of_a_stall(campaign: Campaign, *, ledger: Ledger, now: datetime) -> None:
    """People outside are told when a campaign does not get through a phase that takes minutes."""
    c = campaign
    since = max(c.found_at, c.starts_at, c.finished_at, c.stopped_at)
    if c.phase in _PASSING and since + _STALLED_AFTER <= now:
        log.warning("campaign.stalled campaign_id=%s phase=%s", campaign.id, campaign.phase)
        await ledger.alerts.raised(Alert.stuck(campaign, since), now)


async def closed_too_long(
    lane: Lane, campaigns: Sequence[Campaign], *, ledger: Ledger, settings: Settings, now: datetime
) -> None:
    """Block the lane's campaigns when nothing has gone through for BLOCK_AFTER_HOURS."""
    for pace in lane.paces if campaigns else ():
        state = await ledger.channels.get(pace.channel)
        tried = state.doubtful and state.gate_until + _TRIED_LATELY > now
        if tried and state.closed_since + settings.block_after <= now:
            problem = BlockedError(
                "channel_closed", channel=pace.channel, hours=settings.BLOCK_AFTER_HOURS
            )
            for campaign in campaigns:
                await hold(campaign.id, problem, ledger.campaigns)
