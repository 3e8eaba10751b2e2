"""Does the storage account answer, for each of the services that we keep something in?"""

import asyncio

from azure.core.exceptions import AzureError, HttpResponseError
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from dev.check.findings import Findings, missing, ok
from shared.settings import Settings

_SECONDS = 20.0


async def storage(settings: Settings) -> Findings:
    """A line for each service. Says nothing of the connection string but its setting's name."""
    connection = settings.AzureWebJobsStorage.get_secret_value()
    for what, service in (
        ("tabeller", TableServiceClient),
        ("køer", QueueServiceClient),
        ("filer", BlobServiceClient),
    ):
        try:
            client = service.from_connection_string(connection, retry_total=0)
        except ValueError:
            yield missing(
                "AzureWebJobsStorage er ikke en gyldig tilkoblingsstreng.",
                "Kopier hele tilkoblingsstrengen (connection string) fra lagringskontoen i Azure.",
            )
            return
        try:
            async with asyncio.timeout(_SECONDS), client:
                await client.get_service_properties()
            finding = ok(f"AzureWebJobsStorage: lageret svarer for {what}.")
        except (AzureError, TimeoutError) as error:
            status = error.status_code if isinstance(error, HttpResponseError) else None
            answer = f"sier nei ({status})" if status else "svarer ikke"
            finding = missing(
                f"AzureWebJobsStorage: lageret {answer} for {what}.",
                "Er nøkkelen til lagringskontoen byttet? Slipper den (eller brannmuren) denne"
                " maskinen til? På egen maskin: python -m dev azurite starter et lager.",
            )
        yield finding
