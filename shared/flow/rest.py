"""Rest: what the ticket is like when we are done; only a change from there asks for more."""

from dataclasses import replace

from shared.domain.campaign import Campaign
from shared.errors import PermanentError
from shared.ports import Helpdesk

RESTED = "rested"  #: the ticket has been seen in another status than the go status


async def at_rest(campaign: Campaign, helpdesk: Helpdesk, *, heard: bool = True) -> Campaign:
    """The campaign, with what is known of its ticket at the end. Nothing is stored.

    From another status than the go status, going there asks for another round. A go status that
    somebody has set while we were writing the report asks too, since ours had taken its place; one
    that was there all the time never does. `heard` is false when it has just been answered: then
    it asks again when the ticket is touched.
    """
    try:
        ticket = await helpdesk.ticket(campaign.ticket_id)
    except PermanentError:  # it is gone: nobody can ask for anything there
        return campaign
    seen, steps = "", campaign.steps | {RESTED}
    if ticket.status_id != campaign.solved_status:
        names = await helpdesk.names()
        if ticket.status_id == names.ready:
            ours_before = campaign.called_off or names.running is not None
            seen = "" if heard and ours_before else ticket.modified.isoformat()
            steps = campaign.steps - {RESTED} if heard and not ours_before else steps
    return replace(campaign, ticket_seen=seen, steps=steps)
