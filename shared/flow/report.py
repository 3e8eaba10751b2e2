"""Report: what became of everybody, back on the ticket; then solve it.

Made from the ledger alone. Every step can be taken again: what it leaves on the ticket is looked
for first, or is the same when written twice.
"""

import logging
from dataclasses import replace
from typing import cast

from shared.domain.campaign import Campaign, Phase
from shared.domain.recipient_ticket import ticket_of
from shared.errors import PermanentError, SetupError
from shared.flow.frozen import Messages
from shared.flow.on_paper import put_on_paper, wanted
from shared.flow.rest import at_rest
from shared.flow.so_far import attach_list
from shared.flow.tally import tally
from shared.flow.wording import post_once, reference, render
from shared.ledger import Ledger
from shared.ports import Helpdesk, LetterMedium, Medium
from shared.settings import Settings

log = logging.getLogger(__name__)

#: So many are related in one call, and so many calls are made in one round.
_RELATED_AT_ONCE, _RELATING_CALLS = 50, 10


async def report(
    campaign: Campaign,
    *,
    channel: Medium,
    ledger: Ledger,
    helpdesk: Helpdesk,
    messages: Messages,
    settings: Settings,
) -> Campaign:
    """The campaign as *done*, its ticket solved with the account of everybody on it.

    One that was called off is *cancelled* in the end. Its account is a note, and its ticket keeps
    the status by which it was called off: it may be wanted after all.
    """
    campaigns = ledger.campaigns
    if campaign.channel == "ticket" and settings.TICKET_RELATION:
        campaign = await _relate(campaign, ledger, helpdesk)
        if "related" not in campaign.steps:
            return campaign  # so many that it goes on in the next round
    if "listed" not in campaign.steps:
        name = f"mottakere-{_edition(campaign)}"
        has_list = await attach_list(
            campaign, name, ledger=ledger, helpdesk=helpdesk, settings=settings
        )
        campaign = campaign if has_list else campaign.did("no_list")
        campaign = await campaigns.save(campaign.did("listed"))
    if wanted(campaign, settings) and "listed_letters" not in campaign.steps:
        campaign = await _list_letters(
            campaign, cast(LetterMedium, channel), ledger, helpdesk, messages
        )
        if "listed_letters" not in campaign.steps:
            return campaign  # so many that it goes on in the next round
    if "archived" not in campaign.steps:
        try:
            await _attach_message(campaign, channel, helpdesk, messages)
        except PermanentError as error:  # e.g. too large; the report says so
            log.warning("report.no_copy campaign_id=%s because=%s", campaign.id, error)
            campaign = campaign.did("no_copy")
        campaign = await campaigns.save(campaign.did("archived"))
    if "solved" not in campaign.steps:
        html = await _account(campaign, ledger, settings)
        if not campaign.called_off and "unsolvable" not in campaign.steps:
            try:
                await _solve(campaign, html, helpdesk)
            except PermanentError as error:  # e.g. a field that must be filled in, or no ticket
                log.error("report.not_solved campaign_id=%s because=%s", campaign.id, error)
                # kept before the note, so that the account never stands in both places
                campaign = await campaigns.save(campaign.did("unsolvable"))
        if campaign.called_off or "unsolvable" in campaign.steps:
            try:
                await post_once(helpdesk, campaign.ticket_id, _name(campaign), html)
            except PermanentError as error:
                log.error("report.not_told campaign_id=%s because=%s", campaign.id, error)
        campaign = await campaigns.save(campaign.did("solved"))
    kind, _, id_ = campaign.message.partition(":")
    if kind == "email" and not campaign.called_off:
        try:
            await helpdesk.mark_email_sent(int(id_))
        except PermanentError as error:  # e.g. deleted: there is nothing left to mark
            log.warning("report.not_marked campaign_id=%s because=%s", campaign.id, error)
    campaign = await at_rest(campaign, helpdesk)
    log.info("report.done campaign_id=%s", campaign.id)
    over = Phase.CANCELLED if campaign.called_off else Phase.DONE
    return await campaigns.save(campaign.to(over))


async def _list_letters(
    campaign: Campaign,
    medium: LetterMedium,
    ledger: Ledger,
    helpdesk: Helpdesk,
    messages: Messages,
) -> Campaign:
    """Those not reached, to be written to by hand. The report says so where that cannot be had."""
    if (await tally(campaign, ledger)).on_paper:
        name = f"paa-papir-{_edition(campaign)}"
        try:
            if not await put_on_paper(
                campaign,
                name,
                medium=medium,
                ledger=ledger,
                helpdesk=helpdesk,
                messages=messages,
            ):
                return campaign
        except PermanentError as error:  # e.g. too large
            log.warning("report.no_paper campaign_id=%s because=%s", campaign.id, error)
            campaign = campaign.did("no_paper")
    return await ledger.campaigns.save(campaign.did("listed_letters"))


async def _relate(campaign: Campaign, ledger: Ledger, helpdesk: Helpdesk) -> Campaign:
    """Relate every recipient's ticket to the campaign's, some calls in each round.

    How far it came is stored after each call. Those that are seen to be related already are left
    alone, so that stopping between the two is harmless.
    """
    if "related" in campaign.steps:
        return campaign
    made = sorted(
        [
            ticket.id
            async for delivery in ledger.deliveries.all(campaign.id)
            if (ticket := ticket_of(delivery))
        ]
    )
    try:
        done = await helpdesk.related_tickets(campaign.ticket_id)
        for _ in range(_RELATING_CALLS):
            some = [id_ for id_ in made if id_ > campaign.related_to][:_RELATED_AT_ONCE]
            if not some:
                break
            if missing := [id_ for id_ in some if id_ not in done]:
                await helpdesk.relate_tickets(campaign.ticket_id, missing)
            campaign = await ledger.campaigns.save(replace(campaign, related_to=some[-1]))
        else:
            return campaign
    except (PermanentError, SetupError) as error:  # e.g. a relation type for something else
        log.warning("report.not_related campaign_id=%s because=%s", campaign.id, error)
    return await ledger.campaigns.save(campaign.did("related"))


async def _attach_message(
    campaign: Campaign, channel: Medium, helpdesk: Helpdesk, messages: Messages
) -> None:
    """What was sent. Raises PermanentError when it is not in store any more, or not taken."""
    try:
        archived = await channel.archive(campaign.id, (await messages.of(campaign.id)).message)
    except LookupError as error:
        raise PermanentError(str(error)) from error
    name = f"melding-{_edition(campaign)}{archived.suffix}"
    if name not in {file.name for file in await helpdesk.attachments(campaign.ticket_id)}:
        await helpdesk.attach(campaign.ticket_id, name, archived.content_type, archived.data)


def _edition(campaign: Campaign) -> str:
    """The campaign's number; a later round's files do not take the place of an earlier one's."""
    return campaign.id if campaign.round == 1 else f"{campaign.id}-runde{campaign.round}"


async def _account(campaign: Campaign, ledger: Ledger, settings: Settings) -> str:
    return render(
        "report.html",
        campaign=campaign,
        tally=await tally(campaign, ledger),
        has_list="no_list" not in campaign.steps,
        has_copy="no_copy" not in campaign.steps,
        has_paper="no_paper" not in campaign.steps,
        listed="listed_letters" in campaign.steps,
        paper=f"paa-papir-{_edition(campaign)}",
        test_list=not settings.allowed.everybody,
        link=settings.ticket_link,
        review=settings.STATUS_REVIEW,
        ready=settings.STATUS_READY,
    )


def _name(campaign: Campaign) -> str:
    return f"{campaign.run}/rapport-{campaign.round}"


async def _solve(campaign: Campaign, html: str, helpdesk: Helpdesk) -> None:
    """Our account as the ticket's solution; in a note, when an agent has written one meanwhile."""
    ours = reference(_name(campaign))
    solution = None
    ticket = await helpdesk.ticket(campaign.ticket_id)
    if not ticket.solution.strip():
        solution = f"{html}\n<p><small>{ours}</small></p>"
    elif ours not in ticket.solution:
        await post_once(helpdesk, ticket.id, _name(campaign), html)
    status = campaign.solved_status
    await helpdesk.change_ticket(ticket.id, status_id=status, silent=True, solution=solution)
