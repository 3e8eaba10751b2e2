"""Discover: find the campaigns that are asked for, and carry each to where it can be sent."""

import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import uuid4

from shared.domain.alert import Alert
from shared.domain.campaign import BEFORE_SENDING, Campaign, Phase, campaign_id
from shared.domain.delivery import NEVER
from shared.domain.helpdesk import Names, Ticket
from shared.domain.orders import Whom
from shared.domain.pace import another_first_each_minute
from shared.domain.preview import Seen
from shared.domain.recipient import address_key
from shared.errors import (
    BlockedError,
    PermanentError,
    SetupError,
    StoppedError,
    ThrottledError,
    TransientError,
    UncertainError,
    UtsendelseError,
)
from shared.flow.ask_again import ask_again
from shared.flow.audience import Audience, audience
from shared.flow.block import block, status_tells, tell_why, unblock
from shared.flow.correct import plan_correction
from shared.flow.enqueue import Lane, enqueue, sharers
from shared.flow.expand import expand
from shared.flow.freeze import freeze, unsent_messages
from shared.flow.frozen import Messages
from shared.flow.mark import mark
from shared.flow.ordered import orders_on
from shared.flow.preview import preview
from shared.flow.remember import remember
from shared.flow.reopen import reopen
from shared.flow.review import review
from shared.flow.settle import settle_by_hand
from shared.flow.start import go, start
from shared.flow.steer import steer
from shared.flow.undo import undo
from shared.ledger import Ledger
from shared.ledger.erasure import FORGETTING
from shared.ports import Clock, Files, Helpdesk
from shared.settings import Settings

log = logging.getLogger(__name__)

#: A round begins nothing slow after that, so that the next one comes in time.
LONGEST_LOOK = timedelta(seconds=45)
#: A campaign that still cannot be read by then needs a person: the trouble does not pass.
STUCK_AFTER = timedelta(hours=1)


async def discover(
    *,
    helpdesk: Helpdesk,
    ledger: Ledger,
    files: Files,
    lanes: Mapping[str, Lane],
    settings: Settings,
    clock: Clock,
) -> None:
    """Look at every open campaign ticket once. One that fails does not stop the others.

    Those under way come first, and take no time: whoever wants one stopped is heard within the
    minute. What takes time begins only so long as the round is young, with another ticket first
    each minute. What is started here gets its first portion at once.

    Raises SetupError when a configured name does not exist, and StoppedError when the helpdesk
    refuses our key: then nothing can be discovered at all.
    """
    until = clock() + LONGEST_LOOK
    try:
        look = _Look(await helpdesk.names(), helpdesk, ledger, files, lanes, settings, clock, until)
        active = {campaign.ticket_id: campaign for campaign in await ledger.campaigns.active()}
        tickets = {ticket.id: ticket for ticket in await helpdesk.campaign_tickets()}
    except SetupError:
        await ledger.alerts.raised(Alert.name_unknown(clock().date()), clock())
        raise
    except StoppedError:
        await ledger.alerts.raised(Alert.key_refused(clock().date()), clock())
        raise
    except (TransientError, PermanentError) as error:
        log.warning("discover.postponed because=%s", error)
        return
    started: list[Campaign] = []
    bugs: list[Exception] = []

    async def look_at(id_: int) -> None:
        try:
            campaign = await look.at(tickets.get(id_), active.get(id_))
            if campaign and campaign.phase is Phase.SENDING:
                started.append(campaign)
        except UtsendelseError as error:
            log.warning("discover.postponed ticket_id=%s because=%s", id_, error)
        except Exception as bug:
            log.exception("discover.failed ticket_id=%s", id_)
            bugs.append(bug)

    under_way = [id_ for id_, campaign in active.items() if campaign.can_be_steered]
    for id_ in under_way:
        await look_at(id_)
    known = await ledger.channels.steering()
    await ledger.channels.steered(known.after(clock(), look.unread))
    seen = await remember(tickets, active.keys(), names=look.names, ledger=ledger)
    look.seen.update(seen)
    others = [id_ for id_ in [*tickets, *(active.keys() - tickets.keys())] if id_ not in under_way]
    for id_ in another_first_each_minute(others, clock()):
        if clock() < until:
            await look_at(id_)
    shared = sharers(lanes, [*active.values(), *started])
    for channel, lane in lanes.items():
        of_channel = [campaign for campaign in started if campaign.takes(channel)]
        await enqueue(lane, of_channel, ledger=ledger, now=clock(), sharers=shared)
    if bugs:
        raise ExceptionGroup("discover", bugs)


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at the helpdesk: what `discover` holds in its hands while it goes round."""

    names: Names
    helpdesk: Helpdesk
    ledger: Ledger
    files: Files
    lanes: Mapping[str, Lane]
    settings: Settings
    clock: Clock
    until: datetime  #: nothing slow is begun after this
    seen: dict[int, Seen] = field(default_factory=dict)  #: what is remembered of the tickets
    unread: list[str] = field(default_factory=list)  #: campaigns whose status could not be had

    async def at(self, ticket: Ticket | None, campaign: Campaign | None) -> Campaign | None:
        """The ticket's campaign, if it could be carried on; None when there is nothing to do.

        No ticket: it is solved, deleted or somebody else's now.
        """
        if campaign and campaign.has_begun:
            return await self._steer(campaign, listed=ticket)
        if campaign and campaign.phase is Phase.APPROVED and "announced" in campaign.steps:
            if ticket and ticket.status_id == self.names.review:
                return await self._steer(campaign, listed=ticket)  # a question is no regret
            return await self._safely(campaign, self._go(campaign, listed=ticket))
        if ticket is None:
            if campaign:
                await self._withdraw(campaign)
            return None
        if campaign is None and ticket.status_id == self.names.review:
            await self._review(ticket)
        elif campaign is None:
            campaign = await self._find(ticket)
        elif ticket.status_id == self.names.cancel:
            await self._undo(campaign)
            return None
        elif campaign.phase is Phase.BLOCKED:
            campaign = await self._ask_again(campaign, ticket)
        if campaign is None or campaign.phase not in BEFORE_SENDING:
            return None
        if self._withdrawn(ticket, campaign):
            await self._withdraw(campaign)
            return None
        return await self._safely(campaign, self._carry(campaign, ticket))

    async def _steer(self, campaign: Campaign, listed: Ticket | None) -> Campaign | None:
        """The campaign, if it goes again. Whatever the list of tickets says, one that is not on it
        is read before that is believed."""
        try:
            ticket = listed or await self._ticket(campaign)
        except UtsendelseError:
            self.unread.append(campaign.id)
            raise
        if campaign.phase is Phase.REOPENING:
            return await reopen(
                campaign,
                ticket,
                names=self.names,
                lane=self.lanes[campaign.channel],
                helpdesk=self.helpdesk,
                ledger=self.ledger,
                audience=await self._audience(campaign),
                settings=self.settings,
                clock=self.clock,
            )
        steered = await steer(
            campaign,
            ticket,
            listed=listed is not None,
            names=self.names,
            helpdesk=self.helpdesk,
            ledger=self.ledger,
            settings=self.settings,
            now=self.clock(),
        )
        if steered.phase is Phase.BLOCKED and ticket:
            return await self._ask_again(steered, ticket)
        return steered if campaign.phase is not Phase.SENDING else None

    async def _ticket(self, campaign: Campaign) -> Ticket | None:
        """The campaign's ticket; None when it is gone."""
        try:
            return await self.helpdesk.ticket(campaign.ticket_id)
        except PermanentError:
            return None

    async def _safely(
        self, campaign: Campaign, steps: Awaitable[Campaign | None]
    ) -> Campaign | None:
        """What the steps come to; the campaign is blocked when only a person can help it on."""
        try:
            return await steps
        except (ThrottledError, StoppedError):
            raise
        except (BlockedError, PermanentError, TransientError, UncertainError) as error:
            passing = isinstance(error, TransientError | UncertainError)
            waiting_since = max(
                campaign.found_at, campaign.starts_at
            )  # the undo window is no trouble
            if passing and self.clock() < waiting_since + STUCK_AFTER:
                raise
            await block(
                campaign.id,
                error if isinstance(error, BlockedError) else BlockedError("refused"),
                names=self.names,
                helpdesk=self.helpdesk,
                ledger=self.ledger,
                settings=self.settings,
                now=self.clock(),
            )
            log.warning("discover.blocked campaign_id=%s because=%s", campaign.id, error)
            return None

    async def _carry(self, campaign: Campaign, ticket: Ticket) -> Campaign | None:
        """As many steps as can be taken now. Each is stored, and goes on where it left off."""
        campaigns = self.ledger.campaigns
        if campaign.phase is Phase.FOUND:
            campaign = await mark(
                campaign, helpdesk=self.helpdesk, campaigns=campaigns, settings=self.settings
            )
        if campaign.phase is Phase.EXPANDING:
            campaign = await self._for_whom(campaign)
            campaign = await freeze(
                campaign,
                ticket,
                names=self.names,
                helpdesk=self.helpdesk,
                campaigns=campaigns,
                files=self.files,
                channel=self.lanes[campaign.channel].channel,
                settings=self.settings,
                now=self.clock(),
            )
            campaign = await self._expand(campaign)
        if campaign.phase is Phase.APPROVED:
            # reading may have taken minutes: is it still wanted, and still ours?
            ticket = await self.helpdesk.ticket(ticket.id)
            if self._withdrawn(ticket, campaign):
                await self._withdraw(campaign)
                return None
            campaign = await start(
                campaign,
                ticket,
                names=self.names,
                seen=self.seen.get(ticket.id, Seen()),
                lane=self.lanes[campaign.channel],
                helpdesk=self.helpdesk,
                campaigns=campaigns,
                settings=self.settings,
                now=self.clock(),
            )
            return await self._go(campaign, listed=ticket)
        return campaign

    async def _for_whom(self, campaign: Campaign) -> Campaign:
        """The campaign, knowing whether it is a correction of the one before; until it is frozen.

        Asked at each beginning: the note may have been written, or mended, since it was blocked.
        """
        if campaign.message:
            return campaign
        earlier = await self.ledger.campaigns.on_ticket(campaign.request_number)
        last = _last_begun(one for one in earlier if one.id != campaign.id)
        if last is None:
            return campaign
        orders = await orders_on(self.helpdesk, campaign.ticket_id, since=last.starts_at)
        of = last.id if orders.whom is Whom.THE_SAME else ""
        if of == campaign.correction_of:
            return campaign
        return await self.ledger.campaigns.save(replace(campaign, correction_of=of))

    async def _expand(self, campaign: Campaign) -> Campaign:
        """The recipients in the ledger: those on the lists, or those of the campaign before."""
        who = plan_correction if campaign.correction_of else expand
        campaign = await who(
            campaign,
            helpdesk=self.helpdesk,
            ledger=self.ledger,
            audience=await self._audience(campaign),
            enough=lambda: self.clock() >= self.until,
        )
        restless = campaign.cursor.page > 0 and not campaign.cursor.memberships
        if restless and self.clock() >= campaign.found_at + STUCK_AFTER:
            raise BlockedError("lists_change")
        return campaign

    async def _audience(self, campaign: Campaign) -> Audience:
        """Whom the campaign's frozen message can be sent to."""
        try:
            letter = await Messages(self.files).of(campaign.id)
        except LookupError as error:
            raise BlockedError("message_gone") from error
        return await audience(letter, self.ledger, self.settings, self.clock(), campaign.channel)

    async def _go(self, campaign: Campaign, listed: Ticket | None) -> Campaign | None:
        """An announced campaign goes when its undo window is over, unless somebody regrets.

        Whatever the list of tickets says, the ticket itself is read before either is believed.
        """
        due = campaign.starts_at <= self.clock()
        if not (due or "regretted" in campaign.steps or self._regretted(listed, listed)):
            return None
        ticket = await self._ticket(campaign)
        if ticket is None or "regretted" in campaign.steps or self._regretted(ticket, listed):
            await self._undo(campaign)
        elif due:
            return await go(
                campaign,
                ticket,
                campaigns=self.ledger.campaigns,
                settings=self.settings,
                now=self.clock(),
            )
        return None

    async def _find(self, ticket: Ticket) -> Campaign | None:
        """A new campaign, when the ticket asks for one."""
        if not self._ready(ticket):
            return None
        earlier = await self.ledger.campaigns.on_ticket(ticket.request_number)
        if any(one.active for one in earlier):
            return None  # another host has just found it
        if self.names.ready is None and not await self._complete_and_quiet(ticket, earlier):
            return None
        last = _last_begun(earlier)
        if last and "rested" in last.steps:
            new = await unsent_messages(ticket.id, earlier, self.helpdesk, self.settings)
            if not new:
                return await self._again(last, ticket)
        ordinal = 1 + max((one.ordinal for one in earlier), default=0)
        campaign = await self.ledger.campaigns.create(
            Campaign(
                id=campaign_id(ticket.request_number, ordinal),
                ticket_id=ticket.id,
                request_number=ticket.request_number,
                channel=self._channel(ticket),
                found_at=self.clock(),
                nonce=uuid4().hex[:8],
            )
        )
        if campaign:
            log.info("discover.found campaign_id=%s ticket_id=%s", campaign.id, ticket.id)
        return campaign

    async def _again(self, last: Campaign, ticket: Ticket) -> Campaign | None:
        """Those not reached are opened again, when the ready status has been set since the end."""
        if ticket.modified.isoformat() == last.ticket_seen:
            return None
        return await ask_again(
            last,
            ticket,
            names=self.names,
            helpdesk=self.helpdesk,
            ledger=self.ledger,
            files=self.files,
            channel=self.lanes[last.channel].channel,
            settings=self.settings,
            now=self.clock(),
        )

    async def _review(self, ticket: Ticket) -> None:
        """What would be sent to whom; of a campaign that is over, who has answered."""
        earlier = await self.ledger.campaigns.on_ticket(ticket.request_number)
        last = _last_begun(earlier)
        over = last if last and last.phase is Phase.DONE else None
        if over and FORGETTING in over.steps:
            over = None  # nobody's name is left to tell of
        if over and await unsent_messages(ticket.id, earlier, self.helpdesk, self.settings):
            over = None  # another is being prepared
        if over is None:
            channel = self._channel(ticket)
            await preview(
                ticket,
                self.seen.get(ticket.id, Seen()),
                names=self.names,
                lane=self.lanes[channel],
                channel=channel,
                helpdesk=self.helpdesk,
                ledger=self.ledger,
                files=self.files,
                settings=self.settings,
                clock=self.clock,
            )
            return
        orders = await orders_on(self.helpdesk, ticket.id)
        await settle_by_hand(over.id, orders.verdicts, ledger=self.ledger, clock=self.clock)
        await review(
            over,
            ticket,
            names=self.names,
            helpdesk=self.helpdesk,
            ledger=self.ledger,
            settings=self.settings,
        )

    def _channel(self, ticket: Ticket) -> str:
        """What the ticket's end user stands for; only their tickets come this far."""
        written = address_key(ticket.end_user)
        known = self.settings.campaign_users
        return next(channel for user, channel in known.items() if user in written)

    def _ready(self, ticket: Ticket) -> bool:
        """The go status is set; or, where there is none, the ticket has been left alone."""
        if self.names.ready is not None:
            return ticket.status_id == self.names.ready
        return self._quiet(ticket.modified)

    async def _complete_and_quiet(self, ticket: Ticket, earlier: Sequence[Campaign]) -> bool:
        """Without a go status: message and lists are there and have been left alone.

        A ticket that has had its campaign never gets another one this way: a message written on
        it afterwards cannot be told from a word to the made-up user.
        """
        if any(campaign.message for campaign in earlier):
            return False
        messages = await unsent_messages(ticket.id, earlier, self.helpdesk, self.settings)
        if not messages or not all(self._quiet(message.changed) for message in messages):
            return False
        lists = await self.helpdesk.lists(ticket.id)
        return bool(lists) and all(self._quiet(one.linked_at) for one in lists)

    def _quiet(self, changed: datetime) -> bool:
        return changed + timedelta(minutes=self.settings.QUIET_PERIOD_MINUTES) <= self.clock()

    def _withdrawn(self, ticket: Ticket, campaign: Campaign) -> bool:
        """The go was taken back, or another installation has started what we have not."""
        starting = campaign.phase is Phase.APPROVED and campaign.starts_at != NEVER
        going = {self.names.ready, self.names.running} if starting else {self.names.ready}
        return self.names.ready is not None and ticket.status_id not in going

    def _regretted(self, ticket: Ticket | None, listed: Ticket | None) -> bool:
        """Somebody has taken the ticket out of our hands: given it another status, or solved it."""
        expected = self.names.running or self.names.ready
        if expected is None:
            return listed is None
        return ticket is None or ticket.deleted or ticket.status_id != expected

    async def _withdraw(self, campaign: Campaign) -> None:
        """Call it off if nothing has been sent. It carried no message: a later go begins afresh."""
        if campaign.phase is Phase.APPROVED and campaign.starts_at != NEVER:
            await self._undo(campaign)  # the start note may stand
            return
        blocked = campaign.phase is Phase.BLOCKED
        if (campaign.blocked_from if blocked else campaign.phase) in BEFORE_SENDING:
            await self.ledger.campaigns.save(campaign.to(Phase.CANCELLED, message=""))
            log.info("discover.withdrawn campaign_id=%s", campaign.id)

    async def _undo(self, campaign: Campaign) -> None:
        by_status = self.names.ready is not None
        await undo(campaign, by_status=by_status, helpdesk=self.helpdesk, ledger=self.ledger)

    async def _ask_again(self, campaign: Campaign, ticket: Ticket) -> Campaign | None:
        """The blocked campaign on its way again, when somebody has acted on what we wrote."""
        if "told" not in campaign.steps:
            await tell_why(
                campaign,
                names=self.names,
                helpdesk=self.helpdesk,
                ledger=self.ledger,
                settings=self.settings,
                now=self.clock(),
            )
            return None
        touched = ticket.modified.isoformat() != campaign.ticket_seen
        if self._ready(ticket) and (status_tells(self.names) or touched):
            if campaign.problem == "channel_closed":
                await self._try_anew(campaign)
            return await unblock(
                campaign,
                channel=self._channel(ticket),
                campaigns=self.ledger.campaigns,
                now=self.clock(),
            )
        return None

    async def _try_anew(self, campaign: Campaign) -> None:
        """Somebody has mended the channel, they say: what went before is not held against it."""
        for pace in self.lanes[campaign.channel].paces:
            state = await self.ledger.channels.get(pace.channel)
            await self.ledger.channels.save(state.went_through())


def _last_begun(campaigns: Iterable[Campaign]) -> Campaign | None:
    """The last of them of which anybody may have got anything."""
    begun = (campaign for campaign in campaigns if campaign.has_begun)
    return max(begun, key=lambda one: one.ordinal, default=None)
