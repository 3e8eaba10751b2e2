"""How values become columns: times as text that sorts, the rest as it is."""

from datetime import UTC, datetime

from shared.domain.delivery import NEVER


def stamp(moment: datetime) -> str:
    """The time as fixed-width UTC text; NEVER is the empty text, which sorts first."""
    if moment == NEVER:
        return ""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def moment(stamped: object) -> datetime:
    return datetime.fromisoformat(stamped) if isinstance(stamped, str) and stamped else NEVER


def after(prefix: str) -> str:
    """The first key behind all keys that begin with `prefix`.

    >>> after("o:")
    'o;'
    """
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
