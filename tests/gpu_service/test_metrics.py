"""`/metrics` is what Prometheus reads, and counts what happened."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from gpu_service.metrics import Gauge, Histogram, Metric, render
from tests.gpu_service.client import MODEL, Client, HeldEngine
from tests.gpu_service.test_service import settle

if TYPE_CHECKING:
    from gpu_service.engine import Engine

FACTS = f'model="{MODEL}",task="embedding",precision="fp32"'
LINE = re.compile(r'(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="([^"\\\n]|\\.)*",?)+\})? (\+Inf|-?[0-9.e+-]+))')


def test_the_text_is_prometheus_own() -> None:
    """Help, type, labels with their escapes, cumulative buckets up to infinity, sum and count."""
    counter = Metric("requests_total", "Requests.", "path")
    counter.add('a"b\\c\nd')
    counter.add('a"b\\c\nd', by=1.5)
    histogram = Histogram("seconds", "Time.", bounds=(0.1, 1))
    for number in (0.1, 0.5, 7):
        histogram.see(number)
    gauge = Gauge("depth", "Depth.", "model", read=lambda: {("m",): 3})

    assert render([counter, histogram, gauge]).decode() == (
        "# HELP requests_total Requests.\n# TYPE requests_total counter\n"
        'requests_total{path="a\\"b\\\\c\\nd"} 2.5\n'
        "# HELP seconds Time.\n# TYPE seconds histogram\n"
        'seconds_bucket{le="0.1"} 1\nseconds_bucket{le="1"} 2\nseconds_bucket{le="+Inf"} 3\n'
        "seconds_sum 7.6\nseconds_count 3\n"
        '# HELP depth Depth.\n# TYPE depth gauge\ndepth{model="m"} 3\n'
    )


def test_the_service_counts_what_happened(engine: Engine) -> None:
    """Status, phases, rows, tokens, padding and the model are there, and nothing of a text or an unknown path."""

    async def situation() -> str:
        async with Client(lambda: engine) as client:
            await client.ready()
            await client.embed("a")
            await client.embed("secret text of some length")
            await client.ask("POST", "/v1/embeddings", {"model": MODEL})
            await client.ask("GET", "/nowhere/secret")
            return (await client.ask("GET", "/metrics")).body.decode()

    told = asyncio.run(situation())
    assert [line for line in told.splitlines() if not LINE.fullmatch(line)] == []
    for line in (
        'gpu_service_requests_total{path="/v1/embeddings",status="200"} 2',
        'gpu_service_requests_total{path="/v1/embeddings",status="400"} 1',
        'gpu_service_requests_total{path="other",status="404"} 1',
        'gpu_service_phase_seconds_count{path="/v1/embeddings",phase="inference"} 2',
        'gpu_service_rows_total{path="/v1/embeddings"} 2',
        'gpu_service_cached_rows_total{path="/v1/embeddings"} 0',
        f'gpu_service_batch_rows_count{{model="{MODEL}"}} 2',
        f'gpu_service_batch_tokens_sum{{model="{MODEL}"}} 10',
        f'gpu_service_batch_padding_efficiency_sum{{model="{MODEL}"}} 2',
        f'gpu_service_waiting{{model="{MODEL}"}} 0',
        f'gpu_service_stuck_runs{{model="{MODEL}"}} 0',
        f'gpu_service_model_info{{{FACTS},provider="{engine.provider}",device="cpu"}} 1',
    ):
        assert line in told.splitlines()
    assert "secret" not in told


def test_the_line_is_seen_while_it_is_there() -> None:
    """One row runs, one waits."""

    async def situation() -> str:
        held = HeldEngine()
        async with Client(lambda: held) as client:
            await client.ready()
            first = asyncio.create_task(client.embed("a"))
            await held.has_begun()
            second = asyncio.create_task(client.embed("bb"))
            await settle()
            try:
                return (await client.ask("GET", "/metrics")).body.decode()
            finally:
                held.released.set()
                await asyncio.gather(first, second)

    assert f'gpu_service_waiting{{model="{MODEL}"}} 1' in asyncio.run(situation()).splitlines()
