"""Which members a recipient list should have, and what must change for that. Decides; others act.

By difference, so that a list is complete at every moment of its change, and so that whoever comes
after an interruption just works out anew what is still missing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from shared.domain.recipient import Member


@dataclass(frozen=True, slots=True)
class ListRule:
    """Which companies belong on a list: those of a category, or those a filter finds."""

    unique_name: str
    category: str = ""
    filter: str = ""  #: in the helpdesk's own words


@dataclass(frozen=True, slots=True)
class NamedList:
    """A recipient list that is in use. Its unique name is what rules know it by."""

    id: int
    unique_name: str
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done to a list: first the adding, then the rest.

    `remove` has every relation of those who left, `surplus` the second and further relations of
    those who stay.
    """

    add: tuple[Member, ...] = ()
    remove: tuple[Member, ...] = ()
    surplus: tuple[Member, ...] = ()

    @property
    def gone(self) -> tuple[Member, ...]:
        """Every relation that goes."""
        return self.remove + self.surplus

    def __len__(self) -> int:
        return len(self.add) + len(self.gone)


class Why(StrEnum):
    """Why a list is left exactly as it is."""

    NO_LIST = "no_list"  #: no list in use has this unique name
    SEVERAL_LISTS = "several_lists"  #: names that differ in case or spaces only
    NOBODY = "nobody"  #: a rule that finds nobody never empties its list
    TOO_MANY = "too_many"  #: more would leave than one run may remove
    CHANGING = "changing"  #: it read differently when it was read again


@dataclass(frozen=True, slots=True)
class LeftAlone:
    why: Why
    leaving: int = 0  #: how many members would have gone, where that is the reason


def the_list(unique_name: str, lists: Iterable[NamedList]) -> NamedList | LeftAlone:
    """The only one with this unique name; case and spaces around it do not count."""
    found = [one for one in lists if same_name(one.unique_name, unique_name)]
    if len(found) == 1:
        return found[0]
    return LeftAlone(Why.SEVERAL_LISTS if found else Why.NO_LIST)


def same_name(first: str, second: str) -> bool:
    return first.strip().casefold() == second.strip().casefold()


def difference(present: Iterable[Member], wanted: Iterable[Member]) -> Change:
    """What makes those on the list those who are wanted, each of them once.

    `present` has the relations of the list: somebody who is on it twice is there twice.
    """
    belong = {str(member): member for member in wanted}
    remove, surplus, seen = [], [], set()
    for member in sorted(present, key=lambda one: one.relation):
        key = str(member)
        if key not in belong:
            remove.append(member)
        elif key in seen:
            surplus.append(member)
        seen.add(key)
    add = [member for key, member in belong.items() if key not in seen]
    add.sort(key=lambda one: (one.kind, one.id))
    return Change(tuple(add), tuple(remove), tuple(surplus))


def decide(present: Sequence[Member], wanted: Sequence[Member], at_most: int) -> Change | LeftAlone:
    """The difference, unless it empties the list or takes away more than `at_most` percent.

    Then nobody is added either. A rule that loses that many is most likely wrong, and so are those
    it finds; and a list that has grown by them would let the same removals pass the next time.
    """
    if not wanted:
        return LeftAlone(Why.NOBODY)
    change = difference(present, wanted)
    leaving, members = headcount(change.remove), headcount(present)
    if 100 * leaving > at_most * members:
        return LeftAlone(Why.TOO_MANY, leaving)
    return change


def headcount(members: Iterable[Member]) -> int:
    """How many there are, whatever the number of their relations."""
    return len({str(member) for member in members})


def portions(members: Iterable[Member], most: int) -> list[list[Member]]:
    """In their order, at most so many at a time, and never two kinds at once."""
    found = []
    for _, group in groupby(members, key=lambda one: one.kind):
        alike = list(group)
        found += [alike[n : n + most] for n in range(0, len(alike), most)]
    return found
