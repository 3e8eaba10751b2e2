"""When a channel may send, by the clock in Norway."""

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Self
from zoneinfo import ZoneInfo

OSLO = ZoneInfo("Europe/Oslo")

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_MINUTES = 24 * 60
#: Nobody looks further ahead. More than a year: that has every holiday in it.
_DAYS_AHEAD = 400

_WEEK = (  # English, bokmål, nynorsk
    "monday mandag måndag",
    "tuesday tirsdag tysdag",
    "wednesday onsdag",
    "thursday torsdag",
    "friday fredag",
    "saturday lørdag laurdag",
    "sunday søndag sundag",
)
#: Any beginning of three letters or more will do. Monday is 0.
_WEEKDAY = {
    name[:letters]: number
    for number, names in enumerate(_WEEK)
    for name in names.split()
    for letters in range(3, len(name) + 1)
}
_LIKE = "must be like 08:00-20:00 mon-fri"
#: Between parts; a comma between days has no digit after it.
_SEPARATOR = re.compile(r";|,(?=\s*\d)")
_PART = re.compile(
    r"(?P<start>\d{1,2}[:.]\d\d)-(?P<end>\d{1,2}[:.]\d\d)"
    r"(?P<days>.*?)(?P<holidays>\b(?:including holidays|og helligdager))?"
)


@cache
def _holidays() -> Container[date]:
    """Public holidays by law; a Sunday is a Sunday. The library adds a year when it is asked."""
    # three hundred modules, and most have no window: it is loaded when the first is looked through
    import holidays

    return holidays.country_holidays("NO")


@dataclass(frozen=True, slots=True)
class _Part:
    """From one minute of the day to another. Over midnight the end is above 24 hours."""

    start: int
    end: int
    days: frozenset[int]
    holidays: bool

    def begins_on(self, day: date) -> bool:
        return day.weekday() in self.days and (self.holidays or day not in _holidays())


@dataclass(frozen=True, slots=True)
class Window:
    """When a channel may send, by the clock in Norway: `08:00-20:00 mon-fri`.

    Open whenever the clock shows such a time, so also twice on the night on which it shows one
    twice. Each part is closed on public holidays unless it says `including holidays`, and what
    goes over midnight belongs to the day it begins on.
    """

    text: str = ""
    parts: tuple[_Part, ...] = ()

    @classmethod
    def of(cls, text: str) -> Self:
        """As written in settings; nothing written is always. ValueError says what is wrong.

        >>> Window.of("08:00-16:00 mon-thu; 10:00-12:00 fri, sat including holidays").always
        False
        >>> Window.of("22:00-06:00 man-fre og helligdager").always
        False
        >>> Window.of("8-20")
        Traceback (most recent call last):
        ...
        ValueError: must be like 08:00-20:00 mon-fri: cannot read '8-20'
        """
        text = " ".join(text.split())
        if not text:
            return cls()
        return cls(text, tuple(_part(part) for part in _SEPARATOR.split(text)))

    @property
    def always(self) -> bool:
        """Nothing was said about when.

        >>> Window.of("").always
        True
        """
        return not self.parts

    def is_open(self, at: datetime) -> bool:
        """Whether one may leave at this very moment.

        >>> christmas_day = datetime(2026, 12, 25, 12, tzinfo=UTC)
        >>> Window.of("08:00-20:00 mon-fri").is_open(christmas_day)
        False
        """
        return self.opens(at) == at.astimezone(UTC)

    def opens(self, at: datetime) -> datetime:
        """`at` itself when it is open then, otherwise the next moment at which it opens. UTC.

        >>> christmas_eve = datetime(2026, 12, 24, 19, 30, tzinfo=UTC)
        >>> Window.of("08:00-20:00 mon-fri").opens(christmas_eve).isoformat()
        '2026-12-28T07:00:00+00:00'
        """
        at = at.astimezone(UTC)
        if self.always:
            return at
        for start, _ in self._openings(at):
            return max(start, at)
        # A part lasts a minute or more on one weekday or more, and what can take that from it is
        # a spring night or Christmas and New Year: three weeks at the worst.
        raise ValueError(f"window {self.text!r} does not open in {_DAYS_AHEAD} days")

    def closes(self, at: datetime) -> datetime | None:
        """When the opening that `at` is in ends, in UTC; `at` if it is closed then; None: never.

        >>> Window.of("00:00-24:00 mon-fri").closes(
        ...     datetime(2026, 11, 23, 12, tzinfo=UTC)
        ... ).isoformat()
        '2026-11-27T23:00:00+00:00'
        """
        if self.always:
            return None
        end = at.astimezone(UTC)
        for start, until in self._openings(at):
            if start > end:
                return end
            end = max(end, until)
        return None

    def _openings(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """What ends after `at`, by its start. May overlap and adjoin; nothing passes midnight."""
        first = oslo_day(at)
        for day in (first + n * _DAY for n in range(_DAYS_AHEAD)):
            minutes = [(p.start, p.end) for p in self.parts if p.begins_on(day)]
            minutes += [(0, p.end - _MINUTES) for p in self.parts if p.begins_on(day - _DAY)]
            openings = (
                (
                    max(since, zero + timedelta(minutes=start)),
                    min(until, zero + timedelta(minutes=end)),
                )
                for since, until, zero in _even(day)
                for start, end in minutes
            )
            yield from sorted((start, end) for start, end in openings if max(start, at) < end)


def all_open(windows: Sequence[Window], at: datetime) -> datetime | None:
    """`at`, or the first moment after it at which all are open; None when there is none in sight.

    >>> early, late = Window.of("08:00-12:00"), Window.of("12:00-16:00")
    >>> all_open([early, late], datetime(2026, 11, 23, 12, tzinfo=UTC)) is None
    True
    """
    for _ in range(_DAYS_AHEAD):
        opens = max((window.opens(at) for window in windows), default=at)
        if opens == at:
            return at
        at = opens
    return None


def oslo_day(at: datetime) -> date:
    """What day it is in Norway.

    >>> oslo_day(datetime(2026, 7, 1, 22, 0, tzinfo=UTC)).isoformat()
    '2026-07-02'
    """
    return at.astimezone(OSLO).date()


def oslo_midnight(day: date) -> datetime:
    """When that day begins in Norway, in UTC.

    >>> oslo_midnight(date(2026, 7, 2)).isoformat()
    '2026-07-01T22:00:00+00:00'
    """
    return datetime.combine(day, time(), OSLO).astimezone(UTC)


def _even(day: date) -> list[tuple[datetime, datetime, datetime]]:
    """The day in UTC, in pieces on which the clock runs evenly, each with when it "showed" 00:00.

    A time that is left out in spring is in neither piece, one that comes twice in autumn in both.
    """
    start, end = oslo_midnight(day), oslo_midnight(day + _DAY)
    longer = end - start - _DAY
    if not longer:
        return [(start, end, start)]
    hours = (start + n * _HOUR for n in range(25))
    change = next(at for n, at in enumerate(hours) if at.astimezone(OSLO).hour != n)
    return [(start, change, start), (change, end, start + longer)]


def _part(text: str) -> _Part:
    text = text.strip()
    match = _PART.fullmatch(re.sub(r"\s*[-–]\s*", "-", text.lower()))
    if match is None:
        raise ValueError(f"{_LIKE}: cannot read {text!r}")
    start, end = _minute(match["start"]), _minute(match["end"])
    if start == end:
        raise ValueError(f"{_LIKE}: {text!r} ends as it begins; all day is 00:00-24:00")
    if start == _MINUTES:
        raise ValueError(f"{_LIKE}: nothing begins at 24:00; write 00:00")
    if end < start:
        end += _MINUTES
    return _Part(start, end, _days(match["days"].strip()), bool(match["holidays"]))


def _minute(clock: str) -> int:
    hour, minute = map(int, re.split("[:.]", clock))
    if minute > 59 or hour * 60 + minute > _MINUTES:
        raise ValueError(f"{_LIKE}: there is no {clock!r} on a clock")
    return hour * 60 + minute


def _days(text: str) -> frozenset[int]:
    """Nothing said: every day."""
    if not text:
        return frozenset(range(7))
    found: set[int] = set()
    for word in re.split(r"[,\s]+", text):
        ends = word.split("-")
        if len(ends) > 2 or not _WEEKDAY.keys() >= set(ends):
            raise ValueError(f"{_LIKE}: {word!r} is not a day")
        first, last = _WEEKDAY[ends[0]], _WEEKDAY[ends[-1]]
        found.update((first + n) % 7 for n in range((last - first) % 7 + 1))
    return frozenset(found)
