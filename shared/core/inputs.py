"""Texts, or the token ids of texts: one or several, in the four shapes that OpenAI takes."""

from __future__ import annotations

from typing import Any

from shared.core.errors import BadRequest

MAX_TOKEN = 2**31 - 1


def listed(given: str | list[Any], name: str, most: int) -> list[str] | list[list[int]]:
    """Bring the four shapes of the field `name` (text, texts, tokens, arrays of tokens) into two.

    Raises:
        BadRequest: it has another shape, holds nothing, or more than `most` items.
    """
    if isinstance(given, str):
        given = [given]
    if given and type(given[0]) is int:
        given = [given]
    if not 1 <= len(given) <= most:
        raise BadRequest(f"'{name}' must hold 1 to {most} items; it holds {len(given)}.", param=name)
    shape = type(given[0])
    for position, item in enumerate(given):
        if type(item) is not shape or not _is_input(item):
            raise BadRequest(
                f"'{name}' must be a text, an array of texts, an array of token ids, or an array of such arrays, "
                f"none of them empty; item {position} breaks that.",
                param=f"{name}[{position}]",
            )
    return given


def _is_input(item: object) -> bool:
    if isinstance(item, str):
        return bool(item)
    return (
        isinstance(item, list) and bool(item) and all(type(token) is int and 0 <= token <= MAX_TOKEN for token in item)
    )
