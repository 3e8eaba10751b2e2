"""Remember: what a campaign ticket was like before somebody asks for a preview of it."""

from collections.abc import Container, Mapping
from dataclasses import replace

from shared.domain.helpdesk import Names, Ticket
from shared.domain.preview import Seen
from shared.ledger import Ledger


async def remember(
    tickets: Mapping[int, Ticket], active: Container[int], *, names: Names, ledger: Ledger
) -> Mapping[int, Seen]:
    """What we know of the tickets, with the status that each has before a preview is asked for.

    Not one that would start or stop a campaign when it was set again. What is no longer open is
    forgotten.
    """
    if names.review is None:
        return {}
    seen = dict(await ledger.tickets.all())
    ours = {names.ready, names.running, names.review, names.pause, names.cancel}
    for id_, ticket in tickets.items():
        known = seen.get(id_, Seen())
        if id_ not in active and ticket.status_id not in {*ours, known.status}:
            seen[id_] = replace(known, status=ticket.status_id)
            await ledger.tickets.remember(id_, seen[id_])
    for id_ in seen.keys() - tickets.keys():
        await ledger.tickets.forget(id_)
    return seen
