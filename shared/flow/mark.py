"""Mark the ticket as ours before anything is planned, and believe it only when it is read back.

A mark that is not ours stops the campaign: another installation has it, a developer's machine
works on the real helpdesk, or our own storage account was lost and knows nothing of what was sent.
"""

from collections.abc import Iterable

from shared.domain.campaign import Campaign, Mark, Phase, marks_in, with_mark
from shared.domain.helpdesk import Ticket
from shared.errors import BlockedError
from shared.ledger.campaigns import Campaigns
from shared.ports import Helpdesk
from shared.settings import Settings


async def mark(
    campaign: Campaign, *, helpdesk: Helpdesk, campaigns: Campaigns, settings: Settings
) -> Campaign:
    """The campaign as *expanding*, its mark on the ticket. BlockedError on a foreign mark."""
    ours = mark_of(campaign, settings)
    over = [
        mark_of(earlier, settings)
        for earlier in await campaigns.on_ticket(campaign.request_number)
        if not earlier.active
    ]
    ticket = await helpdesk.ticket(campaign.ticket_id)
    refuse_foreign(ticket, [ours, *over], settings)
    api_user = campaign.api_user
    if marks_in(ticket.mark) != [ours]:
        await helpdesk.change_ticket(ticket.id, mark=with_mark(ticket.mark, ours))
        ticket = await helpdesk.ticket(campaign.ticket_id)
        api_user = ticket.modified_by or 0
    check_mark(ticket, campaign, settings)
    return await campaigns.save(campaign.to(Phase.EXPANDING, api_user=api_user))


def check_mark(ticket: Ticket, campaign: Campaign, settings: Settings) -> None:
    """Raises BlockedError unless the ticket carries this campaign's mark and no other."""
    ours = mark_of(campaign, settings)
    refuse_foreign(ticket, [ours], settings)
    if not marks_in(ticket.mark):
        raise BlockedError("mark_gone", field=settings.CAMPAIGN_MARK_FIELD)


def mark_of(campaign: Campaign, settings: Settings) -> Mark:
    return Mark(settings.INSTALLATION, campaign.id, campaign.nonce)


def refuse_foreign(ticket: Ticket, known: Iterable[Mark], settings: Settings) -> None:
    """Raises BlockedError when the ticket carries a mark that is not among those known."""
    foreign = [found for found in marks_in(ticket.mark) if found not in known]
    if foreign:
        whose, field = foreign[0].installation, settings.CAMPAIGN_MARK_FIELD
        raise BlockedError("foreign_mark", installation=whose, field=field)
