"""A load that changes, on the real model: the self-tuned service against the same one with fixed sizes and waits."""

from __future__ import annotations

import statistics
from collections import defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import uvloop

from gpu_service.model import DEFAULT
from tests.bench.serving import texts
from tests.bench.serving.load import closed, opened
from tests.gpu_service.process import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TARGET: Final = 0.5
SECONDS: Final = 4.0
ROUNDS: Final = 3
SETTINGS: Final = [(size, wait) for size in (1, 4, 16, 32) for wait in (0, 50)]
PATH: Final = "/v1/embeddings"

Phase = tuple["Callable[[int], Iterator[tuple[str, int]]]", float]


def main(rounds: int = ROUNDS) -> None:
    """Measure and print."""
    print(f"Tuning: short, long and again short texts, each 1.5 times what can be done, target latency {TARGET:g} s")
    with ExitStack() as stack:
        servers = {"auto-tuned": stack.enter_context(_server())}
        servers |= {f"{size} rows, {wait} ms": stack.enter_context(_server(size, wait)) for size, wait in SETTINGS}
        for server in servers.values():
            server.wait_until_ready()
        phases = _phases(servers["auto-tuned"].port)
        found: dict[str, list[float]] = defaultdict(list)
        for number in range(rounds):
            for name, server in servers.items():
                found[name].append(uvloop.run(_goodput(server.port, phases, number)))
    for name, values in sorted(found.items(), key=lambda entry: -statistics.median(entry[1])):
        middle = statistics.median(values)
        print(f"  {name:<16}{middle:8.0f} tokens/s in time   [{min(values):.0f} to {max(values):.0f}]")


def _server(size: int = 0, wait: int = 0) -> Server:
    """One service; a `size` of 0 leaves the choice to it."""
    fixed = {"MAX_BATCH_SIZE": size, "MIN_BATCH_SIZE": size, "MAX_WAIT_MS": wait, "AUTO_TUNE": "off"} if size else {}
    told: dict[str, Any] = {name: str(value) for name, value in fixed.items()}
    return Server(DEFAULT, ACCESS_LOG="off", CACHE_MB="0", TARGET_LATENCY_MS=str(int(TARGET * 1000)), **told)


def _phases(port: int) -> list[Phase]:
    """Find out what can be done with short and with long texts, and ask for half as much again."""
    phases: list[Phase] = []
    for make in (texts.short, texts.long):
        full = uvloop.run(closed(port, PATH, make(1), clients=12, seconds=SECONDS))
        phases.append((make, 1.5 * full.rate))
    return [*phases, phases[0]]


async def _goodput(port: int, phases: list[Phase], seed: int) -> float:
    parts = [
        await opened(port, PATH, make(seed * 10 + number), rate=rate, seconds=SECONDS, seed=seed)
        for number, (make, rate) in enumerate(phases)
    ]
    return sum(part.goodput(TARGET) * part.seconds for part in parts) / sum(part.seconds for part in parts)


if __name__ == "__main__":
    main()
