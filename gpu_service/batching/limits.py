"""What the operator allows and wants of batching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_GUESS: Final = 10.0  # times as long as predicted is what a guess allows besides


@dataclass(frozen=True, slots=True)
class Limits:
    """How large batches may grow and how long anything may take; times in seconds.

    A run takes up to `max_batch_size` rows and `max_batch_tokens` padded tokens, and waits up to `max_wait` for
    `min_batch_size` rows. With `tune` the policy stays within these bounds as measured costs and `target_latency`
    advise, and may wait where waiting pays; without it the bounds alone decide.

    `target_latency` is what 95 of 100 rows shall take at most from their arrival to their result; `deadline` is after
    how long a request that has not begun is given up.
    """

    max_batch_size: int = 32
    min_batch_size: int = 1
    max_batch_tokens: int = 16_384
    max_wait: float = 0.1
    target_latency: float = 1.0
    deadline: float = 10.0
    tune: bool = True


@dataclass(frozen=True, slots=True)
class Patience:
    """When a run counts as stuck: after `factor` times what was predicted, but from `least` to `most` seconds.

    After `grace` more seconds the process ends, if it has not recovered.
    """

    factor: float = 20.0
    least: float = 10.0
    most: float = 300.0
    grace: float = 10.0

    def bound(self, expected: float, *, known: bool = True) -> float:
        """Give the seconds that a run may take which is `expected` to take so many, by a guess unless `known`."""
        return min(self.most, max(self.least, self.factor * expected * (1 if known else _GUESS)))
