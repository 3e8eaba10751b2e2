"""How much memory a host needs."""

import time

import psutil

from dev.playground import Child, Playground

_EVERY = 0.1  # seconds between two looks
_ATTENTION = "Utsending – må sjekkes"


def peak_memory_until(host: Child, playground: Playground, number: int, status: str) -> float:
    """The most that the host's process had until the ticket got this status, in megabytes."""
    watched = psutil.Process(host.process.pid)
    peak = 0
    while (now := playground.ticket(number)["status"]) != status:
        if now == _ATTENTION:
            raise RuntimeError(f"the campaign is not getting anywhere:\n{host.said()}")
        peak = max(peak, watched.memory_info().rss)
        time.sleep(_EVERY)
    return peak / 1024 / 1024
