"""Calls a function, whichever kind it is, and keeps count."""

import asyncio
import inspect
import logging
import threading
import traceback
import uuid
from collections import Counter
from typing import Any, Literal

import azure.functions as func
from azure.functions.meta import Datum

from dev.host.app import Function

log = logging.getLogger("dev.host")

Outcome = Literal["succeeded", "failed", "cancelled"]


class Context:
    """What a function with a `context` parameter receives."""

    trace_context = retry_context = None

    def __init__(self, function: Function):
        self.function_name = function.name
        self.function_directory = str(inspect.getfile(function.call))
        self.invocation_id = str(uuid.uuid4())
        self.thread_local_storage = threading.local()
        self.thread_local_storage.invocation_id = self.invocation_id


class Invoker:
    """`counts[name, outcome]` says how often a function was called, and how that ended."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, Outcome]] = Counter()
        self._running: set[str] = set()  # invocations; a cancelled thread is in here until it ends

    @property
    def running(self) -> int:
        return len(self._running)

    async def __call__(self, function: Function, data: Datum, metadata: dict[str, Datum]) -> Any:
        """What the function returns; its exception passes through, logged and counted."""
        context = Context(function)
        outcome: Outcome = "failed"
        try:
            result = await self._call(function, data, metadata, context)
            outcome = "succeeded"
            return result
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            log.error(
                "invocation.failed function=%s invocation_id=%s at=%s:%s error=%r",
                function.name,
                context.invocation_id,
                where.filename,
                where.lineno,
                error,
            )
            log.debug("invocation.failed function=%s", function.name, exc_info=True)
            raise
        finally:
            self.counts[function.name, outcome] += 1

    async def _call(
        self, function: Function, data: Datum, metadata: dict[str, Datum], context: Context
    ) -> Any:
        converter = func.get_binding_registry().get(function.kind)
        arguments = {function.argument: converter.decode(data, trigger_metadata=metadata)}
        if function.wants_context:
            arguments["context"] = context

        self._running.add(context.invocation_id)
        if inspect.iscoroutinefunction(function.call):
            try:
                return await function.call(**arguments)
            finally:
                self._running.discard(context.invocation_id)

        def call_and_leave() -> Any:
            try:
                return function.call(**arguments)
            finally:
                self._running.discard(context.invocation_id)

        return await asyncio.to_thread(call_and_leave)
