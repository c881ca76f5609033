"""Continuous batching against static batching and one at a time: the same decoder, the same requests, the same tokens.

`python -m tests.bench.generation`. The model is a Llama of 13 million random weights, made on the spot; all requests
are there at the beginning, and their answers differ in length as those of people do. Tokens are counted by CPU second
too, which a busy machine disturbs less.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gpu_service.generation.decoder import Decoder
from gpu_service.generation.jobs import Wish
from gpu_service.generation.loop import Generator
from gpu_service.generation.scheduler import Scheduler
from gpu_service.prepare import prepare
from gpu_service.specs import Spec
from gpu_service.telemetry import Telemetry
from tests.gpu_service.generation import llama

if TYPE_CHECKING:
    from gpu_service.generation.jobs import Job

SIZE: Final = llama.Size(hidden=512, layers=4, heads=8, kv_heads=4, head=64, wide=1536)
REQUESTS, SLOTS, ROUNDS = 32, 8, 5


class Static(Scheduler):
    """Fills its slots when they are all empty, and not before; what is over is computed on until all are."""

    _entered = 0

    def _leave(self) -> list[tuple[int, int]]:
        return [] if any(not one.is_over for one in self._running) else super()._leave()

    def _may_enter(self) -> bool:
        if self.inside == 0:
            self._entered = 0
        may = super()._may_enter() and self._entered < self._slots
        self._entered += may
        return may


class Run(NamedTuple):
    """Tokens a second and by CPU second, and the mean of the seconds until a request had its whole answer."""

    rate: float
    thrift: float
    latency: float


def main() -> None:
    """Measure in turns and print medians with their spread."""
    with tempfile.TemporaryDirectory() as folder:
        decoder = _decoder(Path(folder))
    chance = random.Random(1)
    wishes = [
        Wish([chance.randrange(4, 250) for _ in range(chance.randint(4, 60))], int(chance.lognormvariate(3.2, 0.8)) + 1)
        for _ in range(REQUESTS)
    ]
    ways = {"one at a time": (Scheduler, 1), "static": (Static, SLOTS), "continuous": (Scheduler, SLOTS)}
    seen: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (kind, slots) in ways.items():
            seen[name].append(asyncio.run(_measure(decoder, kind(slots=slots, chunk=256), wishes)))
    count = sum(wish.limit for wish in wishes)
    print(f"Generation: {REQUESTS} requests, {count} tokens, {SLOTS} slots, load {os.getloadavg()[0]:.1f}")
    ours = seen["continuous"]
    for name, runs in seen.items():
        ratios = [mine.thrift / other.thrift for mine, other in zip(ours, runs, strict=True)]
        middle = Run(*(statistics.median(column) for column in zip(*runs, strict=True)))
        print(
            f"  {name:<14}{middle.rate:5.0f} tokens/s, {middle.thrift:5.0f} by CPU second; whole answer after "
            f"{middle.latency:5.2f} s; continuous by CPU {statistics.median(ratios):.2f} times "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


def _decoder(folder: Path) -> Decoder:
    sums = llama.write(folder / "m", context=512, size=SIZE)
    never = [10**6]  # no answer ends before its length
    spec = Spec(task="generation", source=str(folder / "m"), sha256=sums, max_tokens=512, slots=SLOTS, eos=never)
    return Decoder.of(prepare("bench", spec, store=folder))


async def _measure(decoder: Decoder, scheduler: Scheduler, wishes: list[Wish]) -> Run:
    generator = Generator(decoder, places=len(wishes), telemetry=Telemetry(), scheduler=scheduler)
    began, computed = time.perf_counter(), time.process_time()
    try:
        ends = await asyncio.gather(*(_ended(generator.submit(wish)) for wish in wishes))
    finally:
        generator.close()
    total = sum(wish.limit for wish in wishes)
    computed = time.process_time() - computed
    return Run(total / (max(ends) - began), total / computed, statistics.mean(end - began for end in ends))


async def _ended(job: Job) -> float:
    async for _ in job:
        pass
    return time.perf_counter()


if __name__ == "__main__":
    main()
