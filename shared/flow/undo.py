"""Undo: a campaign that was told of, and regretted before the first mail had left."""

import logging
from contextlib import suppress

from shared.domain.campaign import Campaign, Phase
from shared.errors import PermanentError
from shared.flow.wording import post_once, render
from shared.ledger import Ledger
from shared.ports import Helpdesk

log = logging.getLogger(__name__)


async def undo(campaign: Campaign, *, by_status: bool, helpdesk: Helpdesk, ledger: Ledger) -> None:
    """Call it off, and say on the ticket that nobody has got anything.

    What is decided is stored first, and told before it is over, so that a crash leaves no ticket
    with a start note alone. With a go status, a later go begins afresh; without one the ticket has
    had its campaign, or it would begin again by itself.
    """
    if "regretted" not in campaign.steps:
        campaign = await ledger.campaigns.save(campaign.did("regretted"))
    with suppress(PermanentError):  # the ticket itself is gone
        await post_once(
            helpdesk,
            campaign.ticket_id,
            f"{campaign.run}/angret-{campaign.times_blocked + 1}",
            render("undone.html", by_status=by_status),
        )
    await ledger.deliveries.discard_plan(campaign.id, before_page=campaign.cursor.page + 1)
    message = "" if by_status else campaign.message
    await ledger.campaigns.save(campaign.to(Phase.CANCELLED, message=message))
    log.info("discover.undone campaign_id=%s", campaign.id)
