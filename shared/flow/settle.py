"""Settle by hand: a person has found out what became of deliveries that nobody could tell of."""

import logging
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.delivery import Delivery, Reason, Status
from shared.domain.orders import Verdict
from shared.domain.recipient import address_key
from shared.ledger import Ledger
from shared.ledger.verdicts import Doubt
from shared.ports import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """What these verdicts have changed, and what nobody has said anything about."""

    sent: int = 0
    not_sent: int = 0
    left: int = 0  #: still uncertain


async def settle_by_hand(
    campaign_id: str,
    verdicts: Sequence[Verdict],
    *,
    ledger: Ledger,
    clock: Clock,
    by: str = "note",
    only: Container[str] | None = None,
) -> Settled:
    """Take a person's word for what is uncertain, or only for these deliveries of it.

    A word on one recipient counts more than one on all, whichever came first, and then a later one
    more than an earlier; one that is older than the doubt is about something else. Giving the same
    ones again changes nothing. «Not sent» can be taken back until the delivery is opened again;
    «sent», once taken, stands: a repair might write to them twice. Late truth wins.
    """
    counts: Counter[Status | None] = Counter()
    if not verdicts:
        return Settled()
    async for doubt in ledger.verdicts.doubts(campaign_id):
        said = verdicts if only is None or doubt.delivery in only else ()
        counts[await _settle(campaign_id, doubt, said, ledger, clock, by)] += 1
    settled = Settled(counts[Status.SENT], counts[Status.FAILED], counts[Status.UNCERTAIN])
    if settled.sent or settled.not_sent:
        log.info(
            "settle.by_hand campaign_id=%s sent=%s not_sent=%s left=%s by=%s",
            campaign_id,
            settled.sent,
            settled.not_sent,
            settled.left,
            by,
        )
    return settled


async def _settle(
    campaign_id: str,
    doubt: Doubt,
    verdicts: Sequence[Verdict],
    ledger: Ledger,
    clock: Clock,
    by: str,
) -> Status | None:
    """What it has become; *uncertain* when nobody has a word on it, None if there was no need."""
    as_it_is = Status.UNCERTAIN if doubt.status is Status.UNCERTAIN else None
    if not any(one.written >= doubt.since and (as_it_is or one.sent) for one in verdicts):
        return as_it_is  # so that it is not even read
    delivery = await ledger.verdicts.get(campaign_id, doubt.delivery)
    while delivery and _in_doubt(delivery):
        word = last_word(address_key(delivery.recipient.address), delivery.settled_at, verdicts)
        if word is None or (delivery.status is Status.FAILED and not word.sent):
            return as_it_is
        if await ledger.verdicts.give(delivery, word.sent, clock(), by):
            return Status.SENT if word.sent else Status.FAILED
        delivery = await ledger.verdicts.get(campaign_id, doubt.delivery)
    return None


def _in_doubt(delivery: Delivery) -> bool:
    by_hand = delivery.reason is Reason.SETTLED_BY_HAND
    return delivery.status is Status.UNCERTAIN or (delivery.status is Status.FAILED and by_hand)


def last_word(address: str, since: datetime, verdicts: Sequence[Verdict]) -> Verdict | None:
    """The verdict that counts for this address, as `address_key` has it; None when there is none.

    Of two given at the same time, the one further down the note.
    """
    said = [v for v in verdicts if v.written >= since and v.address in ("", address)]
    said.sort(key=lambda verdict: (bool(verdict.address), verdict.written))
    return said[-1] if said else None
