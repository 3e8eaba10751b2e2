"""`python -m dev host`."""

import argparse
import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Any

from azure.core.exceptions import AzureError

from dev.host.app import AppError, read_json, read_settings
from dev.host.host import Host, Options
from dev.setup import ROOT

#: Levels as host.json names them.
LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}


def main(argv: list[str]) -> int:
    """Run the app until Ctrl-C or SIGTERM; a second one does not wait for running calls."""
    options = _parse(argv)
    try:
        host_json = read_json(options.app / "host.json")
        settings = read_settings(options.settings or options.app / "local.settings.json")
        level = options.log_level or host_json.get("logging", {}).get("logLevel", {}).get("default")
        _log_at(LEVELS[(level or "information").lower()])
        host = Host(
            options.app,
            host_json=host_json,
            settings=settings,
            options=Options(
                port=options.port, key=options.key or None, visibility=options.visibility
            ),
        )
        asyncio.run(_serve(host, options.grace))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    except (AppError, AzureError, OSError) as error:
        log = logging.getLogger("dev.host")
        log.error("host.stopped %s", error, exc_info=log.isEnabledFor(logging.DEBUG))
        return 1
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dev host",
        description="Run a Functions app on this machine, against the storage in its settings.",
    )
    parser.add_argument("--app", type=Path, default=ROOT, help="folder with function_app.py")
    parser.add_argument("--settings", type=Path, help="default: local.settings.json of the app")
    parser.add_argument("--port", type=int, default=int(os.environ.get("HOST_PORT", "7071")))
    parser.add_argument("--key", default=os.environ.get("HOST_KEY"), help="also: HOST_KEY")
    parser.add_argument("--visibility", type=int, default=600, metavar="SECONDS")
    parser.add_argument("--grace", type=float, default=30, metavar="SECONDS")
    parser.add_argument("--log-level", type=str.lower, choices=LEVELS)
    options = parser.parse_args(argv)
    if options.settings and not options.settings.is_file():
        parser.error(f"there is no {options.settings}")
    return options


def _log_at(level: int) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for chatty in ("azure", "uvicorn"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


async def _serve(host: Host, grace: float) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    asked = False

    def stop(*_: object) -> None:
        nonlocal asked
        if asked:
            os._exit(130)
        asked = True
        assert task
        loop.call_soon_threadsafe(task.cancel)

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    await host.start()
    try:
        await host.run_until(lambda: False)
    finally:
        await host.stop(grace)
        if host.running:  # in threads, which nobody can end and which Python would wait for
            logging.getLogger("dev.host").warning("host.abandoned invocations=%s", host.running)
            logging.shutdown()
            os._exit(1)


def _not_about_open_connections(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if not str(context.get("message", "")).startswith("Unclosed"):
        loop.default_exception_handler(context)
