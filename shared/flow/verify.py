"""Verify: has what a provider took on really gone out? Asked for many deliveries at a time."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from shared.domain.campaign import Campaign
from shared.domain.delivery import OpenDelivery, Outcome, Reason, Status
from shared.domain.portions import in_portions
from shared.errors import PermanentError
from shared.ledger import Ledger
from shared.ports import Asked, Clock

log = logging.getLogger(__name__)

#: So many are asked about in one call. The filter stays below the 2,048 characters that the web
#: server in front of the helpdesk takes unless told otherwise. Not a round number: an answer of
#: round length may have been cut, and would cost a second call.
AT_ONCE = 64


async def verify(
    campaign: Campaign,
    asked: Asked,
    *,
    ledger: Ledger,
    clock: Clock,
    until: datetime | None = None,
    channel: str | None = None,
) -> None:
    """Settle what has been answered; what has not is asked about later, less often as time goes.

    A portion that is not full waits for more, if there is more to come, but no longer than the
    first check waits.
    None is asked about after `until`: it is still due in the next round.
    What has no answer within the channel's longest wait is *uncertain*, with the reason; without
    one it has gone out, and only what we wanted to write about it is still missing.
    """
    due = await ledger.deliveries.unanswered(campaign.id, clock(), channel)
    more_to_come = bool(due) and await ledger.deliveries.more_open_than(campaign.id, len(due))
    for portion in in_portions(due, AT_ONCE):
        waited = min(one.not_before for one in portion) + asked.first_check
        if len(portion) < AT_ONCE and more_to_come and clock() < waited:
            continue
        if until is not None and clock() >= until:
            return
        known, refused = await _answers(asked, portion)
        later = []
        for one in portion:
            outcome = known.get(one.id, refused)
            if outcome is None:  # not looked at, so nobody knows less than before
                later.append((one, clock() + asked.first_check))
                continue
            if outcome.status is Status.SUBMITTED:
                age = clock() - one.submitted_at
                if age < asked.longest_wait:
                    later.append((one, _next_look(one, asked, clock())))
                    continue
                given_up = Status.UNCERTAIN if outcome.reason else Status.SENT
                outcome = replace(outcome, status=given_up)
            outcome = replace(outcome, reference=outcome.reference or one.note)
            await ledger.deliveries.settle(one, outcome, clock())
            log.info("verify.%s campaign_id=%s delivery_id=%s", outcome.status, campaign.id, one.id)
        await ledger.deliveries.ask_later(later)


async def _answers(
    asked: Asked, portion: Sequence[OpenDelivery]
) -> tuple[Mapping[str, Outcome], Outcome | None]:
    """What is known of these, and what holds for all when they will not say."""
    try:
        return await asked.check(portion), None
    except PermanentError as error:
        return {}, Outcome(Status.SUBMITTED, Reason.NO_ANSWER, detail=str(error))


def _next_look(one: OpenDelivery, asked: Asked, now: datetime) -> datetime:
    """At twice its age, but not beyond the time when we give up."""
    wait = max(asked.first_check, now - one.submitted_at)
    return min(now + wait, one.submitted_at + asked.longest_wait)
