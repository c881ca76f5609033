"""What the emulator must not forget, on disk before a write is acknowledged.

The emulator keeps everything in memory. The journal holds the items of its tables and the values of its secrets under
names that do not change between starts; a new emulator, freshly deployed, is filled from it. SQLite's write-ahead log
without a sync per commit survives the sudden end of any process; the last instants may be lost when the machine loses
power.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

from cdk.local.child import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = 1
UNKEPT = "unkept/"  # secrets called so come from the environment at each start, and do not stay on disk
_TABLES = """
CREATE TABLE IF NOT EXISTS items (
  store TEXT NOT NULL, hash TEXT NOT NULL, range TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (store, hash, range)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


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
    connection.execute(f"PRAGMA user_version={FORMAT}")


def _damaged(path: Path, reason: object) -> str:
    return f"The state file {path} is damaged ({reason}); move it away to start empty, or choose another --state-dir."
