"""The storage account: one connection, and what must be in it before anything works."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from azure.core.exceptions import AzureError, ResourceExistsError
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue import TextBase64EncodePolicy
from azure.storage.queue.aio import QueueServiceClient

from shared.adapters.azure_blobs import AzureBlobs
from shared.adapters.azure_queue import AzureQueue
from shared.adapters.azure_table import RETRIES, AzureTable

# At INFO it writes several lines for every request, ten of them for each mail.
logging.getLogger("azure").setLevel(logging.WARNING)


class AzureStorage:
    """Hands out tables, queues and containers, and makes those that are missing when asked to."""

    def __init__(
        self, connection_string: str, transport: AsyncHttpTransport[Any, Any] | None = None
    ) -> None:
        """Goes nowhere yet. A `transport` sees every request, its repetitions included."""
        options: dict[str, Any] = {**RETRIES, **({"transport": transport} if transport else {})}
        self._tables = TableServiceClient.from_connection_string(connection_string, **options)
        self._queues = QueueServiceClient.from_connection_string(connection_string, **options)
        self._blobs = BlobServiceClient.from_connection_string(connection_string, **options)
        self._preparing = asyncio.Lock()
        self._wanted: list[tuple[str, str]] = []

    def table(self, name: str) -> AzureTable:
        self._wanted.append(("table", name))
        return AzureTable(self._tables.get_table_client(name))

    def queue(self, name: str) -> AzureQueue:
        self._wanted.append(("queue", name))
        return AzureQueue(
            self._queues.get_queue_client(name, message_encode_policy=TextBase64EncodePolicy())
        )

    def container(self, name: str) -> AzureBlobs:
        self._wanted.append(("container", name))
        return AzureBlobs(self._blobs.get_container_client(name))

    async def prepare(self) -> None:
        """Make what has been handed out and is not there. Costs nothing the second time."""
        make: dict[str, Callable[[str], Awaitable[object]]] = {
            "table": self._tables.create_table,
            "queue": self._queues.create_queue,
            "container": self._blobs.create_container,
        }
        async with self._preparing:
            while self._wanted:
                kind, name = self._wanted[-1]
                with suppress(ResourceExistsError):
                    await make[kind](name)
                self._wanted.pop()

    async def answers(self) -> bool:
        """True when the account can be read just now."""
        try:
            await self._queues.get_service_properties()
        except AzureError:
            return False
        return True

    async def close(self) -> None:
        for client in (self._tables, self._queues, self._blobs):
            await client.close()
