"""Account: sweep up what fell between, release the next portion, notice what is complete."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from shared.domain.alert import Alert
from shared.domain.campaign import UNDER_WAY, Campaign, Pause, Phase
from shared.domain.delivery import NEVER, OpenDelivery, Outcome, Reason, Status
from shared.domain.pace import another_first_each_minute
from shared.domain.steering import Steering
from shared.errors import PermanentError, TransientError, UncertainError, UtsendelseError
from shared.flow.alert import tell_alerts
from shared.flow.enqueue import Lane, enqueue, sharers
from shared.flow.frozen import Messages
from shared.flow.not_reached import go_on
from shared.flow.protect import closed_too_long, note_the_end, protect, tell_of_a_stall
from shared.flow.report import report
from shared.flow.verify import verify
from shared.ledger import Ledger
from shared.ledger.deliveries import Deliveries
from shared.ports import Asked, Claims, Clock, Helpdesk, Herald, Promise, Receipt, Repeat
from shared.settings import Settings

log = logging.getLogger(__name__)

#: So many interrupted deliveries are resolved in a minute; looking one up takes two calls or three.
_SWEPT, _LOOK_UPS = 1_000, 20
#: A round begins nothing slow after that; the host ends it after five minutes, and with it what
#: else it is doing.
LONGEST_ROUND = timedelta(minutes=2)
#: When nobody knows for so long what the case workers want, nothing more is released.
UNSTEERED_FOR = timedelta(minutes=10)
#: A report that was broken off is taken up again after that; the host ends any by then.
_REPORTING = timedelta(minutes=5)
_SILENT_FOR = timedelta(minutes=30)


async def account(
    lanes: Mapping[str, Lane],
    *,
    ledger: Ledger,
    helpdesk: Helpdesk,
    messages: Messages,
    settings: Settings,
    clock: Clock,
    heralds: Sequence[Herald] = (),
) -> None:
    """One round over the campaigns under way; nothing for those that are over.

    What fails for one campaign does not stop the others; all of it is tried again next time. The
    next portion comes first, because it takes no time. What may take time, because somebody slow
    is asked, begins only so long as the round is young, and with another campaign each minute.
    """
    until = clock() + LONGEST_ROUND
    active = another_first_each_minute(await ledger.campaigns.active(), clock())
    sending = [campaign for campaign in active if campaign.phase is Phase.SENDING]
    bugs: list[Exception] = []
    shared = sharers(lanes, sending)
    steering = await ledger.channels.steering()
    await _tell_of_silence(steering, ledger, clock())
    steered = [one for one in sending if steering.of(one.id) + UNSTEERED_FOR > clock()]
    for campaign in sending:
        if campaign not in steered:
            log.warning("account.unsteered campaign_id=%s", campaign.id)
    for channel, lane in lanes.items():
        of_channel = [campaign for campaign in sending if campaign.takes(channel)]
        with _apart(f"channel={channel}", bugs):
            released = [campaign for campaign in of_channel if campaign in steered]
            await enqueue(lane, released, ledger=ledger, now=clock(), sharers=shared)
            # letters go on without the ways after them, which may never be needed
            own = [campaign for campaign in of_channel if campaign.channel == channel]
            await closed_too_long(lane, own, ledger=ledger, settings=settings, now=clock())
    on_their_way = [
        (campaign, lane)
        for campaign in active
        for channel, lane in lanes.items()
        if campaign.may_have_open and campaign.takes(channel) and lane.queue
    ]
    for campaign in active:
        if campaign.phase is Phase.CANCELLING:
            with _apart(f"campaign_id={campaign.id}", bugs):
                await ledger.deliveries.cancel_open(campaign.id, clock())
    for campaign, lane in on_their_way:
        with _apart(f"campaign_id={campaign.id}", bugs):
            if lane.asked and (await ledger.channels.get(lane.channel.name)).gate_closed(clock()):
                continue  # whoever wants us to wait is not asked either
            await sweep(campaign, lane, ledger=ledger, settings=settings, clock=clock, until=until)
        if lane.asked and clock() < until:
            with _apart(f"campaign_id={campaign.id}", bugs):
                await verify(
                    campaign,
                    lane.asked,
                    ledger=ledger,
                    clock=clock,
                    until=until,
                    channel=lane.own(campaign),
                )
    for campaign in active:
        with _apart(f"campaign_id={campaign.id}", bugs):
            if campaign.phase in UNDER_WAY:
                lane = lanes[campaign.channel]
                campaign = await complete(campaign, ledger=ledger, settings=settings, clock=clock)
                campaign = await protect(
                    campaign, lane, ledger=ledger, settings=settings, now=clock()
                )
            await tell_of_a_stall(campaign, ledger=ledger, now=clock())
            if campaign.phase is Phase.REPORTING and clock() < until:
                writing = partial(
                    report,
                    campaign,
                    channel=lanes[campaign.channel].channel,
                    ledger=ledger,
                    helpdesk=helpdesk,
                    messages=messages,
                    settings=settings,
                )
                campaign = await _alone(campaign, writing, ledger.reports, clock)
                await note_the_end(campaign, ledger=ledger, now=clock())
    with _apart("alerts", bugs):
        await tell_alerts(ledger=ledger, heralds=heralds, settings=settings, clock=clock)
    if bugs:
        raise ExceptionGroup("account", bugs)


async def _alone(
    campaign: Campaign, writing: Callable[[], Awaitable[Campaign]], claims: Claims, clock: Clock
) -> Campaign:
    """What the writing comes to; as it was, when another host is at it.

    Two that look at the same moment would each find no note and no file, and leave one.
    """
    what = f"report {campaign.id}"
    claim = await claims.take(what, clock(), _REPORTING)
    if claim is None:
        return campaign
    try:
        campaign = await writing()
    except Exception:
        await claims.release(what, claim)
        raise
    await claims.release(what, claim)
    return campaign


async def _tell_of_silence(steering: Steering, ledger: Ledger, now: datetime) -> None:
    """People outside are told when nobody has been able to read the tickets for long."""
    if steering.at != NEVER and steering.at + _SILENT_FOR <= now:
        await ledger.alerts.raised(Alert.silent(steering.at), now)


@contextmanager
def _apart(what: str, bugs: list[Exception]) -> Iterator[None]:
    """What fails in here stops nothing that comes after; a bug is kept, to be raised at the end."""
    try:
        yield
    except UtsendelseError as error:
        log.warning("account.postponed %s because=%s", what, error)
    except Exception as bug:
        log.exception("account.failed %s", what)
        bugs.append(bug)


async def sweep(
    campaign: Campaign,
    lane: Lane,
    *,
    ledger: Ledger,
    settings: Settings,
    clock: Clock,
    until: datetime,
) -> None:
    """Resolve claims that ended without an outcome, by what the channel can promise.

    Repeated where the provider is known to de-duplicate, looked up where it can be asked;
    otherwise uncertain, for a person; or sent again, where settings would rather have it twice.
    """
    most = _LOOK_UPS if lane.asked else _SWEPT
    overdue = await ledger.deliveries.overdue(
        campaign.id, clock(), settings.grace, _SWEPT, lane.own(campaign)
    )
    for lost in another_first_each_minute(overdue, clock())[:most]:
        if lane.asked and clock() >= until:
            return
        # before it is taken over: an answer that does not come now costs no attempt, and one that
        # another host was quicker to act upon is of no use to us
        found: Receipt | str | Outcome | None = None
        if lane.asked:
            try:
                found = await _found(lost, lane.asked)
            except TransientError as error:  # others may be with somebody who does answer
                log.warning("account.not_found delivery_id=%s because=%s", lost.id, error)
                continue
        elif lane.promise is Promise.DEDUPLICATES:
            found = lost.note
        ours = await ledger.deliveries.take_over(lost, clock(), settings.lease, settings.grace)
        if ours is None:
            continue
        log.warning("account.interrupted delivery_id=%s", ours.id)
        # one that may have arrived is never put back to be called off, nor given up as not sent
        over = campaign.phase is Phase.CANCELLING or ours.attempt >= settings.MAX_ATTEMPTS
        doubtful = found is None or isinstance(found, Outcome)
        if doubtful and settings.resend_uncertain(lane.channel.name) and not over:
            found = ""  # from the beginning, and by whom it may
        elif isinstance(found, Repeat) and over:
            found = Outcome(Status.UNCERTAIN, Reason.INTERRUPTED, found)
        if found is None or isinstance(found, Outcome):
            outcome = found or Outcome(Status.UNCERTAIN, Reason.INTERRUPTED)
            await ledger.deliveries.settle(ours, outcome, clock())
            continue
        await _go_on(ours, found, ledger.deliveries, settings, clock)


async def _found(lost: OpenDelivery, asked: Asked) -> Receipt | str | Outcome:
    """How far it came; *uncertain* when not even asking can tell."""
    try:
        found = await asked.find(lost)
    except (UncertainError, PermanentError) as error:
        return Outcome(Status.UNCERTAIN, Reason.INTERRUPTED, lost.note, str(error))
    far = found.reference if isinstance(found, Receipt) else found or "nothing"
    log.info("account.found delivery_id=%s as_far_as=%s", lost.id, far)
    return found


async def _go_on(
    ours: OpenDelivery,
    found: Receipt | str,
    deliveries: Deliveries,
    settings: Settings,
    clock: Clock,
) -> None:
    """Go on from where it was. Each time it is interrupted counts."""
    if isinstance(found, Receipt):
        outcome = Outcome(Status.SENT, reference=found.reference, detail=found.detail)
        if found.final:
            await deliveries.settle(ours, outcome, clock())
        else:
            await deliveries.submit(
                ours, replace(outcome, status=Status.SUBMITTED), clock(), clock()
            )
        return
    if found != ours.note:
        ours = await deliveries.note(ours, found)
    if ours.attempt < settings.MAX_ATTEMPTS:
        again = Outcome(Status.PLANNED, Reason.INTERRUPTED, found)
        await deliveries.put_back(ours, clock(), again, clock())
    else:
        await deliveries.settle(ours, Outcome(Status.FAILED, Reason.GAVE_UP, found), clock())


async def complete(
    campaign: Campaign, *, ledger: Ledger, settings: Settings, clock: Clock
) -> Campaign:
    """The campaign as *reporting* when nothing is open; as it was otherwise.

    What has failed and can go on by another way does so first: nothing is left that could fail
    behind our back.

    The change is made under the version that was read before looking, so that a campaign that is
    re-opened meanwhile is never reported as complete.
    """
    if campaign.phase is Phase.PAUSED and campaign.paused_for is Pause.BY_HAND:
        return campaign  # an operator holds it, and has reasons
    waits = campaign.phase is Phase.SENDING and campaign.starts_at > clock()
    if waits or await ledger.deliveries.any_open(campaign.id):
        return campaign
    if campaign.phase is not Phase.CANCELLING and await go_on(campaign, ledger, settings, clock()):
        return campaign
    log.info("account.complete campaign_id=%s", campaign.id)
    return await ledger.campaigns.save(campaign.to(Phase.REPORTING, finished_at=clock()))
