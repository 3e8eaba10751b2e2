"""Windows: what is written, and what the clock shows, also on the nights when it is changed."""

import doctest
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain import window as module
from shared.domain.window import OSLO, Window

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
OFFICE = "08:00-20:00 mon-fri"
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

#: As in the almanac, not from the library that is used.
HOLIDAYS = {
    date.fromisoformat(f"{year}-{day}")
    for year, days in {
        2026: "01-01 04-02 04-03 04-05 04-06 05-01 05-14 05-17 05-24 05-25 12-25 12-26",
        2027: "01-01 03-25 03-26 03-28 03-29 05-01 05-06 05-16 05-17 12-25 12-26",
        2028: "01-01 04-13 04-14 04-16 04-17 05-01 05-17 05-25 06-04 06-05 12-25 12-26",
    }.items()
    for day in days.split()
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_the_examples_in_the_docstrings_hold():
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    ("window", "moment", "opens"),
    [
        # 2026-11-23 is a Monday
        (OFFICE, "2026-11-23T08:00+01:00", "2026-11-23T08:00+01:00"),
        (OFFICE, "2026-11-23T07:59:59.9+01:00", "2026-11-23T08:00+01:00"),
        (OFFICE, "2026-11-23T19:59:59.9+01:00", "2026-11-23T19:59:59.9+01:00"),
        (OFFICE, "2026-11-23T20:00+01:00", "2026-11-24T08:00+01:00"),
        (OFFICE, "2026-11-27T20:00+01:00", "2026-11-30T08:00+01:00"),
        (OFFICE, "2026-07-01T05:00+02:00", "2026-07-01T08:00+02:00"),
        (
            "08:00-16:00 mon-thu; 08:00-12:00 fri",
            "2026-11-27T11:00+01:00",
            "2026-11-27T11:00+01:00",
        ),
        (
            "08:00-16:00 mon-thu; 08:00-12:00 fri",
            "2026-11-27T12:00+01:00",
            "2026-11-30T08:00+01:00",
        ),
        # holidays
        (OFFICE, "2026-04-01T20:00+02:00", "2026-04-07T08:00+02:00"),  # Easter
        (OFFICE, "2027-03-24T20:00+01:00", "2027-03-30T08:00+02:00"),  # Easter, clock changed in it
        (OFFICE, "2027-05-17T12:00+02:00", "2027-05-18T08:00+02:00"),  # Monday: both at once
        (OFFICE, "2028-05-17T12:00+02:00", "2028-05-18T08:00+02:00"),  # a Wednesday
        (OFFICE, "2026-12-24T12:00+01:00", "2026-12-24T12:00+01:00"),  # no holiday by law
        (OFFICE, "2026-12-25T12:00+01:00", "2026-12-28T08:00+01:00"),  # a Friday
        (OFFICE, "2026-12-31T20:00+01:00", "2027-01-04T08:00+01:00"),
        ("08:00-20:00 fri", "2026-12-18T20:00+01:00", "2027-01-08T08:00+01:00"),  # two in a row
        (
            "08:00-20:00 sun",
            "2026-05-10T20:00+02:00",
            "2026-05-31T08:00+02:00",
        ),  # 17 May, Pentecost
        ("08:00-20:00 sun", "2026-11-22T12:00+01:00", "2026-11-22T12:00+01:00"),
        (OFFICE + " including holidays", "2026-12-25T12:00+01:00", "2026-12-25T12:00+01:00"),
        (OFFICE + " including holidays", "2026-12-26T12:00+01:00", "2026-12-28T08:00+01:00"),
        # over midnight
        ("22:00-06:00 fri", "2026-11-28T05:59+01:00", "2026-11-28T05:59+01:00"),
        ("22:00-06:00 fri", "2026-11-27T05:59+01:00", "2026-11-27T22:00+01:00"),
        ("22:00-06:00", "2026-05-17T05:00+02:00", "2026-05-17T05:00+02:00"),  # began on the 16th
        ("22:00-06:00", "2026-05-17T23:00+02:00", "2026-05-18T22:00+02:00"),
        ("20:00-00:00", "2026-11-24T00:00+01:00", "2026-11-24T20:00+01:00"),
    ],
)
def test_when_it_opens(window, moment, opens):
    assert Window.of(window).opens(at(moment)) == at(opens)
    assert Window.of(window).is_open(at(moment)) == (moment == opens)


@pytest.mark.parametrize(
    ("window", "moment", "closes"),
    [
        (OFFICE, "2026-11-23T08:00+01:00", "2026-11-23T20:00+01:00"),
        (OFFICE, "2026-11-23T20:00+01:00", "2026-11-23T20:00+01:00"),  # it is closed
        (OFFICE, "2026-12-25T12:00+01:00", "2026-12-25T12:00+01:00"),
        ("00:00-24:00 mon-fri", "2026-11-23T12:00+01:00", "2026-11-28T00:00+01:00"),
        ("00:00-24:00 mon-fri", "2026-05-11T12:00+02:00", "2026-05-14T00:00+02:00"),  # Ascension
        ("00:00-24:00", "2026-06-01T00:00+02:00", "2026-12-25T00:00+01:00"),
        ("00:00-24:00 including holidays", "2026-12-24T12:00+01:00", None),
        ("00:00-12:00 og helligdager, 11:00-00:00 og helligdager", "2026-12-24T12:00+01:00", None),
        ("", "2026-12-24T12:00+01:00", None),
        ("22:00-06:00 mon-fri", "2026-11-27T23:00+01:00", "2026-11-28T06:00+01:00"),
        ("08:00-12:00, 12:00-16:00", "2026-11-23T09:00+01:00", "2026-11-23T16:00+01:00"),
        (
            "08:00-12:00, 10:00-16:00, 11:00-11:30",
            "2026-11-23T09:00+01:00",
            "2026-11-23T16:00+01:00",
        ),
    ],
)
def test_when_it_closes(window, moment, closes):
    assert Window.of(window).closes(at(moment)) == (closes and at(closes))


SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)


@pytest.mark.parametrize(
    ("window", "day", "open_from_to"),
    [
        ("02:30-05:00", SPRING, ["03:00+02:00 05:00+02:00"]),
        ("01:00-02:30", SPRING, ["01:00+01:00 03:00+02:00"]),  # that is one hour
        ("02:00-03:00", SPRING, []),
        ("03:00-04:00", SPRING, ["03:00+02:00 04:00+02:00"]),
        ("08:00-20:00", SPRING, ["08:00+02:00 20:00+02:00"]),
        ("00:00-24:00 sun", SPRING, ["00:00+01:00 24:00+02:00"]),
        ("02:00-03:00", AUTUMN, ["02:00+02:00 03:00+01:00"]),  # that is two hours
        ("02:15-02:45", AUTUMN, ["02:15+02:00 02:45+02:00", "02:15+01:00 02:45+01:00"]),
        ("01:00-02:30", AUTUMN, ["01:00+02:00 02:30+02:00", "02:00+01:00 02:30+01:00"]),
        ("02:30-05:00", AUTUMN, ["02:30+02:00 03:00+02:00", "02:30+01:00 05:00+01:00"]),
        ("08:00-20:00", AUTUMN, ["08:00+01:00 20:00+01:00"]),
        ("00:00-24:00 sun", AUTUMN, ["00:00+02:00 24:00+01:00"]),
    ],
)
def test_the_two_nights_on_which_the_clock_is_changed(window, day, open_from_to):
    def moment(clock: str) -> datetime:
        if clock.startswith("24:00"):
            return at(f"{day + DAY}T00:00{clock[5:]}")
        return at(f"{day}T{clock}")

    it, midnight = Window.of(window), datetime(day.year, day.month, day.day, tzinfo=OSLO)
    found = []
    now = it.opens(midnight)
    while now < midnight + DAY:
        closes = it.closes(now)
        found.append((now, closes))
        now = it.opens(closes)
    assert found == [tuple(map(moment, pair.split())) for pair in open_from_to]


@pytest.mark.parametrize(
    ("window", "moment", "closes", "hours"),
    [
        ("22:00-06:00 sat", "2026-03-28T22:00+01:00", "2026-03-29T06:00+02:00", 7),
        ("22:00-06:00 sat", "2026-10-24T22:00+02:00", "2026-10-25T06:00+01:00", 9),
    ],
)
def test_over_midnight_into_a_changed_clock(window, moment, closes, hours):
    assert Window.of(window).closes(at(moment)) == at(closes)
    assert at(closes) - at(moment) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("written", "like"),
    [
        ("  8:00 -  20:00   Mon - Fri ", OFFICE),
        ("08.00–20.00 man–fre", OFFICE),
        ("08:00-20:00 MANDAG, tirs, onsdag,tor fre", OFFICE),
        ("08:00-20:00 måndag-fredag", OFFICE),
        ("08:00-20:00 lør-søn", "08:00-20:00 sat,sun"),
        ("08:00-20:00 laurdag, sundag", "08:00-20:00 sat,sun"),
        ("08:00-20:00 mon,wed-fri", "08:00-20:00 mon,wed,thu,fri"),
        ("08:00-20:00 fri-mon", "08:00-20:00 fri,sat,sun,mon"),
        ("08:00-20:00", "08:00-20:00 mon-sun"),
        ("20:00-00:00", "20:00-24:00"),
        ("08:00-12:00 sat,sun,10:00-11:00 mon", "08:00-12:00 sat, sun; 10:00-11:00 mon"),
        ("08:00-20:00 mon-fri OG  Helligdager", "08:00-20:00 mon-fri including holidays"),
        ("08:00-20:00 og helligdager", "08:00-20:00 mon-sun including holidays"),
    ],
)
def test_what_may_be_written_in_several_ways(written, like):
    assert Window.of(written).parts == Window.of(like).parts


def test_holidays_are_said_of_the_part_that_says_so():
    only_saturdays = Window.of("10:00-12:00 mon-fri; 10:00-12:00 sat including holidays")
    assert not only_saturdays.is_open(at("2026-12-25T11:00+01:00"))
    assert only_saturdays.is_open(at("2026-12-26T11:00+01:00"))


@pytest.mark.parametrize("nothing", ["", "  ", "\n"])
def test_nothing_written_is_always(nothing):
    assert Window.of(nothing) == Window()
    assert Window.of(nothing).always
    assert Window.of(nothing).is_open(at("2026-12-25T03:00+01:00"))


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("always", "cannot read 'always'"),
        ("8-20 mon-fri", "cannot read '8-20 mon-fri'"),
        ("mon-fri 08:00-20:00", "cannot read 'mon-fri 08:00-20:00'"),
        ("08:00-20:00 mon-fri;", "cannot read ''"),
        (";", "cannot read ''"),
        ("08:00-16:00 mon; fri", "cannot read 'fri'"),
        ("08:00-20:00-22:00", "'-22:00' is not a day"),
        ("08:00-20:00 mon-fri 21:00-22:00", "'21:00-22:00' is not a day"),
        ("08:00-20:00 mo", "'mo' is not a day"),
        ("08:00-20:00 monfri", "'monfri' is not a day"),
        ("08:00-20:00 mon-wed-fri", "'mon-wed-fri' is not a day"),
        ("08:00-20:00 mon including", "'including' is not a day"),
        ("08:00-24:01", "no '24:01' on a clock"),
        ("25:00-26:00", "no '25:00' on a clock"),
        ("08:60-10:00", "no '08:60' on a clock"),
        ("08:00-08:00 mon", "all day is 00:00-24:00"),
        ("24:00-06:00", "nothing begins at 24:00"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_an_example(written, says):
    with pytest.raises(ValueError, match=r"^must be like 08:00-20:00 mon-fri: ") as refused:
        Window.of(written)
    assert says in str(refused.value)


def test_closed_on_every_public_holiday_and_on_no_other_day():
    noon = "12:00-14:00"
    first, last = date(2026, 1, 1), date(2028, 12, 31)
    days = {first + n * DAY for n in range((last - first).days + 1)}
    closed = {day for day in days if not Window.of(noon).is_open(at(f"{day}T11:00+00:00"))}
    assert closed == HOLIDAYS
    always = Window.of(noon + " including holidays")
    assert all(always.is_open(at(f"{day}T11:00+00:00")) for day in days)


def test_a_minute_a_week_is_missed_in_spring_and_on_holidays_but_never_for_a_month():
    for weekday in WEEK:
        window, now = Window.of(f"02:30-02:31 {weekday}"), at("2026-01-01T00:00+01:00")
        while now.year < 2050:
            opens = window.opens(now)
            assert opens - now <= timedelta(weeks=3)
            now = window.closes(opens)


def test_a_moment_may_come_in_any_time_zone_and_goes_out_in_utc():
    twice = datetime(2026, 10, 25, 2, 30, tzinfo=OSLO, fold=1)
    for window in (Window(), Window.of("02:00-03:00")):
        assert window.is_open(twice)
        assert window.opens(twice).isoformat() == "2026-10-25T01:30:00+00:00"
    assert Window.of("02:00-03:00").closes(twice).isoformat() == "2026-10-25T02:00:00+00:00"


# The same, worked out minute by minute and from nothing but what the clock shows.


@dataclass(frozen=True)
class Said:
    start: int
    end: int
    days: frozenset[int]
    holidays: bool

    def __str__(self) -> str:
        clock = "{:02}:{:02}-{:02}:{:02}".format(*divmod(self.start, 60), *divmod(self.end, 60))
        days = ",".join(WEEK[day] for day in sorted(self.days))
        return f"{clock} {days}{' including holidays' if self.holidays else ''}"

    def open_at(self, moment: datetime) -> bool:
        shown = moment.astimezone(OSLO)
        today, minute = shown.date(), shown.hour * 60 + shown.minute
        if self.start < self.end:
            return self._on(today) and self.start <= minute < self.end
        late = self._on(today) and minute >= self.start
        return late or (self._on(today - DAY) and minute < self.end)

    def _on(self, day: date) -> bool:
        return day.weekday() in self.days and (self.holidays or day not in HOLIDAYS)


clock = st.one_of(st.integers(0, 24 * 60), st.integers(0, 4 * 12).map(lambda n: n * 5))
said = st.lists(
    st.builds(
        Said,
        clock.filter(lambda minute: minute < 24 * 60),
        clock,
        st.frozensets(st.integers(0, 6), min_size=1),
        st.booleans(),
    ).filter(lambda part: part.start != part.end),
    min_size=1,
    max_size=3,
)
nights = st.sampled_from([SPRING, AUTUMN, date(2027, 3, 28), date(2027, 10, 31)])
moments = st.one_of(
    st.integers(10, 700).map(lambda n: date(2026, 1, 1) + n * DAY),
    nights,
).flatmap(
    lambda day: st.integers(-6 * 60, 30 * 60).map(
        lambda minute: datetime(day.year, day.month, day.day, tzinfo=UTC) + minute * MINUTE
    )
)


def minutes(since: datetime, until: datetime) -> list[datetime]:
    """All that are not too many, and of many the first and last ones and some between."""
    many = int((until - since) / MINUTE)
    chosen = range(many) if many < 3_000 else [*range(500), *range(500, many, 53), many - 1]
    return [since + n * MINUTE for n in chosen]


@settings(deadline=None)
@given(said, moments)
def test_it_opens_at_the_first_minute_that_is_in_the_window(said, now):
    window = Window.of("; ".join(map(str, said)))
    opens = window.opens(now)
    assert opens >= now
    assert window.is_open(opens)
    assert any(part.open_at(opens) for part in said)
    assert not any(part.open_at(minute) for minute in minutes(now, opens) for part in said)


@settings(deadline=None)
@given(said, moments)
def test_it_closes_at_the_first_minute_that_is_not(said, now):
    window = Window.of("; ".join(map(str, said)))
    closes = window.closes(now)
    if closes is None:
        assert all(any(p.open_at(m) for p in said) for m in minutes(now, now + 370 * DAY))
        return
    assert not window.is_open(closes)
    assert not any(part.open_at(closes) for part in said)
    assert (closes > now) == window.is_open(now)
    assert all(any(part.open_at(minute) for part in said) for minute in minutes(now, closes))
