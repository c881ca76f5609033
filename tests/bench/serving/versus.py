"""32 clients with one text per request: the service, infinity and bare ONNX Runtime by turns, and what each costs."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np
import uvloop

from gpu_service.engine import Engine
from gpu_service.model import DEFAULT
from tests.bench.serving import infinity, raw, texts
from tests.bench.serving.load import Connection, Seen, body, closed
from tests.bench.stack import cpu_seconds
from tests.gpu_service.process import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Texts = Callable[[int], Iterator[tuple[str, int]]]

ROUNDS: Final = 7
SECONDS: Final = 3.0
CLIENTS: Final = 32
PATIENT: Final = "10000"  # ms: closed loops of 32 measure throughput, and nobody shall be sent away on a busy machine
OURS, THEIRS = "/v1/embeddings", "/embeddings"


def main(rounds: int = ROUNDS) -> None:
    """Measure and print."""
    engine = Engine.open(DEFAULT, device="cpu")
    port = _free_port()
    with (
        Server(DEFAULT, ACCESS_LOG="off", TARGET_LATENCY_MS=PATIENT, CACHE_MB="0") as server,
        infinity.running(port) as pid,
    ):
        server.wait_until_ready()
        ends = {"ours": (server.port, OURS, server.process.pid), "infinity": (port, THEIRS, pid)}
        print(f"Vectors of both: cosine at least {uvloop.run(_cosine(ends)):.6f} on 40 texts", flush=True)
        found: dict[str, list[float]] = defaultdict(list)
        for number in range(rounds + 1):
            measured = _round(number, ends, engine)
            for name, value in measured.items() if number else ():  # the first round warms up
                found[name].append(value)
            if number:
                print(f"  round {number}, load {os.getloadavg()[0]:.1f}: {_short(measured)}", flush=True)
    _report(found)


def _round(number: int, ends: dict[str, tuple[int, str, int]], engine: Engine) -> dict[str, float]:
    """One turn of everything; which goes first alternates."""
    found: dict[str, float] = {}
    order = sorted(ends, reverse=bool(number % 2))
    kinds: tuple[tuple[str, Texts], ...] = (("short", texts.short), ("mixed", texts.mixed))
    for kind, make in kinds:
        for name in order:
            seen, cpu = _ask(ends[name], make(number), CLIENTS, SECONDS)
            found |= {
                f"{kind} {name} req/s": seen.rate,
                f"{kind} {name} tokens/s": seen.tokens / seen.seconds,
                f"{kind} {name} tokens/CPU-s": seen.tokens / cpu,
                f"{kind} {name} req/CPU-s": len(seen.latencies) / cpu,
                f"{kind} {name} p50 ms": seen.percentile(0.5),
                f"{kind} {name} p99 ms": seen.percentile(0.99),
            }
        rate, thrift = raw.tokens(engine, make(number), seconds=SECONDS)
        found |= {f"{kind} raw tokens/s": rate, f"{kind} raw tokens/CPU-s": thrift}
    for name in order:
        found[f"alone {name} p50 ms"] = _ask(ends[name], texts.short(number), 1, SECONDS / 2)[0].percentile(0.5)
    for kind, _ in kinds:
        for what in ("req/s", "req/CPU-s"):
            found[f"{kind} {what}, ours / infinity"] = found[f"{kind} ours {what}"] / found[f"{kind} infinity {what}"]
        for what in ("tokens/s", "tokens/CPU-s"):
            found[f"{kind} {what}, ours / raw"] = found[f"{kind} ours {what}"] / found[f"{kind} raw {what}"]
    found["alone p50, ours / infinity"] = found["alone ours p50 ms"] / found["alone infinity p50 ms"]
    return found


def _ask(
    end: tuple[int, str, int], asked: Iterator[tuple[str, int]], clients: int, seconds: float
) -> tuple[Seen, float]:
    """What the clients saw, and the seconds of processor that the server took."""
    port, path, pid = end
    before = cpu_seconds([pid])
    seen = uvloop.run(closed(port, path, asked, clients=clients, seconds=seconds))
    if seen.refused:
        raise RuntimeError(f"{seen.refused} requests were refused at {path}.")
    return seen, cpu_seconds([pid]) - before


async def _cosine(ends: dict[str, tuple[int, str, int]]) -> float:
    asked = [text for text, _ in itertools.islice(texts.mixed(0), 40)]
    vectors = []
    for port, path, _ in ends.values():
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        answers = [json.loads((await connection.ask(path, body(text))).body) for text in asked]
        vectors.append(np.array([answer["data"][0]["embedding"] for answer in answers]))
        connection.close()
    one, other = (found / np.linalg.norm(found, axis=1, keepdims=True) for found in vectors)
    return float((one * other).sum(axis=1).min())


def _short(measured: dict[str, float]) -> str:
    return ", ".join(f"{name.split(',')[0]} {value:.2f}" for name, value in measured.items() if "/ " in name)


def _report(found: dict[str, list[float]]) -> None:
    print(f"\nMedians of {len(next(iter(found.values())))} interleaved rounds [least to greatest]")
    for name, values in found.items():
        middle = statistics.median(values)
        print(f"  {name:<36}{middle:9.2f}   [{min(values):.2f} to {max(values):.2f}]")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
