"""Bounce: what was sent, and came back. The delivery says so, and so does the ticket.

A report comes as often as it likes, late, and from anybody: it changes a delivery once, and only
the delivery of the sending that it names.
"""

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum

from shared.domain.bounce import FINAL, Bounce, BounceKind, Report, Returned, posted
from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import NEVER, Delivery, Reason, Status
from shared.domain.recipient import person_key
from shared.domain.suppression import SuppressionReason
from shared.domain.window import oslo_day, oslo_midnight
from shared.errors import (
    PermanentError,
    StorageError,
    UtsendelseError,
)
from shared.flow.tally import NAMED
from shared.flow.wording import post_once, render
from shared.ledger import Ledger
from shared.ledger.bounces import Owed
from shared.ledger.erasure import FORGETTING
from shared.ports import Clock, Helpdesk, Inbox
from shared.settings import Settings

log = logging.getLogger(__name__)

#: For so long after midnight a host may still be storing what came back before it.
_DAY_SETTLES = timedelta(hours=1)
#: A note that could not be written for so long never will be.
_OWED_FOR = timedelta(days=7)
#: A run begins nothing new after that: the host ends it after five minutes.
_LONGEST_RUN = timedelta(minutes=3)
#: Mails are not always there in the order of their times.
_OVERLAP = timedelta(minutes=15)
#: How far back a mailbox is read that nobody has read before.
_FIRST_LOOK = timedelta(days=1)
#: For so long a mail waits for its delivery to be settled.
_WAITS_FOR = timedelta(hours=1)
#: So often a delivery is looked at anew that is just changing.
_TRIES = 3

#: What a bounce tells the truth about. *Submitted* and *uncertain* were sent, it turns out.
_WAS_SENT = frozenset({Status.SENT, Status.SUBMITTED, Status.UNCERTAIN})
#: The report is still to come, and will say it.
_BEFORE_REPORT = frozenset({Phase.SENDING, Phase.PAUSED, Phase.CANCELLING})


class Came(Enum):
    """What became of a report."""

    TAKEN_IN = "the delivery has failed, and says why"
    NOTHING_NEW = "nothing changes"
    TOO_EARLY = "whoever sends it has not said so yet: to be told again in some minutes"


async def bounced(report: Bounce, *, ledger: Ledger, settings: Settings, clock: Clock) -> Came:
    """Take in what came back. The same again changes nothing.

    The address is suppressed first, then the delivery, then the note is owed: stopped anywhere, it
    is the next telling that does the rest.
    """
    for _ in range(_TRIES):
        delivery = await ledger.bounces.delivery(report.campaign, report.delivery)
        if delivery is None or not _is_about(report, delivery):
            return _said(report, Came.NOTHING_NEW)
        if report.kind not in FINAL:
            return _said(report, Came.NOTHING_NEW)
        if delivery.status is Status.PLANNED:
            return _said(report, Came.TOO_EARLY)
        if delivery.reason is Reason.BOUNCED:
            if clock() < delivery.settled_at + _DAY_SETTLES:  # or it is told by now
                await _owe(delivery, delivery.settled_at, ledger)
            return _said(report, Came.NOTHING_NEW)
        if delivery.status not in _WAS_SENT:
            return _said(report, Came.NOTHING_NEW)
        if report.kind is BounceKind.HARD and settings.SUPPRESS_BOUNCED_DAYS:
            await ledger.suppressions.add(
                delivery.recipient.address,
                SuppressionReason.HARD_BOUNCE,
                source=report.source,
                now=report.at,
                expires=report.at + timedelta(days=settings.SUPPRESS_BOUNCED_DAYS),
            )
        now = clock()
        if await ledger.bounces.record(delivery, report, now):
            await _owe(delivery, now, ledger)
            return _said(report, Came.TAKEN_IN)
    return _said(report, Came.TOO_EARLY)


async def came_back(
    returned: Returned,
    *,
    source: str,
    at: datetime,
    ledger: Ledger,
    settings: Settings,
    clock: Clock,
) -> Came:
    """The same, of a mail that is known by its names alone. One that is not ours is of no matter.

    The first name that says itself whose it is counts, and else the first that was remembered.
    """
    names = (posted(name) for name in returned.references)
    sending = next((name for name in names if name), None)
    for name in returned.references if sending is None else ():
        sending = sending or await ledger.references.of(name)
    if sending is None:
        log.info("bounce.unknown source=%s kind=%s", source, returned.kind)
        return Came.NOTHING_NEW
    report = Bounce(
        sending.campaign,
        sending.delivery,
        sending.round,
        returned.kind,
        source,
        at,
        returned.detail,
        returned.addresses,
    )
    return await bounced(report, ledger=ledger, settings=settings, clock=clock)


def _is_about(report: Bounce, delivery: Delivery) -> bool:
    """Whether it is this sending to this recipient that came back.

    Not that of an earlier round. Nor a copy that a list or another mailbox passed on: those who
    got theirs would get it again.
    """
    if delivery.round != report.round or delivery.replaced or delivery.recipient.erased:
        return False
    named = {person_key(address) for address in report.addresses}
    return not named or person_key(delivery.recipient.address) in named


async def _owe(delivery: Delivery, at: datetime, ledger: Ledger) -> None:
    """A note to the ticket, when its report is made or being made."""
    campaign = await ledger.campaigns.get(delivery.campaign)  # now that the delivery is stored
    if campaign and _phase(campaign) not in _BEFORE_REPORT:
        await ledger.bounces.owe(Owed(oslo_day(at), campaign.id))


def _phase(campaign: Campaign) -> Phase | None:
    return campaign.blocked_from if campaign.phase is Phase.BLOCKED else campaign.phase


def _said(report: Bounce, came: Came) -> Came:
    log.info(
        "bounce.%s campaign_id=%s delivery_id=%s round=%s kind=%s source=%s",
        came.name.lower(),
        report.campaign,
        report.delivery,
        report.round,
        report.kind,
        report.source,
    )
    return came


# --- late bounces ---


async def tell_late_bounces(
    *, helpdesk: Helpdesk, ledger: Ledger, settings: Settings, clock: Clock
) -> None:
    """One note for each campaign and day that is over: what came back after the report.

    A ticket that cannot be written to stops no other, and is not tried for ever. With nothing to
    tell it costs one request.
    """
    until = clock() + _LONGEST_RUN
    for owed in await ledger.bounces.owed(oslo_day(clock() - _DAY_SETTLES)):
        if clock() >= until:
            break
        told = False
        try:
            told = await _tell(owed, helpdesk=helpdesk, ledger=ledger, settings=settings)
        except PermanentError as error:  # e.g. the ticket is deleted
            log.warning("bounce.not_told campaign_id=%s because=%s", owed.campaign, error)
            told = True
        except StorageError:
            raise
        except UtsendelseError as error:
            log.warning("bounce.postponed campaign_id=%s because=%s", owed.campaign, error)
        if told or clock() >= oslo_midnight(owed.day) + _OWED_FOR:
            await ledger.bounces.paid(owed)


async def _tell(owed: Owed, *, helpdesk: Helpdesk, ledger: Ledger, settings: Settings) -> bool:
    """False when it is to be told later: on the ticket of a campaign that is under way, a note of
    ours would be taken for somebody's answer.
    """
    campaign = await ledger.campaigns.get(owed.campaign)
    if campaign is None or FORGETTING in campaign.steps:
        return True
    if campaign.active:
        return False
    since, until = oslo_midnight(owed.day), oslo_midnight(owed.day + timedelta(days=1))
    ids = await ledger.bounces.came_back(campaign.id, since, until)
    if not ids:
        return True  # they have been opened again
    found = [await ledger.bounces.delivery(campaign.id, id_) for id_ in ids[:NAMED]]
    html = render(
        "bounces.html",
        day=owed.day,
        count=len(ids),
        named=[delivery for delivery in found if delivery],
        ready=settings.STATUS_READY,
        days=settings.SUPPRESS_BOUNCED_DAYS,
    )
    before = await helpdesk.ticket(campaign.ticket_id)
    await post_once(helpdesk, campaign.ticket_id, f"{campaign.run}/retur-{owed.day}", html)
    after = await helpdesk.ticket(campaign.ticket_id)
    if before.modified.isoformat() == campaign.ticket_seen:
        campaign = replace(campaign, ticket_seen=after.modified.isoformat())  # it was only us
    await ledger.campaigns.save(campaign)
    log.info("bounce.told campaign_id=%s day=%s count=%s", campaign.id, owed.day, len(ids))
    await _count(campaign.id, ledger)
    return True


async def _count(campaign_id: str, ledger: Ledger) -> None:
    """How far it came, as it stands now."""
    counted = await ledger.progress.get(campaign_id)
    if counted is None:
        return
    statuses = [one.status async for one, _ in ledger.deliveries.problem_times(campaign_id)]
    failed, uncertain = statuses.count(Status.FAILED), statuses.count(Status.UNCERTAIN)
    await ledger.progress.keep(replace(counted, failed=failed, uncertain=uncertain))


# --- a mailbox that they come back to ---


async def read_mailbox(
    inbox: Inbox,
    *,
    ledger: Ledger,
    settings: Settings,
    clock: Clock,
    name: str = "mailbox",
) -> None:
    """Take in what has come back to the mailbox since it was read last, and some time before.

    How far it has been read is stored when that has been taken in. Nothing in the mailbox is
    changed, and what cannot be read or is nobody's is left there.
    """
    now = clock()
    stored = await ledger.bounces.read_until(name)
    since = now - _FIRST_LOOK if stored == NEVER else stored
    on, waiting = now - _OVERLAP, now
    seen = since
    try:
        async for mail in inbox.reports(since):
            if clock() >= now + _LONGEST_RUN:
                on = seen  # an overlap would never let it get on
                break
            early = await _take_in(mail, ledger, settings, clock)
            if early and now < mail.received + _WAITS_FOR:
                waiting = min(waiting, mail.received)
            seen = max(seen, min(mail.received, now))
    except StorageError:
        raise
    except UtsendelseError as error:
        log.warning("bounce.mailbox_postponed because=%s", error)
        on = seen
    on = max(since, min(on, waiting))
    if on != stored:
        await ledger.bounces.read_on(name, on)


async def _take_in(mail: Report, ledger: Ledger, settings: Settings, clock: Clock) -> bool:
    """True when it is to be told again."""
    early = False
    for returned in mail.returned:
        came = await came_back(
            returned,
            source="mailbox",
            at=mail.received,
            ledger=ledger,
            settings=settings,
            clock=clock,
        )
        early = early or came is Came.TOO_EARLY
    return early
