"""Forget: what is personal goes when a campaign has been over for long enough.

What stays is what became of how many: the campaign with its counts, and a tombstone for each
delivery, so that nobody is written to again.
"""

import logging
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta

from shared.errors import UtsendelseError
from shared.ledger import Ledger
from shared.ledger.erasure import FORGETTING, FORGOTTEN
from shared.ports import Clock, Files
from shared.settings import Settings

log = logging.getLogger(__name__)

#: A run begins nothing new after that: the host ends it after five minutes.
LONGEST_RUN = timedelta(minutes=3)
#: A claim that ran out so long ago is nobody's.
_CLAIMS_FOR = timedelta(days=1)


async def forget(*, ledger: Ledger, files: Files, settings: Settings, clock: Clock) -> None:
    """Forget what has been over for RETENTION_DAYS, the oldest first; the next run does the rest.

    A campaign that fails does not stop the others. With nothing to do it reads the campaigns once.
    """
    until = clock() + LONGEST_RUN
    before = clock() - timedelta(days=settings.RETENTION_DAYS)
    bugs = []
    await ledger.alerts.drop(before)
    await ledger.users.drop(clock() - _CLAIMS_FOR)
    await ledger.suppressions.drop(clock())
    for campaign_id in await ledger.erasure.over_since(before):
        if clock() >= until:
            log.info("forget.not_reached campaign_id=%s", campaign_id)
            break
        try:
            await _forget(campaign_id, until, ledger, files, clock)
        except UtsendelseError as error:
            log.warning("forget.postponed campaign_id=%s because=%s", campaign_id, error)
        except Exception as bug:
            log.exception("forget.failed campaign_id=%s", campaign_id)
            bugs.append(bug)
    if bugs:
        raise ExceptionGroup("forget", bugs)


async def _forget(
    campaign_id: str, until: datetime, ledger: Ledger, files: Files, clock: Clock
) -> None:
    """One campaign; what is left of it when the run is over is for the next one.

    That it has begun is stored first, under the version that was read: a campaign is either opened
    again or forgotten, never both.
    """
    campaign = await ledger.campaigns.get(campaign_id)
    if campaign is None or campaign.active:
        return
    if FORGETTING not in campaign.steps:
        campaign = await ledger.campaigns.save(campaign.did(FORGETTING))
    await files.remove_all(campaign_id)
    rows = 0
    async with aclosing(ledger.erasure.wipe(campaign_id)) as wiping:
        async for some in wiping:
            rows += some
            if clock() >= until:
                log.info("forget.not_finished campaign_id=%s rows=%s", campaign_id, rows)
                return
    nobody = replace(campaign, detail={}, who_print="")
    await ledger.campaigns.save(nobody.did(FORGOTTEN))
    log.info("forget.done campaign_id=%s rows=%s", campaign_id, rows)
