"""What the gateway adds to a stream: to its first chunk, and to the gap between chunks, over the upstream direct."""

from __future__ import annotations

import json
import statistics
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx2

from tests.bench.gateway_cpu import HANDLER, asked, chat

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


def first_chunks(stack: Stack, path: str) -> tuple[float, float]:
    """Milliseconds until the first event in the dialect of `path`, and until the upstream's first chunk; medians."""
    upstream = f"{stack.environment(HANDLER)['SIMULATED_BASE_URL']}/chat/completions"
    targets = ((f"{stack.base_url}{path}", stack.client_key, path), (upstream, "none", "/v1/chat/completions"))
    seen: list[list[float]] = [[], []]
    with httpx2.Client() as client:
        for number in range(WARM_UP + ROUNDS):
            for (url, key, spoken), times in zip(targets, seen, strict=True):
                first = _first(client, url, key, asked(spoken, stream=True))
                if number >= WARM_UP:
                    times.append(first)
    return statistics.median(seen[0]), statistics.median(seen[1])


def _first(client: httpx2.Client, url: str, key: str, body: dict[str, Any]) -> float:
    began = time.perf_counter()
    with client.stream("POST", url, json=body, headers={"authorization": f"Bearer {key}"}) as answer:
        answer.raise_for_status()
        arrivals = [time.perf_counter() for line in answer.iter_lines() if line.startswith("data: {")]
    return (arrivals[0] - began) * 1000


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
