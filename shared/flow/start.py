"""Start: tell the ticket what is about to happen, and let the campaign go."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import NEVER
from shared.domain.helpdesk import Names, Ticket
from shared.domain.preview import Seen, changes_since
from shared.flow.enqueue import Lane
from shared.flow.mark import check_mark
from shared.flow.ordered import orders_on, since_the_last, start_asked_for
from shared.flow.wording import post, posted, render
from shared.ledger.campaigns import Campaigns
from shared.ports import Helpdesk
from shared.settings import Settings

log = logging.getLogger(__name__)


async def start(
    campaign: Campaign,
    ticket: Ticket,
    *,
    names: Names,
    seen: Seen,
    lane: Lane,
    helpdesk: Helpdesk,
    campaigns: Campaigns,
    settings: Settings,
    now: datetime,
) -> Campaign:
    """Announce the campaign on the ticket. It stays *approved* until the undo window is over.

    The ticket has just been read, for its mark: whoever marked it at the same moment as we did has
    had time to overwrite ours since. The undo window begins when the note that tells of it is
    written, so each attempt to write it sets the time anew. `seen` is what the last preview showed.

    Raises BlockedError for a start time that is unclear, or further away than settings allow.
    """
    check_mark(ticket, campaign, settings)
    note = f"{campaign.run}/start-{campaign.times_blocked + 1}"
    # before the first attempt of all there is nothing to look for
    if campaign.starts_at == NEVER or not await posted(helpdesk, ticket.id, note):
        earlier = await campaigns.on_ticket(campaign.request_number)
        orders = await orders_on(
            helpdesk, ticket.id, since_the_last(one for one in earlier if one.id != campaign.id)
        )
        asked_for = start_asked_for(orders, settings, now)
        starts_at = max(asked_for, now + timedelta(seconds=settings.UNDO_SECONDS))
        campaign = await campaigns.save(
            replace(campaign, starts_at=starts_at, solved_status=names.solved)
        )
        known = campaign.planned - campaign.unknown
        html = render(
            "start.html",
            campaign=campaign,
            opens_at=lane.opens(starts_at),
            ends_at=lane.ends(starts_at, known, campaign.unknown),
            asked_for=asked_for == starts_at,
            changes=changes_since(seen, campaign),
            by_status=bool(names.running or names.ready),
            may_be_regretted=settings.UNDO_SECONDS > 0,
            test_list=not settings.allowed.everybody,
            settings=settings,
        )
        await post(helpdesk, ticket.id, note, html)
    await helpdesk.change_ticket(campaign.ticket_id, status_id=names.running, silent=True)
    log.info("start.announced campaign_id=%s deliveries=%s", campaign.id, campaign.planned)
    return await campaigns.save(campaign.did("announced"))


async def go(
    campaign: Campaign,
    ticket: Ticket,
    *,
    campaigns: Campaigns,
    settings: Settings,
    now: datetime,
) -> Campaign:
    """The campaign as *sending*. The ticket was read after the undo window, and nobody regrets.

    Going and calling off change the same version of the campaign: only one of them can be done.
    """
    check_mark(ticket, campaign, settings)
    log.info("start.done campaign_id=%s", campaign.id)
    going = campaign.to(Phase.SENDING, judged_from=now, open_then=campaign.planned)
    return await campaigns.save(going)
