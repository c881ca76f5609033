"""A client that speaks ASGI to the application, without sockets, and an engine whose runs a test can hold up."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gpu_service.app import App
from gpu_service.engine import Engine
from gpu_service.fleet import Fleet
from gpu_service.model import Manifest
from gpu_service.service import Service
from gpu_service.settings import Settings
from gpu_service.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence

    from numpy.typing import NDArray

    from gpu_service.engine import Turn

MODEL = "all-MiniLM-L6-v2"


@dataclass
class Heard:
    """What a client has heard so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    starts: int = 0

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Client:
    """One application with the model loaded by `load`; `async with` it, then `ask`."""

    def __init__(self, load: Callable[[], Engine], **changes: Any) -> None:
        defaults: dict[str, Any] = {"workers": 1, "token": "", "access_log": False}
        settings = replace(Settings.from_env({}), **(defaults | changes))
        telemetry = Telemetry()
        self._service = Service(settings, load=load, telemetry=telemetry)
        self.app = App(Fleet({MODEL: self._service}, telemetry), settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._service.close()

    async def ready(self) -> Self:
        """Wait for the model."""
        await self._service.start()
        return self

    async def ask(
        self,
        method: str,
        path: str,
        body: object = b"",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        *,
        gone: asyncio.Event | None = None,
        stalls: bool = False,
        peer: str | None = None,
    ) -> Heard:
        """Make one request; the client leaves when `gone` is set, and never sends its last chunk if it `stalls`."""
        heard = Heard()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        chunks = [(data[:5], True), (data[5:], stalls)]

        async def receive() -> MutableMapping[str, Any]:
            if chunks:
                chunk, more = chunks.pop(0)
                return {"type": "http.request", "body": chunk, "more_body": more}
            await (gone or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                heard.starts += 1
                heard.status = message["status"]
                heard.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                heard.body += message["body"]

        listed = headers.items() if isinstance(headers, Mapping) else headers or ()
        pairs = [(name.encode(), value.encode()) for name, value in listed]
        client = (peer, 50_000) if peer else None
        scope = {"type": "http", "method": method, "path": path, "headers": pairs, "client": client}
        await self.app(scope, receive, send)
        return heard

    async def embed(self, text: str, gone: asyncio.Event | None = None, **fields: Any) -> Heard:
        """Ask for the vector of one text."""
        return await self.ask("POST", "/v1/embeddings", {"model": MODEL, "input": text, **fields}, gone=gone)


class HeldEngine(Engine):
    """Takes one token per character and computes nothing until it is `released`; remembers what it was given to run."""

    def __init__(self) -> None:
        super().__init__(None, None, Manifest(MODEL, "embedding", 4, 256, 1000, "", "", {}))
        self.begun = threading.Semaphore(0)
        self.released = threading.Event()
        self.ran: list[int] = []
        self.fails = False

    @property
    def provider(self) -> str:
        """None at all."""
        return "none"

    def rows(self, inputs: Sequence[str | bytes | list[int]], _cut: str = "end") -> list[list[int]]:
        """One row per input, as long as the input."""
        return [[1] * len(item) for item in inputs]

    def run(self, rows: Sequence[Sequence[int]], turn: Turn = nullcontext) -> NDArray[np.float32]:
        """Hold until released."""
        with turn():
            self.ran.append(len(rows[0]))
            self.begun.release()
            assert self.released.wait(30)
        if self.fails:
            raise RuntimeError("a secret reason")
        return np.ones((len(rows), 4), np.float32)

    async def has_begun(self) -> None:
        """Wait until one more run has begun."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=30)
