"""Crashes on purpose: a campaign while hosts are killed, storage lies and the helpdesk hangs."""

from dev.chaos.command import main

__all__ = ["main"]
