"""The memory of the service over twenty thousand requests of varied shapes, with the cache and without.

`python -m tests.bench.memory [REQUESTS]`. One real process per run serves five models: MiniLM, magika, and a reranker,
a moderator and a Llama that are tiny. Eight clients send texts and token ids of all lengths, one row and many, for
vectors, ranks, labels, verdicts and answers, whole and streamed; one in ten hangs up early, and one in ten sends
something wrong. Growth at the beginning is what the allocators and the caches of ONNX Runtime settle to; a leak is what
goes on.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gpu_service import specs
from gpu_service.build import build
from gpu_service.model import DEFAULT, NAME
from tests.bench.serving import texts
from tests.gpu_service import tiny
from tests.gpu_service.generation import llama
from tests.gpu_service.process import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUESTS: Final = 20_000
CLIENTS: Final = 8
SAMPLES: Final = 40
EMBED, RANK, CLASSIFY, MODERATE, COMPLETE = (
    f"/v1/{name}" for name in ("embeddings", "rerank", "classify", "moderations", "completions")
)
BAD: Final[list[tuple[str, bytes]]] = [
    (EMBED, b"{"),
    (EMBED, b'{"model": "nobody", "input": "x"}'),
    (EMBED, json.dumps({"model": NAME, "input": [[1, -5]]}).encode()),
    (RANK, b'{"model": "ranker", "query": "x", "documents": []}'),
    (COMPLETE, b'{"model": "llama", "prompt": "a", "max_tokens": 0}'),
    ("/nowhere", b"{}"),
    ("/invocations", b"[" * 2000),
]


@dataclass
class Soak:
    """What was seen: answers by status (0: hung up), and resident bytes after so many requests."""

    answers: Counter[int] = field(default_factory=Counter)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ratio(self) -> float:
        """Mean size in the last quarter of the requests to that in the second."""
        quarter = max(1, len(self.sizes) // 4)
        second, last = self.sizes[quarter : 2 * quarter], self.sizes[-quarter:]
        return statistics.fmean(size for _, size in last) / statistics.fmean(size for _, size in second)

    @property
    def slope(self) -> float:
        """Bytes by which each request of the second half made it grow, by least squares."""
        half = self.sizes[len(self.sizes) // 2 :]
        return statistics.linear_regression([count for count, _ in half], [size for _, size in half]).slope


def main(count: int = REQUESTS) -> None:
    """Measure and print."""
    print(f"Memory over {count} requests of varied shapes, {CLIENTS} clients, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        environment = models(Path(folder))
        for name, cache in (("with a cache of 4 MB and a file", folder), ("without any cache", "")):
            report(name, soak(count, environment, Path(cache) / "cache" if cache else None))


def models(root: Path) -> dict[str, str]:
    """Make the models, and give what serves them."""
    entries: dict[str, dict[str, Any]] = {
        "ranker": {"task": "rerank", "sha256": tiny.bert(root / "ranker", prefix="bert.", classes=1)},
        "moderator": {
            "task": "classification",
            "labels": ["fine", "rude"],
            "categories": {"rude": "harassment"},
            "sha256": tiny.bert(root / "moderator", prefix="bert.", classes=2, seed=1),
        },
        "llama": {"task": "generation", "slots": 4, "sha256": llama.write(root / "llama")},
    }
    path = tiny.models_toml(
        root / "models.toml", **{name: entry | {"max_tokens": 64, "source": name} for name, entry in entries.items()}
    )
    packaged = specs.PACKAGED.read_text().replace('"references/', f'"{specs.PACKAGED.parent}/references/')
    path.write_text(path.read_text() + packaged)
    store = root / "store"
    store.mkdir()
    (store / NAME).symlink_to(DEFAULT)
    for name in ("ranker", "moderator"):
        build(store / name, name=name, spec=specs.find(name, path))
    return {"MODELS": str(path), "MODEL_STORE": str(store)}


def soak(count: int, environment: dict[str, str], cache: Path | None) -> Soak:
    """Send `count` requests to a process of its own."""
    more = {"CACHE_MB": "4", "CACHE_DIR": str(cache), "CACHE_DISK_MB": "4"} if cache else {"CACHE_MB": "0"}
    given: dict[str, Any] = {**environment, **more, "ACCESS_LOG": "off", "TARGET_LATENCY_MS": "10000"}
    with Server(None, **given) as server:
        server.wait_until_ready()
        seen = Soak()
        began = time.perf_counter()
        asyncio.run(_drive(server, count, seen))
        seen.seconds = time.perf_counter() - began
        server.terminate()
        server.ended()
    return seen


def report(name: str, seen: Soak) -> None:
    """Print what was seen."""
    told = ", ".join(f"{status or 'hung up'}: {count}" for status, count in sorted(seen.answers.items()))
    print(f"\n{name}, {seen.seconds:.0f} s; answers {told}")
    for count, size in seen.sizes[:: max(1, len(seen.sizes) // 10)]:
        print(f"  {count:>7} requests {size / 2**20:8.1f} MB")
    print(f"  last quarter / second quarter {seen.ratio:.3f}; {seen.slope * 1000 / 1024:+.1f} kB per 1,000 requests")


async def _drive(server: Server, count: int, seen: Soak) -> None:
    wanted, done = _requests(), itertools.count(1)
    every = max(1, count // SAMPLES)
    tickets = iter(range(count))

    async def client() -> None:
        for _ in tickets:
            path, body, leaves = next(wanted)
            seen.answers[await _ask(server.port, path, body, leaves)] += 1
            if (number := next(done)) % every == 0:
                seen.sizes.append((number, _resident(server.process.pid)))

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


async def _ask(port: int, path: str, body: bytes, leaves: float | None) -> int:
    """Ask on a connection of its own, hanging up after `leaves` seconds; gives the status, 0 without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    try:
        async with asyncio.timeout(leaves):
            return int((await reader.read(-1))[9:12])
    except TimeoutError:
        return 0
    finally:
        writer.close()


def _requests(seed: int = 7) -> Iterator[tuple[str, bytes, float | None]]:
    """Give path, body and how soon the client leaves, for ever."""
    chance = random.Random(seed)
    makes = [_vectors, _vectors, _vectors, _ranks, _labels, _verdicts, _answers, _answers]
    words = texts.mixed(seed)
    while True:
        if chance.random() < 0.1:
            yield *chance.choice(BAD), None
            continue
        path, body = chance.choice(makes)(chance, words)
        yield path, json.dumps(body).encode(), chance.uniform(0, 0.02) if chance.random() < 0.1 else None


def _vectors(chance: random.Random, words: Iterator[tuple[str, int]]) -> tuple[str, dict[str, Any]]:
    rows = chance.choice([1] * 12 + [2, 3, 8])
    inputs: list[Any] = [next(words)[0] for _ in range(rows)]
    if chance.random() < 0.3:
        inputs = [f"known text {chance.randrange(50)}"] * rows
    elif chance.random() < 0.2:
        inputs = [[chance.randrange(1000, 20_000) for _ in range(chance.randint(1, 200))] for _ in range(rows)]
    kind = chance.choice(["float", "base64"])
    path = chance.choice([EMBED, EMBED, "/invocations"])
    return path, {"model": NAME, "input": inputs, "encoding_format": kind}


def _ranks(chance: random.Random, words: Iterator[tuple[str, int]]) -> tuple[str, dict[str, Any]]:
    documents = [next(words)[0] for _ in range(chance.randint(1, 12))]
    return RANK, {"model": "ranker", "query": "the cat", "documents": documents, "return_documents": True}


def _labels(chance: random.Random, words: Iterator[tuple[str, int]]) -> tuple[str, dict[str, Any]]:
    content = chance.choice([chance.randbytes(chance.randint(16, 4096)), next(words)[0].encode()])
    return CLASSIFY, {"model": "magika", "input": {"base64": base64.b64encode(content).decode()}}


def _verdicts(chance: random.Random, words: Iterator[tuple[str, int]]) -> tuple[str, dict[str, Any]]:
    return MODERATE, {"model": "moderator", "input": [next(words)[0] for _ in range(chance.randint(1, 4))]}


def _answers(chance: random.Random, _words: Iterator[tuple[str, int]]) -> tuple[str, dict[str, Any]]:
    prompt = " ".join("ab" for _ in range(chance.randint(1, 12)))
    options = {"max_tokens": chance.randint(1, 24), "stream": chance.random() < 0.5, "temperature": chance.random()}
    return COMPLETE, {"model": "llama", "prompt": prompt, **options}


def _resident(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
