"""Poison: the queue has given up on an item. The delivery has not given up on anything."""

import logging

from pydantic import ValidationError

from shared.domain.alert import Alert
from shared.domain.delivery import NEVER, Outcome, Reason, Status
from shared.flow.enqueue import DeliverItem
from shared.ledger import Ledger
from shared.ports import Clock

log = logging.getLogger(__name__)

#: After that many rounds through the queue, the fault is ours and a person must look.
ROUNDS = 3


async def poison(item: str | bytes, *, ledger: Ledger, clock: Clock) -> None:
    """Put the delivery back for another round; after three, *failed: technical*.

    An item that is none of ours is logged and forgotten, the ledger untouched. One that is settled
    needs nothing. One that is claimed is left to `account`, which knows when a claim is over. One
    that has no slot is put back already: several items of the same round count once.
    """
    try:
        wanted = DeliverItem.model_validate_json(item)
    except ValidationError as error:
        reasons = "; ".join(problem["msg"] for problem in error.errors(include_input=False))
        log.error("poison.unreadable because=%s", reasons)
        return
    opened = await ledger.deliveries.get_open(wanted.campaign, wanted.delivery)
    if opened is None or opened.claim or opened.submitted or opened.slot == NEVER:
        log.warning("poison.left_alone delivery_id=%s", wanted.delivery)
        return
    if opened.poisoned + 1 < ROUNDS:
        log.warning("poison.put_back delivery_id=%s round=%s", opened.id, opened.poisoned + 1)
        await ledger.deliveries.poisoned(opened)
        return
    log.error("poison.gave_up delivery_id=%s", opened.id)
    outcome = Outcome(Status.FAILED, Reason.TECHNICAL, opened.note)
    if campaign := await ledger.campaigns.get(opened.campaign):
        await ledger.alerts.raised(Alert.poison(campaign), clock())
    await ledger.deliveries.settle(opened, outcome, clock())
