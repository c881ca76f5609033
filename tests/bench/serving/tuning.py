"""A load and a model that change, in real time: the self-tuned batcher against fixed sizes and waits, all at once.

The threads, the clock and the event loop are real. The model takes its time asleep, so that every setting gets the same
arrivals at the same moment, and what else the machine does hardly matters.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

import uvloop

from gpu_service.batching.batcher import Batcher
from gpu_service.batching.cost import Cost
from gpu_service.batching.limits import Limits
from gpu_service.batching.traces import even, poisson
from gpu_service.errors import Overloaded
from gpu_service.simulate import SIZES, fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_service.batching.simulator import Arrival

TARGET: Final = 1.0
SECONDS: Final = 10.0
WAITS: Final = (0.0, 0.05)
DEAR: Final = Cost(40e-3, 80e-6)  # dear to start and cheap to fill, as an accelerator
SLOW: Final = Cost(2e-3, 200e-6)  # the reverse, as one core of a processor
PHASES: Final = ((350, even(8, 24)), (60, even(60, 250)), (10, even(8, 24)), (350, even(8, 24)))


class Sleeper:
    """A model that is `DEAR`, but `SLOW` in the second phase, and computes nothing."""

    def __init__(self, began: float) -> None:
        self._began = began

    def __call__(self, rows: Sequence[range]) -> Sequence[range]:
        """Take as long as these rows do."""
        now = time.perf_counter() - self._began
        model = SLOW if SECONDS <= now < 2 * SECONDS else DEAR
        time.sleep(model.seconds(len(rows) * max(map(len, rows))))
        return rows


class Setting:
    """One batcher and what it got done in time."""

    def __init__(self, limits: Limits, began: float) -> None:
        self._batcher: Batcher[range, range] = Batcher(Sleeper(began), limits, places=4096)
        self.tokens = 0
        self.latencies: list[float] = []

    async def ask(self, size: int) -> None:
        """Have one row computed."""
        came = time.perf_counter()
        try:
            await self._batcher.run([range(size)])
        except Overloaded:
            return
        self.latencies.append(time.perf_counter() - came)
        self.tokens += size if self.latencies[-1] <= TARGET else 0

    def close(self) -> None:
        """End its thread."""
        self._batcher.close()

    @property
    def p95(self) -> float:
        """The 95th percentile of the latencies, in seconds."""
        return sorted(self.latencies)[int(0.95 * len(self.latencies))]


def main() -> None:
    """Measure and print."""
    print(f"Tuning: a load and a model that change, target latency {TARGET:g} s, tokens a second in time")
    found = uvloop.run(_play(list(_day())))
    for name, setting in sorted(found.items(), key=lambda entry: -entry[1].tokens):
        print(f"  {name:<18}{setting.tokens / (len(PHASES) * SECONDS):8.0f}   p95 {setting.p95 * 1000:5.0f} ms")


async def _play(day: list[Arrival]) -> dict[str, Setting]:
    began = time.perf_counter()
    settings = {"auto-tuned": Setting(Limits(target_latency=TARGET), began)}
    for size in SIZES:
        settings |= {f"{size} rows, {wait * 1000:.0f} ms": Setting(fixed(size, wait, TARGET), began) for wait in WAITS}
    async with asyncio.TaskGroup() as group:
        for arrival in day:
            await asyncio.sleep(began + arrival.at - time.perf_counter())
            for setting in random.sample(list(settings.values()), len(settings)):  # nobody is always the first
                group.create_task(setting.ask(arrival.sizes[0]))
    for setting in settings.values():
        setting.close()
    return settings


def _day() -> list[Arrival]:
    return [
        arrival
        for number, (rate, lengths) in enumerate(PHASES)
        for arrival in poisson(rate, SECONDS, lengths, seed=number, start=number * SECONDS)
    ]


if __name__ == "__main__":
    main()
