"""What the authorizer has read of the Directory, kept for a minute: it asks on every request, and API Gateway waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

CACHE_SECONDS = 60.0
CACHE_ENTRIES = 1000
AGAIN_SECONDS = 1.0


class Remembered(Generic[T]):
    """A lookup that keeps its answers for a minute, the negative ones too, and no more than a thousand of them."""

    def __init__(self, lookup: Callable[[str, str], T | None], clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is monotonic, in seconds."""
        self._lookup = lookup
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, T | None]] = {}
        self._again: dict[tuple[str, str], float] = {}  # of what is kept: when it may be looked up anew

    def __call__(self, org: str, name: str) -> T | None:
        """Look up; what fails is not remembered."""
        place = (org, name)
        until, record = self._kept.get(place, (0.0, None))
        if self._clock() < until:
            return record
        return self._learn(place)

    def again(self, org: str, name: str) -> T | None:
        """Look up anew what was remembered, but not again within `AGAIN_SECONDS`: guesses shall cost few reads."""
        place = (org, name)
        if place in self._kept and self._clock() < self._again.get(place, 0.0):
            return self._kept[place][1]
        record = self._learn(place)
        self._again[place] = self._clock() + AGAIN_SECONDS
        return record

    def _learn(self, place: tuple[str, str]) -> T | None:
        record = self._lookup(*place)
        self._kept.pop(place, None)  # so that it goes to the end: the oldest is dropped first
        if len(self._kept) >= CACHE_ENTRIES:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._again.pop(oldest, None)
        self._kept[place] = (self._clock() + CACHE_SECONDS, record)
        return record
