"""Three times what can be done: how much of it is done in time, and what becomes of the rest."""

from __future__ import annotations

from typing import Final

import uvloop

from gpu_service.model import DEFAULT
from tests.bench.serving import texts
from tests.bench.serving.load import Seen, closed, opened
from tests.gpu_service.process import Server

TARGET: Final = 1.0
SECONDS: Final = 12.0
PATH: Final = "/v1/embeddings"


def main() -> None:
    """Measure and print."""
    print(f"Overload: mixed lengths at three times the capacity, target latency {TARGET:g} s")
    with Server(DEFAULT, ACCESS_LOG="off", CACHE_MB="0", TARGET_LATENCY_MS=str(int(TARGET * 1000))) as server:
        server.wait_until_ready()
        _capacity(server.port, 0)  # warms up
        before = _capacity(server.port, 1)
        seen = uvloop.run(opened(server.port, PATH, texts.mixed(9), rate=3 * before.rate, seconds=SECONDS))
        after = _capacity(server.port, 2)  # the machine is not always equally fast
    capacity = (before.goodput(TARGET) + after.goodput(TARGET)) / 2
    good, asked = seen.goodput(TARGET), len(seen.latencies) + seen.refused
    p95 = [one.percentile(0.95) for one in (before, after, seen)]
    print(f"  capacity, 24 clients     {capacity:8.0f} tokens/s, p95 {p95[0]:.0f} and {p95[1]:.0f} ms")
    print(f"  in time at {asked / SECONDS:5.0f} req/s    {good:8.0f} tokens/s, p95 {p95[2]:.0f} ms")
    print(f"  which is {good / capacity:.2f} of the capacity")
    print(f"  refused {seen.refused} of {asked}, told when to come back {seen.told}")


def _capacity(port: int, seed: int) -> Seen:
    return uvloop.run(closed(port, PATH, texts.mixed(seed), clients=24, seconds=SECONDS / 2))


if __name__ == "__main__":
    main()
