"""Where a model's thoughts stand: before what it says, or between. Models that sign them take them back only there.

SDKs put pieces of a thought together by their `index`, and want that counted from 0 without gaps; so where a thought
stood among the blocks of its answer is its `position`, told where that is another number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Detail = dict[str, Any]


def placed(detail: Detail, number: int) -> Detail:
    """Return a thought, whose `index` is that of its block, as the one with this number."""
    block = detail["index"]
    return {**detail, "index": number, **({} if block == number else {"position": block})}


def alone(details: list[Detail]) -> list[Detail]:
    """Return thoughts as the first of an answer of their own."""
    kept = [{name: value for name, value in detail.items() if name != "position"} for detail in details]
    return [{**detail, "index": number} if "index" in detail else detail for number, detail in enumerate(kept)]


def interleaved(details: object, made: Callable[[Detail], Detail | None], said: list[Detail]) -> list[Detail]:
    """Return what was said, with the thoughts where they stood, if that is known, or else first.

    `made` returns a thought as a block, or None for one that cannot be told.
    """
    found: list[Detail] = []
    waiting = list(said)
    for detail in details if isinstance(details, list) else ():
        block = made(detail) if isinstance(detail, dict) else None
        if block:
            position = detail.get("position", detail.get("index"))
            before = max(position - len(found), 0) if isinstance(position, int) else 0
            found += [*waiting[:before], block]
            del waiting[:before]
    return found + waiting
