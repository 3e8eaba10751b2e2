"""What chaos must know of letters: the windows of their jobs, Digipost's bad days, and a person.

The simulator is in our process, so that what Digipost has got is seen and not asked for.
"""

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import httpx

from dev.chaos.plan import Window
from dev.digipost import DigipostSimulator
from dev.digipost.area import SEND
from dev.digipost.sim import Task
from dev.playground import Child
from dev.pureservice.seed import comparable
from shared.domain.delivery import Delivery, Status
from shared.domain.letter_job import ENDED, Job, JobKind, JobState
from shared.flow.decide import Decision

#: What a window shows by, where the ledger tells.
_BY_STATE = {
    JobState.DRAFT: Window.GATHERED,
    JobState.READY: Window.BUILT,
    JobState.UPLOADING: Window.UPLOADED,
    JobState.ANSWERED: Window.APPLIED,
    JobState.DONE: Window.ONWARDS,
}
#: What the one who is at it has said last, by the window.
_SAYS = {Window.READ: " receipts.read ", Window.STORED: " receipts.read "}
_OTHERWISE_SAYS = " letters.job "
#: How an upload is broken off, and after how many bytes where it is not whole.
_BREAKS = (("complete", 0), ("partial", 900), ("partial", 0))
_WORTH_ASKING_AGAIN = 1.0


class Letters:
    """Looks at the jobs of one campaign from both ends."""

    def __init__(self, simulator: DigipostSimulator, patience: float) -> None:
        """After `patience` seconds nobody can still be uploading, says whoever is asked."""
        self._simulator = simulator
        self._patience = patience
        self._asked_at = 0.0
        self._breaks = 0
        self.jobs: Sequence[Job] = ()
        self.decisions: Counter[Decision] = Counter()
        self.left_behind: Counter[JobState] = Counter()  #: by hosts that were killed

    # --- when something is to go wrong ---

    def open_from(self, job: int, window: Window) -> bool:
        """Whether a job of that number or later is in the window; or there is no later chance."""
        later = [one for one in self.jobs if one.number >= job]
        if any(one.state in ENDED for one in later) and all(one.state in ENDED for one in later):
            return True
        return any(self._in(window, one) for one in later)

    def _in(self, window: Window, job: Job) -> bool:
        if window in {Window.READ, Window.STORED}:
            read = job.state in {JobState.ANSWERED, JobState.DONE}
            return read is (window is Window.STORED) and self._result_lies_there(job)
        return _BY_STATE.get(job.state) is window

    def _result_lies_there(self, job: Job) -> bool:
        return any(
            ".resultat." in name and (task.path.parent / "kvittering" / name).exists()
            for task in self._tasks(job)
            for name in task.receipts
        )

    def break_next(self) -> None:
        """The next upload breaks off: when all of it is there, in the middle, at once; in turn."""
        how, after = _BREAKS[self._breaks % len(_BREAKS)]
        self._breaks += 1
        times = self._simulator.area.broken + 1
        self._simulator.switch(break_upload=how, break_after_bytes=after, break_times=times)

    @property
    def digipost_is_done(self) -> bool:
        return all(task.over for task in self._simulator.tasks)

    @property
    def broken(self) -> int:
        return self._simulator.area.broken

    @staticmethod
    def at_it(window: Window, hosts: Iterable[Child]) -> Child | None:
        """Which of them does what makes the window, as far as it has said anything."""
        said = _SAYS.get(window, _OTHERWISE_SAYS)
        last = {host: _last_line_with(said, host) for host in hosts}
        return max(last, key=lambda host: last[host]) if any(last.values()) else None

    # --- somebody who decides ---

    def decide(self, campaign: str, url: str) -> None:
        """Look into Digipost for a job that waits for a person, and tell the app what is there."""
        if time.monotonic() < self._asked_at + _WORTH_ASKING_AGAIN:
            return
        for job in self.jobs:
            if decision := self._found_out(job):
                self._asked_at = time.monotonic()
                with contextlib.suppress(httpx.HTTPError):  # that host is gone: again, later
                    answer = httpx.post(
                        f"{url}/api/campaigns/{campaign}/jobs/{job.number}",
                        json={"decision": decision},
                        timeout=10,
                    )
                    if answer.status_code == httpx.codes.OK:
                        self.decisions[decision] += 1
                return

    def _found_out(self, job: Job) -> Decision | None:
        if job.kind is not JobKind.SEND or job.state is not JobState.UNKNOWN:
            return None
        if any(task.job and not task.error for task in self._tasks(job)):
            return Decision.RECEIVED
        waited = self._simulator.clock() - job.changed_at
        file = self._simulator.area.folder / SEND / job.zip_name
        whole = file.exists() and file.stat().st_size == job.size
        if whole or waited.total_seconds() < self._patience:
            return None
        return Decision.NOT_RECEIVED

    def _tasks(self, job: Job) -> list[Task]:
        """Every upload of the job that Digipost could read."""
        return [one for one in self._simulator.tasks if one.job and one.job.id == job.id]

    # --- what has come of it ---

    def reached(self, deliveries: Iterable[Delivery], mails: Mapping[str, int]) -> Counter[str]:
        """How many letters and mails each member has got; the letters of nobody by their id."""
        rows = list(deliveries)
        members = {one.id: one.recipient.member for one in rows}
        by_address = {comparable(one.recipient.address): one.recipient.member for one in rows}
        reached = Counter(
            members.get(one.kunde_id, one.kunde_id) for one in self._simulator.delivered
        )
        for address, count in mails.items():
            reached[by_address.get(address, address)] += count
        return reached

    def faults(self, deliveries: Iterable[Delivery], mails: Mapping[str, int]) -> list[str]:
        """What must not be, besides what is true of every campaign."""
        letters = Counter(one.kunde_id for one in self._simulator.delivered)
        otherwise = [
            one.id
            for one in deliveries
            if one.status is Status.SENT
            and (one.channel == "email") is not bool(mails.get(comparable(one.recipient.address)))
        ]
        unheard = [
            one.id
            for one in deliveries
            if one.status is Status.SENT
            and (one.channel == "digipost") is not bool(letters[one.id])
        ]
        open_jobs = [f"{one.id} ({one.state})" for one in self.jobs if one.state not in ENDED]
        return [
            f"{what}: {len(whom)} ({', '.join(whom[:5])})"
            for what, whom in (
                ("got twice, says Digipost", self._simulator.got_twice),
                ("by mail, says the ledger, or not", otherwise),
                ("by Digipost, says the ledger, or not", unheard),
                ("left open", open_jobs),
            )
            if whom
        ]

    def told(self) -> str:
        """Every job, as the ledger and Digipost have it."""
        lines = []
        for job in self.jobs:
            lines.append(f"{job.id} {job.state} letters={job.letters} uploads={job.uploads}")
            lines[-1] += f" steps={sorted(job.steps)} error={job.error!r}"
        for task in self._simulator.tasks:
            name = task.job.id if task.job else "?"
            lines.append(f"    {task.path.name} {name} {task.state} {task.error} {task.said}")
        return "\n".join(lines)


def _last_line_with(said: str, host: Child) -> str:
    """Lines begin with when they were said."""
    lines = re.findall(f"^.*{re.escape(said)}.*$", host.said(), re.M)
    return lines[-1] if lines else ""
