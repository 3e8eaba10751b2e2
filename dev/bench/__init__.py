"""What a campaign costs: requests, calls and memory, counted, the same everywhere.

Only mail is measured in seconds too, and held against itself in the same run.
"""

from dev.bench.by_email import (
    peak_memory,
    pureservice_calls,
    pureservice_calls_of,
    storage_requests,
    storage_requests_of,
)
from dev.bench.by_size import cost_at_size
from dev.bench.by_ticket import ticket_calls
from dev.bench.by_two_hosts import USUAL, together
from dev.bench.command import main
from dev.bench.mail_building import building
from dev.bench.mail_sending import sending

__all__ = [
    "USUAL",
    "building",
    "cost_at_size",
    "main",
    "peak_memory",
    "pureservice_calls",
    "pureservice_calls_of",
    "sending",
    "storage_requests",
    "storage_requests_of",
    "ticket_calls",
    "together",
]
