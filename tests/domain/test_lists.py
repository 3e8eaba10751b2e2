"""What must change on a list, and when it is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.lists import (
    Change,
    LeftAlone,
    NamedList,
    Why,
    decide,
    difference,
    headcount,
    portions,
    the_list,
)
from shared.domain.recipient import Member, MemberKind

COMPANY, USER = MemberKind.COMPANY, MemberKind.USER


def company(id_: int, relation: int = 0) -> Member:
    return Member(COMPANY, id_, f"Firma nr. {id_}", relation=relation)


def on_the_list(*ids: int) -> list[Member]:
    """These companies, each by a relation of its own; one that is named twice is on it twice."""
    return [company(id_, relation) for relation, id_ in enumerate(ids, start=4_000_001)]


def ids(members: tuple[Member, ...]) -> list[int]:
    return [member.id for member in members]


def after(present: list[Member], change: Change) -> list[str]:
    """Who is on the list when the change has been carried out; twice who is on it twice."""
    gone = {member.relation for member in change.gone}
    stay = [member for member in present if member.relation not in gone]
    return sorted(str(member) for member in [*stay, *change.add])


some_ids = st.lists(st.integers(1, 12), max_size=20)
shares = st.integers(0, 100)


@given(some_ids, st.sets(st.integers(1, 12), min_size=1), shares)
def test_a_list_becomes_what_is_wanted_or_stays_as_it_is(
    before: list[int], wanted_ids: set[int], at_most: int
) -> None:
    present, wanted = on_the_list(*before), [company(id_) for id_ in wanted_ids]
    leaving = len(set(before) - wanted_ids)
    decision = decide(present, wanted, at_most)
    if isinstance(decision, LeftAlone):
        assert decision == LeftAlone(Why.TOO_MANY, leaving)
        assert leaving * 100 > at_most * len(set(before))
        return
    assert leaving * 100 <= at_most * len(set(before))
    assert after(present, decision) == sorted(str(member) for member in wanted)
    assert set(ids(decision.add)).isdisjoint(before)
    assert set(ids(decision.remove)).isdisjoint(wanted_ids)
    assert {member.relation for member in decision.gone} <= {one.relation for one in present}


@given(some_ids, st.sets(st.integers(1, 12), min_size=1), st.data())
def test_whatever_part_of_a_change_was_done_the_rest_is_found_again(
    before: list[int], wanted_ids: set[int], data: st.DataObject
) -> None:
    present, wanted = on_the_list(*before), [company(id_) for id_ in wanted_ids]
    change = difference(present, wanted)
    added = data.draw(st.integers(0, len(change.add)))
    gone = change.gone[: data.draw(st.integers(0, len(change.gone)))] if change.gone else ()
    half_done = [
        *(member for member in present if member not in gone),
        *(company(member.id, 5_000_000 + member.id) for member in change.add[:added]),
    ]
    rest = difference(half_done, wanted)
    assert len(rest) == len(change) - added - len(gone)
    assert after(half_done, rest) == sorted(str(member) for member in wanted)


@given(some_ids, shares)
def test_a_rule_that_finds_nobody_never_empties_a_list(before: list[int], at_most: int) -> None:
    assert decide(on_the_list(*before), [], at_most) == LeftAlone(Why.NOBODY)


def test_what_is_already_so_takes_nothing() -> None:
    assert len(difference(on_the_list(1, 2), [company(2), company(1)])) == 0


def test_somebody_who_is_on_it_twice_keeps_the_oldest_relation() -> None:
    first, again = on_the_list(7, 7)
    assert difference([again, first], [company(7)]) == Change(surplus=(again,))


def test_somebody_who_is_on_it_twice_leaves_altogether() -> None:
    present = on_the_list(7, 8, 7)
    assert difference(present, [company(8)]) == Change(remove=(present[0], present[2]))


def test_a_surplus_relation_is_no_member_who_leaves() -> None:
    decision = decide(on_the_list(1, 1, 2, 2), [company(1), company(2)], at_most=0)
    assert isinstance(decision, Change)
    assert len(decision.surplus) == 2


def test_a_user_and_a_company_with_the_same_id_are_two_members() -> None:
    present = [Member(USER, 9, "Åse", relation=1), company(9, relation=2)]
    change = difference(present, [company(9), Member(USER, 10, "Bjørn")])
    assert change == Change(add=(Member(USER, 10, "Bjørn"),), remove=(present[0],))


@pytest.mark.parametrize(
    ("members", "leaving", "at_most", "allowed"),
    [
        (10, 2, 20, True),
        (10, 3, 20, False),
        (4, 1, 20, False),
        (357, 71, 20, True),
        (357, 72, 20, False),
        (3, 0, 0, True),
        (3, 1, 0, False),
        (3, 3, 100, True),
        (0, 0, 20, True),
    ],
)
def test_no_more_may_leave_than_the_share(
    members: int, leaving: int, at_most: int, allowed: bool
) -> None:
    present = on_the_list(*range(1, members + 1))
    wanted = [*present[leaving:], company(10_000)]
    assert isinstance(decide(present, wanted, at_most), Change) is allowed


KOMM = NamedList(610, "KOMM", "Kommuner")


def test_a_list_is_known_by_its_unique_name_whatever_its_case_and_the_spaces_around_it() -> None:
    assert the_list(" komm ", [NamedList(611, "KOMM2", "KOMM"), KOMM]) == KOMM


def test_a_list_that_is_not_there_or_there_twice_is_not_guessed_at() -> None:
    assert the_list("FYLK", [KOMM]) == LeftAlone(Why.NO_LIST)
    assert the_list("KOMM", [KOMM, NamedList(611, "Komm", "")]) == LeftAlone(Why.SEVERAL_LISTS)


def test_portions_never_mix_kinds() -> None:
    members = [*on_the_list(1, 2, 3), Member(USER, 1, "Åse")]
    assert portions(members, 2) == [members[:2], members[2:3], members[3:]]
    assert portions([], 2) == []


def test_members_are_counted_once_whatever_their_relations() -> None:
    assert headcount([*on_the_list(1, 1, 2), Member(USER, 1, "Åse")]) == 3
