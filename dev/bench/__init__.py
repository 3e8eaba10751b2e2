"""What a campaign costs: requests, calls and memory. Counts, the same everywhere; no times."""

from dev.bench.by_email import peak_memory, pureservice_calls, storage_requests
from dev.bench.by_size import cost_at_size
from dev.bench.by_ticket import ticket_calls
from dev.bench.by_two_hosts import USUAL, together
from dev.bench.command import main

__all__ = [
    "USUAL",
    "cost_at_size",
    "main",
    "peak_memory",
    "pureservice_calls",
    "storage_requests",
    "ticket_calls",
    "together",
]
