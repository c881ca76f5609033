"""What a request has reserved: at first, for one try with whichever of its models; more before a try that may add.

In the scopes of all models together that is what the dearest of them may take. In a model's own scope it is one try of
that model, so that a try with another one takes nothing more there, until it is asked a second time.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Amount(NamedTuple):
    """Nano-dollars and tokens."""

    money: int = 0
    tokens: int = 0

    def plus(self, other: Amount) -> Amount:
        """Return both together."""
        return Amount(self.money + other.money, self.tokens + other.tokens)

    def beyond(self, other: Amount) -> Amount:
        """Return what this has more than the `other`, in neither less than nothing."""
        return Amount(max(0, self.money - other.money), max(0, self.tokens - other.tokens))


class Holding:
    """Of one admitted request; `worst` is what one try with each of its models may take."""

    def __init__(self, worst: Mapping[str, Amount]) -> None:
        self._worst = worst
        self.models = dict(worst)
        self.shared = Amount(*map(max, zip(Amount(), *worst.values(), strict=True)))

    def lacks(self, tries: Iterable[str], model: str) -> tuple[Amount, Amount]:
        """Return what is missing, in shared scopes and in the model's own, for one more try with `model`.

        `tries` names the models of those so far that may be billed.
        """
        counts = Counter([*tries, model])
        needed = Amount()
        for name, count in counts.items():
            needed = needed.plus(self._times(name, count))
        return needed.beyond(self.shared), self._times(model, counts[model]).beyond(self.models[model])

    def add(self, model: str, shared: Amount, own: Amount) -> None:
        """Note that more was reserved."""
        self.shared, self.models[model] = self.shared.plus(shared), self.models[model].plus(own)

    def _times(self, model: str, count: int) -> Amount:
        worst = self._worst[model]
        return Amount(worst.money * count, worst.tokens * count)
