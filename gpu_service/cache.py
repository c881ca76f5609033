"""Results that were computed before, of the same row by the same model: in memory, on disk, in a bucket, or just now.

A result depends on nothing but the model and the row's token ids (batch neighbours leave no trace, which tests hold),
so the key is a digest of both. Rows that several requests ask for at the same time are computed once: the first
computes, the others wait for it, and compute themselves if it fails or its client leaves.
"""

from __future__ import annotations

import asyncio
import hashlib
from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gpu_service import stores
from gpu_service.bucket import Bucket
from gpu_service.disk import Disk
from gpu_service.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from gpu_service.engine import Engine
    from gpu_service.settings import Settings

    Result = NDArray[np.float32]
    Compute = Callable[[Sequence[list[int]]], Awaitable[tuple[list[Result], float]]]

_BESIDE: Final = 250  # bytes that an entry takes besides its numbers: measured with tracemalloc


class Found(NamedTuple):
    """One result per row; when the first of those that had to be computed began, if any; and rows that had not."""

    results: list[Result]
    began: float | None
    hits: int


class Memory:
    """The most recently used results, in `most` bytes at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[bytes, Result] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Result | None:
        """Give the result of `key`, if it is there."""
        if (found := self._entries.get(key)) is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: bytes, result: Result) -> None:
        """Keep `result`; what was not used for longest goes."""
        if key in self._entries or result.nbytes + _BESIDE > self._most:
            return
        self._entries[key] = kept = result.copy()  # a view would keep its whole batch alive
        kept.flags.writeable = False
        self.bytes += result.nbytes + _BESIDE
        while self.bytes > self._most:
            _, gone = self._entries.popitem(last=False)
            self.bytes -= gone.nbytes + _BESIDE


class Caches:
    """What all models of a process share: one bounded memory, one bounded file, one bucket; and what they count."""

    def __init__(self, memory: Memory, disk: Disk | None, bucket: Bucket | None, metrics: Sequence[Metric]) -> None:
        self._memory = memory
        self._disk = disk
        self._bucket = bucket
        self.metrics = metrics

    @classmethod
    def of(cls, settings: Settings) -> Caches | None:
        """Give what `settings` want; None for neither."""
        memory, folder = Memory(settings.cache_bytes), settings.cache_dir
        disk = Disk(folder / "results.sqlite", settings.cache_disk_bytes) if folder else None
        rows = Metric("gpu_service_cache_rows_total", "Rows that a tier was asked for.", "tier", "outcome")
        writes = Metric("gpu_service_cache_writes_total", "Results for a tier to keep.", "tier", "outcome")
        bucket = None
        if settings.cache_uri:
            store = stores.at(settings.cache_uri)
            bucket = Bucket(store, patience=settings.cache_patience, rows=rows, writes=writes)
        return cls(memory, disk, bucket, [rows, writes]) if settings.cache_bytes or disk or bucket else None

    def model(self, engine: Engine) -> Cache:
        """Give the cache of a loaded model."""
        digests = sorted((name, file.sha256) for name, file in engine.manifest.files.items())
        identity = [digests, engine.manifest.precision, engine.spec, engine.provider]
        return Cache(repr(identity), self._memory, self._disk, self._bucket, self.metrics[0])

    def close(self) -> None:
        """Finish writing."""
        for tier in (self._disk, self._bucket):
            if tier is not None:
                tier.close()


class Cache:
    """The results of one model, which `identity` tells from every other model, precision, task and set of options."""

    def __init__(
        self,
        identity: str,
        memory: Memory,
        disk: Disk | None = None,
        bucket: Bucket | None = None,
        rows: Metric | None = None,
    ) -> None:
        self._bucket = bucket
        self._rows = rows
        self._salt = hashlib.sha256(identity.encode()).digest()
        self._memory = memory
        self._disk = disk
        self._flights: dict[bytes, asyncio.Future[Result | None]] = {}

    def key(self, row: Sequence[int]) -> bytes:
        """Give the digest of a row for this model."""
        return hashlib.sha256(self._salt + array("q", row).tobytes()).digest()

    async def through(self, rows: Sequence[list[int]], compute: Compute) -> Found:
        """Give a result per row; `compute` is asked, at most once at a time, for those that are nowhere.

        Raises:
            Exception: what `compute` raises.
        """
        keys = [self.key(row) for row in rows]
        wanted = dict(zip(keys, rows, strict=True))
        found: dict[bytes, Result] = {}
        began: float | None = None
        computed = 0
        while missing := await self._missing(wanted, found):
            if mine := [key for key in missing if key not in self._flights]:
                known, start, count = await self._fly(mine, wanted, compute)
                found |= known
                began, computed = began or start, computed + count
            else:
                flights = {key: self._flights[key] for key in missing}
                await asyncio.wait(flights.values())
                results_of = ((key, flight.result()) for key, flight in flights.items())
                found |= {key: result for key, result in results_of if result is not None}
        return Found([found[key] for key in keys], began, len(rows) - computed)

    async def _missing(self, wanted: dict[bytes, Any], found: dict[bytes, Result]) -> list[bytes]:
        """Look into the memory, then on disk; returns the keys that are in neither."""
        looked = [key for key in wanted if key not in found]
        for key in looked:
            if (known := self._memory.get(key)) is not None:
                found[key] = known
        missing = [key for key in looked if key not in found]
        self._count("memory", len(looked), len(looked) - len(missing))
        if missing and self._disk is not None:
            for key, known in (await self._disk.read(missing)).items():
                found[key] = known
                self._memory.put(key, known)
            self._count("disk", len(missing), sum(key in found for key in missing))
        return [key for key in missing if key not in found]

    def _count(self, tier: str, asked: int, hits: int) -> None:
        if self._rows is not None:
            for outcome, count in (("hit", hits), ("miss", asked - hits)):
                if count:
                    self._rows.add(tier, outcome, by=count)

    async def _fly(
        self, keys: list[bytes], wanted: Mapping[bytes, list[int]], compute: Compute
    ) -> tuple[dict[bytes, Result], float | None, int]:
        """Find or compute what nobody else is after; returns it, when computing began, and of how many rows."""
        loop = asyncio.get_running_loop()
        self._flights |= {key: loop.create_future() for key in keys}
        try:
            found = {} if self._bucket is None else await self._bucket.read(keys)
            new, began = [key for key in keys if key not in found], None
            if new:
                results, began = await compute([wanted[key] for key in new])
                found |= (made := dict(zip(new, results, strict=True)))
                if self._bucket is not None:
                    self._bucket.write(made)
            for key, result in found.items():
                self._memory.put(key, result)
                self._flights[key].set_result(result)
            if self._disk is not None:
                self._disk.write(found)
            return found, began, len(new)
        finally:
            for key in keys:
                if not (flight := self._flights.pop(key)).done():
                    flight.set_result(None)
