"""Reopen: another round for those who were not reached, and for nobody else.

The campaign is moved first, then the rows; nothing is released until all of them are in place.
Each look goes on where the one before left off, and may be taken again at any line.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from uuid import UUID

from shared.domain.campaign import Campaign, Phase
from shared.domain.delivery import NEVER, Delivery, Outcome, Status, delivery_id
from shared.domain.helpdesk import Names, Ticket
from shared.domain.orders import Orders, Whom
from shared.domain.recipient import (
    LeftOut,
    LeftOutReason,
    Member,
    Recipient,
    address_key,
    normalise_address,
    recipient_key,
)
from shared.domain.round import MENDABLE
from shared.errors import BlockedError, PermanentError
from shared.flow.audience import Audience
from shared.flow.enqueue import Lane
from shared.flow.expand import changed, lists_on, next_members, sort_out
from shared.flow.ordered import orders_on, start_asked_for
from shared.flow.rest import at_rest
from shared.flow.settle import settle_by_hand
from shared.flow.tally import tally
from shared.flow.wording import post, post_once, posted, render
from shared.ledger import Ledger
from shared.ledger.delivery_rows import left_out_key
from shared.ledger.rounds import Again, Opened
from shared.ports import Clock, Helpdesk, Receipt
from shared.settings import Settings

log = logging.getLogger(__name__)

#: So many rows are looked at before it is stored how far we are.
_PAGE = 256
#: A look begins nothing more after so many calls to the helpdesk, or after that long.
_CALLS, _LONGEST = 40, timedelta(seconds=20)
#: So many are asked about in one call, and so many addresses.
_IDS_A_CALL, _ADDRESSES_A_CALL = 64, 20
#: Whoever has given the ticket another status meanwhile is heard before anything leaves.
_HELD = timedelta(minutes=5)

#: The steps of a round that is being made ready.
_JUDGED, _MENDED, _NEW_READ, _NEW_UNREAD = "judged", "mended", "new_read", "new_unread"


async def reopen(
    campaign: Campaign,
    ticket: Ticket | None,
    *,
    names: Names,
    lane: Lane,
    helpdesk: Helpdesk,
    ledger: Ledger,
    audience: Audience,
    settings: Settings,
    clock: Clock,
) -> Campaign:
    """The campaign as *sending* once everybody who can be reached now is open again.

    *Done* when there is nobody; unchanged phase as long as there is more to look at. First the
    uncertain that a person has had a word on, then those not reached by what is known of them
    today, then, if asked for, those who are new on the lists.
    """
    if ticket is None or ticket.deleted:
        log.warning("reopen.no_ticket campaign_id=%s", campaign.id)
        return campaign
    orders = await orders_on(helpdesk, ticket.id, since=campaign.starts_at)
    if _JUDGED not in campaign.steps:
        await settle_by_hand(campaign.id, orders.verdicts, ledger=ledger, clock=clock)
        campaign = await ledger.campaigns.save(campaign.did(_JUDGED))
    look = _Look(names, lane, helpdesk, ledger, audience, settings, clock, clock() + _LONGEST)
    if _MENDED not in campaign.steps:
        campaign = await look.at_those_not_reached(campaign)
    wants_new = orders.whom is Whom.NEW_TOO and not campaign.correction_of
    if _MENDED in campaign.steps and wants_new and _NEW_READ not in campaign.steps:
        campaign = await look.at_the_lists(campaign)
    all_of_it = {_MENDED, _NEW_READ} if wants_new else {_MENDED}
    return await look.go(campaign, orders) if all_of_it <= campaign.steps else campaign


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a campaign that is reopening."""

    names: Names
    lane: Lane
    helpdesk: Helpdesk
    ledger: Ledger
    audience: Audience
    settings: Settings
    clock: Clock
    until: datetime

    # --- those who were not reached ---

    async def at_those_not_reached(self, campaign: Campaign) -> Campaign:
        """Row by row from the cursor: first the deliveries, then the memberships left out."""
        rounds = self.ledger.rounds
        reached: set[bytes] | None = None
        calls = 0
        while calls < _CALLS and self.clock() < self.until:
            row = campaign.cursor.row
            behind_them = row.startswith("s:")
            some = [] if behind_them else await rounds.not_reached(campaign.id, row, _PAGE)
            if some:
                calls += await self._open(campaign, some)
                row = f"d:{some[-1].id}"
            else:
                left_out = await rounds.left_out(campaign.id, row, _PAGE)
                if not left_out:
                    return await self._all_looked_at(campaign)
                if reached is None:
                    reached = await rounds.reached(campaign.id)
                calls += await self._let_in(campaign, left_out, reached)
                row = left_out_key(left_out[-1])
            cursor = replace(campaign.cursor, row=row)
            campaign = await self.ledger.campaigns.save(replace(campaign, cursor=cursor))
        return campaign

    async def _open(self, campaign: Campaign, some: Sequence[Delivery]) -> int:
        """Those of them who can be reached today are open again; how many calls it took."""
        rounds = self.ledger.rounds
        people, calls = await self._people([one.recipient.member for one in some])
        reachable = [(one, who) for one in some if (who := people.get(one.recipient.member))]
        notes: Mapping[str, Receipt | str] = {}
        if self.lane.asked and reachable:
            notes = await self.lane.asked.resume(reachable)
            calls += 3 * ceil(sum(1 for one in notes.values() if one) / _IDS_A_CALL)
        again = []
        for one, who in reachable:
            note = notes.get(one.id, "")
            if isinstance(note, Receipt):
                outcome = Outcome(Status.SENT, reference=note.reference, detail=note.detail)
                await rounds.went_out(one, outcome, self.clock())
            elif _delivery_id(campaign, who) == one.id:
                mended = address_key(one.recipient.address) != address_key(who.address)
                again.append(Again(one, who, note, mended))
            else:
                await rounds.place(campaign, one, who)
        await rounds.open_again(campaign, again)
        return calls

    async def _let_in(
        self, campaign: Campaign, left_out: Sequence[LeftOut], reached: set[bytes]
    ) -> int:
        """Those of them who can be reached today have a delivery; how many calls it took.

        Where two shared an address and the mail to it was not sent, each may have one of their own
        by now.
        """
        some = [one for one in left_out if _may_be_let_in(campaign, one, reached)]
        people, calls = await self._people([str(one.member) for one in some])
        for one in some:
            if who := people.get(str(one.member)):
                was = normalise_address(one.member.address or "") or ""
                shared = one.reason is LeftOutReason.DUPLICATE
                mended = not shared or address_key(was) != address_key(who.address)
                today = replace(one.member, name=who.name, address=who.address)
                before = replace(one, member=today)
                await self.ledger.rounds.place(campaign, before, who, mended=mended)
        return calls

    async def _people(self, members: Sequence[str]) -> tuple[Mapping[str, Recipient], int]:
        """Those of them who can be reached today, and how many calls it took to find out."""
        found = await self.helpdesk.people(members) if members else {}
        today = {m: who for m, person in found.items() if (who := self._today(person))}
        calls = ceil(len(members) / _IDS_A_CALL)
        unknown = sorted({one.address for one in today.values() if not one.user})
        if self.lane.channel.name != "ticket" or not unknown:
            return today, calls
        users = await self._users_at(unknown)
        known = {m: replace(r, user=r.user or users.get(r.address, 0)) for m, r in today.items()}
        return known, calls + ceil(len(unknown) / _ADDRESSES_A_CALL)

    async def _users_at(self, addresses: Sequence[str]) -> Mapping[str, int]:
        try:
            return await self.helpdesk.users_at(addresses)
        except PermanentError as error:  # then each is looked up when their turn comes
            log.warning("reopen.users_unknown because=%s", error)
            return {}

    async def _all_looked_at(self, campaign: Campaign) -> Campaign:
        count = await self.ledger.deliveries.count(campaign.id)
        return await self.ledger.campaigns.save(
            campaign.did(
                _MENDED,
                planned=count.planned,
                unknown=count.unknown,
                left_out=count.left_out,
                cursor=campaign.cursor.anew(),
            )
        )

    # --- those who are new on the lists ---

    async def at_the_lists(self, campaign: Campaign) -> Campaign:
        """The lists are read once more, page by page, for those whom the ledger does not know.

        Lists that cannot be read any more keep nobody else waiting.
        """
        try:
            return await self._read_on(campaign)
        except BlockedError as error:
            log.warning("reopen.lists_unread campaign_id=%s because=%s", campaign.id, error)
            return await self.ledger.campaigns.save(campaign.did(_NEW_READ).did(_NEW_UNREAD))

    async def _read_on(self, campaign: Campaign) -> Campaign:
        campaigns = self.ledger.campaigns
        if not campaign.cursor.edges:
            lists = await lists_on(campaign.ticket_id, self.helpdesk)
            campaign = await campaigns.save(replace(campaign, lists=lists))
        readable = [one for one in campaign.lists if not one.deleted]
        ids, members = await self.ledger.rounds.everybody(campaign.id)
        while campaign.cursor.list_index < len(readable):
            if self.clock() >= self.until:
                return campaign
            list_ = readable[campaign.cursor.list_index]
            found = await next_members(list_, campaign.cursor, self.helpdesk)
            if found is None:
                return await self._read_anew(campaign)
            there, cursor = found
            new = {str(one): one for one in there if str(one) not in members}
            planned, left_out = sort_out(campaign, list_, new.values(), ids, self.audience)
            await self._add(campaign, planned, left_out)
            members.update(new)
            campaign = await campaigns.save(replace(campaign, cursor=cursor))
        if await changed(campaign, self.helpdesk):
            return await self._read_anew(campaign)
        return await campaigns.save(campaign.did(_NEW_READ))

    async def _read_anew(self, campaign: Campaign) -> Campaign:
        """At the next look. Whoever has been added was on a list when it was read, and stays."""
        log.warning("reopen.lists_changed campaign_id=%s", campaign.id)
        anew = replace(campaign, cursor=campaign.cursor.anew())
        return await self.ledger.campaigns.save(anew)

    async def _add(
        self, campaign: Campaign, planned: Sequence[Delivery], left_out: Sequence[LeftOut]
    ) -> None:
        unknown = [one.recipient.address for one in planned if not one.recipient.user]
        of_tickets = self.lane.channel.name == "ticket"
        users = await self._users_at(unknown) if of_tickets and unknown else {}
        added = []
        for one in planned:
            who = one.recipient
            who = replace(who, user=who.user or users.get(who.address, 0))
            added.append(replace(one, recipient=who, round=campaign.round))
        others = [one for one in left_out if one.reason is not LeftOutReason.DUPLICATE]
        await self.ledger.deliveries.plan(campaign.id, added, others)
        for doubled in left_out:
            who_else = self._today(doubled.member)
            if doubled.reason is LeftOutReason.DUPLICATE and who_else:
                # whoever has the place may not have been reached there
                await self.ledger.rounds.place(campaign, doubled, who_else, mended=False, new=True)

    def _today(self, member: Member) -> Recipient | None:
        """The member as a recipient; None when they cannot be reached."""
        recipient = self.audience.recipient(member)
        return recipient if isinstance(recipient, Recipient) else None

    # --- when all of them are in place ---

    async def go(self, campaign: Campaign, orders: Orders) -> Campaign:
        """Told of on the ticket, then *sending*; the first leaves when the undo window is over.

        A status that somebody has set meanwhile is left alone, and is heard before that.
        """
        ledger, names = self.ledger, self.names
        opened = await ledger.rounds.opened(campaign.id)
        count = await ledger.deliveries.count(campaign.id)
        new = count.planned - campaign.planned
        campaign = replace(
            campaign, planned=count.planned, unknown=count.unknown, left_out=count.left_out
        )
        if not opened.deliveries:
            return await self._nobody(campaign)
        ticket = await self.helpdesk.ticket(campaign.ticket_id)
        wanted = names.ready is None or ticket.status_id in {names.ready, names.running}
        note = _note(campaign)
        if not await posted(self.helpdesk, ticket.id, note):
            starts_at = max(
                campaign.starts_at,  # of the last round, or of this one when we were stopped here
                self._start_asked_for(orders),
                self.clock() + timedelta(seconds=self.settings.UNDO_SECONDS),
            )
            campaign = replace(campaign, starts_at=starts_at)
            html = await self._told(campaign, opened, new)
            # right before the note: whoever was slower has lost the campaign by now
            campaign = await ledger.campaigns.save(campaign)
            await post(self.helpdesk, ticket.id, note, html)
        now = self.clock()
        if wanted:
            await self.helpdesk.change_ticket(ticket.id, status_id=names.running, silent=True)
        log.info("reopen.done campaign_id=%s deliveries=%s", campaign.id, opened.deliveries)
        return await ledger.campaigns.save(
            campaign.to(
                Phase.SENDING,
                starts_at=campaign.starts_at if wanted else max(campaign.starts_at, now + _HELD),
                judged_from=now,
                open_then=opened.deliveries,
                solved_status=names.solved,
            )
        )

    async def _nobody(self, campaign: Campaign) -> Campaign:
        """Solved as it was before, with a word on why."""
        html = await self._told(campaign, Opened(), 0)
        await post_once(self.helpdesk, campaign.ticket_id, _note(campaign), html)
        with suppress(PermanentError):  # then it is for the case worker to solve
            await self.helpdesk.change_ticket(
                campaign.ticket_id, status_id=self.names.solved, silent=True
            )
        campaign = await at_rest(campaign, self.helpdesk, heard=False)
        log.info("reopen.nobody campaign_id=%s", campaign.id)
        return await self.ledger.campaigns.save(campaign.to(Phase.DONE))

    async def _told(self, campaign: Campaign, opened: Opened, new: int) -> str:
        starts = campaign.starts_at
        known = opened.deliveries - opened.unknown
        return render(
            "reopened.html",
            campaign=campaign,
            opened=opened,
            new=new,
            unread=_NEW_UNREAD in campaign.steps,
            tally=await tally(campaign, self.ledger),
            opens_at=self.lane.opens(starts),
            ends_at=self.lane.ends(starts, known, opened.unknown),
            may_be_regretted=self.settings.UNDO_SECONDS > 0,
            ready=self.settings.STATUS_READY,
            pause=self.settings.STATUS_PAUSE,
            cancel=self.settings.STATUS_CANCEL,
        )

    def _start_asked_for(self, orders: Orders) -> datetime:
        with suppress(BlockedError):  # the note says when it starts, and there is time to regret
            return start_asked_for(orders, self.settings, self.clock())
        return NEVER


def _note(campaign: Campaign) -> str:
    return f"{campaign.run}/runde-{campaign.round}"


def _delivery_id(campaign: Campaign, recipient: Recipient) -> str:
    return delivery_id(campaign.run, recipient_key(campaign.channel, recipient))


def _may_be_let_in(campaign: Campaign, left_out: LeftOut, reached: set[bytes]) -> bool:
    if not left_out.member.id:
        return False  # erased
    if left_out.reason is LeftOutReason.DUPLICATE and campaign.channel == "email":
        address = normalise_address(left_out.member.address or "")
        theirs = address and delivery_id(campaign.run, address_key(address))
        return not (theirs and UUID(theirs).bytes in reached)
    return left_out.reason in MENDABLE
