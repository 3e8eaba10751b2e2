"""Does the storage account answer, and has it what we keep something in?"""

import asyncio
from collections.abc import Sequence
from typing import Any

from azure.core.async_paging import AsyncItemPaged
from azure.core.exceptions import AzureError, HttpResponseError
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from dev.check.findings import Finding, Findings, missing, ok, unknown
from shared.flow.draft import LOGOS
from shared.ledger import TABLES
from shared.settings import Settings

CONTAINERS = ("campaigns",)

_SECONDS = 20.0


def queues(settings: Settings) -> list[str]:
    """Each with its poison queue."""
    ours = (settings.DELIVER_EMAIL_QUEUE, settings.DELIVER_TICKET_QUEUE)
    return [name for queue in ours for name in (queue, f"{queue}-poison")]


async def storage(settings: Settings) -> Findings:
    """A line for each service. Says nothing of the connection string but its setting's name."""
    if account := settings.AzureWebJobsStorage__accountName:
        yield unknown(
            f"AzureWebJobsStorage__accountName: lageret {account} slipper bare inn appen selv, med"
            " identiteten den har i Azure. Det kan ikke prøves herfra.",
            "Spør appen om den når lageret: /api/health, se docs/deploy.md.",
        )
        return
    connection = settings.AzureWebJobsStorage.get_secret_value()
    try:
        tables = TableServiceClient.from_connection_string(connection, retry_total=0)
        all_queues = QueueServiceClient.from_connection_string(connection, retry_total=0)
        files = BlobServiceClient.from_connection_string(connection, retry_total=0)
    except ValueError:
        yield missing(
            "AzureWebJobsStorage er ikke en gyldig tilkoblingsstreng.",
            "Kopier hele tilkoblingsstrengen (connection string) fra lagringskontoen i Azure.",
        )
        return
    async with tables, all_queues, files:
        yield await _service("tabeller", tables.list_tables(), TABLES)
        yield await _service("køer", all_queues.list_queues(), queues(settings))
        yield await _service("filer", files.list_containers(), CONTAINERS)
        for name in sorted({one.logo for one in settings.LETTERHEADS.values() if one.logo}):
            yield await _logo(files, name)


async def _logo(files: BlobServiceClient, name: str) -> Finding:
    """Whether the logo of a letterhead is where the app looks for it."""
    blob = f"{LOGOS}/{name}"
    try:
        async with asyncio.timeout(_SECONDS):
            there = await files.get_blob_client(CONTAINERS[0], blob).exists()
    except (AzureError, TimeoutError):
        return unknown(f"LETTERHEADS: om logoen {name} ligger i lageret.")
    if there:
        return ok(f"LETTERHEADS: logoen {name} ligger i lageret.")
    return missing(
        f"LETTERHEADS: logoen {name} ligger ikke i lageret.",
        f"Last den opp som {blob} i beholderen {CONTAINERS[0]}. Uten den stanser utsendelser med"
        " dette brevhodet.",
    )


async def _service(what: str, found: AsyncItemPaged[Any], wanted: Sequence[str]) -> Finding:
    """Whether it answers, and which of ours are not there yet: the app makes those itself."""
    try:
        async with asyncio.timeout(_SECONDS):
            there = {one.name async for one in found}
    except (AzureError, TimeoutError) as error:
        status = error.status_code if isinstance(error, HttpResponseError) else None
        answer = f"sier nei ({status})" if status else "svarer ikke"
        return missing(
            f"AzureWebJobsStorage: lageret {answer} for {what}.",
            "Er nøkkelen til lagringskontoen byttet? Slipper den (eller brannmuren) denne"
            " maskinen til? På egen maskin: python -m dev azurite starter et lager.",
        )
    if later := [name for name in wanted if name not in there]:
        return ok(
            f"AzureWebJobsStorage: lageret svarer for {what}.",
            f"Finnes ikke ennå, og blir laget når appen trenger dem: {', '.join(later)}.",
        )
    return ok(f"AzureWebJobsStorage: lageret svarer for {what}: {', '.join(wanted)}.")
