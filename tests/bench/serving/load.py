"""Clients that each keep one connection and one request under way, at a tenth of a millisecond of processor each."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "all-MiniLM-L6-v2"


@dataclass
class Seen:
    """What the clients saw: seconds and tokens of each answered request, refusals, and how long it all took.

    Of the refused it is known how many were told when to come back.
    """

    latencies: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    refused: int = 0
    told: int = 0
    seconds: float = 0.0

    def take(self, answer: Answer, seconds: float, tokens: int) -> bool:
        """Count one answer; returns whether it was one."""
        if answer.status == 200:
            self.latencies.append(seconds)
            self.sizes.append(tokens)
            return True
        self.refused += 1
        self.told += b"retry-after:" in answer.head.lower()
        return False

    @property
    def tokens(self) -> int:
        """Tokens of the answered requests."""
        return sum(self.sizes)

    def goodput(self, target: float) -> float:
        """Tokens a second of the requests that were answered within `target` seconds."""
        in_time = (size for size, latency in zip(self.sizes, self.latencies, strict=True) if latency <= target)
        return sum(in_time) / self.seconds

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds within which `share` of the answers came."""
        return sorted(self.latencies)[int(share * (len(self.latencies) - 1))] * 1000


class Answer(NamedTuple):
    """What came back; the head is raw."""

    status: int
    head: bytes
    body: bytes


class Connection(asyncio.Protocol):
    """One keep-alive connection to `host`; answers are told apart by their content-length."""

    def __init__(self) -> None:
        self._data = b""
        self._length = -1
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request under way."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        """Collect one answer."""
        self._data += data
        if self._length < 0 and (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            start = head.index(b"content-length:") + 15
            self._length = end + 4 + int(head[start:].split(b"\r\n", 1)[0])
        if 0 <= self._length <= len(self._data):
            assert self._answer is not None
            answer, self._data, self._length = self._data, b"", -1
            head, _, content = answer.partition(b"\r\n\r\n")
            self._answer.set_result(Answer(int(answer[9:12]), head, content))

    async def ask(self, path: str, body: bytes) -> Answer:
        """Post `body`."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        self._transport.write(head.encode() + b"\r\n\r\n" + body)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


def body(text: str) -> bytes:
    """Give the request for the vector of one text."""
    return json.dumps({"model": MODEL, "input": text}).encode()


async def closed(port: int, path: str, texts: Iterator[tuple[str, int]], *, clients: int, seconds: float) -> Seen:
    """Let `clients` ask one text after the other for `seconds`; `texts` gives each with its tokens."""
    seen = Seen()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    end = began + seconds

    async def client() -> None:
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        while (at := time.perf_counter()) < end:
            text, tokens = next(texts)
            if not seen.take(await connection.ask(path, body(text)), time.perf_counter() - at, tokens):
                await asyncio.sleep(0.05)
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    seen.seconds = time.perf_counter() - began
    return seen


async def opened(
    port: int, path: str, texts: Iterator[tuple[str, int]], *, rate: float, seconds: float, seed: int = 1
) -> Seen:
    """Ask `rate` texts a second at random for `seconds`, whether or not the ones before are answered."""
    seen, chance, loop = Seen(), random.Random(seed), asyncio.get_running_loop()
    idle: list[Connection] = []

    async def ask(text: str, tokens: int) -> None:
        at = time.perf_counter()
        connection = idle.pop() if idle else (await loop.create_connection(Connection, "127.0.0.1", port))[1]
        answer = await connection.ask(path, body(text))
        seen.take(answer, time.perf_counter() - at, tokens)
        idle.append(connection)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        due = began
        while (due := due + chance.expovariate(rate)) < began + seconds:
            await asyncio.sleep(due - time.perf_counter())
            group.create_task(ask(*next(texts)))
    for connection in idle:
        connection.close()
    seen.seconds = time.perf_counter() - began
    return seen
