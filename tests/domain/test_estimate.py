"""When the last one leaves: through rate, windows and the day's quota."""

import doctest
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain import estimate as module
from shared.domain.estimate import last_leaves
from shared.domain.window import OSLO, Window

MINUTE = timedelta(minutes=1)
OFFICE = "08:00-20:00 mon-fri"
MONDAY = "2026-11-23T09:00+01:00"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_the_examples_in_the_docstring_hold():
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    ("starts", "deliveries", "each", "per_minute", "window", "quota", "leaves"),
    [
        # the rate alone: the first leaves at once
        (MONDAY, 0, 1, 30, "", (), MONDAY),
        (MONDAY, 1, 1, 30, "", (), MONDAY),
        (MONDAY, 31, 1, 30, "", (), "2026-11-23T09:01+01:00"),
        (MONDAY, 31, 2, 60, "", (), "2026-11-23T09:01+01:00"),
        (MONDAY, 100_001, 1, 30, "", (), "2026-11-25T16:33:20+01:00"),
        (MONDAY, 100_000, 1, 0, "", (), None),
        (MONDAY, 100_000, 0, 30, "", (), None),
        # only while it is open
        (MONDAY, 100_000, 1, 0, OFFICE, (), MONDAY),
        ("2026-11-27T21:00+01:00", 100_000, 1, 0, OFFICE, (), "2026-11-30T08:00+01:00"),
        ("2026-11-27T19:00+01:00", 60, 1, 1, OFFICE, (), "2026-11-27T19:59+01:00"),
        ("2026-11-27T19:00+01:00", 61, 1, 1, OFFICE, (), "2026-11-30T08:00+01:00"),
        ("2026-12-24T19:59+01:00", 3, 1, 1, OFFICE, (), "2026-12-28T08:01+01:00"),
        ("2026-11-27T19:59:30+01:00", 2, 1, 1, OFFICE, (), "2026-11-30T08:00+01:00"),
        ("2026-11-23T08:00+01:00", 4, 45, 1, "08:00-09:00", (), "2026-11-24T08:45+01:00"),
        ("2026-03-28T01:00+01:00", 121, 1, 1, "01:00-03:00", (), "2026-03-29T01:00+01:00"),
        ("2026-03-29T01:00+01:00", 61, 1, 1, "01:00-03:00", (), "2026-03-30T01:00+02:00"),
        ("2026-10-25T01:00+02:00", 180, 1, 1, "01:00-03:00", (), "2026-10-25T02:59+01:00"),
        # so many a day
        (MONDAY, 100, 1, 0, "", (100,), MONDAY),
        (MONDAY, 101, 1, 0, "", (100,), "2026-11-24T00:00+01:00"),
        (MONDAY, 101, 1, 1, "", (100, 60), "2026-11-24T01:00+01:00"),
        (MONDAY, 1, 1, 0, "", (100, 100), "2026-11-24T00:00+01:00"),
        (MONDAY, 1, 1, 0, "", (100, 999), "2026-11-24T00:00+01:00"),  # the quota was lowered
        (MONDAY, 101, 1, 0, OFFICE, (100,), "2026-11-24T08:00+01:00"),
        ("2026-11-23T21:00+01:00", 100, 1, 0, OFFICE, (100, 100), "2026-11-24T08:00+01:00"),
        ("2026-11-22T23:30+00:00", 1, 1, 0, "", (1, 1), "2026-11-24T00:00+01:00"),  # 00:30 there
        ("2026-11-23T23:59+01:00", 3, 1, 1, "", (2,), "2026-11-24T00:01+01:00"),
        (MONDAY, 11, 1, 0, "08:00-10:00, 12:00-14:00", (10,), "2026-11-24T08:00+01:00"),
        (MONDAY, 100, 1, 1, "08:00-10:00, 12:00-14:00", (90,), "2026-11-24T08:09+01:00"),
        (MONDAY, 100_000, 1, 30, "00:00-24:00", (1_000,), "2027-03-05T00:33:18+01:00"),
    ],
)
def test_when_the_last_one_leaves(starts, deliveries, each, per_minute, window, quota, leaves):
    costs = deliveries * each
    found = last_leaves(at(starts), costs, per_minute, deliveries, Window.of(window), *quota)
    assert found == (leaves and at(leaves))


def test_what_takes_longer_than_anybody_lives_is_only_said_to_take_long():
    years = last_leaves(at(MONDAY), 10**9, 30, 10**9, Window.of(OFFICE), per_day=1)
    assert years is not None
    assert years > at("2036-11-23T00:00+01:00")


quarters = st.integers(0, 95)
windows = st.one_of(
    st.just([]),
    st.lists(
        st.tuples(
            quarters, quarters, st.sampled_from(["", "mon-fri", "sat,mon", "tue-sun"])
        ).filter(lambda part: part[0] != part[1]),
        min_size=1,
        max_size=2,
    ),
).map(
    lambda parts: "; ".join(
        f"{a // 4:02}:{a % 4 * 15:02}-{b // 4:02}:{b % 4 * 15:02} {days}" for a, b, days in parts
    )
)
starts = st.one_of(
    st.integers(0, 525_600).map(lambda n: at("2026-01-01T00:00+00:00") + n * MINUTE),
    st.integers(0, 2_880).map(lambda n: at("2026-03-28T00:00+00:00") + n * MINUTE),
    st.integers(0, 2_880).map(lambda n: at("2026-10-24T00:00+00:00") + n * MINUTE),
)


def minute_by_minute(starts, gap, deliveries, window, per_day, used_today) -> datetime:
    """One minute after the other, one delivery after the other."""
    used = {starts.astimezone(OSLO).date(): used_today}
    now = free = last = starts
    while deliveries:
        today = now.astimezone(OSLO).date()
        quota = per_day - used.get(today, 0) if per_day else deliveries
        if quota > 0 and now >= free and window.is_open(now):
            leaving = min(deliveries, 1 if gap else quota)
            used[today] = used.get(today, 0) + leaving
            deliveries, last, free = deliveries - leaving, now, now + gap * MINUTE
        now += MINUTE
    return last


@settings(deadline=None, max_examples=60)
@given(
    starts=starts,
    gap=st.integers(0, 90),
    deliveries=st.integers(0, 15),
    window=windows,
    per_day=st.integers(0, 12),
    used_today=st.integers(0, 15),
)
@example(at(MONDAY), 7, 40, "08:00-09:00; 20:00-04:00 sat,mon", 9, 3)
def test_it_is_what_a_patient_clerk_would_find(
    starts, gap, deliveries, window, per_day, used_today
):
    it = Window.of(window)
    # One a minute, of which each costs as many as there are minutes between them.
    found = last_leaves(
        starts, deliveries * gap, 1 if gap else 0, deliveries, it, per_day, used_today
    )
    if found is None:
        assert it.always
        assert not per_day
        assert not gap
        return
    assert found == minute_by_minute(starts, gap, deliveries, it, per_day, used_today)


@settings(deadline=None)
@given(
    starts=starts,
    each=st.integers(1, 5),
    per_minute=st.integers(0, 200),
    deliveries=st.lists(st.integers(0, 20_000), min_size=2, max_size=5),
    window=windows.filter(bool),
    per_day=st.one_of(st.just(0), st.integers(100, 5_000)),
)
def test_more_deliveries_never_end_sooner_nor_before_the_start(
    starts, each, per_minute, deliveries, window, per_day
):
    it = Window.of(window)
    found = [
        last_leaves(starts, each * many, per_minute, many, it, per_day)
        for many in sorted(deliveries)
    ]
    assert found == sorted(found)
    assert found[0] >= starts
