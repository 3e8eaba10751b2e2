"""So far: the list of everybody as it stands, on the ticket, for those who want to know midway."""

import logging

from shared.domain.campaign import Campaign
from shared.errors import PermanentError
from shared.flow.recipients_csv import recipients_csv
from shared.ledger import Ledger
from shared.ports import Helpdesk
from shared.settings import Settings

log = logging.getLogger(__name__)

#: Rows in one CSV file. What a helpdesk takes as an attachment, and what we hold in memory.
ROWS = 10_000


async def attach_list(
    campaign: Campaign, name: str, *, ledger: Ledger, helpdesk: Helpdesk, settings: Settings
) -> bool:
    """The CSV with every recipient under this name, in parts when there are very many.

    What is there already is not attached again. False when the helpdesk does not take it.
    """
    try:
        present = {file.name for file in await helpdesk.attachments(campaign.ticket_id)}
        parts = recipients_csv(campaign, ledger.deliveries, ROWS, settings.ticket_link)
        number = 0
        async for data in parts:
            number += 1
            file = f"{name}{f'-del{number}' if number > 1 else ''}.csv"
            if file not in present:
                await helpdesk.attach(campaign.ticket_id, file, "text/csv", data)
    except PermanentError as error:  # e.g. too large; the note says so
        log.warning("so_far.no_list campaign_id=%s because=%s", campaign.id, error)
        return False
    return True
