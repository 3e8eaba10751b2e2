"""Preview: what would go out, to whom and when, told on the ticket. Nothing else comes of it."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import cast

from shared.domain.accessible import Finding, findings
from shared.domain.campaign import LETTERS, Campaign, campaign_id
from shared.domain.delivery import NEVER
from shared.domain.helpdesk import Names, Ticket
from shared.domain.html import clean_html
from shared.domain.letter import Letter
from shared.domain.orders import Orders, Whom
from shared.domain.preview import Seen
from shared.domain.recipient import Recipient
from shared.domain.window import oslo_day, oslo_midnight
from shared.errors import BlockedError, PermanentError
from shared.flow.audience import audience
from shared.flow.draft import Draft, draft
from shared.flow.enqueue import Lane
from shared.flow.expand import PAGES_PER_TICK
from shared.flow.freeze import choose
from shared.flow.headcount import Pick, Reach, headcount, nobody
from shared.flow.mark import mark_of, refuse_foreign
from shared.flow.ordered import orders_on, since_the_last, start_asked_for
from shared.flow.preview_letters import LetterLook, how_found, look_at_letter
from shared.flow.trial import Trial, trial
from shared.flow.wording import post_once, render
from shared.ledger import Ledger
from shared.ports import Clock, Files, Helpdesk, LetterMedium
from shared.settings import Settings

log = logging.getLogger(__name__)


async def preview(
    ticket: Ticket,
    seen: Seen,
    *,
    names: Names,
    lane: Lane,
    channel: str,
    helpdesk: Helpdesk,
    ledger: Ledger,
    files: Files,
    settings: Settings,
    clock: Clock,
    pages: int = PAGES_PER_TICK,
) -> None:
    """A note on what would be sent, and what must be put right first; then the status of before.

    Nothing is planned, marked or stored but what the note told of. When the note is there only the
    status is missing; but if somebody has changed the ticket since, it had come through, and this
    is another request. Of the lists at most so many `pages` are read.
    """
    if not seen.asked_at or ticket.modified.isoformat() != seen.told_at:
        teller = _Teller(
            ticket, channel, names, lane, helpdesk, ledger, files, settings, clock, clock(), pages
        )
        seen = await teller.tell(seen)
    before = _status_before(seen, names)
    if before is None:
        return
    ticket = await helpdesk.ticket(ticket.id)
    if ticket.status_id == names.review:  # telling may have taken minutes
        try:
            await helpdesk.change_ticket(ticket.id, status_id=before, silent=True)
        except PermanentError:
            return  # it is for the case worker to set one
    await ledger.tickets.remember(ticket.id, replace(seen, asked_at=""))


def _status_before(seen: Seen, names: Names) -> int | None:
    """Where the status goes back to; None when it is left alone, for that would set something off.

    Who sets the go status and then asks for a preview has thought better of it.
    """
    steering = {names.ready, names.running, names.pause, names.cancel, names.review}
    return seen.status if seen.status and seen.status not in steering else None


@dataclass(frozen=True, slots=True)
class When:
    """When it would be sent. `first_day`: so many of them on the day it starts, by the quota."""

    starts: datetime
    ends: datetime | None
    waits: bool  #: for the window to open
    first_day: int | None = None
    per_day: int = 0


@dataclass(frozen=True, slots=True)
class _Teller:
    """What is known of the ticket while it is looked into."""

    ticket: Ticket
    channel: str
    names: Names
    lane: Lane
    helpdesk: Helpdesk
    ledger: Ledger
    files: Files
    settings: Settings
    clock: Clock
    now: datetime
    pages: int

    async def tell(self, seen: Seen) -> Seen:
        """The note on the ticket, and what is remembered of it.

        The note's name is the same until it is remembered as told, so that none comes twice; and
        another one if what it tells of has changed by then.
        """
        if not seen.asked_at:
            seen = await self._remember(replace(seen, asked_at=self.ticket.modified.isoformat()))
        problems: list[BlockedError] = []
        known = await self.ledger.campaigns.on_ticket(self.ticket.request_number)
        with _noting(problems):
            marks = [mark_of(campaign, self.settings) for campaign in known]
            refuse_foreign(self.ticket, marks, self.settings)
        drafted = reach = None
        campaign = await self._campaign(known)
        orders = await orders_on(self.helpdesk, self.ticket.id, since_the_last(known))
        with _noting(problems):
            drafted = await self._draft(campaign, known)
            problems += drafted.problems
        with _noting(problems):
            letter = drafted.letter if drafted else None
            reach = await self._reach(campaign, letter, Pick(orders.trial, seen.asked_at))
            if problem := nobody(campaign, reach):
                problems.append(problem)
        look = None
        if drafted and self.channel == LETTERS:
            with _noting(problems):
                look = await self._look(drafted, reach)
                problems += look.problems
        asked_for = NEVER
        with _noting(problems):
            asked_for = start_asked_for(orders, self.settings, self.now)
        told = [(p.problem, {n: str(v) for n, v in p.detail.items()}) for p in problems]
        shown = replace(
            seen,
            text_print=drafted.print if drafted else "",
            who_print=reach.who_print if reach else "",
            planned=reach.all.planned if reach else 0,
        )
        tried = None
        if drafted and reach and reach.pick.picked and not problems:
            tried = await self._try_out(drafted, reach.pick.picked, shown)
            shown = replace(shown, tried_at=seen.asked_at)
        await self._post(
            _edition(shown, asked_for, told),
            tickets=self.channel == "ticket",
            letters=self.channel == LETTERS,
            look=look,
            problems=told,
            draft=drafted,
            description=_description(drafted),
            reach=reach,
            tried=tried,
            not_found=orders.trial if reach and not reach.pick.picked else "",
            found=_found(drafted),
            when=await self._when(reach, asked_for) if reach and reach.all.planned else None,
            asked_for=None if asked_for == NEVER else asked_for,
            now=self.now,
            settings=self.settings,
            by_status=self.names.ready is not None,
            goes_back=_status_before(seen, self.names) is not None,
        )
        log.info(
            "preview.told ticket_id=%s planned=%s problems=%s",
            self.ticket.id,
            shown.planned,
            ",".join(problem.problem for problem in problems),
        )
        modified = (await self.helpdesk.ticket(self.ticket.id)).modified
        return await self._remember(replace(shown, told_at=modified.isoformat()))

    async def _remember(self, seen: Seen) -> Seen:
        await self.ledger.tickets.remember(self.ticket.id, seen)
        return seen

    async def _post(self, edition: str, **facts: object) -> None:
        name = f"{self.ticket.request_number}/til-kontroll-{edition}"
        try:
            html = render("preview.html", **facts, sample=True)
            await post_once(self.helpdesk, self.ticket.id, name, html)
        except PermanentError as error:  # most likely too long; the counts are worth having
            log.warning("preview.shortened ticket_id=%s because=%s", self.ticket.id, error)
            html = render("preview.html", **facts, sample=False)
            await post_once(self.helpdesk, self.ticket.id, name, html)

    async def _try_out(self, drafted: Draft, picked: Recipient, shown: Seen) -> Trial:
        return await trial(
            drafted,
            picked,
            self.ticket.id,
            shown,
            channel=self.lane.channel,
            helpdesk=self.helpdesk,
            files=self.files,
            ledger=self.ledger,
            settings=self.settings,
            clock=self.clock,
        )

    async def _draft(self, campaign: Campaign, known: Sequence[Campaign]) -> Draft:
        chosen = await choose(
            self.ticket, known, helpdesk=self.helpdesk, settings=self.settings, now=self.now
        )
        return await draft(
            chosen,
            self.ticket,
            self.lane.channel,
            number=campaign.id,
            names=self.names,
            helpdesk=self.helpdesk,
            files=self.files,
            settings=self.settings,
        )

    async def _campaign(self, known: Sequence[Campaign]) -> Campaign:
        """The campaign that there would be. It is never stored."""
        last = max(known, key=lambda one: one.ordinal, default=None)
        orders = Orders()
        if last and last.has_begun:
            orders = await orders_on(self.helpdesk, self.ticket.id, since=last.starts_at)
        return Campaign(
            id=campaign_id(self.ticket.request_number, 1 + (last.ordinal if last else 0)),
            ticket_id=self.ticket.id,
            request_number=self.ticket.request_number,
            channel=self.channel,
            found_at=self.now,
            nonce="",
            correction_of=last.id if last and orders.whom is Whom.THE_SAME else "",
        )

    async def _reach(self, campaign: Campaign, letter: Letter | None, pick: Pick) -> Reach:
        return await headcount(
            campaign,
            helpdesk=self.helpdesk,
            ledger=self.ledger,
            audience=await audience(letter, self.ledger, self.settings, self.now, self.channel),
            pages=self.pages,
            pick=pick,
        )

    async def _look(self, drafted: Draft, reach: Reach | None) -> LetterLook:
        people = reach.people if reach else []
        found = await how_found(people, self.ledger, self.settings, self.now)
        return await look_at_letter(
            drafted,
            found,
            len(people),
            reach.pick.picked if reach else None,
            medium=cast(LetterMedium, self.lane.channel),
            helpdesk=self.helpdesk,
            settings=self.settings,
        )

    async def _when(self, reach: Reach, asked_for: datetime) -> When:
        """If it were asked for now. What others send in the meantime is not known."""
        wait = timedelta(seconds=self.settings.UNDO_SECONDS)
        if self.names.ready is None:
            wait += timedelta(minutes=self.settings.QUIET_PERIOD_MINUTES)
        earliest = max(asked_for, self.now + wait)
        starts = self.lane.opens(earliest)
        waits = starts > earliest
        planned, unknown = reach.all.planned, reach.unknown
        ends = self.lane.ends(starts, planned - unknown, unknown)
        first_day, per_day = planned, 0
        for pace in self.lane.paces:
            if pace.per_day:
                state = await self.ledger.channels.get(pace.channel)
                left = max(0, pace.per_day - state.released_on(starts))
                first_day, per_day = min((first_day, per_day), (left, pace.per_day))
        if first_day >= planned or ends is None:
            return When(starts, ends, waits)
        tomorrow = oslo_midnight(oslo_day(starts) + timedelta(days=1))
        unknown = min(unknown, planned - first_day)
        later = self.lane.ends(tomorrow, planned - first_day - unknown, unknown) or ends
        starts = starts if first_day else self.lane.opens(tomorrow)
        return When(starts, max(ends, later), waits, first_day, per_day)


@contextmanager
def _noting(problems: list[BlockedError]) -> Iterator[None]:
    """What would stop the campaign is noted, and the look goes on."""
    try:
        yield
    except BlockedError as problem:
        problems.append(problem)
    except PermanentError as error:
        log.warning("preview.refused because=%s", error)
        problems.append(BlockedError("refused"))


def _edition(shown: Seen, asked_for: datetime, problems: Sequence[object]) -> str:
    """Changes when a note would tell of something else, or is asked for anew."""
    told = f"{shown} {asked_for} {problems}"
    return sha256(told.encode()).hexdigest()[:8]


def _found(drafted: Draft | None) -> list[Finding]:
    """What is hard to read in it for some."""
    return findings(drafted.message.html, lang=drafted.message.lang) if drafted else []


def _description(drafted: Draft | None) -> str:
    """What stands on recipients' tickets, harmless on this one."""
    template = drafted.message.ticket if drafted else None
    return clean_html(template.description) if template else ""
