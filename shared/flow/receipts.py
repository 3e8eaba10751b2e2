"""Receipts: what Digipost has left for us, fetched, kept, and noted on the job it belongs to.

A receipt is in our own store before it is taken away there, and on its job before it counts as
read; `letters` then acts on it. Joined by the job's id alone. What we can do nothing with stays
where it is, is kept, and is told of once.
"""

import asyncio
import logging
from dataclasses import replace
from datetime import datetime
from functools import partial
from hashlib import sha256

from shared.domain.alert import Alert
from shared.domain.job_receipt import JobAnswer, JobError, JobReceipt
from shared.domain.letter_job import (
    CONTRADICTED,
    GIVEN_UP,
    LETTING_GO,
    MAY_BE_THERE,
    REFUSED_ONCE,
    Job,
    JobKind,
    JobState,
    partition_of,
    receipts_of,
)
from shared.errors import (
    ClashError,
    PermanentError,
    StoppedError,
    ThrottledError,
    UtsendelseError,
)
from shared.flow.answered import settle_late
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
_FOR_GOOD = {*JobAnswer, _UNREADABLE, _NOT_OURS, _UNKNOWN_JOB}
#: Of these nothing is kept, and nothing but time is lost by looking once more.
LOOKED_AT_AGAIN = frozenset({_HALF, _NOT_OURS})
_ANSWERED = {JobState.ANSWERED, JobState.DONE, JobState.FAILED}
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
            for name, size in (await service.receipts(kind)).items():
                try:
                    await _take_in(kind, name, size, service, ledger, files, settings, clock())
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
    size: int,
    service: LetterService,
    ledger: Ledger,
    files: Files,
    settings: Settings,
    now: datetime,
) -> None:
    file = f"{name} {size}"  # a name may be used again, for something else
    note = partial(ledger.register.note_receipt, file)
    known = await ledger.register.receipt(file)
    removable = known and known.what in _STATE and not settings.DIGIPOST_KEEP_RECEIPTS
    if known and known.what in _FOR_GOOD and not removable:
        return
    if size > LARGEST:
        log.error("receipts.unreadable kind=%s because=too_large bytes=%s", kind, size)
        await ledger.alerts.raised(Alert.receipt(_fingerprint(file.encode()), _UNREADABLE), now)
        await note("", _UNREADABLE, now)
        return
    data = await service.fetch(kind, name, LARGEST)
    content = sha256(data).hexdigest()
    if known and removable and known.sha256 == content:
        await service.remove(kind, name)  # we were stopped right before
        return
    try:
        receipt = await asyncio.to_thread(service.read_receipt, name, data)
    except PermanentError as error:
        if known and (known.sha256, known.what) == (content, _HALF):
            log.error("receipts.unreadable kind=%s because=%s", kind, error)
            await _keep_stray(data, _UNREADABLE, ledger, files, now)
            await note(content, _UNREADABLE, now)
            return
        # it may still be being written: as it is now, it is looked at once more
        await note(content, _HALF, now)
        return
    partition = partition_of(receipt.job, settings.INSTALLATION)
    if partition is None:
        log.info("receipts.not_ours kind=%s", kind)  # nor are the people in it any of our business
        await note(content, _NOT_OURS, now)
        return
    job = await ledger.jobs.get(partition, receipt.job)
    if job is None or job.kind is not kind:
        log.error("receipts.unknown_job kind=%s job_id=%s", kind, receipt.job)
        await _keep_stray(data, _UNKNOWN_JOB, ledger, files, now)
        await note(content, _UNKNOWN_JOB, now)
        return
    fingerprint = content[:16]
    blob = f"{receipts_of(job.partition)}/{fingerprint}-{name}"
    await files.put(blob, data)
    if receipt.unknown or receipt.answer is JobAnswer.UNKNOWN:
        log.error("receipts.unknown_words job_id=%s words=%s", job.id, len(receipt.unknown))
        await ledger.alerts.raised(Alert.receipt(fingerprint, "unknown_words"), now)
    await note_on(job, receipt, blob, ledger=ledger, now=now)
    await note(content, receipt.answer, now)
    if not settings.DIGIPOST_KEEP_RECEIPTS:
        await service.remove(kind, name)
    log.info("receipts.read job_id=%s answer=%s", job.id, receipt.answer)


def folder_of_stray(content: str) -> str:
    """Where a receipt of no campaign is kept, by its SHA-256: a folder, since those can go."""
    return f"{_STRAY}/{content[:16]}"


async def _keep_stray(data: bytes, what: str, ledger: Ledger, files: Files, now: datetime) -> None:
    """Kept in our store, left where it lies, and told of once."""
    await files.put(f"{folder_of_stray(sha256(data).hexdigest())}/receipt.zip", data)
    await ledger.alerts.raised(Alert.receipt(_fingerprint(data), what), now)


def _fingerprint(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]


async def note_on(
    job: Job, receipt: JobReceipt, blob: str, *, ledger: Ledger, now: datetime
) -> Job:
    """The job as the receipt leaves it; as it was, where it is further already.

    Of a job that was uploaded more than once, one may have been refused because the other came
    through: then a refusal is no final answer, and a person must look.
    """
    state = _STATE.get(receipt.answer)
    if state is None:
        return job
    if job.state in _ANSWERED:
        return await _second_answer(job, receipt, blob, ledger, now)
    if job.state is JobState.ABANDONED or GIVEN_UP in job.steps:
        if job.uploads and job.kind is JobKind.SEND and receipt.answer.final:
            async for _ in ledger.jobs.owned(job):
                raise ClashError(f"job {job.id} is being given up")  # it is read after that
            await settle_late(job, receipt, ledger, now)
            late = Alert.receipt(_fingerprint(blob.encode()), "late")
            await ledger.alerts.raised(late, now)
        return job
    waits = job.state in _WAITS or (job.state is JobState.READY and job.uploads)
    if not waits or state is job.state:
        return job
    if state is JobState.RECEIVED and job.state is JobState.PROVISIONAL:
        return job  # they may be read in any order
    if state is JobState.FAILED and MAY_BE_THERE in job.steps:
        changed = job if job.state is JobState.UNKNOWN else job.to(JobState.UNKNOWN, now)
        return await _save(job, changed.did(REFUSED_ONCE), ledger)
    if state is JobState.FAILED:
        code = receipt.error or JobError.UNKNOWN
        error = f"{code}: {receipt.error_words}"[:1_000]
        return await _save(job, job.to(state, now, error=error), ledger)
    if state is JobState.ANSWERED:
        return await _save(job, job.to(state, now, receipt=blob), ledger)
    return await _save(job, job.to(state, now), ledger)


async def _second_answer(
    job: Job, receipt: JobReceipt, blob: str, ledger: Ledger, now: datetime
) -> Job:
    """After a final answer comes another, that says something else; people are told.

    A job that was refused and has its deliveries still takes it as the answer. One whose deliveries
    have been let go of keeps the campaign from sending more letters until a person has looked.
    """
    refused_again = job.state is JobState.FAILED and receipt.answer is JobAnswer.FAILED
    if not receipt.answer.final or refused_again or blob == job.receipt:
        return job
    log.error("receipts.contradicts job_id=%s answer=%s", job.id, receipt.answer)
    await ledger.alerts.raised(Alert.receipt(_fingerprint(blob.encode()), "contradicts"), now)
    sends_nothing = job.kind is JobKind.SPLIT and LETTING_GO in job.steps
    if job.state is not JobState.FAILED or sends_nothing:
        return job
    if LETTING_GO in job.steps:
        return await _save(job, job.did(CONTRADICTED), ledger)
    return await _save(job, job.to(JobState.ANSWERED, now, receipt=blob), ledger)


async def _save(job: Job, changed: Job, ledger: Ledger) -> Job:
    """The job as changed, though people were told something of it meanwhile."""
    for _ in range(3):
        try:
            return await ledger.jobs.save(changed)
        except ClashError:
            fresh = await ledger.jobs.get(job.partition, job.id)
            if fresh is None or fresh.state is not job.state:
                raise
            if {LETTING_GO, GIVEN_UP} & (fresh.steps - job.steps):
                raise  # its deliveries go elsewhere
            changed = replace(changed, version=fresh.version, steps=changed.steps | fresh.steps)
    raise ClashError(f"job {job.id} keeps changing")
