"""Azure Blob Storage as the `Files` port."""

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob.aio import ContainerClient

from shared.errors import DoubtfulError


class AzureBlobs:
    def __init__(self, client: ContainerClient) -> None:
        self._client = client

    async def put(self, name: str, data: bytes) -> None:
        """Store it under this name, over what was there."""
        try:
            await self._client.upload_blob(name, data, overwrite=True)
        except AzureError as error:
            raise DoubtfulError(f"blob {name}: cannot be written") from error

    async def get(self, name: str) -> bytes | None:
        """The blob's bytes; None when there is none of that name."""
        try:
            download = await self._client.download_blob(name)
            return await download.readall()
        except ResourceNotFoundError:
            return None
        except AzureError as error:
            raise DoubtfulError(f"blob {name}: cannot be read") from error
