"""A few threads for blocking work, and a door that shuts before the wait behind it grows useless.

The event loop never computes. Work is handed out in the order it came; work whose asker has gone is dropped unless it
has begun. The door counts requests: a batcher that knows tokens can take its place without the rest noticing.
"""

from __future__ import annotations

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from gpu_service.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_WEIGHT: Final = 0.1  # of the newest request in the running mean


class Workers:
    """Runs `threads` pieces of work at a time for at most `places` requests at a time."""

    def __init__(self, *, threads: int, places: int) -> None:
        self.threads = threads
        self._places = places
        self._inside = 0
        self._seconds = 0.0  # running mean of the time that a request spends inside
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place for one request.

        Raises:
            Overloaded: there is none; `retry_after` is the time in which those inside are usually served.
        """
        if self._inside >= self._places:
            raise Overloaded(
                f"{self._inside} requests are being served or waiting, and no more may wait.",
                retry_after=max(1, math.ceil(self._seconds)),
            )
        self._inside += 1
        came = time.perf_counter()
        try:
            yield
        finally:
            self._inside -= 1
            self._seconds += _WEIGHT * (time.perf_counter() - came - self._seconds)

    async def run(self, work: Callable[[], T]) -> tuple[T, float]:
        """Run `work` on a thread; returns its result and when it began, on the clock of `time.perf_counter`.

        A caller that is cancelled takes its work out of the line, unless a thread has begun it.
        """

        def timed() -> tuple[T, float]:
            began = time.perf_counter()
            return work(), began

        return await asyncio.wrap_future(self._pool.submit(timed))

    def close(self) -> None:
        """Drop the work that has not begun and let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
