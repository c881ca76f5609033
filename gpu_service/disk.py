"""Results that outlive the process: one SQLite file, bounded, whose loss costs nothing but time.

Every access is on a thread of its own. Whatever goes wrong with the file is told to the log once, and from then on
there is no file: a cache must not be the reason that a request fails.
"""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import numpy as np

from gpu_service.log import event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Result = NDArray[np.float32]

_BESIDE: Final = 80  # bytes of the key, the checksum and SQLite's own per entry
_AT_ONCE: Final = 500  # keys of one statement
_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, sum INTEGER NOT NULL, value BLOB NOT NULL)"


class Disk:
    """The file at `path`, which holds about `most` bytes of results: what was written first goes first."""

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._most = most
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache")
        self._file: sqlite3.Connection | None = None
        self._broken = False

    async def read(self, keys: Sequence[bytes]) -> dict[bytes, Result]:
        """Give those results that are there and whole."""
        if self._broken:
            return {}
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, keys)

    def write(self, results: Mapping[bytes, Result]) -> None:
        """Write `results` some time soon."""
        if not self._broken:
            self._thread.submit(self._write, {key: result.tobytes() for key, result in results.items()})

    def close(self) -> None:
        """Finish writing."""
        self._thread.submit(self._close)
        self._thread.shutdown()

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Result]:
        found: dict[bytes, Result] = {}
        try:
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, sum, value FROM results WHERE key IN ({marks})"  # noqa: S608 - question marks
                for key, checksum, value in self._open().execute(query, some):
                    if zlib.crc32(value) == checksum:
                        found[key] = np.frombuffer(value, "<f4")
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
        return found

    def _write(self, results: Mapping[bytes, bytes]) -> None:
        try:
            file = self._open()
            with file:
                rows = [(key, zlib.crc32(value), value) for key, value in results.items()]
                file.executemany("INSERT OR IGNORE INTO results VALUES (?, ?, ?)", rows)
                self._trim(file, max((len(value) for value in results.values()), default=0) + _BESIDE)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def _trim(self, file: sqlite3.Connection, size: int) -> None:
        """Delete the oldest entries beyond as many as fit, at `size` bytes each; row numbers grow with time."""
        newest = file.execute("SELECT max(rowid) FROM results").fetchone()[0] or 0
        file.execute("DELETE FROM results WHERE rowid <= ?", (newest - self._most // size,))

    def _open(self) -> sqlite3.Connection:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(self._path)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = OFF")  # a power cut may cost entries, which their sums show
            self._file.execute(_SCHEMA)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _give_up(self, error: Exception) -> None:
        if not self._broken:
            self._broken = True
            event("cache_lost", reason=str(error))
