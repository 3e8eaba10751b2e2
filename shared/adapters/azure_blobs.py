"""Azure Blob Storage as the `Files` port."""

from contextlib import suppress

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

    async def remove_all(self, campaign: str) -> None:
        """Every blob whose name begins with `campaign/`. One that is gone already is as good."""
        try:
            async for name in self._client.list_blob_names(name_starts_with=f"{campaign}/"):
                with suppress(ResourceNotFoundError):
                    await self._client.delete_blob(name)
        except AzureError as error:
            raise DoubtfulError(f"blobs of {campaign}: cannot be removed") from error
