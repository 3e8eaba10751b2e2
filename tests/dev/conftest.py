"""A host for an app that a test defines, against real storage."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import azure.functions as func
import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient, TextBase64EncodePolicy

from dev.host import Host, Options

QUICK = {"extensions": {"queues": {"maxPollingInterval": "00:00:00.1"}}}


@pytest.fixture
def storage(azurite: str) -> Iterator[QueueServiceClient]:
    with QueueServiceClient.from_connection_string(azurite) as service:
        yield service


@pytest.fixture
def blobs(azurite: str) -> Iterator[BlobServiceClient]:
    with BlobServiceClient.from_connection_string(azurite) as service:
        yield service


@dataclass(frozen=True)
class Queue:
    """A queue of the test's own, as an app that enqueues sees it."""

    service: QueueServiceClient
    name: str

    def put(self, *texts: str) -> None:
        client = self.service.get_queue_client(
            self.name, message_encode_policy=TextBase64EncodePolicy()
        )
        for text in texts:
            client.send_message(text)

    def put_raw(self, text: str) -> None:
        self.service.get_queue_client(self.name).send_message(text)

    def stored(self, name: str | None = None) -> int:
        """How many messages there are, visible or not."""
        properties = self.service.get_queue_client(name or self.name).get_queue_properties()
        return int(properties.approximate_message_count or 0)


@pytest.fixture
def queue(storage: QueueServiceClient) -> Queue:
    queue = Queue(storage, f"test-{uuid.uuid4().hex[:12]}")
    storage.create_queue(queue.name)
    return queue


Serve = Callable[..., Any]


@pytest.fixture
async def serve(azurite: str) -> AsyncIterator[Serve]:
    """Start a host for an app; it is stopped after the test at the latest."""
    async with AsyncExitStack() as stack:

        async def start(
            app: func.FunctionApp,
            host_json: Mapping[str, Any] = QUICK,
            settings: Mapping[str, str] | None = None,
            **options: Any,
        ) -> Host:
            host = Host(
                app,
                host_json=host_json,
                settings={"AzureWebJobsStorage": azurite} | dict(settings or {}),
                options=Options(**options),
            )
            await host.start()
            stack.push_async_callback(host.stop, 5)
            return host

        yield start
