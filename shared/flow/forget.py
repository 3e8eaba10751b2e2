"""Forget: what is personal goes when a campaign has been over for long enough.

What stays is what became of how many: the campaign with its counts, and a tombstone for each
delivery, so that nobody is written to again.
"""

import logging
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta

from shared.domain.job_receipt import JobAnswer
from shared.errors import UtsendelseError
from shared.flow.receipts import LOOKED_AT_AGAIN, folder_of_stray
from shared.flow.register import REGISTER
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
    await _forget_register(before, until, ledger, files, settings, clock)
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


async def _forget_register(
    before: datetime,
    until: datetime,
    ledger: Ledger,
    files: Files,
    settings: Settings,
    clock: Clock,
) -> None:
    """Who has not been asked about since then, and what is kept of jobs and receipts.

    What lies on in the folder of receipts is remembered, without its contents, or it would be
    fetched and kept anew.
    """
    if rows := await ledger.register.drop(before):
        log.info("forget.register rows=%s", rows)
    survey = await ledger.register.survey()
    if survey:
        await ledger.erasure.drop_jobs(REGISTER, before)
    if survey and survey.began_at < before and (survey.over or settings.DIGIPOST_REGISTER == "off"):
        await files.remove_all(REGISTER)
    gone = []
    for old in await ledger.register.old_receipts(before):
        if clock() >= until:
            break
        if old.what in LOOKED_AT_AGAIN or (
            old.what in set(JobAnswer) and not settings.DIGIPOST_KEEP_RECEIPTS
        ):
            gone.append(old)
            continue
        await files.remove_all(folder_of_stray(old.sha256))
        await ledger.register.mark_forgotten(old)
    await ledger.register.forget_receipts(gone)


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
