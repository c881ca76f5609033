"""Shapes of runs: on a GPU a few that come again and again, so that memory and kernels are chosen once for each.

Its arena keeps a block for every size that it has seen; with lengths as they come it grows without end.
"""

from __future__ import annotations

from typing import Final

SHORTEST: Final = 16


def exact(rows: int, longest: int) -> tuple[int, int]:
    """As large as needed: padding costs a CPU what text costs."""
    return rows, longest


def rounded(rows: int, longest: int) -> tuple[int, int]:
    """Give the next power of two in both directions, and at least 16 tokens."""
    return _power(rows), max(SHORTEST, _power(longest))


def _power(number: int) -> int:
    return 1 << (number - 1).bit_length()
