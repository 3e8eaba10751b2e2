"""Undo: a campaign that was told of, and regretted before the first mail had left."""

import logging

from shared.domain.campaign import Campaign, Phase
from shared.flow.wording import post_once, render
from shared.ledger import Ledger
from shared.ports import Helpdesk

log = logging.getLogger(__name__)


async def undo(campaign: Campaign, *, helpdesk: Helpdesk, ledger: Ledger) -> None:
    """Call it off, and say on the ticket that nobody has got anything. A later go begins afresh.

    The campaign is moved first: from then on nothing is released, whoever looks.
    """
    await ledger.campaigns.save(campaign.to(Phase.CANCELLED, message=""))
    await ledger.deliveries.discard_plan(campaign.id)
    log.info("discover.undone campaign_id=%s", campaign.id)
    await post_once(helpdesk, campaign.ticket_id, f"{campaign.run}/angret", render("undone.html"))
