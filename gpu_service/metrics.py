"""Counters, gauges and histograms in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Labels = tuple[str, ...]

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
POWERS: Final = tuple(float(2**power) for power in range(15))
SHARES: Final = (0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metric:
    """One name with its labels. Threads may share it."""

    kind = "counter"

    def __init__(self, name: str, told: str, *labels: str) -> None:
        self.name = name
        self._told = told
        self._labels = labels
        self._lock = threading.Lock()
        self._values: dict[Labels, float] = defaultdict(float)

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Count."""
        with self._lock:
            self._values[labels] += by

    def lines(self) -> Iterator[str]:
        """Give the metric as text."""
        yield f"# HELP {self.name} {self._told}"
        yield f"# TYPE {self.name} {self.kind}"
        yield from self._samples()

    def _samples(self) -> Iterable[str]:
        with self._lock:
            return [
                _sample(self.name, dict(zip(self._labels, labels, strict=True)), value)
                for labels, value in self._values.items()
            ]


class Gauge(Metric):
    """What is read at the moment of asking: label values to a number."""

    kind = "gauge"

    def __init__(self, name: str, told: str, *labels: str, read: Callable[[], Mapping[Labels, float]]) -> None:
        super().__init__(name, told, *labels)
        self._read = read

    def _samples(self) -> Iterable[str]:
        return [
            _sample(self.name, dict(zip(self._labels, labels, strict=True)), value)
            for labels, value in self._read().items()
        ]


class Histogram(Metric):
    """How often a number was at most as large as each bound."""

    kind = "histogram"

    def __init__(self, name: str, told: str, *labels: str, bounds: Sequence[float] = SECONDS) -> None:
        super().__init__(name, told, *labels)
        self._bounds = bounds
        self._counts: dict[Labels, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))

    def see(self, number: float, *labels: str) -> None:
        """Take one number."""
        with self._lock:
            self._counts[labels][bisect_left(self._bounds, number)] += 1
            self._values[labels] += number

    def _samples(self) -> Iterable[str]:
        found = []
        with self._lock:
            for labels, counts in self._counts.items():
                named = dict(zip(self._labels, labels, strict=True))
                total = 0
                for bound, count in zip([*self._bounds, float("inf")], counts, strict=True):
                    total += count
                    found.append(_sample(f"{self.name}_bucket", {**named, "le": _number(bound)}, total))
                found.append(_sample(f"{self.name}_sum", named, self._values[labels]))
                found.append(_sample(f"{self.name}_count", named, total))
        return found


def render(metrics: Iterable[Metric]) -> bytes:
    """Write all of them."""
    return ("\n".join(line for metric in metrics for line in metric.lines()) + "\n").encode()


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{told}}} {_number(value)}" if told else f"{name} {_number(value)}"


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
