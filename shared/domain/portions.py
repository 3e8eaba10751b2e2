"""Many things, so many at a time."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_portions(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """In their order; only the last may be smaller.

    >>> list(in_portions("abcde", 2))
    ['ab', 'cd', 'e']
    """
    return (items[first : first + size] for first in range(0, len(items), size))
