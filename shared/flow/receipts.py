"""Receipts: what Digipost has left for us, fetched, kept, and noted on the job it belongs to.

A receipt is in our own store before it is taken away there, and on its job before it counts as
read; `letters` then acts on it. Joined by the job's id alone. What we can do nothing with stays
where it is, is kept, and is told of once.
"""

import logging
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from shared.domain.alert import Alert
from shared.domain.job_receipt import JobAnswer, JobError, JobReceipt
from shared.domain.letter_job import (
    MAY_BE_THERE,
    REFUSED_ONCE,
    Job,
    JobKind,
    JobState,
    partition_of,
)
from shared.errors import (
    ClashError,
    PermanentError,
    StoppedError,
    ThrottledError,
    UtsendelseError,
)
from shared.flow.watch import Watch
from shared.ledger import Ledger
from shared.ports import Clock, Files, LetterService
from shared.settings import Settings

log = logging.getLogger(__name__)

#: The most that we hold of a receipt: a row of some 400 bytes for each of 100,000 letters, zipped.
LARGEST = 50_000_000
#: Where receipts of no campaign are kept, beside the campaigns' own files.
_STRAY = "digipost-receipts"

_STATE = {
    JobAnswer.RECEIVED: JobState.RECEIVED,
    JobAnswer.PROVISIONAL: JobState.PROVISIONAL,
    JobAnswer.SUCCESS: JobState.ANSWERED,
    JobAnswer.FAILED: JobState.FAILED,
}
#: What a file in the folder was, beside the answers; only what is half there is looked at again.
_HALF, _UNREADABLE, _NOT_OURS, _UNKNOWN_JOB = "half", "unreadable", "not_ours", "unknown_job"
_FOR_GOOD = {*JobAnswer, _NOT_OURS, _UNKNOWN_JOB}
#: Of these nothing is kept, and nothing but time is lost by looking once more.
LOOKED_AT_AGAIN = frozenset({_HALF, _NOT_OURS})
_WAITS = {
    JobState.UPLOADING,
    JobState.UNKNOWN,
    JobState.UPLOADED,
    JobState.RECEIVED,
    JobState.PROVISIONAL,
}


async def receipts(
    *,
    service: LetterService,
    ledger: Ledger,
    files: Files,
    watch: Watch,
    settings: Settings,
    clock: Clock,
) -> None:
    """Everything that lies there now, once. One that cannot be read stops no other.

    Receipts of jobs that are none of ours are left alone. Where no letters are sent, there is no
    area to look into.
    """
    if not settings.sends_letters:
        return
    if await watch.closed_until("digipost", clock()) > clock():
        return
    try:
        for kind in JobKind:
            for name in await service.receipts(kind):
                try:
                    await _take_in(kind, name, service, ledger, files, settings, clock())
                except (StoppedError, ThrottledError):
                    raise
                except UtsendelseError as error:
                    log.warning("receipts.postponed kind=%s because=%s", kind, error)
    except (StoppedError, ThrottledError) as error:
        await watch.rest("digipost", error, clock())
        return
    except UtsendelseError as error:
        log.warning("receipts.postponed because=%s", error)
        return
    await watch.went_through(("digipost",), clock())


async def _take_in(
    kind: JobKind,
    name: str,
    service: LetterService,
    ledger: Ledger,
    files: Files,
    settings: Settings,
    now: datetime,
) -> None:
    known = await ledger.register.receipt(name)
    if known and known.what in _FOR_GOOD:
        if known.what in _STATE and not settings.DIGIPOST_KEEP_RECEIPTS:
            await service.remove(kind, name)  # we were stopped right before
        return
    data = await service.fetch(kind, name, LARGEST)
    content = sha256(data).hexdigest()
    try:
        receipt = service.read_receipt(name, data)
    except PermanentError as error:
        if known and known.sha256 == content:
            if known.what == _HALF:
                log.error("receipts.unreadable kind=%s because=%s", kind, error)
                await _keep_stray(name, data, _UNREADABLE, ledger, files, now)
            return
        # it may still be being written: as it is now, it is looked at once more
        await ledger.register.note_receipt(name, content, _HALF, now)
        return
    partition = partition_of(receipt.job, settings.INSTALLATION)
    if partition is None:
        log.info("receipts.not_ours kind=%s", kind)  # nor are the people in it any of our business
        await ledger.register.note_receipt(name, content, _NOT_OURS, now)
        return
    job = await ledger.jobs.get(partition, receipt.job)
    if job is None or job.kind is not kind:
        log.error("receipts.unknown_job kind=%s job_id=%s", kind, receipt.job)
        await _keep_stray(name, data, _UNKNOWN_JOB, ledger, files, now)
        return
    fingerprint = content[:16]
    blob = f"{job.partition}/digipost/{fingerprint}-{name}"
    await files.put(blob, data)
    if receipt.unknown or receipt.answer is JobAnswer.UNKNOWN:
        log.error("receipts.unknown_words job_id=%s words=%s", job.id, len(receipt.unknown))
        await ledger.alerts.raised(Alert.receipt(fingerprint, "unknown_words"), now)
    await note_on(job, receipt, blob, ledger=ledger, now=now)
    await ledger.register.note_receipt(name, content, receipt.answer, now)
    if not settings.DIGIPOST_KEEP_RECEIPTS:
        await service.remove(kind, name)
    log.info("receipts.read job_id=%s answer=%s", job.id, receipt.answer)


def folder_of_stray(content: str) -> str:
    """Where a receipt of no campaign is kept, by its SHA-256: a folder, since those can go."""
    return f"{_STRAY}/{content[:16]}"


async def _keep_stray(
    name: str, data: bytes, what: str, ledger: Ledger, files: Files, now: datetime
) -> None:
    """Kept in our store, left where it lies, and told of once."""
    content = sha256(data).hexdigest()
    await files.put(f"{folder_of_stray(content)}/receipt.zip", data)
    await ledger.alerts.raised(Alert.receipt(content[:16], what), now)
    await ledger.register.note_receipt(name, content, what, now)


async def note_on(
    job: Job, receipt: JobReceipt, blob: str, *, ledger: Ledger, now: datetime
) -> Job:
    """The job as the receipt leaves it; as it was, where it is further already.

    Of a job that was uploaded more than once, one may have been refused because the other came
    through: then a refusal is no final answer, and a person must look.
    """
    state = _STATE.get(receipt.answer)
    if state is None or state is job.state:
        return job
    contradicts = job.state in {JobState.DONE, JobState.ANSWERED, JobState.FAILED}
    if contradicts and receipt.answer.final:
        same = (job.state is JobState.FAILED) == (receipt.answer is JobAnswer.FAILED)
        if not same:
            log.error("receipts.contradicts job_id=%s answer=%s", job.id, receipt.answer)
            what = sha256(blob.encode()).hexdigest()[:16]
            await ledger.alerts.raised(Alert.receipt(what, "contradicts"), now)
        return job
    if job.state is JobState.ABANDONED and job.uploads and job.kind is JobKind.SEND:
        # given up, and its deliveries are uncertain: whoever settles them can see it in the store
        late = sha256(blob.encode()).hexdigest()[:16]
        await ledger.alerts.raised(Alert.receipt(late, "late"), now)
    waits = job.state in _WAITS or (job.state is JobState.READY and job.uploads)
    if not waits:
        return job
    if state is JobState.RECEIVED and job.state is JobState.PROVISIONAL:
        return job  # they may be read in any order
    if state is JobState.FAILED and MAY_BE_THERE in job.steps:
        changed = job if job.state is JobState.UNKNOWN else job.to(JobState.UNKNOWN, now)
        changed = changed.did(REFUSED_ONCE)
    elif state is JobState.FAILED:
        code = receipt.error or JobError.UNKNOWN
        changed = job.to(state, now, error=f"{code}: {receipt.error_words}"[:1_000])
    elif state is JobState.ANSWERED:
        changed = job.to(state, now, receipt=blob)
    else:
        changed = job.to(state, now)
    for _ in range(3):
        try:
            return await ledger.jobs.save(changed)
        except ClashError:
            fresh = await ledger.jobs.get(job.partition, job.id)
            if fresh is None or fresh.state is not job.state:
                raise
            changed = replace(changed, version=fresh.version, steps=changed.steps | fresh.steps)
    raise ClashError(f"job {job.id} keeps changing")
