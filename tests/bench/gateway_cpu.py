"""Processor time of the gateway's function process per request, against a function that only forwards bytes.

Both run under the same runtime loop, on the same bundle, in turns, against the same upstream on loopback.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import urllib3

from cdk.local.workers import FunctionSpec, Pool
from tests.bench.stack import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tests.bench.stack import Stack

ROUNDS, REQUESTS, WARM_UP = 7, 60, 30
HANDLER = "functions.gateway.handler"


PROMPT = "Say in so many words that the answer to this has two and twenty tokens."  # the simulated model repeats it
DIALECTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": PROMPT}]},
    "/v1/responses": {"input": PROMPT},
    "/v1/messages": {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 100},
    "/api/llm/generate": {"prompt": PROMPT},
}


def asked(path: str, *, stream: bool) -> dict[str, Any]:
    """The same small question in the dialect of `path`."""
    return {"model": "simulated", **DIALECTS[path], "stream": stream}


def chat(*, stream: bool) -> dict[str, Any]:
    """A small chat; streamed, the answer has about 22 chunks."""
    request = {"model": "simulated", "messages": [{"role": "user", "content": "Say something."}], "stream": stream}
    return {**request, "metadata": {"simulated": json.dumps({"tokens": 22})}}


async def warm(stack: Stack) -> None:
    """Send a few requests, one after the other, so that every function's process has served."""
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {stack.client_key}"}) as client:
        for _ in range(WARM_UP):
            (await client.post(f"{stack.base_url}/v1/chat/completions", json=chat(stream=False))).raise_for_status()


async def measure(stack: Stack, path: str, *, stream: bool) -> tuple[float, float]:
    """CPU milliseconds per request of (gateway at `path`, floor): the least of ROUNDS interleaved rounds each.

    The floor forwards a chat completion, whatever the gateway is asked.
    """
    environment = stack.environment(HANDLER)
    headers = {"authorization": f"Bearer {stack.client_key}"}
    body, plain = asked(path, stream=stream), asked("/v1/chat/completions", stream=stream)
    with tempfile.TemporaryDirectory() as folder:
        spec = _floor(Path(folder), Path(environment["LAMBDA_TASK_ROOT"]), environment["SIMULATED_BASE_URL"])
        async with Pool([spec], log=lambda _function, line: print(line)) as pool, httpx2.AsyncClient() as client:

            async def ask_gateway() -> None:
                answer = await client.post(f"{stack.base_url}{path}", json=body, headers=headers)
                answer.raise_for_status()

            async def ask_floor() -> None:
                await (await pool.invoke("floor", {"body": json.dumps(plain)})).read()

            await _repeat(WARM_UP, ask_gateway)
            await _repeat(WARM_UP, ask_floor)
            rounds = [
                (
                    await _cost(lambda: stack.processes(HANDLER), ask_gateway),
                    await _cost(lambda: pool.pids("floor"), ask_floor),
                )
                for _ in range(ROUNDS)
            ]
    return min(ours for ours, _ in rounds), min(least for _, least in rounds)


def _floor(folder: Path, bundle: Path, upstream: str) -> FunctionSpec:
    for entry in bundle.iterdir():
        (folder / entry.name).symlink_to(entry)
    (folder / "urllib3").symlink_to(Path(urllib3.__file__).parent)
    (folder / "floor.py").write_bytes(Path(__file__).with_name("floor.py").read_bytes())
    return FunctionSpec(
        name="floor",
        handler="floor.handler",
        task_root=folder,
        environment={"UPSTREAM": f"{upstream}/chat/completions", "PATH": os.environ["PATH"]},
        timeout_s=30,
        max_processes=1,
    )


async def _repeat(times: int, ask: Callable[[], Awaitable[None]]) -> None:
    for _ in range(times):
        await ask()


async def _cost(serving: Callable[[], Iterable[int]], ask: Callable[[], Awaitable[None]]) -> float:
    """CPU milliseconds per request; one that was replaced meanwhile makes it infinite, and so never the least."""
    pids = set(serving())
    before = cpu_seconds(pids)
    await _repeat(REQUESTS, ask)
    await asyncio.sleep(0.05)  # what follows the last byte counts too
    spent = (cpu_seconds(pids) - before) / REQUESTS * 1000
    return spent if pids == set(serving()) else math.inf
