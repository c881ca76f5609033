"""One JSON line on stdout for whatever is worth knowing: never a text, a vector or a token."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime

import msgspec


def event(name: str, **facts: object) -> None:
    """Write one line."""
    line = msgspec.json.encode({"time": datetime.now(UTC), "event": name, **facts})
    with suppress(OSError):  # a reader of the log that went away must not take the service with it
        sys.stdout.write(line.decode() + "\n")
        sys.stdout.flush()
