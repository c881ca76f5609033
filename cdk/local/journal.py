"""What the emulator must not forget, on disk before a write is acknowledged.

The emulator keeps everything in memory. The journal holds the items of its tables, the values of its secrets and a day
of its log lines under names that do not change between starts; a new emulator, freshly deployed, is filled from it.
SQLite's write-ahead log without a sync per commit survives the sudden end of any process; the last instants may be
lost when the machine loses power.
"""

from __future__ import annotations

import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from cdk.local.child import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FORMAT = 1
UNKEPT = "unkept/"  # secrets called so come from the environment at each start, and do not stay on disk
_TABLES = """
CREATE TABLE IF NOT EXISTS items (
  store TEXT NOT NULL, hash TEXT NOT NULL, range TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (store, hash, range)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lines (
  store TEXT NOT NULL, at INTEGER NOT NULL, number INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS lines_by_time ON lines (store, at, number);
"""
LINES_KEPT_MS = 86_400_000


class Line(NamedTuple):
    """One line of a log; `at` is in epoch milliseconds, and `number` is larger for what came later."""

    at: int
    number: int
    text: str


class Journal:
    """Items by table and key, secrets by name."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Open or create the file; one that cannot be read is a LocalError, and stays as it is."""
        try:
            connection = sqlite3.connect(path, check_same_thread=False, timeout=1)
            try:
                _prepare(connection, path)
            except BaseException:
                connection.close()
                raise
        except sqlite3.OperationalError as error:  # a full disk, a lock: the file may be as good as ever
            raise LocalError(f"The state file {path} cannot be used: {error}.") from error
        except sqlite3.Error as error:
            raise LocalError(_damaged(path, error)) from error
        path.chmod(0o600)
        return cls(connection)

    def put(self, table: str, key: tuple[str, str], item: dict[str, Any] | None) -> None:
        """Note an item as it is now, or that it is gone; durable after `commit`."""
        if item is None:
            self._connection.execute("DELETE FROM items WHERE store=? AND hash=? AND range=?", (table, *key))
        else:
            row = (table, *key, json.dumps(item))
            self._connection.execute("INSERT OR REPLACE INTO items VALUES (?,?,?,?)", row)

    def items(self, table: str) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
        """Give back every item of a table with its key."""
        rows = self._connection.execute("SELECT hash, range, item FROM items WHERE store=?", (table,))
        for partition, sort, item in rows:
            yield (partition, sort), json.loads(item)

    def write(self, group: str, lines: Iterable[tuple[int, str]]) -> None:
        """Note lines of a log with the epoch millisecond of each, durable at once."""
        rows = ((group, at, text) for at, text in lines)
        self._connection.executemany("INSERT INTO lines (store, at, text) VALUES (?,?,?)", rows)
        self._connection.commit()

    def lines(self, group: str, after: tuple[int, int], until: int, most: int) -> list[Line]:
        """Return up to `most` lines of a log in order: later than the time and number `after`, and up to `until`."""
        query = "SELECT at, number, text FROM lines WHERE store=? AND (at, number) > (?, ?) AND at <= ?"
        found = self._connection.execute(f"{query} ORDER BY at, number LIMIT ?", (group, *after, until, most))
        return [Line(*row) for row in found]

    def keep_secret(self, name: str, value: str) -> None:
        """Note the current value of a secret, durable at once, unless its name says not to."""
        if name.startswith(UNKEPT):
            return
        self._connection.execute("INSERT OR REPLACE INTO secrets VALUES (?,?)", (name, value))
        self._connection.commit()

    def secret(self, name: str) -> str | None:
        """Return the last value of a secret, if it had one."""
        row = self._connection.execute("SELECT value FROM secrets WHERE name=?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def commit(self) -> None:
        """Make everything noted so far durable."""
        self._connection.commit()

    def close(self) -> None:
        """Release the file."""
        self._connection.close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise LocalError(f"{path} was written by a newer release; use that release, or another --state-dir.")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise LocalError(_damaged(path, verdict))
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.executescript(_TABLES)
    connection.execute("DELETE FROM lines WHERE at < ?", (int(time.time() * 1000) - LINES_KEPT_MS,))
    connection.commit()
    connection.execute(f"PRAGMA user_version={FORMAT}")


def _damaged(path: Path, reason: object) -> str:
    return f"The state file {path} is damaged ({reason}); move it away to start empty, or choose another --state-dir."
