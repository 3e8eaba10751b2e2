"""Review: who has answered? Told on request, when a campaign of tickets is over."""

import logging
from collections import Counter
from contextlib import suppress
from dataclasses import replace

from shared.domain.campaign import LETTERS, Campaign
from shared.domain.helpdesk import Names, Ticket
from shared.domain.recipient_ticket import ticket_key, ticket_of
from shared.errors import PermanentError
from shared.flow.recipients_csv import review_csv
from shared.flow.wording import post_once, render
from shared.ledger import Ledger
from shared.ports import Helpdesk
from shared.settings import Settings

log = logging.getLogger(__name__)


async def review(
    campaign: Campaign,
    ticket: Ticket,
    *,
    names: Names,
    helpdesk: Helpdesk,
    ledger: Ledger,
    settings: Settings,
) -> None:
    """How it stands with every recipient's ticket, as a note and a list; then solved as before.

    The same note and list are looked for first, so that none of them comes twice. When both are
    there only the status is missing; but if somebody has changed the ticket since, it had come
    through, and this is another request.
    """
    if "answered" in campaign.steps and ticket.modified.isoformat() != campaign.ticket_seen:
        campaign = _told(campaign)
    if "answered" not in campaign.steps:
        await _tell(campaign, ticket, names, helpdesk, ledger, settings)
        seen = (await helpdesk.ticket(ticket.id)).modified
        campaign = campaign.did("answered", ticket_seen=seen.isoformat())
        campaign = await ledger.campaigns.save(campaign)
    with suppress(PermanentError):  # then it is for the case worker to solve
        await helpdesk.change_ticket(ticket.id, status_id=campaign.solved_status, silent=True)
        await ledger.campaigns.save(_told(campaign))
        log.info("review.done campaign_id=%s", campaign.id)


def _told(campaign: Campaign) -> Campaign:
    steps = campaign.steps - {"answered"}
    return replace(campaign, reviews=campaign.reviews + 1, steps=steps)


async def _tell(
    campaign: Campaign,
    ticket: Ticket,
    names: Names,
    helpdesk: Helpdesk,
    ledger: Ledger,
    settings: Settings,
) -> None:
    edition = f"{campaign.id}-{campaign.reviews + 1}"
    has_list = True
    by_status: Counter[str] = Counter()
    if campaign.channel in {"ticket", LETTERS}:
        states = await helpdesk.recipient_tickets(campaign.id)
        by_id = {one.id: one for one in states}
        by_key = {one.key: one for one in sorted(states, key=lambda one: one.id, reverse=True)}
        rows = []
        async for delivery in ledger.deliveries.all(campaign.id):
            if delivery.channel != "ticket":
                continue  # a letter that came by another way
            # a copy that somebody has made by hand carries the same key
            known = ticket_of(delivery)
            found = by_id.get(known.id) if known else None
            key = ticket_key(campaign.id, delivery.id, delivery.round)
            rows.append((delivery, found or by_key.get(key)))
        by_status.update(names.statuses.get(one.status_id, "") for _, one in rows if one)
        name = f"svar-{edition}.csv"
        wanted = rows or campaign.channel == "ticket"
        if wanted and name not in {file.name for file in await helpdesk.attachments(ticket.id)}:
            data = review_csv(rows, names.statuses, settings.ticket_link)
            try:
                await helpdesk.attach(ticket.id, name, "text/csv", data)
            except PermanentError as error:  # e.g. too large; the note says so
                log.warning("review.no_list campaign_id=%s because=%s", campaign.id, error)
                has_list = False
    html = render(
        "review.html",
        campaign=campaign,
        by_status=by_status,
        unanswered=settings.TICKET_STATUS,
        has_list=has_list,
    )
    await post_once(helpdesk, ticket.id, f"{campaign.run}/svar-{campaign.reviews + 1}", html)
