"""Every contract runs twice: against the in-memory twin and against Azurite."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from azure.data.tables.aio import TableClient

from shared.adapters.azure_table import RETRIES, AzureTable
from shared.ports import Table
from tests.fakes import MemoryTable


@pytest.fixture(params=["memory", "azurite"])
async def table(request: pytest.FixtureRequest) -> AsyncIterator[Table]:
    if request.param == "memory":
        yield MemoryTable()
        return
    name = f"t{uuid4().hex}"
    connection_string = request.getfixturevalue("azurite")
    async with TableClient.from_connection_string(connection_string, name, **RETRIES) as client:
        await client.create_table()
        yield AzureTable(client)
