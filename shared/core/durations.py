"""Durations in fixed buckets, four to an octave, so that those of any days and models can be added up exactly.

A bucket holds whole milliseconds above its lower bound and up to its upper one; up to 4 ms each has one of its own. The
middle of the bucket that a quantile lies in is off by an eighth at most: what its neighbours are apart by.
"""

from __future__ import annotations

from itertools import accumulate
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARTS: Final = 4  # of an octave
_LONGEST: Final = 2**20  # ms, 17 minutes; no request lasts longer, and what claims to is put there


def bucket(milliseconds: int) -> int:
    """Return the number of the bucket that a duration belongs to."""
    under = min(max(milliseconds, 1), _LONGEST) - 1
    if under < _PARTS:
        return under
    octave = under.bit_length() - 3
    return _PARTS * octave + (under >> octave)


def bounds(number: int) -> tuple[int, int]:
    """Return what the durations of a bucket are above, and the longest of them, in ms."""
    octave = max(0, number // _PARTS - 1)
    lower = (number - _PARTS * octave) << octave
    return lower, lower + (1 << octave)


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """Return the duration in ms that a `share` of those counted, by bucket, do not exceed; None if there are none."""
    numbers = sorted(counts)
    rank = max(1, ceil(share * sum(counts.values())))
    for number, passed in zip(numbers, accumulate(counts[one] for one in numbers), strict=True):
        if passed >= rank:
            lower, upper = bounds(number)
            return (lower + 1 + upper) / 2
    return None
