"""Learns from every run how long the next one will take: `fixed + per_token * padded` seconds, padding included.

Two numbers are enough (rows and attention explain nothing more on shapes from 1 x 16 to 32 x 64, and a third would
soak up noise). They are the solution of a recursive least squares problem in relative errors, so that a run of a second
and one of a millisecond count alike and a hiccup of the machine counts little. Forgetting is directional (Cao and
Schwartz 2000): a run replaces what older runs said about sizes like its own and nothing else, or an hour of equal texts
would wear away all knowledge of other lengths.

They are learned from the time that a run keeps its processor busy, where that can be told from the time on the clock;
what neighbours on the machine take goes into a third number, the `pace`, which all predictions are multiplied by. Once
the two numbers themselves are far off, as another model took the place of the first, they are scaled and learned anew.
"""

from __future__ import annotations

from typing import Final

_MEMORY: Final = 0.995  # of what is known about runs of a size outlives one more of them: the last 200 decide
_STEADY: Final = 1.5  # how far off the two numbers may be, either way, before all is learned anew
_LEAP: Final = 4.0  # how far one run may be from what was expected: beyond it is a hiccup
_PACE: Final = 0.1  # weight of the newest run in the running means
_UNIT: Final = 256  # tokens: makes the two unknowns about as large
_LEAST: Final = 1e-6  # seconds; nothing is quicker
_WORTH: Final = 4.0  # tokens; a run costs at least that
_FIXED: Final = 2e-3  # seconds and seconds per token to begin with: a small encoder on one core of a CPU,
_PER_TOKEN: Final = 2e-4  # which the very first runs outvote


class Cost:
    """The running estimate, in seconds; `fixed` and `per_token` are what to assume before the first run."""

    def __init__(self, fixed: float = _FIXED, per_token: float = _PER_TOKEN) -> None:
        self._fixed, self._slope = fixed, per_token * _UNIT
        self._pace = 1.0
        self.runs = 0  # that it has learned from
        self._start()

    @property
    def fixed(self) -> float:
        """Seconds that a run takes before its first token."""
        return self._fixed * self._pace

    @property
    def per_token(self) -> float:
        """Seconds per padded token."""
        return self._slope / _UNIT * self._pace

    def seconds(self, padded: float) -> float:
        """Predict a run of so many tokens with the padding."""
        return max(_LEAST, self._raw(padded) * self._pace)

    def room(self, seconds: float) -> float:
        """How many padded tokens a run of at most `seconds` has room for."""
        return max(0.0, seconds - self.fixed) / max(self.per_token, 1e-12)

    @property
    def worth(self) -> float:
        """How many tokens of padding cost as much as one more run; some in any case, or no batch were ever tried."""
        return max(_WORTH, self._fixed / max(self._slope / _UNIT, 1e-12))

    def learn(self, padded: int, seconds: float, busy: float | None = None) -> None:
        """Take note that a run of so many padded tokens took `seconds`, and kept a processor `busy` for that long."""
        seconds, busy = max(seconds, _LEAST), max(seconds if busy is None else busy, _LEAST)
        self.runs += 1
        raw = self._raw(padded)
        self._pace += _PACE * (_bounded(seconds / raw, self._pace) - self._pace)
        self._drift += _PACE * (_bounded(busy / raw, self._drift) - self._drift)
        if not 1 / _STEADY < self._drift < _STEADY:
            self._fixed, self._slope = self._fixed * self._drift, self._slope * self._drift
            self._pace = max(_LEAST, self._pace / self._drift)
            self._start()
        fixed, slope = 1 / busy, padded / _UNIT / busy
        self._forget(fixed, slope)
        self._add(fixed, slope, 1)
        self._solve()

    def _start(self) -> None:
        """Take the two numbers for a guess, of which a faint memory stays."""
        self._drift = 1.0
        self._ff = self._fs = self._ss = self._f1 = self._s1 = 0.0  # the information matrix, and what it is worth
        for padded in (8, 256):
            guess = self._raw(padded) * 100
            self._add(1 / guess, padded / _UNIT / guess, 0.01)

    def _raw(self, padded: float) -> float:
        return max(_LEAST, self._fixed + self._slope * padded / _UNIT)

    def _add(self, fixed: float, slope: float, value: float) -> None:
        self._ff += fixed * fixed
        self._fs += fixed * slope
        self._ss += slope * slope
        self._f1 += fixed * value
        self._s1 += slope * value

    def _forget(self, fixed: float, slope: float) -> None:
        """Lessen what is known in the direction of (`fixed`, `slope`), and in no other."""
        along_f, along_s = self._ff * fixed + self._fs * slope, self._fs * fixed + self._ss * slope
        lost = (1 - _MEMORY) / (fixed * along_f + slope * along_s)
        value = fixed * self._f1 + slope * self._s1
        self._ff -= lost * along_f * along_f
        self._fs -= lost * along_f * along_s
        self._ss -= lost * along_s * along_s
        self._f1 -= lost * along_f * value
        self._s1 -= lost * along_s * value

    def _solve(self) -> None:
        """Minimize over numbers that are not negative."""
        determinant = self._ff * self._ss - self._fs * self._fs
        if determinant <= 1e-12 * self._ff * self._ss:
            return
        self._fixed = (self._f1 * self._ss - self._s1 * self._fs) / determinant
        self._slope = (self._s1 * self._ff - self._f1 * self._fs) / determinant
        if self._fixed < 0:
            self._fixed, self._slope = 0.0, self._s1 / self._ss
        elif self._slope < 0:
            self._fixed, self._slope = self._f1 / self._ff, 0.0


def _bounded(ratio: float, known: float) -> float:
    return min(_LEAP * known, max(known / _LEAP, ratio))
