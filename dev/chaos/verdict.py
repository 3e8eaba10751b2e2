"""What the outside world got, beside what the ledger says of it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dev.pureservice.seed import comparable
from shared.domain.delivery import Delivery, Status

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts; and in `wrong` all that must not be, with the deliveries that it is true of."""

    recipients: int
    once: int
    twice: int
    never: int
    uncertain: int
    uncertain_reached: int
    failed: int
    wrong: Mapping[str, Sequence[str]]

    @property
    def faults(self) -> list[str]:
        return [
            f"{what}: {len(whom)} ({', '.join(whom[:_SHOWN])}{', …' if whom[_SHOWN:] else ''})"
            for what, whom in self.wrong.items()
        ]


def by_address(delivery: Delivery) -> str:
    return comparable(delivery.recipient.address)


def by_member(delivery: Delivery) -> str:
    return delivery.recipient.member


def judge(
    expected: Collection[str],
    reached: Mapping[str, int],
    ledger: Iterable[Delivery],
    in_flight: Collection[str],
    who: Callable[[Delivery], str] = by_address,
) -> Verdict:
    """Everybody as `who` has them; `reached` is how many times each got it, seen from outside.

    Whoever did not get it has a row that says *failed* and why, or *uncertain*; anything else is
    *never*. Only what was `in_flight` when something went down may be uncertain.
    """
    rows: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in ledger:
        rows[who(delivery)].append(delivery)
    wrong: dict[str, list[str]] = defaultdict(list)
    for address in sorted({*expected, *reached, *rows}):
        times, own = reached.get(address, 0), rows[address]
        for what in _wrong(times, own, in_flight):
            wrong[what].append(" and ".join(one.id for one in own) or "no row")
        if address not in expected:
            wrong["on no list"].append(" and ".join(one.id for one in own) or "no row")
    statuses = Counter(one.status for own in rows.values() for one in own)
    uncertain = [address for address, own in rows.items() if _all(Status.UNCERTAIN, own)]
    return Verdict(
        recipients=len(expected),
        once=sum(times == 1 for times in reached.values()),
        twice=sum(times > 1 for times in reached.values()),
        never=len(wrong.get(_NEVER, ())),
        uncertain=statuses[Status.UNCERTAIN],
        uncertain_reached=sum(reached.get(address, 0) > 0 for address in uncertain),
        failed=statuses[Status.FAILED],
        wrong=wrong,
    )


_NEVER = "never reached"


def _wrong(times: int, own: Sequence[Delivery], in_flight: Collection[str]) -> Iterator[str]:
    if times > 1:
        yield "reached twice"
    if len(own) != 1:
        yield "not one row in the ledger"
    excused = bool(own)
    for one in own:
        match one.status:
            case Status.SENT:
                excused = False
            case Status.FAILED:
                if times:
                    yield "failed, says the ledger, but reached"
                if not one.reason:
                    yield "failed, and nobody knows why"
            case Status.UNCERTAIN:
                if one.id not in in_flight:
                    yield "uncertain, but not in flight when anything went down"
            case other:
                excused = False
                yield f"left {other}"
    if not times and not excused:
        yield _NEVER


def _all(status: Status, own: Sequence[Delivery]) -> bool:
    return all(one.status is status for one in own)
