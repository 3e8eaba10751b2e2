"""Orders in internal notes: a case worker's count, ours do not, old ones only when asked for."""

from datetime import UTC, datetime, timedelta

import pytest

from dev.pureservice.seed import AGENT
from shared.domain.delivery import NEVER
from shared.domain.orders import Orders, Whom
from shared.errors import BlockedError
from shared.flow.ordered import orders_on, start_asked_for
from shared.flow.wording import post
from tests.examples import settings

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def write_note(house, ticket_id: int, text: str) -> None:
    house.world.add("communication", {"ticketId": ticket_id, "type": 1, "text": text}, by=AGENT)


@pytest.fixture
def ticket_id(house) -> int:
    return house.ticket(house.open_ticket())["id"]


async def test_the_last_word_counts_and_ours_is_none(house, ticket_id):
    write_note(house, ticket_id, "<p>start: 2026-12-01 08:00</p>")
    write_note(house, ticket_id, "<p>start: 2026-12-02 08:00</p><p>mottakere: nye</p>")
    await post(house.helpdesk, ticket_id, "20417/x", "<p>start: 2026-12-24 18:00</p>")
    orders = await orders_on(house.helpdesk, ticket_id)
    assert orders.start == datetime(2026, 12, 2, 7, 0, tzinfo=UTC)
    assert orders.whom is Whom.NEW_TOO


async def test_what_was_written_before_then_does_not_count(house, ticket_id):
    write_note(house, ticket_id, "<p>mottakere: nye</p>")
    house.clock.tick(minutes=1)
    ended = house.clock()
    assert (await orders_on(house.helpdesk, ticket_id, since=ended)).whom is Whom.NOT_REACHED
    write_note(house, ticket_id, "<p>mottakere: de samme</p>")
    assert (await orders_on(house.helpdesk, ticket_id, since=ended)).whom is Whom.THE_SAME


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        (Orders(), NEVER),
        (Orders(start=NOW - timedelta(days=400)), NOW - timedelta(days=400)),
        (Orders(start=NOW + timedelta(days=60)), NOW + timedelta(days=60)),
        (Orders(start=NOW + timedelta(days=60, minutes=1)), "start_too_far"),
        (Orders(unclear="start: snart"), "unclear_order"),
    ],
)
def test_a_start_that_is_unclear_or_too_far_stops_it(orders, expected):
    if isinstance(expected, str):
        with pytest.raises(BlockedError, match=expected):
            start_asked_for(orders, settings(), NOW)
    else:
        assert start_asked_for(orders, settings(), NOW) == expected
