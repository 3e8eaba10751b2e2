"""A delivery's statuses, its id, and how long a failure waits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.campaign import Campaign
from shared.domain.delivery import (
    MOVES,
    PROBLEMS,
    Claim,
    OpenDelivery,
    Status,
    delivery_id,
    retry_delay,
)
from shared.domain.recipient import Recipient

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
OPEN = OpenDelivery("d", "20417-1", Recipient("user:31", "Åse Ødegård", "ase@example.no"))


@pytest.mark.parametrize(
    ("status", "next_ones"),
    [
        ("planned", "claimed failed skipped cancelled"),
        ("claimed", "planned submitted sent failed uncertain skipped cancelled"),
        ("submitted", "sent failed uncertain"),
        ("uncertain", "sent failed"),
        ("sent", "failed"),
        ("failed", "planned sent"),
        ("skipped", "planned"),
        ("cancelled", "planned sent"),
    ],
)
def test_which_status_may_follow_which(status, next_ones):
    assert MOVES[Status(status)] == set(next_ones.split())


def test_what_has_been_sent_or_may_have_been_is_never_planned_again():
    for status in (Status.SENT, Status.UNCERTAIN, Status.SUBMITTED):
        seen, ahead = set(), [status]
        while ahead:
            reached = ahead.pop()
            seen.add(reached)
            # a failure is known not to have arrived, whatever it was before
            ahead += [] if reached is Status.FAILED else MOVES[reached] - seen
        assert not seen & {Status.PLANNED, Status.CLAIMED}


def test_every_status_has_its_moves_and_only_failure_and_doubt_are_problems():
    assert set(MOVES) == set(Status)
    assert sorted(PROBLEMS) == ["failed", "uncertain"]


def test_a_delivery_keeps_its_id_for_ever():
    # Another id for the same recipient would mean another mail to everybody under way.
    found = delivery_id("20417-1/ab12cd34", "ase@example.no")
    assert found == "c2b78bc1-508b-596c-9cb2-064dd7433bf0"


def test_ids_differ_by_campaign_and_by_recipient():
    pairs = [("20417-1", "a@b.no"), ("20417-2", "a@b.no"), ("20417-1", "b@b.no")]
    assert len({delivery_id(*pair) for pair in pairs}) == 3


def test_ids_differ_by_what_a_ledger_made_anew_does_not_know():
    """It calls the ticket's first campaign by the same name, and must not find the other's."""
    campaign = Campaign(
        id="20417-1",
        ticket_id=5001,
        request_number=20417,
        channel="ticket",
        found_at=NOW,
        nonce="ab12cd34",
    )
    anew = replace(campaign, nonce="99ff00aa")
    assert delivery_id(campaign.run, "user:31") != delivery_id(anew.run, "user:31")
    assert delivery_id(campaign.run, "user:31") == delivery_id(campaign.run, "user:31")


@pytest.mark.parametrize(
    ("changes", "claimable"),
    [
        ({}, True),
        ({"slot": NOW + timedelta(minutes=1)}, True),  # items may come early, and twice
        ({"not_before": NOW}, True),
        ({"not_before": NOW + timedelta(microseconds=1)}, False),
        ({"submitted_at": NOW}, False),
        ({"claim": Claim("t", NOW + timedelta(minutes=5))}, False),
        ({"claim": Claim("t", NOW - timedelta(days=1))}, False),  # the sweep's, never a worker's
    ],
)
def test_who_may_be_claimed(changes, claimable):
    assert replace(OPEN, **changes).claimable(NOW) is claimable


@pytest.mark.parametrize(
    ("attempt", "minutes"),
    [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (1_000, 60)],
)
def test_a_failure_waits_longer_each_time_but_never_above_an_hour(attempt, minutes):
    assert retry_delay(attempt) == timedelta(minutes=minutes)
