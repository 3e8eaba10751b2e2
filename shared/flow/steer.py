"""Steer: pause, go on or call off, as the case worker asks by the status of the ticket.

What is decided is stored first: from then on no delivery is released, and within seconds none is
claimed. It is told of when those who were on their way then have had time to arrive.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.alert import Alert
from shared.domain.campaign import Campaign, Pause, Phase
from shared.domain.helpdesk import Names, Ticket
from shared.domain.pace import FRESH_FOR
from shared.domain.steering import Wish, wish_of
from shared.errors import PermanentError
from shared.flow.block import status_tells
from shared.flow.so_far import attach_list
from shared.flow.tally import tally
from shared.flow.wording import post_once, render
from shared.ledger import Ledger
from shared.ports import Helpdesk
from shared.settings import Settings

log = logging.getLogger(__name__)

#: By then every worker has seen that it is stopped, and what one had begun has mostly ended.
_SETTLED = 2 * FRESH_FOR


async def steer(
    campaign: Campaign,
    ticket: Ticket | None,
    *,
    listed: bool,
    names: Names,
    helpdesk: Helpdesk,
    ledger: Ledger,
    settings: Settings,
    now: datetime,
) -> Campaign:
    """The campaign as it is wanted. Changes nothing when it is so already."""
    wish = wish_of(ticket, names, listed=listed)
    wheel = _Wheel(names, helpdesk, ledger, settings, now)
    stopped = campaign.phase is Phase.PAUSED or campaign.phase is Phase.BLOCKED
    if wish is Wish.CANCEL and (stopped or campaign.phase is Phase.SENDING):
        return await wheel.call_off(campaign)
    if stopped and wheel.given_up(campaign):
        return await wheel.call_off(campaign)
    touched = ticket is not None and ticket.modified.isoformat() != campaign.ticket_seen
    asked = wish is Wish.TELL and touched
    if campaign.phase is Phase.SENDING:
        if "asked" in campaign.steps and wish is not Wish.TELL:  # told, and not noted as told
            campaign = replace(campaign, steps=campaign.steps - {"asked"})
            campaign = await ledger.campaigns.save(campaign)
        if wish is Wish.PAUSE:
            return await wheel.pause(campaign, Pause.ASKED)
        if wish is Wish.TAKEN:
            return await wheel.pause(campaign, Pause.TAKEN)
        if asked:
            return await wheel.tell_how_far(campaign)
        if wish is Wish.GO and names.running is not None:
            await helpdesk.change_ticket(campaign.ticket_id, status_id=names.running, silent=True)
    if campaign.phase is Phase.APPROVED and asked:
        return await wheel.tell_how_far(campaign)
    if campaign.phase is Phase.PAUSED:
        if wheel.wanted_again(campaign, wish, ticket):
            return await wheel.resume(campaign)
        if "told" not in campaign.steps and now >= campaign.stopped_at + _SETTLED:
            return await wheel.tell_of_the_stop(campaign)
    return campaign


@dataclass(frozen=True, slots=True)
class _Wheel:
    names: Names
    helpdesk: Helpdesk
    ledger: Ledger
    settings: Settings
    now: datetime

    async def pause(self, campaign: Campaign, why: Pause) -> Campaign:
        return await pause(campaign, why, ledger=self.ledger, now=self.now)

    async def call_off(self, campaign: Campaign) -> Campaign:
        """For good. `account` closes what nobody has taken on, and the report says who got it."""
        log.info("steer.called_off campaign_id=%s", campaign.id)
        called_off = campaign.to(
            Phase.CANCELLING, called_off=True, stopped_at=self.now, stops=campaign.stops + 1
        )
        return await self.ledger.campaigns.save(called_off)

    def wanted_again(self, campaign: Campaign, wish: Wish, ticket: Ticket | None) -> bool:
        """Whether a person has seen to it that it may go on."""
        if ticket is None:
            return False
        asked = wish is Wish.GO if self.names.ready is not None else wish is Wish.NOTHING
        if campaign.paused_for is Pause.FAILURES:
            touched = ticket.modified.isoformat() != campaign.ticket_seen
            return "told" in campaign.steps and asked and (status_tells(self.names) or touched)
        if campaign.paused_for is Pause.BY_HAND:
            return wish is Wish.GO
        return asked or wish is Wish.RUN

    async def resume(self, campaign: Campaign) -> Campaign:
        """On its way again. What failed before has been seen, and is not held against it."""
        going = campaign.to(
            Phase.SENDING,
            judged_from=self.now,
            open_then=await self.ledger.deliveries.count_open(campaign.id),
            steps=campaign.steps - {"told"},
        )
        log.info("steer.resumed campaign_id=%s", campaign.id)
        going = await self.ledger.campaigns.save(going)
        if self.names.running is not None:
            await self.helpdesk.change_ticket(
                campaign.ticket_id, status_id=self.names.running, silent=True
            )
        return going

    async def tell_of_the_stop(self, campaign: Campaign) -> Campaign:
        """A note that says who has got it, with the list, and how it goes on."""
        if campaign.paused_for in {Pause.FAILURES, Pause.TAKEN}:
            await self.ledger.alerts.raised(Alert.self_paused(campaign), self.now)
        seen = ""
        with suppress(PermanentError):  # the ticket itself is gone
            await self._post(campaign, "pause", campaign.stops)
            if campaign.paused_for is Pause.FAILURES and self.names.attention is not None:
                await self.helpdesk.change_ticket(
                    campaign.ticket_id, status_id=self.names.attention, silent=True
                )
            seen = (await self.helpdesk.ticket(campaign.ticket_id)).modified.isoformat()
        return await self.ledger.campaigns.save(campaign.did("told", ticket_seen=seen))

    async def tell_how_far(self, campaign: Campaign) -> Campaign:
        """The same while it goes on; then the status that says so.

        Once for each time that somebody asks, though the status cannot be changed.
        """
        if "asked" not in campaign.steps:
            asked = campaign.did("asked", reviews=campaign.reviews + 1)
            campaign = await self.ledger.campaigns.save(asked)
        await self._post(campaign, "status", campaign.reviews)
        with suppress(PermanentError):  # then it is for the case worker to set one
            await self.helpdesk.change_ticket(
                campaign.ticket_id, status_id=self.names.running or self.names.ready, silent=True
            )
        seen = (await self.helpdesk.ticket(campaign.ticket_id)).modified.isoformat()
        told = replace(campaign, steps=campaign.steps - {"asked"}, ticket_seen=seen)
        return await self.ledger.campaigns.save(told)

    def given_up(self, campaign: Campaign) -> bool:
        """Stopped for so long that nobody's data may be kept for it any longer."""
        since = max(campaign.stopped_at, campaign.judged_from)
        return since + timedelta(days=self.settings.RETENTION_DAYS) <= self.now

    async def _post(self, campaign: Campaign, kind: str, number: int) -> None:
        has_list = await attach_list(
            campaign,
            f"{kind}-{campaign.id}-{number}",
            ledger=self.ledger,
            helpdesk=self.helpdesk,
            settings=self.settings,
        )
        html = render(
            "so_far.html",
            campaign=campaign,
            tally=await tally(campaign, self.ledger),
            has_list=has_list,
            ready=self.settings.STATUS_READY,
            cancel=self.settings.STATUS_CANCEL,
            by_status=status_tells(self.names),
        )
        name = f"{campaign.run}/{kind}-{number}"
        await post_once(self.helpdesk, campaign.ticket_id, name, html)


async def pause(campaign: Campaign, why: Pause, *, ledger: Ledger, now: datetime) -> Campaign:
    """Nothing more is released, and what is on the queue is not claimed."""
    log.warning("campaign.paused campaign_id=%s because=%s", campaign.id, why)
    paused = campaign.to(
        Phase.PAUSED,
        paused_for=why,
        stopped_at=now,
        stops=campaign.stops + 1,
        steps=campaign.steps - {"told"},
    )
    return await ledger.campaigns.save(paused)
