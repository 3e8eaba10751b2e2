"""The storage account, reached by a connection string or by the app's identity.

Azurite takes no managed identity. What is asked of Azure then is recorded, and the answers are
made up; the identity itself is asked for over HTTP, as it is where the app runs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from shared.adapters.azure_storage import AzureStorage
from shared.ports import Insert
from tests.examples import settings
from tests.infra.azure import Azure, Identity


@pytest.fixture
def azure() -> Azure:
    return Azure()


# -- by connection string


async def test_what_is_missing_is_made_and_what_is_there_is_left_alone(azurite: str) -> None:
    name = f"x{uuid4().hex}"
    for _ in range(2):
        storage = AzureStorage.by_connection_string(azurite)
        table = storage.table(name)
        storage.queue(name), storage.container(name)
        await storage.prepare()
        await table.write("p", Insert(uuid4().hex, {}))
        await storage.close()
    async with (
        TableServiceClient.from_connection_string(azurite) as tables,
        QueueServiceClient.from_connection_string(azurite) as queues,
        BlobServiceClient.from_connection_string(azurite) as blobs,
    ):
        rows = tables.get_table_client(name).list_entities()
        assert len([row async for row in rows]) == 2
        assert name in [one.name async for one in queues.list_queues()]
        assert name in [one.name async for one in blobs.list_containers()]


async def test_it_answers_where_the_account_can_be_read(azurite: str) -> None:
    storage = AzureStorage.by_connection_string(azurite)
    assert await storage.answers()
    await storage.close()


# -- by identity


async def test_what_is_missing_is_asked_for_at_the_accounts_own_addresses(azure: Azure) -> None:
    storage = AzureStorage.by_identity("stutsendelse", Identity(), azure)
    storage.table("campaigns"), storage.queue("deliver-email"), storage.container("campaigns")
    assert azure.asked == []
    await storage.prepare()
    await storage.prepare()
    assert sorted(azure.asked) == [
        ("POST", "https://stutsendelse.table.core.windows.net/Tables"),
        ("PUT", "https://stutsendelse.blob.core.windows.net/campaigns"),
        ("PUT", "https://stutsendelse.queue.core.windows.net/deliver-email"),
    ]


async def test_what_the_template_has_made_already_is_no_trouble() -> None:
    azure = Azure(there=True)
    storage = AzureStorage.by_identity("stutsendelse", Identity(), azure)
    storage.queue("deliver-email"), storage.container("campaigns")
    await storage.prepare()
    assert len(azure.asked) == 2


async def test_each_request_carries_a_token_for_storage_and_no_key(azure: Azure) -> None:
    identity = Identity()
    storage = AzureStorage.by_identity("stutsendelse", identity, azure)
    storage.table("campaigns"), storage.queue("deliver-email"), storage.container("campaigns")
    await storage.prepare()
    assert await storage.answers()
    assert azure.tokens == {"Bearer et-token"}
    assert identity.scopes == {"https://storage.azure.com/.default"}


async def test_health_asks_only_what_a_role_for_data_may_know(azure: Azure) -> None:
    storage = AzureStorage.by_identity("stutsendelse", Identity(), azure)
    assert await storage.answers()
    # with ?comp=properties the service would say 403 to the role Storage Queue Data Contributor
    assert azure.asked == [("GET", "https://stutsendelse.queue.core.windows.net/")]


async def test_where_there_is_no_identity_nothing_is_asked_and_nothing_answers(
    azure: Azure,
) -> None:
    storage = AzureStorage.by_identity("stutsendelse", Identity(token=None), azure)
    assert not await storage.answers()
    assert azure.asked == []


async def test_it_closes_the_identity_that_it_took_over(azure: Azure) -> None:
    identity = Identity()
    await AzureStorage.by_identity("stutsendelse", identity, azure).close()
    assert identity.closed


# -- as the settings say


async def test_the_settings_choose_a_connection_string(azurite: str) -> None:
    storage = AzureStorage.of(settings(AzureWebJobsStorage=azurite))
    assert await storage.answers()
    await storage.close()


@asynccontextmanager
async def identity_endpoint(asked: list[dict[str, list[str]]]) -> AsyncIterator[str]:
    """What Azure gives an app to ask for its identities' tokens, on this machine."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *_ = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        asked.append(parse_qs(urlsplit(first.split()[1]).query))
        token = {
            "access_token": "fra-azure",
            "expires_on": int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()),
            "resource": "https://storage.azure.com",
            "token_type": "Bearer",
        }
        body = json.dumps(token).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/msi/token"


@pytest.mark.parametrize("client_id", ["5a1e0000-0000-0000-0000-000000000001", ""])
async def test_the_settings_choose_the_identity_and_which(
    azure: Azure, client_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_identity = settings(
        AzureWebJobsStorage="",
        AzureWebJobsStorage__accountName="stutsendelse",
        AzureWebJobsStorage__clientId=client_id,
    )
    asked: list[dict[str, list[str]]] = []
    async with identity_endpoint(asked) as endpoint:
        monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint)
        monkeypatch.setenv("IDENTITY_HEADER", "en-verdi")
        storage = AzureStorage.of(by_identity, azure)
        assert await storage.answers()
        assert await storage.answers()
        await storage.close()
    assert azure.tokens == {"Bearer fra-azure"}
    [question] = asked
    assert question["resource"] == ["https://storage.azure.com"]
    assert question.get("client_id") == ([client_id] if client_id else None)
