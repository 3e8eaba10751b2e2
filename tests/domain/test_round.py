"""Who may be opened again in a later round, and what it means that somebody stands somewhere."""

from dataclasses import replace

import pytest

from shared.domain.delivery import MOVES, Delivery, Reason, Status
from shared.domain.recipient import LeftOutReason, Recipient
from shared.domain.round import MENDABLE, NOT_REACHED, Place, may_be_opened, place_of

FAILED = Delivery(
    "d", "20417-1", Recipient("user:31", "Åse", "ase@example.no", 31), "email", Status.FAILED
)


@pytest.mark.parametrize(
    ("status", "place"),
    [
        (Status.PLANNED, Place.TAKEN),
        (Status.CLAIMED, Place.TAKEN),
        (Status.SUBMITTED, Place.TAKEN),
        (Status.SENT, Place.TAKEN),
        (Status.UNCERTAIN, Place.TAKEN),
        (Status.FAILED, Place.IDLE),
        (Status.SKIPPED, Place.IDLE),
        (Status.CANCELLED, Place.IDLE),
    ],
)
def test_only_what_is_known_not_to_have_been_sent_may_be_opened(status, place):
    delivery = replace(FAILED, status=status)
    assert place_of(delivery) is place
    assert may_be_opened(delivery) == (place is Place.IDLE)


def test_every_status_has_its_place_and_those_not_reached_may_become_planned():
    assert {status for status in Status if Status.PLANNED in MOVES[status]} - {
        Status.CLAIMED
    } == NOT_REACHED


def test_nobody_there_is_free_and_who_was_replaced_may_be_so_for_somebody_else():
    assert place_of(None) is Place.FREE
    replaced = replace(FAILED, reason=Reason.REPLACED)
    assert (place_of(replaced), may_be_opened(replaced)) == (Place.IDLE, False)


@pytest.mark.parametrize(
    "forgotten",
    [
        replace(FAILED, recipient=Recipient("user:0", "", "")),
        replace(FAILED, status=Status.CANCELLED, reason=Reason.ERASED),
    ],
)
def test_who_asked_to_be_forgotten_keeps_the_place_and_is_never_written_to(forgotten):
    assert place_of(forgotten) is Place.TAKEN
    assert not may_be_opened(forgotten)


def test_a_duplicate_or_a_made_up_user_is_not_mended_by_new_contact_data():
    assert set(LeftOutReason) - MENDABLE == {
        LeftOutReason.DUPLICATE,
        LeftOutReason.CAMPAIGN_USER,
        LeftOutReason.GONE,
    }
