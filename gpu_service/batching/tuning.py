"""Keeps the promised latency by adding a little while it holds and taking away a lot when it does not (AIMD).

What it moves is one number: the share of the target latency that predictions may use up. Admission and the length of a
run follow it, so a prediction that is off, because the machine got slower or the model changed, is made good within a
few windows.
"""

from __future__ import annotations

from typing import Final

WINDOW: Final = 64  # rows that are looked at together: three of them are slower than the 95th percentile
_LESS: Final = 0.75
_MORE: Final = 0.03
_LEAST: Final = 0.1
_MOST: Final = 0.9


class Tuner:
    """The controller; `target` in seconds."""

    def __init__(self, target: float, *, moves: bool = True) -> None:
        self._target = target
        self._moves = moves
        self._window: list[float] = []
        self.share = 0.7
        self.p95 = 0.0

    def saw(self, seconds: float) -> None:
        """Take note of one row's time from arrival to result."""
        self._window.append(seconds)
        if len(self._window) < WINDOW:
            return
        self.p95 = sorted(self._window)[int(0.95 * WINDOW)]
        self._window.clear()
        if self._moves:
            late = self.p95 > self._target
            self.share = max(_LEAST, self.share * _LESS) if late else min(_MOST, self.share + _MORE)
