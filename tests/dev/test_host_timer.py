"""Timer triggers: on schedule, once, on one host, and told when late."""

import asyncio
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import pytest
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

from dev.host import AppError, Host
from dev.host.timers import CONTAINER, Schedule

WITHIN = 20
EVERY_SECOND = "* * * * * *"
EVERY_NEW_YEAR = "0 0 0 1 1 *"


@pytest.fixture
def host_id() -> str:
    return uuid.uuid4().hex


def app_for(tick: Any, schedule: str = EVERY_NEW_YEAR, **options: Any) -> func.FunctionApp:
    """An app with one function, `tick`, on the schedule."""
    app = func.FunctionApp()
    app.timer_trigger(arg_name="timer", schedule=schedule, **options)(tick)
    return app


async def test_a_timer_fires_again_and_again_and_survives_its_failures(
    serve: Any, host_id: str
) -> None:
    async def tick(timer: func.TimerRequest) -> None:
        raise RuntimeError("alltid feil")

    host = await serve(app_for(tick, EVERY_SECOND), host_id=host_id)
    await host.run_until(lambda: host.counts["tick", "failed"] == 2, WITHIN)


async def test_a_timer_never_overlaps_itself(serve: Any, host_id: str) -> None:
    running, most, calls = 0, 0, 0

    async def tick(timer: func.TimerRequest) -> None:
        nonlocal running, most, calls
        running, calls = running + 1, calls + 1
        most = max(most, running)
        await asyncio.sleep(1.5)  # it is due again meanwhile
        running -= 1

    host = await serve(app_for(tick, EVERY_SECOND), host_id=host_id, ask_every=0.1)
    await host.run_until(lambda: calls == 2, WITHIN)
    assert most == 1


async def test_only_one_of_two_hosts_runs_a_timer_and_the_other_takes_over(
    serve: Any, host_id: str
) -> None:
    def app(name: str) -> func.FunctionApp:
        async def tick(timer: func.TimerRequest) -> None: ...

        return app_for(tick, EVERY_SECOND)

    hosts: list[Host] = [
        await serve(app(name), host_id=host_id, ask_every=0.2) for name in ("first", "second")
    ]

    def ticks(host: Host) -> int:
        return host.counts["tick", "succeeded"]

    await hosts[0].run_until(lambda: max(map(ticks, hosts)) >= 3, WITHIN)
    assert min(map(ticks, hosts)) == 0
    active, idle = sorted(hosts, key=ticks, reverse=True)
    await active.stop()
    await idle.run_until(lambda: ticks(idle) >= 1, WITHIN)


async def test_a_host_that_stops_gives_its_timers_away_at_once(
    serve: Any, blobs: Any, host_id: str
) -> None:
    async def tick(timer: func.TimerRequest) -> None: ...

    lock = blobs.get_blob_client(CONTAINER, f"locks/{host_id}/tick.Listener")

    def is_held() -> bool:
        return bool(lock.get_blob_properties().lease.status == "locked")

    host = await serve(app_for(tick), host_id=host_id)
    await host.run_until(is_held, WITHIN)
    await host.stop()
    assert not is_held()


async def test_a_host_keeps_the_lease_while_its_timer_waits(serve: Any, host_id: str) -> None:
    requests = 0

    class Leases(SansIOHTTPPolicy[Any, Any]):
        def on_request(self, request: PipelineRequest[Any]) -> None:
            nonlocal requests
            requests += "comp=lease" in request.http_request.url

    async def tick(timer: func.TimerRequest) -> None: ...

    host = await serve(app_for(tick), host_id=host_id, ask_every=0.1, policies=[Leases()])
    await host.run_until(lambda: requests >= 5, WITHIN)


async def test_two_apps_do_not_share_their_timers(serve: Any) -> None:
    async def tick(timer: func.TimerRequest) -> None: ...

    hosts = [
        await serve(app_for(tick, run_on_startup=True), host_id=uuid.uuid4().hex) for _ in range(2)
    ]
    for host in hosts:
        await host.run_until(lambda host=host: host.counts["tick", "succeeded"] == 1, WITHIN)


async def test_after_downtime_a_timer_runs_at_once_and_knows_that_it_is_late(
    serve: Any, blobs: Any, host_id: str
) -> None:
    seen: list[func.TimerRequest] = []

    async def tick(timer: func.TimerRequest) -> None:
        seen.append(timer)

    status = blobs.get_blob_client(CONTAINER, f"timers/{host_id}/tick/status")
    host = await serve(app_for(tick), host_id=host_id)
    await host.run_until(status.exists, WITHIN)
    await host.stop()
    assert seen == []  # the first start is not late

    long_ago = {
        "Last": "2020-01-01T00:00:00+00:00",
        "Next": "2021-01-01T00:00:00+00:00",
        "LastUpdated": "2020-01-01T00:00:05+00:00",
    }
    status.upload_blob(json.dumps(long_ago), overwrite=True)
    host = await serve(app_for(tick), host_id=host_id)
    await host.run_until(lambda: host.counts["tick", "succeeded"] == 1, WITHIN)
    (timer,) = seen
    assert timer.past_due
    assert timer.schedule_status == long_ago

    await host.stop()
    written = json.loads(status.download_blob().readall())
    assert datetime.fromisoformat(written["Last"]).year >= 2026
    assert datetime.fromisoformat(written["Next"]) > datetime.now(UTC)


async def test_run_on_startup_is_not_late(serve: Any, host_id: str) -> None:
    seen: list[bool] = []

    def tick(timer: func.TimerRequest) -> None:
        seen.append(timer.past_due)

    await (await serve(app_for(tick, run_on_startup=True), host_id=host_id)).run_until(
        lambda: seen == [False], WITHIN
    )


@pytest.mark.parametrize("schedule", ["*/5 * * *", "61 * * * * *", "@hourly", "0 0 0 30 2 *", ""])
async def test_a_schedule_that_never_comes_is_refused_by_name(serve: Any, schedule: str) -> None:
    async def tick(timer: func.TimerRequest) -> None: ...

    with pytest.raises(AppError, match="tick"):
        await serve(app_for(tick, schedule))


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        ("*/20 * * * * *", "2026-11-22T04:00:20"),
        ("0 */5 * * * *", "2026-11-22T04:05:00"),
        ("*/5 * * * *", "2026-11-22T04:05:00"),  # no seconds: at second 0
        ("0 30 9 * JAN Mon", "2027-01-04T09:30:00"),
        ("0 0 9 13 * FRI", "2027-08-13T09:00:00"),  # both the 13th and a Friday
    ],
)
def test_schedules_mean_what_they_mean_in_azure(expression: str, following: str) -> None:
    moment = datetime(2026, 11, 22, 4, 0, 7, tzinfo=UTC)
    after = Schedule(expression, "tick").after(moment)
    assert after == datetime.fromisoformat(following).replace(tzinfo=UTC)
