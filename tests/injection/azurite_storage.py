"""The account on Azurite, in the place of the one in memory."""

from typing import Any, Self

import aiohttp
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue import TextBase64DecodePolicy
from azure.storage.queue.aio import QueueServiceClient

from shared.ledger import TABLES
from shared.ports import Clock
from tests.examples import settings
from tests.injection.memory_storage import Waiting

CONTAINERS = ("campaigns",)
QUEUES = (settings().DELIVER_EMAIL_QUEUE, settings().DELIVER_TICKET_QUEUE)


class AzuriteStorage:
    """Empty when entered, and when left."""

    def __init__(self, connection_string: str, clock: Clock) -> None:
        self.connection_string = connection_string
        self._clock = clock

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        self._queues = QueueServiceClient.from_connection_string(self.connection_string)
        await self._wipe()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wipe()
        await self._queues.close()
        await self._session.close()

    async def request(self, method: str, url: str, **options: Any) -> Any:
        return await self._session.request(method, url, **options)

    async def take(self, queue: str) -> list[Waiting]:
        client = self._queues.get_queue_client(
            queue, message_decode_policy=TextBase64DecodePolicy()
        )
        taken = []
        try:
            async for message in client.receive_messages(visibility_timeout=30):
                taken.append(Waiting(message.content, self._clock()))
                await client.delete_message(message)
        except ResourceNotFoundError:
            return []
        return taken

    async def _wipe(self) -> None:
        account = self.connection_string
        async with (
            TableServiceClient.from_connection_string(account) as tables,
            BlobServiceClient.from_connection_string(account) as blobs,
        ):
            for remove, names in (
                (tables.delete_table, TABLES),
                (self._queues.delete_queue, QUEUES),
                (blobs.delete_container, CONTAINERS),
            ):
                for name in names:
                    try:
                        await remove(name)
                    except ResourceNotFoundError:
                        continue
