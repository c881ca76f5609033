"""Results that outlive the machine and serve all others: an object per row in S3 or Google Cloud Storage.

A bucket is slower than memory and may be away, and no request shall notice: what has not come within `patience` counts
as unknown, who fails thrice in a row is not asked for half a minute, and writing is a thread's that has a short queue.
An object carries a digest of its key and its content, so one that is damaged or misplaced is no result.
"""

from __future__ import annotations

import asyncio
import hashlib
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from gpu_service.log import event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from gpu_service.metrics import Metric

    Result = NDArray[np.float32]

_AT_ONCE: Final = 32  # rows of a request that are looked up: more are sooner computed together
_READERS: Final = 8
_QUEUE: Final = 1024  # results that wait to be written; what comes beyond is not kept
_FAILURES: Final = 3  # in a row, until the bucket is let alone
_REST: Final = 30.0  # seconds for which it is
_FAREWELL: Final = 1.0  # seconds for what was not written yet
_SUM: Final = 16  # bytes of the digest before the numbers


class Store(Protocol):
    """A bucket's objects; every call ends within seconds, and raises `StoreError` for whatever goes wrong."""

    def connect(self) -> None:
        """Load what it takes; nothing is asked for before."""

    def get(self, name: str) -> bytes | None:
        """Give an object, None if there is none."""

    def put(self, name: str, content: bytes) -> None:
        """Write an object."""


class StoreError(Exception):
    """The bucket did not do what it was asked; the message says what it said."""


class Bucket:
    """A cache tier; `rows` and `writes` count what became of each row, by tier and outcome."""

    def __init__(
        self,
        store: Store,
        *,
        patience: float,
        rows: Metric,
        writes: Metric,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._patience = patience
        self._rows, self._writes = rows, writes
        self._clock = clock
        self._failures = 0
        self._rests_until = float("-inf")
        self._connecting: asyncio.Future[None] | None = None
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="bucket")
        self._waiting: queue.Queue[tuple[bytes, bytes] | None] = queue.Queue(_QUEUE)
        self._writer: threading.Thread | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is connected and not left alone; who asks first begins to connect."""
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().run_in_executor(self._readers, self._connect)
        return self._connecting.done() and not self._resting

    async def read(self, keys: Sequence[bytes]) -> dict[bytes, Result]:
        """Give those results that are there, whole, and soon enough."""
        if not self.is_open or len(keys) > _AT_ONCE:
            self._rows.add("bucket", "unasked", by=len(keys))
            return {}
        loop = asyncio.get_running_loop()
        asked = {key: loop.run_in_executor(self._readers, self._store.get, _name(key)) for key in keys}
        try:
            await asyncio.wait(asked.values(), timeout=self._patience)
        finally:
            for answer in asked.values():
                answer.cancel()
                answer.add_done_callback(_forget)
        found = {key: self._taken(key, answer) for key, answer in asked.items()}
        return {key: result for key, result in found.items() if result is not None}

    def write(self, results: Mapping[bytes, Result]) -> None:
        """Write `results` some time soon, if there is room in the queue."""
        if not self.is_open:
            self._writes.add("bucket", "dropped", by=len(results))
            return
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="bucket-writer", daemon=True)
            self._writer.start()
        for key, result in results.items():
            try:
                self._waiting.put_nowait((key, result.astype("<f4", copy=False).tobytes()))
            except queue.Full:
                self._writes.add("bucket", "dropped")

    def close(self) -> None:
        """Finish writing, if that is soon done."""
        if self._writer is not None:
            try:
                self._waiting.put(None, timeout=_FAREWELL)
            except queue.Full:
                return
            self._writer.join(_FAREWELL)
        self._readers.shutdown(wait=False, cancel_futures=True)

    @property
    def _resting(self) -> bool:
        return self._clock() < self._rests_until

    def _connect(self) -> None:
        try:
            self._store.connect()
        except StoreError as error:
            self._rests_until = float("inf")
            event("cache_lost", reason=str(error))

    def _taken(self, key: bytes, answer: asyncio.Future[bytes | None]) -> Result | None:
        if answer.cancelled() or not answer.done():
            self._rows.add("bucket", "late")
            self._failed(f"it took longer than {self._patience * 1000:.0f} ms")
            return None
        if error := answer.exception():
            self._rows.add("bucket", "failed")
            self._failed(str(error))
            return None
        self._failures = 0
        content = answer.result()
        result = None if content is None else unpacked(key, content)
        self._rows.add("bucket", "miss" if content is None else "broken" if result is None else "hit")
        return result

    def _failed(self, reason: str) -> None:
        self._failures += 1
        if self._failures >= _FAILURES:
            self._failures = 0
            if not self._resting:
                event("cache_resting", seconds=_REST, reason=reason)
            self._rests_until = self._clock() + _REST

    def _write(self) -> None:
        while entry := self._waiting.get():
            key, content = entry
            if self._resting:
                self._writes.add("bucket", "dropped")
                continue
            try:
                self._store.put(_name(key), _sum(key, content) + content)
                self._writes.add("bucket", "written")
            except StoreError as error:
                self._writes.add("bucket", "failed")
                self._failed(str(error))


def unpacked(key: bytes, content: bytes) -> Result | None:
    """Read an object, None if it is not what was written under `key`."""
    told, numbers = content[:_SUM], content[_SUM:]
    if told != _sum(key, numbers) or not numbers or len(numbers) % 4:
        return None
    return np.frombuffer(numbers, "<f4")


def _sum(key: bytes, content: bytes) -> bytes:
    return hashlib.sha256(key + content).digest()[:_SUM]


def _name(key: bytes) -> str:
    """Spread names over the first letters, by which buckets spread their load."""
    return f"{key.hex()[:2]}/{key.hex()}"


def _forget(answer: asyncio.Future[bytes | None]) -> None:
    if not answer.cancelled():
        answer.exception()  # or asyncio would complain that nobody has looked
