"""Digipost at work: takes jobs from the area, and answers each when it is due.

What happens is told by the population (who is found), the switches (what nobody knows, and bad
days) and by the data, so that anyone can try the unhappy path: a job whose name has
VALIDERING_FEILET, ENGINE_FEIL or GENERELL_FEIL in it fails with that; a letter to somebody with
the word Brevfeil in the name fails with USPESIFISERT_FEIL; see also `population` and `documents`.

Time is given: `work(now)` does what is due by then, and never waits.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from . import documents
from .area import RECEIPTS, SEND, SPLIT, USER, Area, Keys, keys
from .jobs import (
    Document,
    InvalidError,
    Job,
    Letter,
    Recipient,
    UnreadableError,
    contents,
    read_job,
)
from .population import INVALID, Outcome, Population
from .population import USER as IN_DIGIPOST
from .receipts import (
    FAILED,
    PROVISIONAL,
    RECEIVED,
    SUCCESS,
    Answer,
    LetterOutcome,
    file_name,
    zipped,
    zipped_files,
)
from .shape import Schemas
from .switches import Switches

_ROOTS = (SPLIT, SEND)
_CODES = ("VALIDERING_FEILET", "ENGINE_FEIL", "GENERELL_FEIL")


@dataclass(frozen=True)
class Delivered:
    """A letter that somebody has got."""

    job: str
    letter: str  #: brev-id
    kunde_id: str
    uuids: tuple[str, ...]  #: of its documents, the main one first
    sha256: tuple[str, ...]  #: of what they show
    subjects: tuple[str, ...]
    channel: str  #: WEB or PRINT
    at: datetime
    by: str  #: how the recipient was told, e.g. `foedselsnummer`
    address: str = ""  #: the Digipost address that it went to
    paper: tuple[str, ...] = ()  #: name and address on the envelope


@dataclass
class Task:
    """An uploaded file, and how far it has come."""

    path: Path
    root: str
    taken_at: datetime
    job: Job | None = None
    error: str = ""  #: a feilkode, when nothing will come of it
    said: str = ""
    unreadable: bool = False
    approved: bool | None = None  #: None: nobody has said
    invalid_percent: float | None = None  #: of its recipients
    state: str = "taken"
    steps: set[str] = field(default_factory=set)
    faults: dict[str, documents.Faults] = field(default_factory=dict)  #: by document
    receipts: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        return self.path.name.removesuffix(".zip")

    @property
    def over(self) -> bool:
        return self.state in {"done", "failed", "ignored"}


class DigipostSimulator:
    """An area, the people, and what they have got."""

    def __init__(
        self,
        folder: Path,
        known: Keys | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        switches: Switches | None = None,
        population: Population | None = None,
        user: str = USER,
        xsd: Path | None = None,
    ) -> None:
        self.clock = clock
        self.switches = switches or Switches()
        self.population = population or Population()
        self.keys = known or keys(folder / "keys")
        self.area = Area(folder / "area", self.keys, user=user, switches=lambda: self.switches)
        self.delivered: list[Delivered] = []
        self.tasks: list[Task] = []
        self._schemas = Schemas(xsd) if xsd else None
        self._seen: set[tuple[Path, int]] = set()  #: paths, with when they were written
        self._uuids: dict[str, str] = {}  #: to the job that had it first
        self._halves: list[tuple[Path, bytes]] = []
        self._known_faults: dict[tuple[str, str, Switches], documents.Faults] = {}
        self._rng = random.Random(7)

    # --- what a test or a person may do ---

    def switch(self, **values: Any) -> None:
        self.switches = Switches.model_validate({**self.switches.model_dump(), **values})

    def approve(self, job: str) -> None:
        """As somebody does in the portal. Raises LookupError when no such job waits."""
        self._waiting(job).approved = True

    def reject(self, job: str) -> None:
        self._waiting(job).approved = False

    def task(self, job: str) -> Task:
        """The last upload of the job."""
        for task in reversed(self.tasks):
            if task.job and task.job.id == job:
                return task
        raise LookupError(f"there is no job {job}")

    def got(self, kunde_id: str) -> list[Delivered]:
        return [one for one in self.delivered if one.kunde_id == kunde_id]

    @property
    def got_twice(self) -> list[str]:
        """The kunde-ids that have got more than one letter."""
        counts = Counter(one.kunde_id for one in self.delivered)
        return sorted(id_ for id_, count in counts.items() if count > 1)

    def forget(self) -> None:
        """As if it had just been started, with an empty area; keys, people and switches stay."""
        for kept in (self.delivered, self.tasks, self._seen, self._uuids, self._halves):
            kept.clear()
        for root in _ROOTS:
            for path in (*(self.area.folder / root).iterdir(), *self.area.receipts(root)):
                if path.is_file():
                    path.unlink()

    # --- its work ---

    def work(self, now: datetime | None = None) -> int:
        """Do what is due; how many receipts were written."""
        now = now or self.clock()
        self._finish_halves()
        for root in _ROOTS:
            for path in self.area.uploads(root):
                self._take(path, root, now)
        before = sum(len(task.receipts) for task in self.tasks)
        for task in self.tasks:
            if not task.over:
                self._go_on(task, now)
        return sum(len(task.receipts) for task in self.tasks) - before

    def _take(self, path: Path, root: str, now: datetime) -> None:
        if self.switches.ignore_part and path.suffix != ".zip":
            return
        mark = (path, path.stat().st_mtime_ns)
        if mark in self._seen:
            return
        self._seen.add(mark)
        task = Task(path, root, now)
        self.tasks.append(task)
        try:
            task.job = read_job(path, root, self.switches, self._schemas)
            self._fail_if_known(task, task.job)
            task.faults = {
                document.id: self._faults(document, data)
                for document, data in contents(path, task.job)
            }
        except UnreadableError as error:
            task.unreadable, task.error, task.said = True, _CODES[0], str(error)
        except InvalidError as error:
            task.job, task.error, task.said = error.job, _CODES[0], str(error)
        if self.switches.uploaded == "deleted":
            path.unlink()
        elif self.switches.uploaded == "moved":
            behandlet = path.parent / "behandlet"
            behandlet.mkdir(exist_ok=True)
            path.rename(behandlet / path.name)

    def _faults(self, document: Document, data: bytes) -> documents.Faults:
        """The same file has the same ones in every job, and finding them takes its time."""
        key = (document.file, document.sha256, self.switches)
        if key not in self._known_faults:
            self._known_faults[key] = documents.faults(document, data, self.switches)
        return self._known_faults[key]

    def _fail_if_known(self, task: Task, job: Job) -> None:
        """By the switches and by what was there before; its uuids are remembered."""
        asked = next((code for code in _CODES if code in job.name), self.switches.fail_jobs)
        if asked != "off":
            task.error, task.said = asked, "Jobben skulle feile"
        before = any(
            one.job and one.job.id == job.id and not one.error
            for one in self.tasks
            if one is not task
        )
        if before and self.switches.repeated_job == "refused":
            task.error, task.said = _CODES[0], f"jobb-id {job.id} er brukt før"
        uuids = [uuid for letter in job.letters for uuid in letter.uuids]
        taken = [one for one in uuids if self._uuids.get(one, job.id) != job.id]
        if taken and self.switches.repeated_uuid == "refused":
            task.error, task.said = _CODES[0], f"uuid {taken[0]} er brukt før"
        if not task.error:
            self._uuids.update((uuid, job.id) for uuid in uuids)

    def _go_on(self, task: Task, now: datetime) -> None:
        received = task.taken_at + timedelta(seconds=self.switches.received_seconds)
        if now < received:
            return
        if task.unreadable:
            self._answer_unreadable(task, now)
            return
        assert task.job
        if task.error == _CODES[0]:  # what is not valid is never received
            self._fail(task, now)
            return
        if self.switches.received and "received" not in task.steps:
            self._answer(task, Answer(RECEIVED, task.job, task.taken_at), "mottatt", now)
            task.steps.add("received")
            task.state = "received"
        if now < received + timedelta(seconds=self.switches.result_seconds):
            return
        if task.error:
            self._fail(task, now)
            return
        if task.invalid_percent is None:
            invalid = sum(outcome.status == INVALID for _, outcome in self._found(task.job))
            task.invalid_percent = 100 * invalid / len(task.job.recipients)
        if task.approved is False:
            if self.switches.rejected == "off":
                task.state = "ignored"
            else:
                task.error, task.said = self.switches.rejected, "Jobben ble avvist"
                self._fail(task, now)
            return
        waits = self._waits(task, task.job, now)
        provisional = self.switches.provisional
        if "provisional" not in task.steps and (
            provisional == "always" or (provisional == "waiting" and waits)
        ):
            found = self._found(task.job)
            answer = Answer(PROVISIONAL, task.job, task.taken_at, recipients=found)
            self._answer(task, answer, "resultat", now)
            task.steps.add("provisional")
            task.state = "waiting"
            return
        if waits:
            task.state = "waiting"
            return
        self._finish(task, task.job, now)

    def _found(self, job: Job) -> tuple[tuple[Recipient, Outcome], ...]:
        return tuple((one, self.population.find(one)) for one in job.recipients)

    def _waits(self, task: Task, job: Job, now: datetime) -> bool:
        """For a person, or for its day. Nothing is delivered by a split, so that is not held."""
        if task.root == SPLIT:
            return False
        held = (task.invalid_percent or 0) >= self.switches.hold_from_percent
        by_hand = not job.auto and self.switches.approve == "by_hand"
        if (held or by_hand) and task.approved is not True:
            return True
        return job.deliver_at is not None and now < job.deliver_at

    def _finish(self, task: Task, job: Job, now: datetime) -> None:
        """All that can be delivered is delivered, at once; who is a user is looked up now."""
        found = self._found(job)
        letters: tuple[LetterOutcome, ...] | None = None
        wrong = None
        if task.root == SEND:
            outcomes = {recipient.id: outcome for recipient, outcome in found}
            letters = tuple(
                self._outcome(task, letter, outcomes[letter.recipient.id]) for letter in job.letters
            )
            self.delivered += (
                _delivery(job, one, outcomes[one.letter.recipient.id], now)
                for one in letters
                if one.sent
            )
            wrong = {id_: one.found for id_, one in task.faults.items() if self._told(one)}
        answer = Answer(SUCCESS, job, task.taken_at, now, found, letters, wrong)
        self._answer(task, answer, "resultat", now)
        task.state = "done"

    def _told(self, faults: documents.Faults) -> bool:
        """What cannot be printed matters only to those who have letters printed."""
        return bool(faults.found) and (self.switches.print_agreement or not faults.readable)

    def _outcome(self, task: Task, letter: Letter, outcome: Outcome) -> LetterOutcome:
        faults = [task.faults[one] for one in letter.documents]
        name = f"{letter.recipient.name} {letter.print_name}".lower().split()
        if "brevfeil" in name:
            return LetterOutcome(letter, False, errors=(("USPESIFISERT_FEIL", "Noe gikk galt"),))
        if not all(one.readable for one in faults):
            said = "; ".join(said for one in faults for _, said in one.found)
            return LetterOutcome(letter, False, errors=(("UGYLDIG_DOKUMENT", said),))
        if outcome.status == IN_DIGIPOST:
            return LetterOutcome(letter, True, "WEB")
        invalid = outcome.status == INVALID
        if invalid and not (letter.printable and self.switches.print_invalid):
            said = ", ".join(outcome.reasons)
            return LetterOutcome(letter, False, errors=(("UGYLDIG_MOTTAKER", said),))
        if not letter.printable:
            return LetterOutcome(letter, False, "WEB")
        if not self.switches.print_agreement:
            return LetterOutcome(letter, False, "PRINT", (("UGYLDIG_FOR_PRINT", "Ingen avtale"),))
        if said := "; ".join(said for one in faults for _, said in one.found):
            return LetterOutcome(letter, False, "PRINT", (("UGYLDIG_FOR_PRINT", said),))
        return LetterOutcome(letter, True, "PRINT")

    # --- receipts ---

    def _fail(self, task: Task, now: datetime) -> None:
        assert task.job
        answer = Answer(FAILED, task.job, task.taken_at, now, error=task.error, said=task.said)
        self._answer(task, answer, "resultat", now)
        task.state = "failed"

    def _answer_unreadable(self, task: Task, now: datetime) -> None:
        task.state = "failed"
        if self.switches.unreadable == "failed":
            task.job = Job(task.base, task.root)
            self._fail(task, now)
        elif self.switches.unreadable == "text":
            data = zipped_files([("feilmelding.txt", task.said.encode())])
            self._put(task, task.base, "resultat", data, now)

    def _answer(self, task: Task, answer: Answer, kind: str, now: datetime) -> None:
        data = zipped(answer, self.switches, self._rng)
        self._put(task, task.base, kind, data, now)
        if self.switches.foreign_receipts:
            other = Job(f"annen.{answer.job.id}", answer.job.root, sender="999999")
            foreign = Answer(RECEIVED, other, task.taken_at)
            data = zipped(foreign, self.switches, self._rng)
            self._put(None, f"annen-{task.base}", "mottatt", data, now, task.root)

    def _put(
        self, task: Task | None, base: str, kind: str, data: bytes, now: datetime, root: str = ""
    ) -> None:
        folder = self.area.folder / (task.root if task else root) / RECEIPTS
        name = file_name(base, kind, now)
        while (folder / name).exists():
            now += timedelta(milliseconds=1)
            name = file_name(base, kind, now)
        if task:
            task.receipts.append(name)
        if self.switches.two_steps:
            (folder / name).write_bytes(data[: len(data) // 2])
            self._halves.append((folder / name, data))
            return
        (folder / f".{name}").write_bytes(data)
        (folder / f".{name}").rename(folder / name)

    def _finish_halves(self) -> None:
        for path, data in self._halves:
            path.write_bytes(data)
        self._halves.clear()

    def _waiting(self, job: str) -> Task:
        task = self.task(job)
        if task.over:
            raise LookupError(f"job {job} does not wait: it is {task.state}")
        return task


def _delivery(job: Job, outcome: LetterOutcome, found: Outcome, now: datetime) -> Delivered:
    letter = outcome.letter
    on_paper = outcome.channel == "PRINT"
    return Delivered(
        job=job.id,
        letter=letter.id,
        kunde_id=letter.recipient.id,
        uuids=letter.uuids,
        sha256=tuple(job.documents[one].sha256 for one in letter.documents),
        subjects=letter.subjects,
        channel=outcome.channel,
        at=now,
        by=letter.recipient.by,
        address="" if on_paper else found.address,
        paper=(letter.print_name, *letter.print_lines) if on_paper else (),
    )


def receipts_in(area: Area) -> Iterable[Path]:
    """All receipts that lie there."""
    for root in _ROOTS:
        yield from area.receipts(root)
