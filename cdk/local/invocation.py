"""One event on its way through a function, and the answer coming back chunk by chunk.

The Runtime API feeds it; the front, or whoever invoked, iterates over it. It holds back a function whose reader is
slow, and lets a function finish whose reader has gone.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HIGH_WATER = 1 << 20  # bytes that may wait for a slow reader before the function is held back


class InvocationError(Exception):
    """A function did not answer.

    InvocationError
    ├── Throttled        no process is free, and enough callers are waiting already
    ├── PayloadTooLarge  the event is longer than Lambda accepts
    └── FunctionError    the function failed, and Lambda knows how: `kind`
        ├── InitError        it could not be loaded
        └── FunctionTimeout  it did not end in time
    """


class Throttled(InvocationError):  # noqa: N818 - as Lambda calls it
    """Every process of the function is busy, and the line of callers is full."""


class PayloadTooLarge(InvocationError):  # noqa: N818 - named as Lambda's RequestTooLarge
    """The event is longer than Lambda accepts."""


class FunctionError(InvocationError):
    """The function raised, ended its process, or broke the Runtime API's contract.

    Attributes:
        kind: Error type as Lambda reports it, such as `Runtime.ExitError` or `ValueError`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message

    @classmethod
    def of(cls, payload: bytes, kind: str | None) -> FunctionError:
        """Read the error document that a runtime posts; `kind` is the header's word for it."""
        try:
            report = json.loads(payload or b"{}")
            return cls(str(report.get("errorType") or kind or "Unknown"), str(report.get("errorMessage", "")))
        except (ValueError, AttributeError):
            return cls(kind or "Unknown", payload[:1000].decode("utf-8", "replace"))


class InitError(FunctionError):
    """The process ended, or reported an error, before it asked for its first event."""


class FunctionTimeout(FunctionError):  # noqa: N818 - as Lambda calls it
    """The function was ended at its deadline."""


class Invocation:
    """An event and its answer: `async for chunk in invocation` yields what the function sends, as it arrives.

    Iterating raises FunctionError where the function failed: before the first chunk, or in the middle.

    Attributes:
        request_id: Lambda's own, told to the function.
        deadline: When the function is told to have ended, in seconds since the epoch; set as it is handed over. Lambda
            ends it then, but for one that was told to have ended `within_s`, before its own timeout.
        streamed: Whether the function answered in streaming mode.
    """

    def __init__(self, event: bytes, *, arn: str = "", trace_id: str = "", within_s: float = math.inf) -> None:
        self.request_id = str(uuid.uuid4())
        self.event = event
        self.arn = arn
        self.trace_id = trace_id
        self._within_s = within_s
        self.deadline = 0.0
        self.streamed = False
        self.started = False
        self.on_done: Callable[[], None] | None = None
        self.on_flow: Callable[[bool], None] | None = None
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._held = False
        self._abandoned = False
        self._done = False
        self._error: InvocationError | None = None
        self._reader: asyncio.Future[None] | None = None

    def __aiter__(self) -> Invocation:
        return self

    async def __anext__(self) -> bytes:
        """Return everything that has arrived since the last time, at least a byte."""
        while not self._chunks:
            if self._error:
                raise self._error
            if self._done:
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        chunk = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._waiting_bytes = 0
        self._hold(hold=False)
        return chunk

    async def read(self) -> bytes:
        """Return the whole answer."""
        return b"".join([chunk async for chunk in self])

    async def start(self) -> None:
        """Wait until the first byte is here.

        Raises:
            FunctionError: there will be none, for the function failed.
        """
        while not (self._chunks or self._done):
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        if self._error and not self._chunks:
            raise self._error

    def abandon(self) -> None:
        """Nobody will read on. The function may, as on AWS, run to its end, and is not told."""
        self._abandoned = True
        self._chunks.clear()
        self._waiting_bytes = 0
        self._hold(hold=False)

    @property
    def done(self) -> bool:
        """Whether the function has answered, or failed."""
        return self._done

    def begin(self, timeout_s: float) -> Mapping[str, str]:
        """Fix the deadline and return the headers under which the Runtime API hands the event over."""
        self.deadline = time.time() + min(timeout_s, self._within_s)
        return {
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(self.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self.arn,
            "Lambda-Runtime-Trace-Id": self.trace_id,
            "Lambda-Runtime-Invocation-Id": self.request_id,
        }

    def feed(self, chunk: bytes) -> None:
        """Add what the function sent."""
        self.started = True
        if self._abandoned or not chunk:
            return
        self._chunks.append(chunk)
        self._waiting_bytes += len(chunk)
        if self._waiting_bytes > HIGH_WATER:
            self._hold(hold=True)
        self._wake()

    def end(self, error: InvocationError | None = None) -> None:
        """Finish, well or with `error`; only the first call counts."""
        if self._done:
            return
        self._done = True
        self._error = error
        self._wake()
        if self.on_done:
            self.on_done()

    def _wake(self) -> None:
        if self._reader and not self._reader.done():
            self._reader.set_result(None)

    def _hold(self, *, hold: bool) -> None:
        if hold != self._held and self.on_flow:
            self._held = hold
            self.on_flow(hold)


def payload_of(answer: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Decode a function's buffered answer.

    Raises:
        FunctionError: it is not JSON.
    """
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise FunctionError("Runtime.MalformedResponse", "The function did not answer with JSON.") from error
