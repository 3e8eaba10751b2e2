"""What the ledger promises about providers' own names for our deliveries."""

import json

import pytest

from shared.domain.bounce import Posted
from shared.domain.delivery import OpenDelivery, delivery_id
from shared.domain.recipient import Recipient
from shared.ledger.references import References
from shared.ports import Table
from tests.fakes import MemoryTable

RECIPIENT = Recipient("user:1", "Åse", "åse@example.no", 1)
GRAPH = "<AM6PR07MB1234/x#?\\y@eurprd07.prod.outlook.com>"


@pytest.fixture
def references(table: Table) -> References:
    return References(table)


def delivery(number: int = 1, round_: int = 1) -> OpenDelivery:
    return OpenDelivery(delivery_id("20417-1", str(number)), "20417-1", RECIPIENT, round=round_)


async def test_a_name_leads_to_the_sending_it_was_given_for(references):
    assert await references.of(GRAPH) is None
    await references.remember(GRAPH, delivery(1, 2))
    await references.remember("3f2a8c1e", delivery(2))
    await references.remember(GRAPH, delivery(1, 2))
    assert await references.of(f" {GRAPH}\n") == Posted("20417-1", delivery(1).id, 2)
    assert await references.of("3f2a8c1e") == Posted("20417-1", delivery(2).id, 1)


async def test_it_is_one_row_with_ids_alone_and_many_are_spread():
    table = MemoryTable()
    references = References(table)
    for number in range(300):
        await references.remember(f"<{number}@åse.example>", delivery(number))
    assert len(table.rows) == 300
    assert len({partition for partition, _ in table.rows}) > 100
    stored = json.dumps([[*at, dict(row.values)] for at, row in table.rows.items()])
    assert "example" not in stored
