"""Account: sweep up what fell between, release the next portion, notice what is complete."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import Outcome, Reason, Status
from shared.errors import UtsendelseError
from shared.flow.enqueue import Lane, enqueue
from shared.flow.frozen import Messages
from shared.flow.report import report
from shared.ledger import Ledger
from shared.ports import Channel, Clock, Helpdesk, Promise
from shared.settings import Settings

log = logging.getLogger(__name__)


async def account(
    lane: Lane,
    *,
    ledger: Ledger,
    helpdesk: Helpdesk,
    messages: Messages,
    settings: Settings,
    clock: Clock,
) -> None:
    """One round over the campaigns under way on this channel; nothing for those that are over.

    What fails for one campaign does not stop the others; all of it is tried again next time.
    """
    active = [
        campaign
        for campaign in await ledger.campaigns.active()
        if campaign.channel == lane.channel.name
    ]
    sending = [campaign for campaign in active if campaign.phase is Phase.SENDING]
    bugs: list[Exception] = []
    for campaign in sending:
        with _apart(f"campaign_id={campaign.id}", bugs):
            await sweep(campaign, lane.channel, ledger=ledger, settings=settings, clock=clock)
    with _apart(f"channel={lane.channel.name}", bugs):
        await enqueue(lane, sending, ledger=ledger, now=clock())
    for campaign in active:
        with _apart(f"campaign_id={campaign.id}", bugs):
            if campaign.phase is Phase.SENDING:
                campaign = await complete(campaign, ledger=ledger, clock=clock)
            if campaign.phase is Phase.REPORTING:
                await report(
                    campaign,
                    channel=lane.channel,
                    ledger=ledger,
                    helpdesk=helpdesk,
                    messages=messages,
                    settings=settings,
                )
    if bugs:
        raise ExceptionGroup("account", bugs)


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
    campaign: Campaign, channel: Channel, *, ledger: Ledger, settings: Settings, clock: Clock
) -> None:
    """Resolve claims that ended without an outcome, by what the channel can promise.

    Repeated where the provider is known to de-duplicate; otherwise uncertain, for a person.
    """
    for lost in await ledger.deliveries.overdue(campaign.id, clock(), settings.grace):
        ours = await ledger.deliveries.take_over(lost, clock(), settings.lease, settings.grace)
        if ours is None:
            continue
        if channel.promise is Promise.DEDUPLICATES:
            await ledger.deliveries.put_back(ours, clock())
            continue
        log.warning("account.interrupted delivery_id=%s", ours.id)
        outcome = Outcome(Status.UNCERTAIN, Reason.INTERRUPTED)
        await ledger.deliveries.settle(ours, outcome, clock())


async def complete(campaign: Campaign, *, ledger: Ledger, clock: Clock) -> Campaign:
    """The campaign as *reporting* when nothing is open; as it was otherwise.

    The change is made under the version that was read before looking, so that a campaign that is
    re-opened meanwhile is never reported as complete.
    """
    if campaign.starts_at > clock() or await ledger.deliveries.any_open(campaign.id):
        return campaign
    log.info("account.complete campaign_id=%s", campaign.id)
    return await ledger.campaigns.save(campaign.to(Phase.REPORTING, finished_at=clock()))
