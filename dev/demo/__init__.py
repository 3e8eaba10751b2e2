"""Two simulated campaigns, from ticket to report: mails to everybody, then a ticket for each."""

from dev.demo.command import main

__all__ = ["main"]
