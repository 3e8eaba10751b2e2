"""The timer trigger: on schedule, on one host at a time, and told when it comes late."""

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.functions.meta import Datum
from azure.storage.blob.aio import BlobLeaseClient, BlobServiceClient
from croniter import croniter

from dev.host.app import AppError, Function
from dev.host.invoke import Invoker
from dev.host.pause import pause

log = logging.getLogger("dev.host")

CONTAINER = "azure-webjobs-hosts"
LEASE_SECONDS = 15  # the shortest that Storage knows
NEVER = datetime.min.replace(tzinfo=UTC)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Schedule:
    """A six-field NCRONTAB expression, seconds first; five fields leave the seconds out."""

    def __init__(self, expression: str, function: str):
        self._expression = expression
        try:
            if len(expression.split()) not in (5, 6):
                raise ValueError("it must have six fields, seconds first")
            self.after(utc_now())
        except ValueError as error:
            raise AppError(
                f"function {function!r}: the schedule {expression!r} is not valid: {error}"
            ) from None

    def after(self, moment: datetime) -> datetime:
        """The first occurrence later than the moment."""
        days = {"second_at_beginning": True, "day_or": False}  # both day fields must match
        found: datetime = croniter(self._expression, moment, **days).get_next(datetime)
        return found

    def within_a_minute(self, moment: datetime) -> bool:
        first = self.after(moment)
        return self.after(first) - first < timedelta(minutes=1)


class TimerListener:
    """Runs one timer while this host holds its lease, never beside itself.

    Every host keeps asking for the lease; one gets it, and keeps it until it stops asking.
    """

    def __init__(
        self,
        function: Function,
        service: BlobServiceClient,
        invoke: Invoker,
        host_id: str,
        ask_every: float,
        now: Callable[[], datetime] = utc_now,
    ):
        self._function = function
        self._invoke = invoke
        self._now = now
        self._ask_every = ask_every
        self.schedule = Schedule(function.trigger["schedule"], function.name)
        self._container = service.get_container_client(CONTAINER)
        self._lock = self._container.get_blob_client(f"locks/{host_id}/{function.name}.Listener")
        self._status = self._container.get_blob_client(f"timers/{host_id}/{function.name}/status")
        self._lease = BlobLeaseClient(self._lock, lease_id=str(uuid.uuid4()))

    async def prepare(self) -> None:
        """Make the blob that is leased."""
        with contextlib.suppress(ResourceExistsError):
            await self._container.create_container()
        with contextlib.suppress(ResourceExistsError, HttpResponseError):
            await self._lock.upload_blob(b"", overwrite=False)

    async def run(self, stopping: asyncio.Event) -> None:
        """Returns when asked to stop and the call that was running has ended."""
        turn: asyncio.Task[None] | None = None
        over = asyncio.Event()  # the end of our turn
        try:
            while not stopping.is_set():
                held = await self._hold()
                if held and (turn is None or turn.done()):
                    if turn:
                        await turn  # a bug in it should look like one
                    over = asyncio.Event()
                    turn = asyncio.create_task(self._take_turn(over))
                elif not held:
                    over.set()
                await pause(stopping, self._ask_every)
            over.set()
            if turn:
                await turn
        finally:
            if turn and not turn.done():  # the grace is over
                turn.cancel()
                await asyncio.gather(turn, return_exceptions=True)
            with contextlib.suppress(AzureError):
                await self._lease.release()

    async def _hold(self) -> bool:
        """Acquire the lease, or renew it: with the same id that is the same request."""
        try:
            await self._lease.acquire(LEASE_SECONDS)
        except ResourceNotFoundError:  # the storage was emptied under our feet
            with contextlib.suppress(AzureError):
                await self.prepare()
            return False
        except HttpResponseError as error:
            if error.status_code != 409:
                log.warning("timer.unreachable function=%s error=%r", self._function.name, error)
            return False
        except AzureError as error:
            log.warning("timer.unreachable function=%s error=%r", self._function.name, error)
            return False
        return True

    async def _take_turn(self, over: asyncio.Event) -> None:
        try:
            await self._keep_time(over)
        except AzureError as error:  # the next turn sees from the status what was missed
            log.warning("timer.unreachable function=%s error=%r", self._function.name, error)

    async def _keep_time(self, over: asyncio.Event) -> None:
        now = self._now()
        monitored = self._function.trigger.get(
            "useMonitor", True
        ) and not self.schedule.within_a_minute(now)
        status = await self._read_status() if monitored else None
        late = False
        if status:
            before = max(status["Last"], status["LastUpdated"])
            late = now > self.schedule.after(before)
        elif monitored:
            status = await self._write_status(NEVER, now)
        if late or self._function.trigger.get("runOnStartup"):
            status = await self._run(status, late, monitored)
        due = self.schedule.after(self._now())
        while not over.is_set():
            if (wait := (due - self._now()).total_seconds()) > 0:
                await pause(over, wait)
                continue
            status = await self._run(status, False, monitored)
            due = self.schedule.after(max(due, self._now()))

    async def _run(
        self, status: dict[str, datetime] | None, late: bool, monitored: bool
    ) -> dict[str, datetime] | None:
        request = {
            "IsPastDue": late,
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": _as_text(status) if status else None,
        }
        began = self._now()
        # What it raises was logged where it was called; the next occurrence comes all the same.
        with contextlib.suppress(Exception):
            await self._invoke(self._function, Datum(json.dumps(request), "json"), {})
        return await self._write_status(began, self._now()) if monitored else None

    async def _read_status(self) -> dict[str, datetime] | None:
        try:
            download = await self._status.download_blob()
            status = json.loads(await download.readall())
            return {name: datetime.fromisoformat(moment) for name, moment in status.items()}
        except ResourceNotFoundError:
            return None

    async def _write_status(self, last: datetime, now: datetime) -> dict[str, datetime]:
        status = {"Last": last, "Next": self.schedule.after(now), "LastUpdated": now}
        await self._status.upload_blob(json.dumps(_as_text(status)), overwrite=True)
        return status


def _as_text(status: dict[str, datetime]) -> dict[str, str]:
    return {name: moment.isoformat() for name, moment in status.items()}
