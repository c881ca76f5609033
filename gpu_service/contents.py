"""Reads a file's bytes as magika reads them: whitespace stripped, the first and the last 1,024 bytes, 256 for none.

After https://github.com/google/magika, "features extraction v2": `config.min.json` holds the numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_service.tokens import Row

_SIZE: Final = 1024
_BLOCK: Final = 4096  # bytes looked at, from either end
_NOTHING: Final = 256


def rows(contents: Sequence[bytes]) -> list[Row]:
    """Give one row of 2,048 numbers per content."""
    return [_row(content) for content in contents]


def _row(content: bytes) -> Row:
    start = content[:_BLOCK].lstrip()[:_SIZE]
    end = content[-_BLOCK:].rstrip()[-_SIZE:]
    gap = [_NOTHING] * (2 * _SIZE - len(start) - len(end))
    return [*start, *gap, *end]
