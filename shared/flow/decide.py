"""Decide: what a person has found out about a letter job whose fate nobody could tell."""

import logging
from datetime import timedelta
from enum import StrEnum

from shared.domain.campaign import LETTERS
from shared.domain.letter_job import (
    CONTRADICTED,
    GIVEN_UP,
    NOT_UPLOADED,
    REFUSED_ONCE,
    Job,
    JobKind,
    JobState,
)
from shared.errors import ClashError
from shared.ledger import Ledger
from shared.ledger.jobs import lost
from shared.ports import Clock

log = logging.getLogger(__name__)

#: Deciding takes seconds, and a host ends a function after five minutes.
_LEASE = timedelta(minutes=10)


class Decision(StrEnum):
    RECEIVED = "received"  #: Digipost has it: wait for the receipts
    NOT_RECEIVED = "not_received"  #: Digipost does not have it: it, or its like, may go again
    UNCERTAIN = "uncertain"  #: nobody can tell: its deliveries become *uncertain*, one by one


#: In which states there is something to decide. A result that never comes may be given up.
_OPEN_TO = {
    Decision.RECEIVED: {JobState.UNKNOWN},
    Decision.NOT_RECEIVED: {JobState.UNKNOWN},
    Decision.UNCERTAIN: {
        JobState.UNKNOWN,
        JobState.UPLOADED,
        JobState.RECEIVED,
        JobState.PROVISIONAL,
    },
}


async def decide(
    campaign: str, number: int, decision: Decision, *, ledger: Ledger, clock: Clock
) -> Job | None:
    """The job after the decision; None when there is no such job, or nothing to decide about it.

    Raises ClashError while its jobs are being moved: asking again in a minute is harmless.
    """
    what = f"letters {campaign}"
    claim = await ledger.reports.take(what, clock(), _LEASE)
    if claim is None:
        raise ClashError(f"campaign {campaign}: its jobs are being moved")
    try:
        for job in await ledger.jobs.of(campaign):
            mine = job.number == number and job.kind is JobKind.SEND
            if mine and (job.state in _OPEN_TO[decision] or _settles(job, decision)):
                return await _decided(job, decision, ledger, clock)
        return None
    finally:
        await ledger.reports.release(what, claim)


async def _decided(job: Job, decision: Decision, ledger: Ledger, clock: Clock) -> Job:
    log.info("letters.decided job_id=%s decision=%s", job.id, decision)
    if decision is Decision.RECEIVED:
        there = job.undid(REFUSED_ONCE)
        return await ledger.jobs.save(there.to(JobState.UPLOADED, clock()))
    if _settles(job, decision):
        if decision is Decision.UNCERTAIN:
            await _all_in_doubt(job.partition, ledger, clock)
        return await ledger.jobs.save(job.undid(CONTRADICTED))
    if decision is Decision.NOT_RECEIVED:
        return await ledger.jobs.save(job.again(clock()))
    job = await ledger.jobs.save(job.did(GIVEN_UP))
    await ledger.jobs.lose(job, clock())
    return await ledger.jobs.save(job.to(JobState.ABANDONED, clock()))


def _settles(job: Job, decision: Decision) -> bool:
    """Whether a person has looked into a job of which Digipost has said two things: nothing of it
    was delivered, or some of it may have been.
    """
    return CONTRADICTED in job.steps and decision is not Decision.RECEIVED


async def _all_in_doubt(campaign: str, ledger: Ledger, clock: Clock) -> None:
    """Whoever has got no letter by another job since may have got one by the one in doubt."""
    doubtful = [one async for one in ledger.jobs.waiting(campaign, (LETTERS,), clock())]
    for other in await ledger.jobs.of(campaign):
        if other.kind is JobKind.SEND and other.state in NOT_UPLOADED:
            async for some in ledger.jobs.owned(other):  # the job ends when it is built, empty
                doubtful += some
    await ledger.jobs.finish(campaign, [lost(one) for one in doubtful], clock())
