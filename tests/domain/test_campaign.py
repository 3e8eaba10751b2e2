"""A campaign's phases, its cursor, and the mark it leaves on its ticket."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.campaign import (
    BEFORE_SENDING,
    ENDED,
    MOVES,
    Campaign,
    Cursor,
    Edge,
    Mark,
    Phase,
    campaign_id,
    marks_in,
    with_mark,
)

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
OURS = Mark("fjordvik", "20417-1", "ab12cd34")
THEIRS = Mark("nabokommunen", "20417-1", "ffffffff")


def campaign(phase: Phase = Phase.FOUND, **changes) -> Campaign:
    return Campaign("20417-1", 5012, 20417, "email", NOW, "ab12cd34", phase=phase, **changes)


@pytest.mark.parametrize(
    ("phase", "next_ones"),
    [
        ("found", "expanding blocked cancelled"),
        ("expanding", "approved blocked cancelled"),
        ("approved", "sending blocked cancelled"),
        ("sending", "paused reporting blocked cancelling"),
        ("paused", "sending reporting blocked cancelling"),
        ("reporting", "done cancelled blocked"),
        ("done", "reopening"),
        ("reopening", "sending done"),
        ("cancelling", "reporting"),
        ("cancelled", "reopening"),
    ],
)
def test_which_phase_may_follow_which(phase, next_ones):
    for to in Phase:
        if to in next_ones.split():
            assert campaign(Phase(phase)).to(to).phase is to
        else:
            with pytest.raises(ValueError, match="20417-1"):
                campaign(Phase(phase)).to(to)


@pytest.mark.parametrize("phase", [p for p in Phase if Phase.BLOCKED in MOVES[p]])
def test_blocked_is_left_the_way_it_was_entered_or_for_good(phase):
    blocked = campaign(phase, planned=3).to(Phase.BLOCKED, problem="no_lists")
    assert (blocked.blocked_from, blocked.problem) == (phase, "no_lists")
    assert blocked.to(phase).phase is phase
    over = Phase.CANCELLED if phase in BEFORE_SENDING else Phase.CANCELLING  # some may have got it
    assert blocked.to(over).phase is over
    for other in set(Phase) - {phase, over}:
        with pytest.raises(ValueError, match="cannot become"):
            blocked.to(other)


def test_every_phase_has_its_moves_and_what_has_ended_is_not_active():
    assert set(MOVES) == set(Phase)
    assert {phase for phase in Phase if not campaign(phase).active} == ENDED


def test_a_step_that_was_done_is_remembered_beside_the_others():
    did = campaign().did("listed").did("archived", planned=3).did("listed")
    assert (did.steps, did.planned) == ({"listed", "archived"}, 3)


@pytest.mark.parametrize(("ordinal", "id_"), [(1, "20417-1"), (12, "20417-12")])
def test_an_id_that_people_can_read(ordinal, id_):
    assert campaign_id(20417, ordinal) == id_
    assert Campaign(id_, 1, 20417, "email", NOW, "n").ordinal == ordinal


def test_how_long_it_took():
    took = campaign(starts_at=NOW, finished_at=NOW + timedelta(minutes=7)).took
    assert took == timedelta(minutes=7)


def test_a_cursor_passes_page_after_page_and_list_after_list():
    cursor = Cursor().past(500, "a", last=False)
    assert cursor == Cursor(0, 500, 1, 500, (Edge("a", 0, "a"),))
    cursor = cursor.past(500, "b", last=False)
    assert cursor == Cursor(0, 1000, 2, 1000, (Edge("a", 500, "b"),))
    cursor = cursor.past(7, "c", last=True)
    assert cursor == Cursor(1, 0, 3, 1007, (Edge("a", 1000, "c"),))
    cursor = cursor.past(0, "d", last=True)
    assert cursor == Cursor(2, 0, 4, 1007, (Edge("a", 1000, "c"), Edge("d", 0, "d")))


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        (None, []),
        ("", []),
        ("ref. 2026/77", []),
        (str(OURS), [OURS]),
        (f"ref. 2026/77 {OURS}", [OURS]),
        (f"{OURS} {THEIRS}", [OURS, THEIRS]),
        ("utsendelse:halv:20417-1", []),
        (f"xutsendelse:{OURS}", [OURS]),
    ],
)
def test_marks_are_found_whatever_stands_around_them(text, marks):
    assert marks_in(text) == marks


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, f"{OURS}"),
        ("ref. 2026/77", f"ref. 2026/77 {OURS}"),
        (f"ref. 2026/77 {OURS}", f"ref. 2026/77 {OURS}"),
        (f"ref. 2026/77 {THEIRS}", f"ref. 2026/77 {OURS}"),
    ],
)
def test_a_mark_takes_the_place_of_the_last_one_and_leaves_what_people_wrote(before, after):
    assert with_mark(before, OURS) == after
    assert marks_in(with_mark(before, OURS)) == [OURS]
