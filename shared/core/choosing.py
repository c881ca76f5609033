"""Which of several models is strong enough for a chat, and what the client would rather have: a low price, or the best.

A model's `quality` places it among those of one catalog. A score of 0 needs the weakest of the models at hand, one of 1
the strongest; who wants it cheap is content with half of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.catalog import Priority

_SHARE: Final = {"cheap": 0.5, "balanced": 1.0}


def needed(qualities: Mapping[str, int], score: float, priority: Priority) -> float:
    """Return the quality that a model should have."""
    low, high = min(qualities.values()), max(qualities.values())
    return float(high) if priority == "quality" else low + score * _SHARE[priority] * (high - low)


def ranked(qualities: Mapping[str, int], costs: Mapping[str, float], score: float, priority: Priority) -> list[str]:
    """Order models, the best choice first: the cheapest of those that are good enough, then the others by quality.

    `costs` are what the request would take of each, in whatever unit, infinite if unknown.
    """
    least = needed(qualities, score, priority)
    enough = [name for name, quality in qualities.items() if quality >= least]
    enough.sort(key=lambda name: (costs[name], -qualities[name]))
    others = sorted(qualities.keys() - set(enough), key=lambda name: (-qualities[name], costs[name], name))
    return enough + others
