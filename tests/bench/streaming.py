"""What the gateway adds to a stream: to its first chunk, and to the gap between chunks, over the upstream direct."""

from __future__ import annotations

import json
import statistics
import time
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import httpx2

from tests.bench.gateway_cpu import HANDLER, chat

if TYPE_CHECKING:
    from tests.bench.stack import Stack

ROUNDS, WARM_UP = 60, 10
GAP_MS, TOKENS = 5, 20


class Pace(NamedTuple):
    """Medians in milliseconds: until the first chunk, and between one chunk and the next."""

    first: float
    gap: float


def measure(stack: Stack) -> tuple[Pace, Pace]:
    """The pace through the gateway and that of the upstream direct, taken in turns."""
    environment = stack.environment(HANDLER)
    targets = {
        "gateway": (f"{stack.base_url}/v1/chat/completions", stack.client_key),
        "direct": (f"{environment['SIMULATED_BASE_URL']}/chat/completions", "none"),
    }
    seen: dict[str, list[Pace]] = {name: [] for name in targets}
    with httpx2.Client() as client:
        for number in range(WARM_UP + ROUNDS):
            for name, (url, key) in targets.items():
                pace = _pace(client, url, key)
                if number >= WARM_UP:
                    seen[name].append(pace)
    return _middle(seen["gateway"]), _middle(seen["direct"])


def _middle(paces: list[Pace]) -> Pace:
    return Pace(statistics.median(pace.first for pace in paces), statistics.median(pace.gap for pace in paces))


def _pace(client: httpx2.Client, url: str, key: str) -> Pace:
    knobs = {"tokens": TOKENS, "chunk_gap_ms": GAP_MS}
    body = {**chat(stream=True), "metadata": {"simulated": json.dumps(knobs)}}
    began = time.perf_counter()
    with client.stream("POST", url, json=body, headers={"authorization": f"Bearer {key}"}) as answer:
        answer.raise_for_status()
        arrivals = [time.perf_counter() for line in answer.iter_lines() if line.startswith("data: {")]
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    return Pace((arrivals[0] - began) * 1000, statistics.median(gaps) * 1000)
