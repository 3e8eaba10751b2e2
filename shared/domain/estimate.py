"""When a campaign will be through. About: what others send in the meantime is not known."""

from datetime import UTC, datetime, timedelta

from shared.domain.window import Window, oslo_day, oslo_midnight

#: Nobody plans further ahead: that it takes so long is all they need to hear.
_FAR = timedelta(days=10 * 366)


def last_leaves(
    starts: datetime,
    costs: int,
    per_minute: int,
    deliveries: int,
    window: Window,
    per_day: int = 0,
    used_today: int = 0,
) -> datetime | None:
    """About when the last one leaves, in UTC. None when nothing limits how fast it goes.

    `costs` is what all of them cost together, of which `per_minute` may be spent; 0: as fast as
    the host goes. At most `per_day` deliveries leave on a day in Norway; 0: any number. On the day
    of `starts`, `used_today` of those are gone. More than ten years is not worked out further.

    >>> friday = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
    >>> office = Window.of("08:00-20:00 mon-fri")
    >>> last_leaves(friday, 2_000, 30, 2_000, office).isoformat()
    '2026-11-30T07:06:38+00:00'
    >>> last_leaves(friday, 2_000, 30, 2_000, office, per_day=1_500, used_today=1_400).isoformat()
    '2026-12-01T07:13:18+00:00'
    >>> last_leaves(friday, 2_000, 0, 2_000, Window())
    """
    gap = timedelta(minutes=costs / per_minute / max(1, deliveries)) if per_minute else timedelta()
    if deliveries and not gap and window.always and not per_day:
        return None
    today, used = oslo_day(starts), used_today
    slot = at = starts.astimezone(UTC)
    closes: datetime | None = at
    left = deliveries
    while left > 0:  # one opening after the other, cut at midnight where days are counted
        at = window.opens(slot)
        if at > starts + _FAR:
            break
        if closes is not None and at >= closes:  # asked once an opening: it may be a year long
            closes = window.closes(at)
        if oslo_day(at) != today:
            today, used = oslo_day(at), 0
        tomorrow = oslo_midnight(today + timedelta(days=1))
        until = min(closes or tomorrow, tomorrow) if per_day else closes
        quota = max(0, per_day - used) if per_day else left
        fit = -((at - until) // gap) if until and gap else left
        count = min(left, fit, quota)
        left, used = left - count, used + count
        slot = at + gap * count if count == fit else tomorrow
        at += gap * max(0, count - 1)
    return at
