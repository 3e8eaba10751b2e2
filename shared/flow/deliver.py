"""Deliver: claim one delivery, send it, settle it.

Raises only for bugs and storage outages: those the queue brings again. Everything a provider can
say is an outcome, and what is worth another try is put back in the ledger, never retried here.
"""

import logging
from datetime import datetime, timedelta
from typing import cast

from shared.domain.delivery import NEVER, OpenDelivery, Outcome, Reason, Status, retry_delay
from shared.domain.message import Message
from shared.errors import (
    BlockedError,
    DuplicateError,
    PermanentError,
    StoppedError,
    StorageError,
    ThrottledError,
    TransientError,
    UncertainError,
)
from shared.flow.block import hold
from shared.flow.enqueue import DeliverItem
from shared.flow.frozen import Messages
from shared.flow.watch import Watch
from shared.ledger import Ledger
from shared.ports import Asked, Channel, Clock, Promise
from shared.settings import Settings

log = logging.getLogger(__name__)


async def deliver(
    item: DeliverItem,
    *,
    channel: Channel,
    ledger: Ledger,
    messages: Messages,
    watch: Watch,
    settings: Settings,
    clock: Clock,
) -> None:
    """Carry one delivery through to an outcome, or leave it alone when it is not ours to send."""
    opened = await ledger.deliveries.get_open(item.campaign, item.delivery)
    # an item of an earlier way, or of an earlier round, may still be on that channel's queue
    elsewhere = opened is not None and opened.channel not in {"", channel.name}
    if opened is None or elsewhere or not opened.claimable(clock()):
        log.info("deliver.nothing_to_do delivery_id=%s", item.delivery)
        return
    held_until = await watch.held_until(item.campaign, channel.gates, clock())
    if held_until is not None:
        await ledger.deliveries.take_back(opened, held_until)
        return
    if barred := await _barred(opened, ledger, settings, clock()):
        refused = Outcome(Status.SKIPPED, barred, opened.note)
        await ledger.deliveries.settle(opened, refused, clock())
        return
    try:
        letter = await messages.of(item.campaign)
    except StorageError as error:
        log.warning("deliver.no_message_yet campaign_id=%s because=%s", item.campaign, error)
        await ledger.deliveries.take_back(opened, clock() + timedelta(minutes=1))
        return
    except LookupError as error:
        log.error("deliver.no_message campaign_id=%s because=%s", item.campaign, error)
        await hold(item.campaign, BlockedError("message_gone"), ledger.campaigns)
        await ledger.deliveries.take_back(opened, clock())
        return
    message = letter.to(opened.recipient)  # who lacked something was never planned
    note = await channel.begins(opened)
    claimed = await ledger.deliveries.claim(opened, clock(), settings.lease, note)
    if claimed and claimed.claim:
        began = claimed.claim.until - settings.lease
        if not began <= clock() < claimed.claim.until - channel.time_limit:
            # claiming took so long that the send might outlive the lease; or the clock has gone
            # back since, and cannot tell
            await ledger.deliveries.put_back(claimed, NEVER)
            return
        await _send(claimed, message, channel, ledger, watch, settings, clock)


async def _barred(
    opened: OpenDelivery, ledger: Ledger, settings: Settings, now: datetime
) -> Reason | None:
    """Why nobody may write there any more, if that is so."""
    address = opened.recipient.address
    if not settings.allowed.allows(address):
        return Reason.NOT_ON_TEST_LIST
    return Reason.SUPPRESSED if await ledger.suppressions.covers(address, now) else None


async def _send(
    claimed: OpenDelivery,
    message: Message,
    channel: Channel,
    ledger: Ledger,
    watch: Watch,
    settings: Settings,
    clock: Clock,
) -> None:
    """One attempt, and what it means. From the claim on, only a bug leaves without an outcome."""
    deliveries = ledger.deliveries
    started = clock()

    async def note(reference: str) -> None:
        nonlocal claimed
        claimed = await deliveries.note(claimed, reference)

    try:
        receipt = await channel.send(claimed, message, note)
    except (ThrottledError, StoppedError) as error:
        gate = error.gate or channel.name
        log.warning("deliver.channel_waits channel=%s because=%s", gate, error)
        await deliveries.put_back(claimed, clock() + error.retry_after)
        await watch.rest(gate, error, clock())
        return
    except TransientError as error:
        outcome = Outcome(Status.PLANNED, detail=str(error))
        if claimed.attempt < settings.MAX_ATTEMPTS:
            log.info("deliver.later delivery_id=%s because=%s", claimed.id, error)
            later = clock() + retry_delay(claimed.attempt)
            await deliveries.put_back(claimed, later, outcome, clock())
            return
        outcome = Outcome(Status.FAILED, Reason.GAVE_UP, claimed.note, str(error))
    except PermanentError as error:
        await watch.went_through(channel.gates, clock())
        outcome = Outcome(Status.FAILED, error.reason, claimed.note, str(error))
    except UncertainError as error:
        if channel.promise is Promise.CAN_BE_ASKED or settings.resend_uncertain(channel.name):
            # too early: what we gave up on may still be under way. The sweep sees to it, later.
            log.warning("deliver.ask_later delivery_id=%s because=%s", claimed.id, error)
            return
        outcome = Outcome(Status.UNCERTAIN, Reason.NO_ANSWER, detail=str(error))
    except DuplicateError as error:
        outcome = Outcome(Status.SENT, detail=str(error))
    else:
        await watch.went_through(channel.gates, clock())
        status = Status.SENT if receipt.final else Status.SUBMITTED
        outcome = Outcome(status, reference=receipt.reference, detail=receipt.detail)
    if outcome.status is Status.SUBMITTED:
        first_check = cast(Asked, channel).first_check
        await deliveries.submit(claimed, outcome, clock(), clock() + first_check)
    else:
        await deliveries.settle(claimed, outcome, clock())
    log.info(
        "deliver.%s campaign_id=%s delivery_id=%s channel=%s seconds=%.1f",
        outcome.status,
        claimed.campaign,
        claimed.id,
        channel.name,
        (clock() - started).total_seconds(),
    )
