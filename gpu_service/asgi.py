"""One HTTP exchange over ASGI: the request's parts, its body within limits, the response, the client that leaves."""

from __future__ import annotations

import asyncio
import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from gpu_service.errors import TooSlow
from shared.core.body import MAX_BYTES
from shared.core.errors import TooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence

    from gpu_service.tasks.answer import Work

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

T = TypeVar("T")

_READ: Final = 64 * 1024 * 1024  # bytes that are read and thrown away, so that the client lives to see its 413
_SAFE: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_SOON: Final = 0.1  # seconds until it is watched whether a client leaves
_JSON: Final = {"content-type": "application/json"}
_CUSTOM: Final = (
    "x-amzn-sagemaker-custom-attributes"  # the one header of a caller's that SageMaker passes on, both ways
)


class ClientGone(Exception):  # noqa: N818 - it is nobody's error
    """The client closed the connection before its answer was ready."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response; header names are in lower case."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)


class _Watch:
    """Cancels the task that made it once `gone` returns; `ended_it` then, and that task may go on.

    Most answers are there before the watch begins: a task costs as much as reading and writing JSON do.
    """

    def __init__(self, gone: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.ended_it = False
        self._is_over = False
        self._gone = gone
        self._working = cast("asyncio.Task[Any]", asyncio.current_task())
        self._watching: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_SOON, self._begin)

    def close(self) -> None:
        """Watch no longer."""
        self._is_over = True
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self.ended_it:
            self._working.uncancel()

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._gone())
        self._watching.add_done_callback(self._end)

    def _end(self, _: asyncio.Task[None]) -> None:
        if not self._is_over:  # or the answer came in the very turn in which the client left
            self.ended_it = self._working.cancel()


class Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.began = time.perf_counter()
        self._pairs: Sequence[tuple[bytes, bytes]] = scope["headers"]
        self._headers: dict[bytes, bytes] = dict(self._pairs)
        self._receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.peer: str | None = client[0] if (client := scope.get("client")) else None
        self.request_id = self._identity()
        self.facts: dict[str, float] = {}  # what the log shall know besides
        self.phases: Mapping[str, float] = {}  # seconds of what was done
        self.work: Work | None = None

    def header(self, name: bytes) -> bytes:
        """Give the header `name` (lower case), b"" if there is none."""
        return self._headers.get(name, b"")

    def every(self, name: bytes) -> list[bytes]:
        """Give all headers called `name` (lower case)."""
        return [value for key, value in self._pairs if key == name]

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self.began

    async def body(self, seconds: float) -> bytes:
        """Read the whole body.

        Raises:
            TooLarge: it has more bytes than are read.
            TooSlow: it did not arrive within `seconds`.
            ClientGone: it never will.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._read()
        except TimeoutError as error:
            raise TooSlow(
                f"The body did not arrive within {seconds:g} seconds.", headers={"connection": "close"}
            ) from error

    async def unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work`, and drop it when the client closes the connection. Call it after `body`.

        Raises:
            ClientGone: the client closed the connection.
        """
        watch = _Watch(self._gone)
        try:
            return await work
        except asyncio.CancelledError:
            if not watch.ended_it:
                raise
            raise ClientGone from None
        finally:
            watch.close()

    async def stream(self, events: AsyncIterator[bytes], cancel: Callable[[], None]) -> None:
        """Send server-sent events as they come; `cancel` ends them when the client leaves.

        Raises:
            ClientGone: the client closed the connection.
        """
        head = {"content-type": "text/event-stream", "cache-control": "no-store", **self._named}
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.items()]
        leaving = asyncio.create_task(self._gone())
        leaving.add_done_callback(lambda _: cancel())
        try:
            await self._send({"type": "http.response.start", "status": 200, "headers": pairs})
            async for event in events:
                await self._send({"type": "http.response.body", "body": event, "more_body": True})
            if leaving.done():
                raise ClientGone
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            leaving.cancel()

    async def respond(self, response: Response) -> None:
        """Send `response` with the request's id."""
        named = {**response.headers, "content-length": str(len(response.body)), **self._named}
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": response.status, "headers": pairs})
        await self._send({"type": "http.response.body", "body": response.body})

    def note(
        self, work: Work, phases: Mapping[str, float], *, rows: int, tokens: int, cached: int
    ) -> Mapping[str, float]:
        """Keep what an answer took, for log, metrics and spans; returns the milliseconds of each phase."""
        self.work, self.phases = work, phases
        times = {phase: round(seconds * 1000, 2) for phase, seconds in phases.items()}
        self.facts |= {"rows": rows, "tokens": tokens, "cached": cached}
        self.facts |= {f"{phase}_ms": time for phase, time in times.items()}
        return times

    def told(self, response: Response) -> dict[str, object]:
        """Say what the log may know of it: no content, no token."""
        return {
            "request_id": self.request_id,
            "method": self.method,
            "path": self.path,
            "status": response.status,
            **self.facts,
            "total_ms": round(self.seconds * 1000, 2),
        }

    async def _read(self) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk, more = message.get("body", b""), message.get("more_body", False)
            size += len(chunk)
            if size <= MAX_BYTES:
                parts.append(chunk)
            elif size > _READ:
                break
        if size > MAX_BYTES:
            raise TooLarge(f"The request body has more than {MAX_BYTES} bytes.", headers={"connection": "close"})
        return b"".join(parts)

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @property
    def _named(self) -> dict[str, str]:
        """The headers that tell the request's id; SageMaker has them sent back to whoever gave it one."""
        own = {"x-request-id": self.request_id}
        return own | {_CUSTOM: self.request_id} if self.header(_CUSTOM.encode()) else own

    def _identity(self) -> str:
        given = self.header(b"x-request-id") or self.header(_CUSTOM.encode())
        return given.decode("ascii") if _SAFE.fullmatch(given) else os.urandom(16).hex()
