"""What it takes to build a letter job: memory, which must not grow with it, and time."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import psutil

from dev.setup import ROOT
from shared.adapters.digipost_job import JobFile
from shared.domain.addressee import Addressee, Identity, PostalAddress
from shared.domain.letter_job import (
    JobDocument,
    JobLetter,
    JobRecipient,
    JobSettings,
    Print,
    Settings,
    document_uuid,
)

_PAGE = 640  #: letters at a time, as `build_job` has them
_JOB = "benk.20417-1.3fa9c2d1.send-1"
_PDF = b"%PDF-1.7\n" + b"0" * 150_000
_RETURN = PostalAddress(("Postboks 1",), "0101", "Oslo")


@dataclass(frozen=True, slots=True)
class BuiltJob:
    """A job of so many letters. `peak` is the most that the process had, in megabytes."""

    letters: int
    peak: float
    seconds: float
    size: int  #: of the zip file, in bytes


def built_job(letters: int) -> BuiltJob:
    """Measured in a process of its own, which has done nothing else."""
    command = [sys.executable, "-m", "dev.bench.letters", str(letters)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    peak, seconds, size = done.stdout.split()
    return BuiltJob(letters, float(peak), float(seconds), int(size))


def _letters(first: int, count: int) -> Iterator[JobLetter]:
    """Every other one by name and address, and to be printed."""
    for number in range(first, first + count):
        id_ = f"{number:08x}-0000-5000-8000-000000000000"
        home = PostalAddress((f"Ærøyveien {number}",), "5003", "Bergen")
        who = Addressee(f"Bjørg Nr. {number} Ås", postal=home)
        by_name = JobRecipient(id_, Identity.NAME_AND_ADDRESS, addressee=who)
        by_address = JobRecipient(id_, Identity.DIGIPOST_ADDRESS, f"person.{number}#1AB2")
        printed = Print(who.name, home, "Fjordvik kommune", _RETURN)
        yield JobLetter(
            id_,
            by_name if number % 2 else by_address,
            ((document_uuid(_JOB, id_, 0), "brev"),),
            print=printed if number % 2 else None,
        )


def _build(letters: int) -> tuple[float, int]:
    started = perf_counter()
    file = JobFile()
    try:
        file.add_file("brev.pdf", _PDF)
        settings = JobSettings(sender=100123, job=_JOB, client="benk")
        file.begin_send(
            settings, Settings(subject="Årsavgift 2027"), [JobDocument("brev", "brev.pdf")]
        )
        for first in range(0, letters, _PAGE):
            file.add_letters(_letters(first, min(_PAGE, letters - first)))
        parcel = file.finish()
        size = parcel.size
        parcel.close()
    finally:
        file.close()
    return perf_counter() - started, size


def _peak() -> float:
    """What this process has had at the most, in megabytes."""
    memory = psutil.Process().memory_info()
    if peak := getattr(memory, "peak_wset", 0):  # Windows
        return float(peak) / 2**20
    from resource import RUSAGE_SELF, getrusage

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return getrusage(RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    seconds, size = _build(int(sys.argv[1]))
    print(_peak(), seconds, size)
