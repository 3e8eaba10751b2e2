"""Start: tell the ticket what is about to happen, and let the campaign go."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import NEVER
from shared.domain.helpdesk import Names
from shared.domain.pace import duration
from shared.flow.mark import check_mark
from shared.flow.wording import post_once, render
from shared.ledger.campaigns import Campaigns
from shared.ports import Helpdesk
from shared.settings import Settings

log = logging.getLogger(__name__)


async def start(
    campaign: Campaign,
    *,
    names: Names,
    helpdesk: Helpdesk,
    campaigns: Campaigns,
    settings: Settings,
    now: datetime,
) -> Campaign:
    """The campaign as *sending*, told on the ticket. Nothing leaves before the undo window is over.

    The mark is read once more: whoever marked the ticket at the same moment as we did has had
    time to overwrite ours since.
    """
    check_mark(await helpdesk.ticket(campaign.ticket_id), campaign, settings)
    if campaign.starts_at == NEVER:
        starts_at = now + timedelta(seconds=settings.UNDO_SECONDS)
        campaign = await campaigns.save(replace(campaign, starts_at=starts_at))
    takes = duration(campaign.planned, settings.EMAIL_RATE)
    html = render(
        "start.html",
        campaign=campaign,
        ends_at=None if takes is None else campaign.starts_at + takes,
        test_list=not settings.allowed.everybody,
    )
    await post_once(helpdesk, campaign.ticket_id, f"{campaign.id}/start", html)
    await helpdesk.change_ticket(campaign.ticket_id, status_id=names.running, silent=True)
    log.info("start.done campaign_id=%s deliveries=%s", campaign.id, campaign.planned)
    return await campaigns.save(campaign.to(Phase.SENDING))
