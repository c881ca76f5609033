"""A function with SnapStart hooks, registered through the managed runtime's own module name."""

from __future__ import annotations

import os
from typing import Any

from snapshot_restore_py import (  # type: ignore[import-not-found]
    register_after_restore,
    register_before_snapshot,
)

LOG: list[str] = []


def note(text: str, *, fail: str = "") -> None:
    """Keep `text`, and fail when the environment asks for it."""
    LOG.append(text)
    if os.environ.get("FAIL") == fail != "":
        raise OSError(f"{text} failed")


register_before_snapshot(note, "before 1", fail="before")
register_before_snapshot(note, "before 2")
register_after_restore(note, "after 1")
register_after_restore(note, text="after 2", fail="after")


def handler(_event: Any, _context: Any) -> list[str]:
    """Answer the order in which the hooks ran."""
    return LOG
