"""Queue triggers, against a real storage emulator: what the app may rely on in Azure."""

import asyncio
import json
import threading
import time
from typing import Any

import azure.functions as func
import pytest
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

from dev.host import AppError

WITHIN = 20  # seconds; far more than anything here takes


def queues(**options: Any) -> dict[str, Any]:
    """A host.json with these options for queues, that polls often."""
    return {"extensions": {"queues": {"maxPollingInterval": "00:00:00.1"} | options}}


def app_for(queue: Any, handle: Any) -> func.FunctionApp:
    """An app with one function, `handle`, on the queue."""
    app = func.FunctionApp()
    decorate = app.queue_trigger(
        arg_name="item", queue_name=queue.name, connection="AzureWebJobsStorage"
    )
    decorate(handle)
    return app


async def test_a_message_arrives_decoded_and_is_gone_when_handled(queue: Any, serve: Any) -> None:
    seen: list[func.QueueMessage] = []

    async def handle(item: func.QueueMessage) -> None:
        seen.append(item)

    queue.put("Blåbærsyltetøy")
    host = await serve(app_for(queue, handle))
    await host.run_until(lambda: queue.stored() == 0, WITHIN)
    (item,) = seen
    assert item.get_body().decode() == "Blåbærsyltetøy"
    assert item.dequeue_count == 1
    assert item.id and item.pop_receipt
    assert item.insertion_time.tzinfo
    assert host.counts == {("handle", "succeeded"): 1}


async def test_a_function_that_is_not_async_runs_in_a_thread_of_its_own(
    queue: Any, serve: Any
) -> None:
    threads: list[threading.Thread] = []

    def handle(item: func.QueueMessage, context: func.Context) -> None:
        assert context.function_name == "handle"
        assert context.invocation_id
        threads.append(threading.current_thread())

    queue.put("x")
    host = await serve(app_for(queue, handle))
    await host.run_until(lambda: host.counts["handle", "succeeded"] == 1, WITHIN)
    assert threads != [threading.current_thread()]


async def test_a_message_that_always_fails_goes_to_poison_whose_own_trigger_sees_it(
    queue: Any, serve: Any
) -> None:
    counts: list[int] = []
    poisoned: list[str] = []
    app = func.FunctionApp()

    @app.queue_trigger(arg_name="item", queue_name=queue.name, connection="")
    async def handle(item: func.QueueMessage) -> None:
        counts.append(item.dequeue_count or 0)
        raise RuntimeError("alltid feil")

    @app.queue_trigger(arg_name="item", queue_name=f"{queue.name}-poison", connection="")
    async def handle_poison(item: func.QueueMessage) -> None:
        poisoned.append(item.get_body().decode())

    queue.put("x")
    host = await serve(app, queues(maxDequeueCount=3))
    await host.run_until(lambda: host.counts["handle_poison", "succeeded"] == 1, WITHIN)
    assert counts == [1, 2, 3]
    assert poisoned == ["x"]
    assert queue.stored() == 0


async def test_the_last_failure_moves_a_message_to_poison_at_once(queue: Any, serve: Any) -> None:
    async def handle(item: func.QueueMessage) -> None:
        raise RuntimeError

    queue.put("x")
    once = queues(maxDequeueCount=1, visibilityTimeout="01:00:00")
    host = await serve(app_for(queue, handle), once)
    await host.run_until(lambda: queue.stored() == 0, WITHIN)
    assert queue.stored(f"{queue.name}-poison") == 1


async def test_a_message_taken_too_often_goes_to_poison_without_being_tried(
    queue: Any, serve: Any
) -> None:
    async def handle(item: func.QueueMessage) -> None:
        raise AssertionError("must not be called")

    queue.put("x")
    client = queue.service.get_queue_client(queue.name)
    for _ in range(5):  # as hosts do that are killed before they can say how it went
        (message,) = client.receive_messages(max_messages=1, visibility_timeout=60)
        client.update_message(message, visibility_timeout=0)
    host = await serve(app_for(queue, handle))
    await host.run_until(lambda: queue.stored() == 0, WITHIN)
    assert queue.stored(f"{queue.name}-poison") == 1
    assert not host.counts


async def test_what_fails_in_a_poison_queue_stays_there(queue: Any, serve: Any) -> None:
    name = f"{queue.name}-poison"
    queue.service.create_queue(name)
    poison = type(queue)(queue.service, name)
    tried: list[int] = []

    async def handle(item: func.QueueMessage) -> None:
        tried.append(item.dequeue_count or 0)
        if len(tried) < 7:
            raise RuntimeError

    poison.put("x")
    host = await serve(app_for(poison, handle))
    await host.run_until(lambda: poison.stored() == 0, WITHIN)
    assert tried == [1, 2, 3, 4, 5, 6, 7]


async def test_a_failed_message_is_hidden_for_the_visibility_timeout(
    queue: Any, serve: Any
) -> None:
    times: list[float] = []

    async def handle(item: func.QueueMessage) -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            raise RuntimeError

    queue.put("x")
    host = await serve(app_for(queue, handle), queues(visibilityTimeout="00:00:02"))
    await host.run_until(lambda: len(times) == 2, WITHIN)
    assert times[1] - times[0] > 0.9  # storage counts whole seconds


async def test_at_most_batch_size_plus_threshold_run_at_once(queue: Any, serve: Any) -> None:
    running, most, started = 0, 0, 0
    release = asyncio.Event()
    first_four = asyncio.Event()

    async def handle(item: func.QueueMessage) -> None:
        nonlocal running, most, started
        running, started = running + 1, started + 1
        most = max(most, running)
        if started == 4:
            first_four.set()
        # Two of the first batch end when it is complete, which makes room for the next batch.
        await (first_four if item.get_body() in (b"0", b"1") else release).wait()
        running -= 1

    queue.put(*map(str, range(20)))
    host = await serve(app_for(queue, handle), queues(batchSize=4, newBatchThreshold=2))
    await host.run_until(lambda: running == 6, WITHIN)
    await asyncio.sleep(0.5)  # time enough to take more, if it would
    release.set()
    await host.run_until(lambda: host.counts["handle", "succeeded"] == 20, WITHIN)
    assert most == 6


async def test_a_message_stays_ours_while_a_slow_function_runs(queue: Any, serve: Any) -> None:
    renewals, calls = 0, 0
    outlasted = asyncio.Event()  # its first visibility

    class Renewals(SansIOHTTPPolicy[Any, Any]):
        def on_request(self, request: PipelineRequest[Any]) -> None:
            nonlocal renewals
            if request.http_request.method == "PUT" and "/messages/" in request.http_request.url:
                renewals += 1
                if renewals == 2:
                    outlasted.set()

    async def handle(item: func.QueueMessage) -> None:
        nonlocal calls
        calls += 1
        await outlasted.wait()

    queue.put("x")
    host = await serve(app_for(queue, handle), visibility=3, policies=[Renewals()])
    await host.run_until(lambda: queue.stored() == 0, WITHIN)
    assert calls == 1


async def test_two_hosts_share_a_queue(queue: Any, serve: Any) -> None:
    seen: list[str] = []

    async def handle(item: func.QueueMessage) -> None:
        seen.append(item.get_body().decode())

    app = app_for(queue, handle)
    texts = [str(number) for number in range(40)]
    queue.put(*texts)
    first, second = await serve(app), await serve(app)
    await first.run_until(lambda: queue.stored() == 0, WITHIN)
    assert sorted(seen) == sorted(texts)
    assert first.counts["handle", "succeeded"] + second.counts["handle", "succeeded"] == 40


async def test_stopping_waits_for_what_runs_and_takes_nothing_more(queue: Any, serve: Any) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def handle(item: func.QueueMessage) -> None:
        started.set()
        await release.wait()

    queue.put("x")
    host = await serve(app_for(queue, handle))
    await asyncio.wait_for(started.wait(), WITHIN)
    stopping = asyncio.create_task(host.stop(WITHIN))
    await asyncio.sleep(0.2)  # a fetch that was under way may still bring something
    queue.put("y")
    await asyncio.sleep(0.3)  # time enough to take it, if it would
    release.set()
    await stopping
    assert host.counts == {("handle", "succeeded"): 1}
    assert queue.stored() == 1


async def test_a_call_that_outlasts_the_grace_is_cancelled_and_its_message_kept(
    queue: Any, serve: Any
) -> None:
    started = asyncio.Event()

    async def handle(item: func.QueueMessage) -> None:
        started.set()
        await asyncio.Event().wait()

    queue.put("x")
    host = await serve(app_for(queue, handle))
    await asyncio.wait_for(started.wait(), WITHIN)
    await host.stop(0)
    assert host.counts == {("handle", "cancelled"): 1}
    assert queue.stored() == 1


async def test_a_body_that_is_not_base64_goes_to_poison(queue: Any, serve: Any) -> None:
    async def handle(item: func.QueueMessage) -> None:
        raise AssertionError("must not be called")

    queue.put_raw("ikke base64!")
    host = await serve(app_for(queue, handle))
    await host.run_until(lambda: queue.stored() == 0, WITHIN)
    assert queue.stored(f"{queue.name}-poison") == 1


async def test_without_an_encoding_the_body_is_taken_as_it_is(queue: Any, serve: Any) -> None:
    seen: list[Any] = []

    async def handle(item: func.QueueMessage) -> None:
        seen.append(item.get_json())

    queue.put_raw(json.dumps({"id": "ø"}))
    host = await serve(app_for(queue, handle), queues(messageEncoding="none"))
    await host.run_until(lambda: seen == [{"id": "ø"}], WITHIN)


async def test_a_queue_that_does_not_exist_is_made_also_later(queue: Any, serve: Any) -> None:
    async def handle(item: func.QueueMessage) -> None: ...

    queue.service.delete_queue(queue.name)
    host = await serve(app_for(queue, handle))
    queue.put("x")
    await host.run_until(lambda: host.counts["handle", "succeeded"] == 1, WITHIN)
    queue.service.delete_queue(queue.name)

    def exists() -> bool:
        return any(found.name == queue.name for found in queue.service.list_queues())

    await host.run_until(exists, WITHIN)
    queue.put("y")
    await host.run_until(lambda: host.counts["handle", "succeeded"] == 2, WITHIN)


@pytest.mark.parametrize("size", [0, 33])
async def test_a_batch_size_that_azure_refuses_is_refused(
    queue: Any, serve: Any, size: int
) -> None:
    async def handle(item: func.QueueMessage) -> None: ...

    with pytest.raises(AppError, match="batchSize"):
        await serve(app_for(queue, handle), queues(batchSize=size))
