"""Block: a campaign waits for a person, and the ticket says why and what to do."""

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from shared.domain.alert import Alert
from shared.domain.campaign import BEFORE_SENDING, Campaign, Phase
from shared.domain.helpdesk import Names
from shared.errors import BlockedError, ClashError
from shared.flow.so_far import attach_list
from shared.flow.tally import tally
from shared.flow.wording import post_once, render
from shared.ledger import Ledger
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
    ledger: Ledger,
    settings: Settings,
    now: datetime,
) -> None:
    """Stop the campaign before its start, then tell the ticket. Nothing is sent until unblocked."""
    campaign = await ledger.campaigns.get(campaign_id)
    if campaign is None or campaign.phase not in BEFORE_SENDING:
        return  # another host has carried it on
    blocked = await ledger.campaigns.save(_blocked(campaign, problem))
    await tell_why(
        blocked, names=names, helpdesk=helpdesk, ledger=ledger, settings=settings, now=now
    )


async def hold(campaign_id: str, problem: BlockedError, campaigns: Campaigns) -> bool:
    """Stop a campaign on its way, from where nobody can be told: `discover` tells of it.

    Whether it is stopped by this; not where it is by something else, or somebody was quicker.
    """
    campaign = await campaigns.get(campaign_id)
    if campaign and campaign.phase in {Phase.SENDING, Phase.PAUSED}:
        with suppress(ClashError):  # somebody has changed it: whoever comes next stops it
            campaign = await campaigns.save(_blocked(campaign, problem))
    return (
        campaign is not None
        and campaign.phase is Phase.BLOCKED
        and (campaign.problem, campaign.detail) == (problem.problem, _told(problem))
    )


def _told(problem: BlockedError) -> dict[str, str]:
    return {name: str(value) for name, value in problem.detail.items()}


def _blocked(campaign: Campaign, problem: BlockedError) -> Campaign:
    log.warning("campaign.blocked campaign_id=%s problem=%s", campaign.id, problem.problem)
    return campaign.to(
        Phase.BLOCKED,
        problem=problem.problem,
        detail=_told(problem),
        times_blocked=campaign.times_blocked + 1,
        steps=campaign.steps - {"told"},
    )


async def tell_why(
    campaign: Campaign,
    *,
    names: Names,
    helpdesk: Helpdesk,
    ledger: Ledger,
    settings: Settings,
    now: datetime,
) -> None:
    """An internal note with the reason and what to do, then the status that asks for attention.

    People outside the helpdesk first: the key may be what is wrong. Where some have got it
    already, the note says who.
    """
    await ledger.alerts.raised(Alert.blocked(campaign), now)
    edition = f"stanset-{campaign.times_blocked}"
    so_far, has_list = None, False
    if campaign.has_begun:
        so_far = await tally(campaign, ledger)
        file = f"status-{campaign.id}-{edition}"
        has_list = await attach_list(
            campaign, file, ledger=ledger, helpdesk=helpdesk, settings=settings
        )
    html = render(
        "blocked.html",
        campaign=campaign,
        ready=settings.STATUS_READY if names.ready else "",
        by_status=status_tells(names),
        so_far=so_far,
        has_list=has_list,
    )
    await post_once(helpdesk, campaign.ticket_id, f"{campaign.run}/{edition}", html)
    if names.attention is not None:
        await helpdesk.change_ticket(campaign.ticket_id, status_id=names.attention, silent=True)
    ticket = await helpdesk.ticket(campaign.ticket_id)
    await ledger.campaigns.save(campaign.did("told", ticket_seen=ticket.modified.isoformat()))


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
