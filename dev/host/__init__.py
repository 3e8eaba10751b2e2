"""Runs a Functions app on this machine: queue, timer and HTTP triggers against real storage.

It keeps to what Azure's own host promises (delivery at least once, poison after enough failures,
timers on one host at a time), so several may run at once against the same storage.
"""

from dev.host.app import AppError
from dev.host.command import main
from dev.host.host import Host, Options

__all__ = ["AppError", "Host", "Options", "main"]
