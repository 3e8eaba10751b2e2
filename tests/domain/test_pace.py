"""Slots, portions and the gate: whatever the ticks are, the pace is kept."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.delivery import NEVER
from shared.domain.pace import (
    HORIZON,
    PORTION,
    ChannelState,
    fitting,
    in_turn,
    room,
    take_slots,
)

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
FRESH = ChannelState("email")


def seconds(n: float) -> timedelta:
    return timedelta(seconds=n)


@pytest.mark.parametrize(
    ("next_slot", "per_minute", "waiting", "free"),
    [
        (None, 30, 0, 60),  # nothing taken: two minutes' worth
        (None, 30, 5_000, 60),  # with a rate the slots count, not the queue
        (-3_600, 30, 0, 60),  # slots that were never used are lost
        (60, 30, 0, 30),
        (119, 30, 0, 1),
        (120, 30, 0, 0),
        (500, 30, 0, 0),
        (None, 1, 0, 2),
        (61, 1, 0, 1),
        (None, 7, 0, 14),
        (None, 6_000, 0, 12_000),
        (None, 0, 0, PORTION),
        (500, 0, 400, PORTION - 400),  # without a rate the slots do not count
        (None, 0, PORTION + 1, 0),
    ],
)
def test_room_is_what_fits_before_the_horizon(next_slot, per_minute, waiting, free):
    taken = NEVER if next_slot is None else NOW + seconds(next_slot)
    assert room(ChannelState("email", next_slot=taken), NOW, per_minute, waiting) == free


@pytest.mark.parametrize("per_minute", [0, 30])
def test_a_closed_gate_has_no_room_until_its_very_moment(per_minute):
    state = FRESH.close_gate(NOW + seconds(60), "421", NOW)
    assert room(state, NOW + seconds(59.9), per_minute, 0) == 0
    assert room(state, NOW + seconds(60), per_minute, 0) > 0


def test_a_gate_is_never_closed_for_shorter_than_it_was():
    closed = FRESH.close_gate(NOW + seconds(60), "first", NOW)
    assert closed.close_gate(NOW + seconds(30), "second", NOW) is closed
    longer = closed.close_gate(NOW + seconds(90), "third", NOW)
    assert (longer.gate_until, longer.gate_reason) == (NOW + seconds(90), "third")


def test_a_gate_knows_since_when_nothing_goes_through():
    closed = FRESH.close_gate(NOW + seconds(60), "421", NOW)
    again = closed.close_gate(NOW + timedelta(hours=3), "421", NOW + timedelta(hours=2))
    assert (closed.closed_since, again.closed_since) == (NOW, NOW)
    assert again.went_through().closed_since == NEVER
    days_later = NOW + timedelta(days=7)
    anew = again.close_gate(days_later + seconds(60), "421", days_later)
    assert anew.closed_since == days_later  # nobody had tried in between


def test_there_is_no_room_outside_the_window_and_none_beyond_its_end():
    assert room(FRESH, NOW, 30, 0, closes=NOW) == 0
    assert room(FRESH, NOW, 0, 0, closes=NOW) == 0
    assert room(FRESH, NOW, 30, 0, closes=NOW + seconds(10)) == 5
    assert room(FRESH, NOW, 30, 0, closes=NOW + timedelta(hours=1)) == 60


def test_what_is_released_is_counted_by_the_day_in_norway():
    evening = datetime(2026, 11, 23, 22, 59, tzinfo=UTC)
    state = FRESH.releasing(evening, 20).releasing(evening, 5)
    assert state.released_on(evening) == 25
    assert state.released_on(evening + seconds(60)) == 0  # midnight in Oslo
    assert state.releasing(evening + seconds(60), 3).released == 3


def test_slots_are_evenly_spaced_and_go_on_where_they_ended():
    state, slots = take_slots(FRESH, NOW, 30, 3)
    assert slots == [NOW, NOW + seconds(2), NOW + seconds(4)]
    _, more = take_slots(state, NOW + seconds(1), 30, 2)
    assert more == [NOW + seconds(6), NOW + seconds(8)]


def test_without_a_rate_everything_leaves_at_once_and_no_slot_is_used_up():
    assert take_slots(FRESH, NOW, 0, 3) == (FRESH, [NOW] * 3)


ticks = st.lists(
    st.tuples(
        st.integers(0, 300_000),  # milliseconds since the last tick
        st.integers(1, 2_000),  # a minute; it may be changed between ticks
        st.integers(0, 500),  # how many are due
    ),
    max_size=30,
)


@given(ticks)
def test_slots_never_go_back_nor_closer_than_the_rate_nor_past_the_horizon(ticks):
    state, now = FRESH, NOW
    free_from = NOW
    for passed, per_minute, due in ticks:
        now += timedelta(milliseconds=passed)
        count = min(room(state, now, per_minute, 0), due)
        state, slots = take_slots(state, now, per_minute, count)
        gap = timedelta(minutes=1) / per_minute
        for slot in slots:
            assert max(now, free_from) <= slot < now + HORIZON
            free_from = slot + gap


@given(st.integers(0, 300), st.lists(st.integers(0, 200), max_size=12))
def test_whatever_room_there_is_is_divided_fairly_between_campaigns(capacity, wanted):
    queue = in_turn([[(campaign, n) for n in range(size)] for campaign, size in enumerate(wanted)])
    assert sorted(queue) == [(c, n) for c, size in enumerate(wanted) for n in range(size)]
    first = [campaign for campaign, _ in queue[:capacity]]
    for campaign, size in enumerate(wanted):
        assert first.count(campaign) >= min(size, capacity // len(wanted))


@given(st.lists(st.integers(1, 5), max_size=50), st.integers(0, 100))
def test_no_more_fit_than_the_room_and_what_the_last_one_hangs_over(costs, space):
    taken = fitting(costs, space)
    assert sum(costs[: max(0, taken - 1)]) < max(space, 1)
    assert taken == len(costs) or sum(costs[:taken]) >= space


def test_one_that_costs_more_than_there_ever_is_goes_all_the_same():
    assert fitting([5, 5], 2) == 1
