"""Three times what can be done: how much of it is done in time, and what becomes of the rest.

Each turn of overload stands between two measurements of the capacity, as the machine is not always equally fast.
"""

from __future__ import annotations

import statistics
from typing import Final

import uvloop

from gpu_service.model import DEFAULT
from tests.bench.serving import texts
from tests.bench.serving.load import Seen, closed, opened
from tests.gpu_service.process import Server

TARGET: Final = 1.0
SECONDS: Final = 8.0
ROUNDS: Final = 5
PATH: Final = "/v1/embeddings"


def main(rounds: int = ROUNDS) -> None:
    """Measure and print."""
    print(f"Overload: mixed lengths at three times the capacity, target latency {TARGET:g} s")
    with Server(DEFAULT, ACCESS_LOG="off", CACHE_MB="0", TARGET_LATENCY_MS=str(int(TARGET * 1000))) as server:
        server.wait_until_ready()
        _capacity(server.port, 0)  # warms up
        before, shares, turns = _capacity(server.port, 1), [], []
        for number in range(rounds):
            seen = uvloop.run(opened(server.port, PATH, texts.mixed(9 + number), rate=3 * before.rate, seconds=SECONDS))
            after = _capacity(server.port, 2 + number)
            capacity = (before.goodput(TARGET) + after.goodput(TARGET)) / 2
            turns.append(seen)
            shares.append(seen.goodput(TARGET) / capacity)
            print(f"  round {number + 1}: {shares[-1]:.2f} of {capacity:.0f} tokens/s, {_outcome([seen])}", flush=True)
            before = after
    print(f"  median: {_spread(shares)} of the capacity in time, {_outcome(turns)}")


def _outcome(turns: list[Seen]) -> str:
    p95 = _spread([seen.percentile(0.95) for seen in turns], digits=0)
    refused, told = sum(seen.refused for seen in turns), sum(seen.told for seen in turns)
    asked = refused + sum(len(seen.latencies) for seen in turns)
    return f"p95 {p95} ms; refused {refused} of {asked}, told when to come back {told}"


def _spread(values: list[float], *, digits: int = 2) -> str:
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} [{min(values):.{digits}f} to {max(values):.{digits}f}]"


def _capacity(port: int, seed: int) -> Seen:
    return uvloop.run(closed(port, PATH, texts.mixed(seed), clients=24, seconds=SECONDS / 2))


if __name__ == "__main__":
    main()
