"""Clients that each keep one connection and one request under way, at a tenth of a millisecond of processor each."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "all-MiniLM-L6-v2"


@dataclass
class Seen:
    """What the clients saw: seconds of each answered request, tokens in them, refusals, and how long it took."""

    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    tokens: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds within which `share` of the answers came."""
        return sorted(self.latencies)[int(share * (len(self.latencies) - 1))] * 1000


class Connection(asyncio.Protocol):
    """One keep-alive connection to `host`; answers are told apart by their content-length."""

    def __init__(self) -> None:
        self._data = b""
        self._length = -1
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
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
            self._answer.set_result((int(answer[9:12]), answer.partition(b"\r\n\r\n")[2]))

    async def ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Post `body`; returns status and body."""
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
            status, _ = await connection.ask(path, body(text))
            if status == 200:
                seen.latencies.append(time.perf_counter() - at)
                seen.tokens += tokens
            else:
                seen.refused += 1
                await asyncio.sleep(0.05)
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    seen.seconds = time.perf_counter() - began
    return seen
