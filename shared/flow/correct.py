"""Correct: a new message goes to exactly those who got the one before, wherever they are today."""

import logging
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from shared.domain.campaign import Campaign, Cursor, RecipientList
from shared.domain.delivery import Delivery
from shared.domain.recipient import LeftOut, LeftOutReason, Member, MemberKind
from shared.errors import BlockedError
from shared.flow.audience import Audience
from shared.flow.expand import approved, sort_out, with_users
from shared.ledger import Ledger
from shared.ports import Helpdesk

log = logging.getLogger(__name__)

#: So many are looked up, in a few calls, before it is stored how far we are; so many times a tick.
_PAGE, _PAGES = 256, 20


async def plan_correction(
    campaign: Campaign,
    *,
    helpdesk: Helpdesk,
    ledger: Ledger,
    audience: Audience,
    enough: Callable[[], bool] = lambda: False,
) -> Campaign:
    """The campaign as *approved* once everybody who got the one before is in the ledger.

    They take the place of the recipient lists, and are read in the same way: page by page from the
    cursor, each page in the ledger before the cursor passes it. Raises BlockedError when there is
    nobody.
    """
    if not campaign.lists:
        campaign = await _begin(campaign, ledger)
    seen = {
        UUID(planned).bytes
        async for planned in ledger.deliveries.planned_ids(campaign.id, campaign.cursor.page)
    }
    for _ in range(_PAGES):
        if enough():
            return campaign
        found = await next_before(
            campaign, seen, helpdesk=helpdesk, ledger=ledger, audience=audience
        )
        if found is None:
            return await _approve(campaign, ledger)
        planned, left_out, passed = found
        if campaign.channel == "ticket":
            planned = await with_users(planned, helpdesk)
        await ledger.deliveries.plan(campaign.id, planned, left_out)
        campaign = await ledger.campaigns.save(replace(campaign, cursor=passed))
    return campaign


async def next_before(
    campaign: Campaign,
    seen: set[bytes],
    *,
    helpdesk: Helpdesk,
    ledger: Ledger,
    audience: Audience,
) -> tuple[list[Delivery], list[LeftOut], Cursor] | None:
    """The next of those who got the one before, as they are today; None when that was all."""
    cursor = campaign.cursor
    some = await ledger.rounds.sent(campaign.correction_of, cursor.row, _PAGE)
    if not some:
        return None
    people = await helpdesk.people([one.recipient.member for one in some])
    there = [people[one.recipient.member] for one in some if one.recipient.member in people]
    planned, left_out = sort_out(campaign, those_before(campaign), there, seen, audience)
    left_out += [_gone(one, cursor.page) for one in some if one.recipient.member not in people]
    passed = replace(
        cursor,
        row=f"d:{some[-1].id}",
        page=cursor.page + 1,
        memberships=cursor.memberships + len(some),
    )
    return planned, left_out, passed


def those_before(campaign: Campaign) -> RecipientList:
    """What takes the place of the lists."""
    return RecipientList(0, f"de som fikk utsendelse {campaign.correction_of}")


async def _begin(campaign: Campaign, ledger: Ledger) -> Campaign:
    if "planning" in campaign.steps:
        await ledger.deliveries.discard_plan(campaign.id, before_page=campaign.cursor.page)
    lists = (those_before(campaign),)
    return await ledger.campaigns.save(campaign.did("planning", lists=lists))


def _gone(delivery: Delivery, page: int) -> LeftOut:
    kind, _, id_ = delivery.recipient.member.partition(":")
    who = Member(MemberKind(kind), int(id_), delivery.recipient.name, delivery.recipient.address)
    return LeftOut(0, who, LeftOutReason.GONE, page)


async def _approve(campaign: Campaign, ledger: Ledger) -> Campaign:
    count = await ledger.deliveries.count(campaign.id)
    if count.planned + count.left_out != campaign.cursor.memberships:
        # somebody's data changed between two readings of the same page
        log.warning("correct.again campaign_id=%s", campaign.id)
        anew = replace(campaign, lists=(), cursor=campaign.cursor.anew())
        return await ledger.campaigns.save(anew)
    if not count.planned:
        raise BlockedError("nobody_before", earlier=campaign.correction_of)
    log.info("correct.done campaign_id=%s planned=%s", campaign.id, count.planned)
    return await ledger.campaigns.save(approved(campaign, count))
