"""Chooses a token from logits, by nothing but these and the request's own chance: no neighbour in the batch matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Sampler:
    """The choices of one request: the likeliest token at temperature 0, else one by its probability.

    `top_p` keeps the likeliest tokens that together have at least that probability; the same `seed` chooses the same.
    """

    def __init__(self, *, temperature: float, top_p: float, seed: int | None) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._chance = np.random.default_rng(None if seed is None else abs(seed) * 2 + (seed < 0))

    def choose(self, logits: NDArray[np.floating]) -> int:
        """Choose the next token, from logits [vocabulary]."""
        if self._temperature == 0:
            return int(logits.argmax())
        scaled = (logits.astype(np.float64) - float(logits.max())) / self._temperature
        order = np.argsort(-scaled, kind="stable")
        shares = np.exp(scaled[order])
        shares /= shares.sum()
        reached = np.cumsum(shares)
        kept = int(np.searchsorted(reached, min(self._top_p, reached[-1]))) + 1
        drawn = self._chance.random() * reached[kept - 1]
        return int(order[min(int(np.searchsorted(reached, drawn, side="right")), kept - 1)])
