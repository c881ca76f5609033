"""The real service on the real MiniLM, tuning itself against fixed batch sizes and waits, on a load that changes.

`python -m tests.bench.tuning [ROUNDS]`, about two minutes a round. Every setting is a process of its own. A round is a
day of four phases: more short texts than can be computed, then more long ones, then few, then short ones while one of
the cores is taken away. For each phase it is measured what the machine can do now, and all settings get the same
requests by turns. What counts is the tokens a second of those who were answered within the target. Whoever would be
late is refused by all settings alike: they differ in nothing but batch sizes, waits and whether they tune themselves.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import uvloop

from gpu_service.batching.traces import even, poisson
from gpu_service.model import DEFAULT
from tests.bench.serving import texts
from tests.bench.serving.load import Connection, body, closed
from tests.gpu_service.process import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Texts = Callable[[int], Iterator[tuple[str, int]]]

TARGET: Final = 0.5  # seconds
ROUNDS: Final = 3
SECONDS: Final = 4.0  # of a phase; its second half is when the setting should have settled
SIZES: Final = (1, 8, 32)
WAITS: Final = (0, 50)  # ms
CLIENTS: Final = 32
OURS: Final = "auto-tuned"
PATH: Final = "/v1/embeddings"


class Phase(NamedTuple):
    """Texts of one kind at `share` of what can be computed of them, while the process has a core less or not."""

    name: str
    texts: Texts
    share: float
    fewer: bool = False


class Ask(NamedTuple):
    """One request of a day: when it comes, what it asks, and of how many tokens."""

    at: float
    text: str
    tokens: int


class Got(NamedTuple):
    """What came of it: its place in the day, its tokens, and the seconds to its answer; none if it was refused."""

    at: float
    tokens: int
    seconds: float


PHASES: Final = (
    Phase("too many short", texts.short, 1.3),
    Phase("too many long", texts.long, 1.3),
    Phase("few", texts.short, 0.2),
    Phase("a core less", texts.short, 0.9, fewer=True),
)


def main(
    rounds: int = ROUNDS, seconds: float = SECONDS, sizes: Sequence[int] = SIZES, waits: Sequence[int] = WAITS
) -> None:
    """Measure and print."""
    settings: dict[str, dict[str, str]] = {OURS: {}}
    grid = [(size, wait) for size in sizes for wait in waits if size > 1 or not wait]  # one row waits for nobody
    settings |= {f"{size} rows, {wait} ms": _fixed(size, wait) for size, wait in grid}
    found: dict[str, list[list[Got]]] = {name: [[] for _ in range(rounds)] for name in settings}
    print(f"Tuning, real: target p95 {TARGET * 1000:.0f} ms, {len(PHASES)} phases of {seconds:g} s, {rounds} rounds")
    with ExitStack() as stack:
        servers = {name: stack.enter_context(_serving(given)) for name, given in settings.items()}
        for number, (place, phase) in itertools.product(range(rounds), enumerate(PHASES)):
            can = _capacity(servers[OURS], phase.texts, seconds)
            asked = _asked(phase, can, place * seconds, seconds, seed=10 * number + place)
            turn = (number * len(PHASES) + place) % len(settings)  # nobody is always the first
            for name in [*settings][turn:] + [*settings][:turn]:
                found[name][number] += uvloop.run(_play(servers[name], phase, asked))
            load = os.getloadavg()[0]
            print(f"  round {number + 1}, {phase.name}: {can:.0f} texts/s can be done; load {load:.1f}", flush=True)
    _report(found, seconds)


def _fixed(size: int, wait: int) -> dict[str, str]:
    """Batch as servers without a cost model do: up to `size` rows, up to `wait` ms for them to come together."""
    return {"AUTO_TUNE": "off", "MAX_BATCH_SIZE": str(size), "MIN_BATCH_SIZE": str(size), "MAX_WAIT_MS": str(wait)}


@contextmanager
def _serving(given: dict[str, str]) -> Iterator[Server]:
    common = {"ACCESS_LOG": "off", "CACHE_MB": "0", "TARGET_LATENCY_MS": str(int(TARGET * 1000))}
    environment: dict[str, Any] = common | given
    with Server(DEFAULT, **environment) as server:
        server.wait_until_ready()
        yield server


def _capacity(server: Server, kind: Texts, seconds: float) -> float:
    """Give the requests a second that clients who wait for their answers get done."""
    return uvloop.run(closed(server.port, PATH, kind(99), clients=CLIENTS, seconds=seconds / 2)).rate


def _asked(phase: Phase, can: float, start: float, seconds: float, *, seed: int) -> list[Ask]:
    """Give the requests of a phase that begins at `start`, of a service that `can` do so many a second."""
    words = phase.texts(seed)
    arrivals = poisson(phase.share * can, seconds, even(1, 1), seed=seed, start=start)
    return [Ask(arrival.at, *next(words)) for arrival in arrivals]


async def _play(server: Server, phase: Phase, asked: Sequence[Ask]) -> list[Got]:
    """Ask one server, whether or not what came before is answered."""
    loop, idle, found = asyncio.get_running_loop(), list[Connection](), list[Got]()

    async def ask(one: Ask) -> None:
        came = time.perf_counter()
        connection = idle.pop() if idle else (await loop.create_connection(Connection, "127.0.0.1", server.port))[1]
        answer = await connection.ask(PATH, body(one.text))
        took = time.perf_counter() - came if answer.status == 200 else float("inf")
        found.append(Got(one.at, one.tokens, took))
        idle.append(connection)

    with _cores(server.process.pid, fewer=phase.fewer):
        began = time.perf_counter() - (asked[0].at if asked else 0.0)
        async with asyncio.TaskGroup() as group:
            for one in asked:
                await asyncio.sleep(began + one.at - time.perf_counter())
                group.create_task(ask(one))
    for connection in idle:
        connection.close()
    return found


@contextmanager
def _cores(process: int, *, fewer: bool) -> Iterator[None]:
    """Take a core from all threads of a process, if it has more than one."""
    had = os.sched_getaffinity(process)
    if fewer and len(had) > 1:
        _pin(process, had - {max(had)})
    try:
        yield
    finally:
        if fewer:
            _pin(process, had)


def _pin(process: int, cores: set[int]) -> None:
    for thread in Path(f"/proc/{process}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def _goodput(day: Sequence[Got], seconds: float) -> list[float]:
    """Give the tokens a second in time, of each phase."""
    counts: Counter[int] = Counter()
    for one in day:
        counts[int(one.at // seconds)] += one.tokens if one.seconds <= TARGET else 0
    return [counts[place] / seconds for place in range(len(PHASES))]


def _report(found: dict[str, list[list[Got]]], seconds: float) -> None:
    """Print tokens, and shares: of what all settings have in the same phase, so that no lucky moment outweighs."""
    goodput = {name: [_goodput(day, seconds) for day in days] for name, days in found.items()}
    mean = np.maximum(np.mean([*goodput.values()], axis=0), 1.0)  # by round and phase
    tokens = {name: np.mean(days, axis=1) for name, days in goodput.items()}
    shares = {name: np.mean(days / mean, axis=1) for name, days in goodput.items()}
    print(f"\nMedians of {len(mean)} rounds [least to greatest]: tokens a second in time; the same as a share of what")
    print("all settings have in a phase, phases weighing the same; and p95 in ms once settled, by phase:")
    print(f"{', '.join(phase.name for phase in PHASES)}")
    for name in sorted(shares, key=lambda name: -statistics.median(shares[name])):
        settled = "  ".join(f"{_p95(found[name], number, seconds):5.0f}" for number in range(len(PHASES)))
        print(f"  {name:<16}{_spread(tokens[name], '.0f'):>24}  {_spread(shares[name], '.2f'):>22}   {settled}")
    for what, values in (("tokens", tokens), ("shares", shares)):
        best = max((name for name in values if name != OURS), key=lambda name: statistics.median(values[name]))
        ratio = values[OURS] / np.maximum(values[best], 1e-9)
        print(f"  {OURS} / best fixed ({best}), {what}: {_spread(ratio, '.2f')}")


def _spread(values: NDArray[np.float64], form: str) -> str:
    return f"{np.median(values):{form}} [{values.min():{form}} to {values.max():{form}}]"


def _p95(days: Sequence[Sequence[Got]], number: int, seconds: float) -> float:
    """Milliseconds, of those who were let in during the second half of a phase, in all rounds."""
    begin, end = (number + 0.5) * seconds, (number + 1) * seconds
    taken = sorted(
        one.seconds for one in itertools.chain(*days) if begin <= one.at < end and one.seconds < float("inf")
    )
    return taken[int(0.95 * (len(taken) - 1))] * 1000 if taken else float("nan")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else ROUNDS)
