"""What a campaign costs: requests, calls and memory. Counts, the same everywhere; no times."""

from dev.bench.by_email import account_requests, peak_memory, pureservice_calls, storage_requests
from dev.bench.by_ticket import ticket_calls
from dev.bench.command import main

__all__ = [
    "account_requests",
    "main",
    "peak_memory",
    "pureservice_calls",
    "storage_requests",
    "ticket_calls",
]
