"""The host: an app in, its triggers served until stopped."""

import asyncio
import hashlib
import inspect
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import azure.functions as func
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from dev.host.app import STORAGE, AppError, Function, index, load, read_json, read_settings
from dev.host.invoke import Invoker, Outcome
from dev.host.queues import QueueListener, QueueOptions
from dev.host.timers import TimerListener
from dev.host.web import WebListener, make_app

log = logging.getLogger("dev.host")


@dataclass(frozen=True)
class Options:
    """What the command line decides, with values that suit tests."""

    port: int = 0  # any free one
    key: str | None = None  # for functions that are not anonymous; None lets everybody on loopback
    visibility: int = 600  # seconds a message is invisible at a time, renewed while it is worked on
    ask_every: float = 5  # seconds between requests for a timer's lease, which lasts 15
    host_id: str | None = None  # hosts with the same id share their timers; None: the folder's
    policies: Sequence[SansIOHTTPPolicy[Any, Any]] = ()  # see each request to storage


class Host:
    """One host for one app: a folder with `function_app.py`, or the FunctionApp itself.

    Settings are the environment unless given; for a folder they are put into the environment
    before its code is imported.
    """

    def __init__(
        self,
        app: Path | func.FunctionApp,
        *,
        host_json: Mapping[str, Any] | None = None,
        settings: Mapping[str, str] | None = None,
        options: Options | None = None,
    ):
        self._app = app
        self._host_json = host_json
        self._settings = settings
        self._options = options or Options()
        self._invoke = Invoker()
        self._stopping = asyncio.Event()
        self._listeners: list[asyncio.Task[None]] = []
        self._services: dict[tuple[type, str], Any] = {}
        self._web = WebListener(self._options.port)

    @property
    def counts(self) -> Counter[tuple[str, Outcome]]:
        """How often each function was called and how that ended: `counts["deliver", "failed"]`."""
        return self._invoke.counts

    @property
    def running(self) -> int:
        """How many calls are under way."""
        return self._invoke.running

    @property
    def url(self) -> str:
        """Where HTTP is served, once started."""
        return f"http://127.0.0.1:{self._web.port}"

    async def start(self) -> None:
        """Serve every trigger; AppError when the app would not start in Azure, and why."""
        app, host_json = self._app, dict(self._host_json or {})
        if isinstance(app, Path):
            settings = self._settings or read_settings(app / "local.settings.json")
            os.environ.update(settings)
            host_json = host_json or read_json(app / "host.json")
            app = load(app)
        else:
            settings = self._settings or os.environ
        try:
            await self._start(index(app, settings), host_json, settings)
        except BaseException:
            await self.stop(0)
            raise

    async def _start(
        self, functions: list[Function], host_json: Mapping[str, Any], settings: Mapping[str, str]
    ) -> None:
        options = self._options
        queue_options = QueueOptions.of(host_json)
        host_id = (
            options.host_id or settings.get("AzureFunctionsWebHost__hostid") or self._host_id()
        )
        listeners: list[QueueListener | TimerListener] = []
        for function in functions:
            if function.kind == "queueTrigger":
                name = function.trigger.get("connection") or STORAGE
                service = self._service(QueueServiceClient, name, settings, function)
                listeners.append(
                    QueueListener(
                        function, service, queue_options, self._invoke, options.visibility
                    )
                )
            elif function.kind == "timerTrigger":
                blobs = self._service(BlobServiceClient, STORAGE, settings, function)
                listeners.append(
                    TimerListener(function, blobs, self._invoke, host_id, options.ask_every)
                )
        http = [function for function in functions if function.kind == "httpTrigger"]
        prefix = host_json.get("extensions", {}).get("http", {}).get("routePrefix", "api")
        web_app = make_app(http, prefix, options.key, self._invoke)
        for listener in listeners:
            await listener.prepare()
        await self._web.start(web_app)
        self._listeners = [
            asyncio.create_task(listener.run(self._stopping)) for listener in listeners
        ]
        log.info("host.ready url=%s functions=%s", self.url, ",".join(f.name for f in functions))

    def _host_id(self) -> str:
        if not isinstance(self._app, Path):
            return "local"
        return hashlib.sha256(str(self._app.resolve()).encode()).hexdigest()[:16]

    def _service(
        self, kind: type[Any], name: str, settings: Mapping[str, str], function: Function
    ) -> Any:
        """One client per connection; they share theirs with everything made from them."""
        if not settings.get(name):
            raise AppError(f"function {function.name!r}: the connection setting {name} is missing")
        if (kind, name) not in self._services:
            self._services[kind, name] = kind.from_connection_string(
                settings[name],
                initial_backoff=1,  # a local storage that is away is back soon, or not at all
                increment_base=2,
                random_jitter_range=0,
                _additional_pipeline_policies=list(self._options.policies),
            )
        return self._services[kind, name]

    async def run_until(
        self, condition: Callable[[], bool | Awaitable[bool]], timeout: float | None = None
    ) -> None:
        """Serve until the condition holds; TimeoutError if it does not in time."""
        async with asyncio.timeout(timeout):
            while True:
                holds = condition()
                if await holds if inspect.isawaitable(holds) else holds:
                    return
                for listener in self._listeners:
                    if listener.done():  # a bug of ours ends the host, loudly
                        listener.result()
                await asyncio.sleep(0.02)

    async def stop(self, grace: float = 10) -> None:
        """Fetch nothing more, wait for the running calls, cancel them when the grace is over."""
        self._stopping.set()
        await asyncio.gather(self._stop_listeners(grace), self._web.stop(grace))
        for service in self._services.values():
            await service.close()

    async def _stop_listeners(self, grace: float) -> None:
        if self._listeners:
            _, late = await asyncio.wait(self._listeners, timeout=grace)
            for listener in late:
                listener.cancel()
            await asyncio.gather(*self._listeners, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
