"""Ordered: what case workers ask for in internal notes on the ticket. Ours ask for nothing."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.domain.campaign import Campaign
from shared.domain.delivery import NEVER
from shared.domain.orders import Orders, orders_in
from shared.errors import BlockedError
from shared.flow.wording import REFERENCE
from shared.ports import Helpdesk
from shared.settings import Settings


async def orders_on(helpdesk: Helpdesk, ticket_id: int, since: datetime = NEVER) -> Orders:
    """What the notes on it that have been written since then come to."""
    return orders_in(
        (note.html, note.written)
        for note in await helpdesk.notes(ticket_id)
        if note.written >= since and not REFERENCE.search(note.html)
    )


def since_the_last(campaigns: Iterable[Campaign]) -> datetime:
    """When the last campaign of the ticket began: what was asked for until then was for that."""
    return max((one.starts_at for one in campaigns if one.has_begun), default=NEVER)


def start_asked_for(orders: Orders, settings: Settings, now: datetime) -> datetime:
    """When it may start at the earliest by these; NEVER, which is long ago, if they do not say.

    Raises BlockedError for a line that is unclear, or a time further away than settings allow.
    """
    if orders.unclear:
        raise BlockedError("unclear_order", line=orders.unclear)
    if orders.start > now + timedelta(days=settings.START_WITHIN_DAYS):
        raise BlockedError("start_too_far", days=settings.START_WITHIN_DAYS)
    return orders.start
