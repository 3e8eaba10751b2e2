"""Block: a campaign waits for a person, and the ticket says why and what to do."""

import logging
from dataclasses import replace
from datetime import datetime

from shared.domain.campaign import BEFORE_SENDING, Campaign, Phase
from shared.domain.helpdesk import Names
from shared.errors import BlockedError
from shared.flow.wording import post_once, render
from shared.ledger.campaigns import Campaigns
from shared.ports import Helpdesk
from shared.settings import Settings

log = logging.getLogger(__name__)


async def block(
    campaign_id: str,
    problem: BlockedError,
    *,
    names: Names,
    helpdesk: Helpdesk,
    campaigns: Campaigns,
    settings: Settings,
) -> None:
    """Stop the campaign before its start, then tell the ticket. Nothing is sent until unblocked."""
    campaign = await campaigns.get(campaign_id)
    if campaign is None or campaign.phase not in BEFORE_SENDING:
        return  # another host has carried it on
    detail = {name: str(value) for name, value in problem.detail.items()}
    blocked = campaign.to(
        Phase.BLOCKED,
        problem=problem.problem,
        detail=detail,
        times_blocked=campaign.times_blocked + 1,
        steps=campaign.steps - {"told"},
    )
    log.warning("campaign.blocked campaign_id=%s problem=%s", campaign.id, problem.problem)
    await tell_why(
        await campaigns.save(blocked),
        names=names,
        helpdesk=helpdesk,
        campaigns=campaigns,
        settings=settings,
    )


async def tell_why(
    campaign: Campaign,
    *,
    names: Names,
    helpdesk: Helpdesk,
    campaigns: Campaigns,
    settings: Settings,
) -> None:
    """An internal note with the reason and what to do, then the status that asks for attention."""
    html = render(
        "blocked.html",
        campaign=campaign,
        ready=settings.STATUS_READY if names.ready else "",
        by_status=status_tells(names),
    )
    await post_once(
        helpdesk, campaign.ticket_id, f"{campaign.run}/stanset-{campaign.times_blocked}", html
    )
    if names.attention is not None:
        await helpdesk.change_ticket(campaign.ticket_id, status_id=names.attention, silent=True)
    ticket = await helpdesk.ticket(campaign.ticket_id)
    await campaigns.save(campaign.did("told", ticket_seen=ticket.modified.isoformat()))


def status_tells(names: Names) -> bool:
    """Whether the go status can be set anew, because ours has taken its place."""
    return names.ready is not None and names.attention is not None


async def unblock(
    campaign: Campaign, *, channel: str, campaigns: Campaigns, now: datetime
) -> Campaign:
    """Back to where it was; before the start, back to the beginning: something has been mended.

    Even the made-up user may have been, and with it the channel.
    """
    back = campaign.to(campaign.blocked_from or Phase.FOUND)
    if back.phase in BEFORE_SENDING:
        back = replace(back.afresh(now), channel=channel)
    log.info("campaign.unblocked campaign_id=%s phase=%s", campaign.id, back.phase)
    return await campaigns.save(back)
