"""How long a server wants to be left alone: the header Retry-After (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

UNTOLD = timedelta(minutes=1)
LONGEST = timedelta(hours=1)


def wait_asked_for(header: str | None, now: datetime) -> timedelta:
    """In seconds or until a date, an hour at the most; a minute when it cannot be told.

    >>> wait_asked_for("120", datetime(2026, 1, 1, tzinfo=UTC))
    datetime.timedelta(seconds=120)
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), LONGEST)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return UNTOLD
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(until - now, timedelta()), LONGEST)
