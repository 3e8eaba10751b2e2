"""Expand: read the recipient lists whole, and write one delivery per recipient to the ledger."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from uuid import UUID

from shared.domain.campaign import Campaign, Cursor, Phase, RecipientList
from shared.domain.delivery import Delivery, delivery_id
from shared.domain.helpdesk import MemberPage
from shared.domain.recipient import (
    LeftOut,
    LeftOutReason,
    Member,
    Recipient,
    recipient_key,
)
from shared.errors import BlockedError, PermanentError
from shared.flow.audience import Audience, Barred
from shared.ledger import Ledger
from shared.ledger.deliveries import Counts
from shared.ports import Helpdesk

log = logging.getLogger(__name__)

#: As much as one tick reads: 10,000 memberships. A larger campaign goes on at the next.
PAGES_PER_TICK = 20
#: So many addresses of companies are looked up in one tick, twenty a call; then it is enough.
LOOK_UPS_PER_TICK = 1_000


async def expand(
    campaign: Campaign,
    *,
    helpdesk: Helpdesk,
    ledger: Ledger,
    audience: Audience,
    pages: int = PAGES_PER_TICK,
    enough: Callable[[], bool] = lambda: False,
) -> Campaign:
    """The campaign as *approved* once every list is in the ledger; unchanged phase until then.

    A list that changed while it was read is read anew at the next tick. Raises BlockedError when
    there is no list, one cannot be read, or nobody on them can be reached. No page is begun when it
    is `enough` for this time.
    """
    if not campaign.lists:
        campaign = await _begin(campaign, helpdesk, ledger)
    campaign = await _read_on(campaign, helpdesk, ledger, audience, pages, enough)
    if not campaign.lists or campaign.cursor.list_index < len(_readable(campaign)):
        return campaign
    if await changed(campaign, helpdesk):
        return await _again(campaign, ledger, "changed")
    return await _approve(campaign, ledger)


async def _begin(campaign: Campaign, helpdesk: Helpdesk, ledger: Ledger) -> Campaign:
    if "planning" in campaign.steps:
        await ledger.deliveries.discard_plan(campaign.id, before_page=campaign.cursor.page)
    lists = await lists_on(campaign.ticket_id, helpdesk)
    return await ledger.campaigns.save(campaign.did("planning", lists=lists))


async def lists_on(ticket_id: int, helpdesk: Helpdesk) -> tuple[RecipientList, ...]:
    """The ticket's lists. Raises BlockedError when there is none to be read."""
    lists = tuple(await helpdesk.lists(ticket_id))
    if not lists:
        raise BlockedError("no_lists")
    if all(one.deleted for one in lists):
        raise BlockedError("only_deleted_lists")
    return lists


async def _read_on(
    campaign: Campaign,
    helpdesk: Helpdesk,
    ledger: Ledger,
    audience: Audience,
    pages: int,
    enough: Callable[[], bool],
) -> Campaign:
    """Page by page from the cursor. Each page is in the ledger before the cursor passes it."""
    lists = _readable(campaign)
    if campaign.cursor.list_index == len(lists):
        return campaign
    seen = {
        UUID(planned).bytes
        async for planned in ledger.deliveries.planned_ids(campaign.id, campaign.cursor.page)
    }
    looked_up = 0
    for _ in range(pages):
        cursor = campaign.cursor
        if cursor.list_index == len(lists) or looked_up >= LOOK_UPS_PER_TICK or enough():
            break
        list_ = lists[cursor.list_index]
        found = await next_members(list_, cursor, helpdesk)
        if found is None:
            return await _again(campaign, ledger, "changed")
        members, passed = found
        planned, left_out = sort_out(campaign, list_, members, seen, audience)
        if campaign.channel == "ticket":
            looked_up += sum(1 for one in planned if not one.recipient.user)
            planned = await with_users(planned, helpdesk)
        await ledger.deliveries.plan(campaign.id, planned, left_out)
        campaign = await ledger.campaigns.save(replace(campaign, cursor=passed))
    return campaign


async def next_members(
    list_: RecipientList, cursor: Cursor, helpdesk: Helpdesk
) -> tuple[Sequence[Member], Cursor] | None:
    """The members that come next, and the cursor behind them; None when the list has changed.

    Raises BlockedError when it cannot be read.
    """
    page = await _page(helpdesk, list_, cursor.start)
    members = page.members
    if cursor.start:
        if page.fingerprint == cursor.edges[-1].last:
            raise BlockedError("unreadable_list", name=list_.name)  # it has no pages
        if not members or members[0].relation != cursor.tail:
            return None
        members = members[1:]
    tail = page.members[-1].relation if page.members else 0
    return members, cursor.past(len(members), page.fingerprint, page.last, tail)


async def _page(helpdesk: Helpdesk, list_: RecipientList, start: int) -> MemberPage:
    """The page from here on, with the member before it, which must be the last of the page before.

    If it is another one, somebody on an earlier page was removed meanwhile, everybody after them
    moved up, and one of them was passed over.
    """
    try:
        return await helpdesk.members(list_.id, max(0, start - 1))
    except PermanentError as error:
        raise BlockedError("unreadable_list", name=list_.name) from error


def sort_out(
    campaign: Campaign,
    list_: RecipientList,
    members: Iterable[Member],
    seen: set[bytes],
    audience: Audience,
) -> tuple[list[Delivery], list[LeftOut]]:
    """Each membership is one or the other, never both and never neither."""
    planned, left_out = [], []
    for member in members:
        recipient = audience.recipient(member)
        if isinstance(recipient, Recipient):
            id_ = delivery_id(campaign.run, recipient_key(campaign.channel, recipient))
            if UUID(id_).bytes not in seen:
                seen.add(UUID(id_).bytes)
                planned.append(
                    Delivery(
                        id=id_,
                        campaign=campaign.id,
                        recipient=recipient,
                        channel=campaign.channel,
                        page=campaign.cursor.page,
                    )
                )
                continue
            recipient = Barred(LeftOutReason.DUPLICATE)
        page = campaign.cursor.page
        left_out.append(LeftOut(list_.id, member, recipient.reason, page, recipient.detail))
    return planned, left_out


async def with_users(planned: list[Delivery], helpdesk: Helpdesk) -> list[Delivery]:
    """The same, with the users behind companies' addresses, where there are any.

    Asked for many at a time here, it saves a call for each of them later.
    """
    unknown = [one.recipient.address for one in planned if not one.recipient.user]
    try:
        users = await helpdesk.users_at(unknown) if unknown else {}
    except PermanentError as error:
        log.warning("expand.users_unknown because=%s", error)
        return planned
    return [
        replace(one, recipient=replace(one.recipient, user=users[one.recipient.address]))
        if one.recipient.address in users and not one.recipient.user
        else one
        for one in planned
    ]


async def changed(campaign: Campaign, helpdesk: Helpdesk) -> bool:
    """True when the ticket has other lists now, or a list's first or last page reads otherwise."""
    if tuple(await helpdesk.lists(campaign.ticket_id)) != campaign.lists:
        return True
    for list_, edge in zip(_readable(campaign), campaign.cursor.edges, strict=True):
        # the last page last: whoever is removed meanwhile moves it
        for start, fingerprint in {0: edge.first, edge.last_start: edge.last}.items():
            if (await _page(helpdesk, list_, start)).fingerprint != fingerprint:
                return True
    return False


async def _again(campaign: Campaign, ledger: Ledger, why: str) -> Campaign:
    log.warning("expand.again campaign_id=%s because=%s", campaign.id, why)
    return await ledger.campaigns.save(replace(campaign, lists=(), cursor=campaign.cursor.anew()))


async def _approve(campaign: Campaign, ledger: Ledger) -> Campaign:
    count = await ledger.deliveries.count(campaign.id)
    if count.planned + count.left_out != campaign.cursor.memberships:
        return await _again(campaign, ledger, "does not add up")
    if not count.planned:
        raise BlockedError("nobody", left_out=count.left_out)
    log.info(
        "expand.done campaign_id=%s planned=%s left_out=%s",
        campaign.id,
        count.planned,
        count.left_out,
    )
    return await ledger.campaigns.save(approved(campaign, count))


def approved(campaign: Campaign, count: Counts) -> Campaign:
    """The campaign with its recipients counted. From now on they are fixed."""
    return campaign.to(
        Phase.APPROVED,
        planned=count.planned,
        unknown=count.unknown,
        left_out=count.left_out,
        who_print=count.who,
    )


def _readable(campaign: Campaign) -> list[RecipientList]:
    return [one for one in campaign.lists if not one.deleted]
