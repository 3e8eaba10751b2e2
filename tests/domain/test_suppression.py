"""Which of two suppressions holds, and by what an address is known."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.delivery import NEVER
from shared.domain.suppression import (
    Suppressed,
    Suppression,
    SuppressionReason,
    address_print,
)

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
PRINT = address_print("kari@example.no")

DAYS = st.integers(-5, 5).map(lambda days: NOW + timedelta(days=days))
SUPPRESSIONS = st.builds(
    Suppression,
    print=st.just(PRINT),
    reason=st.sampled_from(SuppressionReason),
    source=st.sampled_from(["acs", "api"]),
    since=DAYS,
    expires=DAYS | st.just(NEVER),
)


def end(one: Suppression) -> datetime:
    return datetime.max.replace(tzinfo=UTC) if one.expires == NEVER else one.expires


@settings(max_examples=100, deadline=None)
@given(SUPPRESSIONS, SUPPRESSIONS)
def test_what_comes_on_top_never_shortens_what_there_is(before, new):
    joined = before.joined(new, NOW)
    assert (joined.reason, joined.expires) in {(one.reason, one.expires) for one in (before, new)}
    if before.lasts(NOW):
        assert end(joined) == max(end(before), end(new))
        assert joined.since in {before.since, min(before.since, new.since)}
    else:
        assert joined == new
    assert joined.joined(new, NOW).expires == joined.expires


@pytest.mark.parametrize(
    "spelt", ["kari@example.no", "Kari@Example.NO", " kari@example.no\n", "KARI@EXAMPLE.NO"]
)
def test_an_address_is_one_however_it_is_spelt(spelt):
    assert address_print(spelt) == PRINT


@pytest.mark.parametrize("other", ["kari@example.com", "kari+x@example.no", "", "kari"])
def test_others_are_others(other):
    assert address_print(other) != PRINT


def test_the_suppressed_are_found_among_many_in_little_room():
    prints = [address_print(f"{number}@example.no") for number in range(200)]
    suppressed = Suppressed(prints)
    assert "7@example.no" in suppressed
    assert "7@EXAMPLE.no" in suppressed
    assert "kari@example.no" not in suppressed
    assert "kari@example.no" not in Suppressed()
