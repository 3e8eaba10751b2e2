"""Ask again: may there be another round of a campaign that is over?

Asked when the go status has been set since it rested; see `rest.py`. Whatever it comes to, a state
that merely persists never asks twice.
"""

import logging
from datetime import datetime

from shared.domain.campaign import LETTERS, Campaign, Phase, marks_in, with_mark
from shared.domain.helpdesk import Names, Ticket
from shared.domain.orders import Whom
from shared.errors import BlockedError
from shared.flow.block import status_tells
from shared.flow.draft import draft
from shared.flow.frozen import Messages
from shared.flow.mark import mark_of
from shared.flow.ordered import orders_on, start_asked_for
from shared.flow.rest import at_rest
from shared.flow.wording import post_once, render
from shared.ledger import Ledger
from shared.ledger.erasure import FORGETTING, FORGOTTEN
from shared.ports import Files, Helpdesk, Medium
from shared.settings import Settings

log = logging.getLogger(__name__)

#: What has been done once for all; every other step is the round's own.
_OF_ALL_ROUNDS = frozenset({"answered", "archived", "no_copy"})


async def ask_again(
    campaign: Campaign,
    ticket: Ticket,
    *,
    names: Names,
    helpdesk: Helpdesk,
    ledger: Ledger,
    files: Files,
    channel: Medium,
    settings: Settings,
    now: datetime,
) -> Campaign | None:
    """The campaign that is over as *reopening*, in its next round.

    None when another round is not what is wanted, or must not be: then the ticket says why, and
    what to do instead. Of two hosts the later one gets a ClashError.
    """
    detail: dict[str, str] = {}
    try:
        why = await _refused(
            campaign, ticket, names, helpdesk, ledger, files, channel, settings, now
        )
    except BlockedError as error:  # what the notes ask for cannot be done, or understood
        why = error.problem
        detail = {name: str(value) for name, value in error.detail.items()}
    if why:
        log.warning("reopen.refused campaign_id=%s because=%s", campaign.id, why)
        html = render(
            "not_reopened.html",
            why=why,
            detail=detail,
            tickets=campaign.channel == "ticket",
            letters=campaign.channel == LETTERS,
            trigger=settings.MESSAGE_TRIGGER,
            type=settings.MESSAGE_TYPE_NAME,
            field=settings.CAMPAIGN_MARK_FIELD,
            ready=settings.STATUS_READY,
            by_status=status_tells(names),
        )
        note = f"{campaign.run}/ikke-igjen-{campaign.round}-{why.replace('_', '-')}"
        await post_once(helpdesk, ticket.id, note, html)
        if names.attention is not None:
            await helpdesk.change_ticket(ticket.id, status_id=names.attention, silent=True)
        await ledger.campaigns.save(await at_rest(campaign, helpdesk, heard=False))
        return None
    log.info("reopen.begun campaign_id=%s round=%s", campaign.id, campaign.round + 1)
    return await ledger.campaigns.save(
        campaign.to(
            Phase.REOPENING,
            round=campaign.round + 1,
            steps=campaign.steps & _OF_ALL_ROUNDS,
            cursor=campaign.cursor.anew(),
            called_off=False,
            stopped_at=now,
        )
    )


async def _refused(
    campaign: Campaign,
    ticket: Ticket,
    names: Names,
    helpdesk: Helpdesk,
    ledger: Ledger,
    files: Files,
    channel: Medium,
    settings: Settings,
    now: datetime,
) -> str:
    """Why there can be no other round, in a word; "" when there can.

    Raises BlockedError for a start time that is unclear, or too far away. A mark that somebody
    has removed is written anew: nobody but us knows this campaign.
    """
    if {FORGETTING, FORGOTTEN} & campaign.steps:
        return "forgotten"
    ours, marks = mark_of(campaign, settings), marks_in(ticket.mark)
    on_ticket = await ledger.campaigns.on_ticket(campaign.request_number)
    known = [mark_of(one, settings) for one in on_ticket if not one.active]
    if any(mark not in known for mark in marks):
        return "foreign_mark"
    orders = await orders_on(helpdesk, ticket.id, since=campaign.starts_at)
    start_asked_for(orders, settings, now)
    if orders.whom is Whom.THE_SAME:
        return "no_new_message"
    try:
        frozen = (await Messages(files).of(campaign.id)).message
    except LookupError:
        return "forgotten"
    there = await helpdesk.communications_to_send(ticket.id)
    entry = next((one for one in there if one.key == campaign.message), None)
    if entry:
        drafted = await draft(
            entry,
            ticket,
            channel,
            number=campaign.id,
            names=names,
            helpdesk=helpdesk,
            files=files,
            settings=settings,
        )
        files_then = {file.original for file in frozen.files}
        files_now = {file.id for file in entry.files if not file.embedded}
        if drafted.message.said != frozen.said or not files_now <= files_then:
            return "changed"
    if marks != [ours]:
        await helpdesk.change_ticket(ticket.id, mark=with_mark(ticket.mark, ours))
    return ""
