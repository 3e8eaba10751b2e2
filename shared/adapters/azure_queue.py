"""Azure Storage Queue as the `Queue` port.

Put with the SDK, base64 as the Functions host expects: the host's own output binding would parse
an item as JSON and cannot delay a single one.
"""

from datetime import timedelta

from azure.core.exceptions import AzureError
from azure.storage.queue.aio import QueueClient

from shared.errors import DoubtfulError


class AzureQueue:
    def __init__(self, client: QueueClient) -> None:
        self._client = client

    async def put(self, item: str, delay: timedelta) -> None:
        """Make it visible after `delay`. A DoubtfulError is harmless: items may come twice."""
        try:
            await self._client.send_message(
                item, visibility_timeout=max(0, round(delay.total_seconds()))
            )
        except AzureError as error:
            raise DoubtfulError(f"queue {self._client.queue_name}: cannot put an item") from error

    async def length(self) -> int:
        try:
            properties = await self._client.get_queue_properties()
        except AzureError as error:
            raise DoubtfulError(f"queue {self._client.queue_name}: no answer") from error
        return properties.approximate_message_count or 0
