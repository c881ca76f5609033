"""Answers of the gateway as aligned columns, for people; `--json` is for programs."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any
from unicodedata import category, combining, east_asian_width

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMES = frozenset({"at", "until", "created_at"})


def table(columns: Sequence[str], items: Sequence[dict[str, Any]]) -> str:
    """Return items as aligned columns, with their names on top."""
    rows = [tuple(columns), *(tuple(_shown(item, column) for column in columns) for item in items)]
    widths = [max(_width(row[number]) for row in rows) for number in range(len(columns))]
    return "\n".join(
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def show(answer: dict[str, Any], columns: Sequence[str], *, as_json: bool) -> int:
    """Print a list or a single answer; returns the exit status of a command that went well."""
    if as_json:
        print(json.dumps(answer, indent=2))
        return 0
    print(table(columns, answer.get("data", [answer])))
    if answer.get("has_more") and answer.get("last_id"):
        print(f"(there are more: --after {answer['last_id']})")
    return 0


def _width(text: str) -> int:
    """Return how many places a terminal takes for it: two for wide letters, none for marks on the letter before."""
    kinds = ((east_asian_width(letter) in {"W", "F"}, combining(letter) or category(letter) == "Cf") for letter in text)
    return sum(0 if mark else 1 + wide for wide, mark in kinds)


def _shown(item: dict[str, Any], column: str) -> str:
    value = item.get(column)
    match column:
        case "state":
            return _state(item)
        case "expires":
            return time.strftime("%Y-%m-%d", time.gmtime(item["expires_at"])) if item.get("expires_at") else "never"
        case _ if column in _TIMES and value is not None:
            return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(value))
    if isinstance(value, dict):
        return " ".join(f"{name}={part}" for name, part in value.items()) or "-"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return "-" if value is None or value == "" else str(value)


def _state(key: dict[str, Any]) -> str:
    if key.get("revoked"):
        return "revoked"
    return "expired" if (key.get("expires_at") or math.inf) <= time.time() else "active"
