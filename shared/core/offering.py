"""The candidates of a request before admission, which is told of them, and after it: in which turn they are asked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from shared.core.breakers import Choice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shared.core.breakers import Seen
    from shared.core.catalog import Model
    from shared.core.routing import Candidate, Group


def models(found: Iterable[Candidate]) -> list[Model]:
    """Return the models that `found` are targets of, each once."""
    return list({one.model.name: one.model for one in found}.values())


def limited(found: Sequence[Candidate], most: int) -> list[Candidate]:
    """Keep the candidates of the first `most` models."""
    kept = {model.name for model in models(found)[:most]}
    return [one for one in found if one.model.name in kept]


def choice(groups: Sequence[Group], found: Sequence[Candidate], *, stream: bool) -> Choice:
    """Return what admission is told of the candidates `found`: those of `groups`, arranged, or the best of them."""
    strategy, best = groups[0].strategy, {one.target.id for one in groups[0].candidates}
    among = sum(one.target.id in best for one in found)
    dynamic: Literal["", "fastest", "least_loaded"] = strategy if strategy in {"fastest", "least_loaded"} else ""
    ids, weights = tuple(one.target.id for one in found), tuple(one.weight for one in found)
    numbers = {model.name: number for number, model in enumerate(models(found), 1)}
    return Choice(ids, weights, dynamic, among, stream, tuple(numbers[one.model.name] for one in found))


def turn(chosen: Choice, first: int, seen: Sequence[Seen]) -> list[int]:
    """Return the positions of the targets to ask, in their order, after what admission has seen of them.

    None that rests is among them, and none whose model is spent.
    """
    others = [at for at, one in enumerate(seen) if at != first and one.state in {"closed", "probe"}]
    ranked = [at for at in others if chosen.strategy and at < chosen.among]
    ranked.sort(key=lambda at: _rank(chosen, at, seen[at]))
    return [first, *ranked, *(at for at in others if at not in ranked)]


def _rank(chosen: Choice, at: int, seen: Seen) -> float:
    if chosen.strategy == "least_loaded":
        return seen.busy / chosen.weights[at]
    return seen.latency or math.inf
