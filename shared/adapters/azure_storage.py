"""The storage account: one connection, and what must be in it before anything works."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError, ResourceExistsError
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue import TextBase64EncodePolicy
from azure.storage.queue.aio import QueueServiceClient

from shared.adapters.azure_blobs import AzureBlobs
from shared.adapters.azure_queue import AzureQueue
from shared.adapters.azure_table import RETRIES, AzureTable
from shared.settings import Settings

# At INFO it writes several lines for every request, ten of them for each mail.
logging.getLogger("azure").setLevel(logging.WARNING)


class AzureStorage:
    """Hands out tables, queues and containers, and makes those that are missing when asked to.

    None of its makers goes anywhere yet. A `transport` sees every request, its repetitions
    included, but not those for a token.
    """

    def __init__(
        self,
        tables: TableServiceClient,
        queues: QueueServiceClient,
        blobs: BlobServiceClient,
        credential: AsyncTokenCredential | None = None,
    ) -> None:
        self._tables, self._queues, self._blobs = tables, queues, blobs
        self._credential = credential
        self._preparing = asyncio.Lock()
        self._wanted: list[tuple[str, str]] = []

    @classmethod
    def of(cls, settings: Settings, transport: AsyncHttpTransport[Any, Any] | None = None) -> Self:
        """The account that the settings name, in the one way that they give."""
        account = settings.AzureWebJobsStorage__accountName
        if account:
            # slow to load, and not wanted where there is a connection string
            from azure.identity.aio import ManagedIdentityCredential

            client_id = settings.AzureWebJobsStorage__clientId or None
            credential = ManagedIdentityCredential(client_id=client_id)
            return cls.by_identity(account, credential, transport)
        return cls.by_connection_string(settings.AzureWebJobsStorage.get_secret_value(), transport)

    @classmethod
    def by_connection_string(
        cls, connection_string: str, transport: AsyncHttpTransport[Any, Any] | None = None
    ) -> Self:
        options = _options(transport)
        return cls(
            TableServiceClient.from_connection_string(connection_string, **options),
            QueueServiceClient.from_connection_string(connection_string, **options),
            BlobServiceClient.from_connection_string(connection_string, **options),
        )

    @classmethod
    def by_identity(
        cls,
        account: str,
        credential: AsyncTokenCredential,
        transport: AsyncHttpTransport[Any, Any] | None = None,
    ) -> Self:
        """Takes the credential over, and closes it with itself."""
        options = {**_options(transport), "credential": credential}
        return cls(
            TableServiceClient(f"https://{account}.table.core.windows.net", **options),
            QueueServiceClient(f"https://{account}.queue.core.windows.net", **options),
            BlobServiceClient(f"https://{account}.blob.core.windows.net", **options),
            credential,
        )

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
            # not the service's properties, which no role for data may read
            async for _ in self._queues.list_queues(results_per_page=1):
                break
        except AzureError:
            return False
        return True

    async def close(self) -> None:
        for client in (self._tables, self._queues, self._blobs):
            await client.close()
        if self._credential:
            await self._credential.close()


def _options(transport: AsyncHttpTransport[Any, Any] | None) -> dict[str, Any]:
    return {**RETRIES, **({"transport": transport} if transport else {})}
