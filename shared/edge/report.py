"""What `settle` is told of the tries that a request made, and what it tells of the breakers that changed by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from shared.core.catalog import Resilience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from shared.core.breakers import Result

_MICRO = 1_000_000


def _nobody(_target: str, _state: str, _failures: int) -> None:
    """Hear nothing."""


class Report(NamedTuple):
    """The results of all tries, in their order; `tell` hears the id of a target, its new state and its failures."""

    results: Sequence[Result] = ()
    resilience: Resilience = Resilience()
    stream: bool = False  # of which answers the latencies are
    tell: Callable[[str, str, int], None] = _nobody

    def rules(self) -> tuple[int, int]:
        """Return after how many failures a target rests, and for how many milliseconds."""
        return self.resilience.breaker_failures, round(self.resilience.breaker_rest * 1000)


NO_TRIES: Final = Report()


def listed(results: Iterable[Result]) -> str:
    """Write results as the script reads them: `2-0 1+35123`."""
    return " ".join(f"{target + 1}{'+' if good else '-'}{round(latency * _MICRO)}" for target, good, latency in results)
