"""Keeps the promised latency by adding a little while it holds and taking away a lot when it does not (AIMD).

What it moves is one number: the share of the target latency that predictions may use up. Admission and the length of a
run follow it, so a prediction that is off, because the machine got slower or the model changed, is made good within a
few windows. It keeps a tenth of the target back, which an answer spends before it is a row and after it was one. Beyond
where it began it adds only while requests are refused: an idle service proves no prediction right.
"""

from __future__ import annotations

from typing import Final

_ROWS: Final = 20  # are the least that a 95th percentile says anything about
_LESS: Final = 0.75
_MORE: Final = 0.05
_LATE: Final = 0.9  # of the target: a p95 beyond it is too late,
_NEAR: Final = 0.8  # and nearer than that nothing is added
_LEAST: Final = 0.1
_START: Final = 0.7
_MOST: Final = 0.9


class Tuner:
    """The controller; `target` in seconds. It moves at most once per target, as its moves need that long to be felt."""

    def __init__(self, target: float, *, moves: bool = True) -> None:
        self._target = target
        self._moves = moves
        self._window: list[float] = []
        self._opened = 0.0
        self._refused = False
        self.share = _START
        self.p95 = 0.0  # seconds, in the last window

    def refused(self) -> None:
        """Take note that a request was sent away."""
        self._refused = True

    def saw(self, seconds: float, now: float) -> None:
        """Take note of one row's time from arrival to result."""
        self._window.append(seconds)
        if len(self._window) < _ROWS or now - self._opened < self._target:
            return
        self.p95 = sorted(self._window)[int(0.95 * len(self._window))]
        self._window.clear()
        self._opened = now
        most, self._refused = _MOST if self._refused else max(_START, self.share), False
        if self._moves and self.p95 > _LATE * self._target:
            self.share = max(_LEAST, self.share * _LESS)
        elif self._moves and self.p95 < _NEAR * self._target:
            self.share = min(most, self.share + _MORE)
