"""TOML by its lines: tomllib does not say in which one a field stands, and a complaint without it is half of one.

The scan knows headers and `key =` lines, nothing else. What stands inside inline tables or arrays is reported with the
line of the nearest field around it; text inside multi-line strings that looks like a key can at worst give a wrong one.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from shared.compiler.source import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.compiler.source import Source

_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(\.|\]|=|$)""")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Lines:
    """Where each field of `text` is, counted from 1."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(text.splitlines(), 1):
            stripped = line.strip()
            if stripped.startswith("["):
                table = _key(stripped.lstrip("["))
                self._note(table, number)
            elif "=" in stripped and not stripped.startswith("#") and (key := _key(stripped)):
                self._note(table + key, number)

    def _note(self, field: tuple[str, ...], number: int) -> None:
        """Keep the first line of a field, and of those around it that have none of their own."""
        for length in range(1, len(field) + 1):
            self._lines.setdefault(field[:length], number)

    def of(self, field: tuple[str, ...]) -> int:
        """Return the line of `field`, or of the nearest one around it; 1 if there is none."""
        while field:
            if field in self._lines:
                return self._lines[field]
            field = field[:-1]
        return 1


def tables(source: Source, number: Callable[[str], Any] = float) -> dict[str, Any]:
    """Return what the file says, its fractions made by `number`.

    Raises:
        SourceError: it is no TOML.
    """
    try:
        return tomllib.loads(source.text, parse_float=number)
    except tomllib.TOMLDecodeError as error:
        raise SourceError(_syntax(source, str(error))) from error


def _syntax(source: Source, message: str) -> str:
    """Move the place that tomllib appends to its message to the front, where editors look for it."""
    what, _, place = message.partition(" (at ")
    found = re.search(r"line (\d+)", place)
    line = found[1] if found else len(source.text.splitlines())
    return f"{source.name}:{line}: {what}. The file must be valid TOML (https://toml.io)."


def dotted(field: tuple[str, ...]) -> str:
    """Write a field as TOML does: `models."gpt-4.1".context`."""
    return ".".join(part if _BARE.fullmatch(part) else f'"{part}"' for part in field) or "the file"


def _key(text: str) -> tuple[str, ...]:
    """Read the dotted key that `text` begins with."""
    found: list[str] = []
    position = 0
    while match := _PART.match(text, position):
        double, single, bare, after = match.groups()
        found.append(double if double is not None else single if single is not None else bare)
        position = match.end()
        if after != ".":
            return tuple(found)
    return ()
