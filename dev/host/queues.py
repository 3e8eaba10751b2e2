"""The queue trigger: fetch, call, delete; a failure goes back, and in the end to poison."""

import asyncio
import base64
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from dev.host.app import AppError, Function
from dev.host.invoke import Invoker
from dev.host.pause import pause, seconds

log = logging.getLogger("dev.host")

SHORTEST_POLL = 0.1


@dataclass(frozen=True)
class QueueOptions:
    """`extensions.queues` of host.json, with Azure's defaults (polling: those of a local host)."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_timeout: float = 0
    max_polling_interval: float = 2
    base64: bool = True

    @classmethod
    def of(cls, host_json: Mapping[str, Any]) -> Self:
        given = host_json.get("extensions", {}).get("queues", {})
        batch_size = int(given.get("batchSize", cls.batch_size))
        if not 1 <= batch_size <= 32:
            raise AppError(f"host.json: batchSize is {batch_size}; it must be 1 to 32")
        return cls(
            batch_size=batch_size,
            new_batch_threshold=int(given.get("newBatchThreshold", batch_size // 2)),
            max_dequeue_count=int(given.get("maxDequeueCount", cls.max_dequeue_count)),
            visibility_timeout=seconds(given.get("visibilityTimeout", cls.visibility_timeout)),
            max_polling_interval=seconds(given.get("maxPollingInterval", cls.max_polling_interval)),
            base64=str(given.get("messageEncoding", "base64")).lower() == "base64",
        )


class QueueListener:
    """Serves one queue for one function, until `stopping`.

    At most batch size + threshold at a time. A message is invisible to others for `visibility`
    seconds, renewed while the function runs.
    """

    def __init__(
        self,
        function: Function,
        service: QueueServiceClient,
        options: QueueOptions,
        invoke: Invoker,
        visibility: int,
    ):
        self._function = function
        self._service = service
        self._options = options
        self._invoke = invoke
        self._visibility = visibility
        self._queue = service.get_queue_client(function.trigger["queueName"])
        self._processing: set[asyncio.Task[None]] = set()

    async def prepare(self) -> None:
        """Make the queue if there is none."""
        await _create(self._queue)

    async def run(self, stopping: asyncio.Event) -> None:
        """Returns when asked to stop and everything fetched has been dealt with."""
        wait = SHORTEST_POLL
        try:
            while not stopping.is_set():
                messages = await self._fetch()
                for message in messages:
                    task = asyncio.create_task(self._process(message))
                    self._processing.add(task)
                    task.add_done_callback(self._processing.discard)
                if messages:
                    wait = SHORTEST_POLL
                    await self._room(stopping)
                else:
                    await pause(stopping, wait)
                    wait = min(wait * 2, self._options.max_polling_interval)
            await asyncio.gather(*self._processing)
        finally:  # cancelled when the grace is over
            for task in self._processing:
                task.cancel()
            await asyncio.gather(*self._processing, return_exceptions=True)

    async def _fetch(self) -> list[QueueMessage]:
        pages = self._queue.receive_messages(
            messages_per_page=self._options.batch_size, visibility_timeout=self._visibility
        ).by_page()
        try:
            async for page in pages:  # the first page only: one request
                return [message async for message in page]
        except ResourceNotFoundError:
            with contextlib.suppress(AzureError):
                await self.prepare()
        except AzureError as error:
            log.warning("queue.unreachable queue=%s error=%r", self._queue.queue_name, error)
        return []

    async def _room(self, stopping: asyncio.Event) -> None:
        """Wait until so few are running that the next batch may be fetched."""
        while len(self._processing) > self._options.new_batch_threshold:
            if stopping.is_set():
                return
            await asyncio.wait(self._processing, return_when=asyncio.FIRST_COMPLETED)

    async def _process(self, message: QueueMessage) -> None:
        try:
            await self._handle(message)
        except AzureError as error:
            # The message shows up again when its invisibility ends: delivery is at least once.
            log.warning(
                "queue.not_settled queue=%s message_id=%s error=%r",
                self._queue.queue_name,
                message.id,
                error,
            )

    async def _handle(self, message: QueueMessage) -> None:
        count = message.dequeue_count or 1
        try:
            data = self._decode(str(message.content))
        except ValueError as error:
            log.error("queue.undecodable message_id=%s error=%s", message.id, error)
            await self._give_up(message, str(message.pop_receipt))
            return
        if count > self._options.max_dequeue_count and not self._is_poison:
            await self._give_up(message, str(message.pop_receipt))
            return

        finished = asyncio.Event()
        renewal = asyncio.create_task(self._renew(message, finished))
        try:
            await self._invoke(self._function, data, _metadata(message, self._queue.queue_name))
            succeeded = True
        except Exception:  # logged where it was called
            succeeded = False
        finally:
            finished.set()
            receipt = await renewal

        if succeeded:
            await self._queue.delete_message(message.id, receipt)
        elif count >= self._options.max_dequeue_count and not self._is_poison:
            await self._give_up(message, receipt)
        else:
            await self._queue.update_message(
                message.id, receipt, visibility_timeout=round(self._options.visibility_timeout)
            )

    async def _renew(self, message: QueueMessage, finished: asyncio.Event) -> str:
        """Keep the message ours until finished; the receipt that then counts."""
        receipt = str(message.pop_receipt)
        while not await pause(finished, self._visibility / 2):
            try:
                renewed = await self._queue.update_message(
                    message.id, receipt, visibility_timeout=self._visibility
                )
                receipt = str(renewed.pop_receipt)
            except AzureError as error:
                log.warning("queue.not_renewed message_id=%s error=%r", message.id, error)
        return receipt

    def _decode(self, content: str) -> Datum:
        if not self._options.base64:
            return Datum(content, "string")
        body = base64.b64decode(content, validate=True)
        try:
            return Datum(body.decode(), "string")
        except UnicodeDecodeError:
            return Datum(body, "bytes")

    @property
    def _is_poison(self) -> bool:
        """A poison queue has no poison queue of its own: what fails there, stays there."""
        return self._queue.queue_name.endswith("-poison")

    async def _give_up(self, message: QueueMessage, receipt: str) -> None:
        if self._is_poison:
            return
        poison = self._service.get_queue_client(f"{self._queue.queue_name}-poison")
        try:
            await poison.send_message(message.content)
        except ResourceNotFoundError:
            await _create(poison)
            await poison.send_message(message.content)
        await self._queue.delete_message(message.id, receipt)
        log.warning("queue.poison queue=%s message_id=%s", poison.queue_name, message.id)


async def _create(queue: QueueClient) -> None:
    with contextlib.suppress(ResourceExistsError):
        await queue.create_queue()


def _metadata(message: QueueMessage, queue: str) -> dict[str, Datum]:
    times = {
        "InsertionTime": message.inserted_on,
        "ExpirationTime": message.expires_on,
        "NextVisibleTime": message.next_visible_on,
    }
    return {
        "QueueTrigger": Datum(queue, "string"),
        "Id": Datum(message.id, "string"),
        "PopReceipt": Datum(message.pop_receipt, "string"),
        "DequeueCount": Datum(message.dequeue_count, "int"),
    } | {
        name: Datum(time.isoformat(), "string")
        for name, time in times.items()
        if isinstance(time, datetime)
    }
