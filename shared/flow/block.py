"""Block: a campaign waits for a person, and the ticket says why and what to do."""

import logging

from shared.domain.campaign import Campaign, Cursor, Phase
from shared.domain.helpdesk import Names
from shared.errors import BlockedError
from shared.flow.wording import post_once, render
from shared.ledger.campaigns import Campaigns
from shared.ports import Helpdesk

log = logging.getLogger(__name__)


async def block(
    campaign_id: str,
    problem: BlockedError,
    *,
    names: Names,
    helpdesk: Helpdesk,
    campaigns: Campaigns,
) -> None:
    """Stop the campaign where it is, then tell the ticket. Nothing more is sent until unblocked."""
    campaign = await campaigns.get(campaign_id)
    if campaign is None or campaign.phase is Phase.BLOCKED:
        return
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
        await campaigns.save(blocked), names=names, helpdesk=helpdesk, campaigns=campaigns
    )


async def tell_why(
    campaign: Campaign, *, names: Names, helpdesk: Helpdesk, campaigns: Campaigns
) -> None:
    """An internal note with the reason and what to do, then the status that asks for attention."""
    html = render(
        "blocked.html", campaign=campaign, by_status=bool(names.ready and names.attention)
    )
    await post_once(
        helpdesk, campaign.ticket_id, f"{campaign.id}/stanset-{campaign.times_blocked}", html
    )
    if names.attention is not None:
        await helpdesk.change_ticket(campaign.ticket_id, status_id=names.attention, silent=True)
    ticket = await helpdesk.ticket(campaign.ticket_id)
    await campaigns.save(campaign.did("told", ticket_seen=ticket.modified.isoformat()))


async def unblock(campaign: Campaign, *, campaigns: Campaigns) -> Campaign:
    """Back to where it was. A reading that had begun begins again: something has been mended."""
    back = campaign.blocked_from or Phase.FOUND
    log.info("campaign.unblocked campaign_id=%s phase=%s", campaign.id, back)
    if back is Phase.EXPANDING:
        return await campaigns.save(campaign.to(back, message="", lists=(), cursor=Cursor()))
    return await campaigns.save(campaign.to(back))
