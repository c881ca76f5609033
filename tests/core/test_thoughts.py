"""Where thoughts stand: counted without gaps, and put back between words."""

from __future__ import annotations

from typing import Any

import pytest

from shared.core import thoughts


def made(detail: dict[str, Any]) -> dict[str, Any] | None:
    """Return a block, if the thought may go back."""
    return {"thought": detail["text"]} if detail["text"] else None


def details(*blocks: int) -> list[dict[str, Any]]:
    """Return thoughts that stood in these blocks."""
    return [thoughts.placed({"text": f"{block}", "index": block}, number) for number, block in enumerate(blocks)]


def test_they_are_counted_without_gaps() -> None:
    """Their place is told where it is another."""
    assert details(0, 2) == [{"text": "0", "index": 0}, {"text": "2", "index": 1, "position": 2}]


@pytest.mark.parametrize(
    ("blocks", "said", "order"),
    [
        ((0,), "a", "0a"),
        ((1,), "a", "a1"),
        ((0, 2), "ab", "0a2b"),
        ((0, 1), "a", "01a"),
        ((9,), "ab", "ab9"),
        ((2,), "", "2"),
        ((), "ab", "ab"),
    ],
)
def test_they_are_put_back_where_they_stood(blocks: tuple[int, ...], said: str, order: str) -> None:
    """As far as there are words before them."""
    found = thoughts.interleaved(details(*blocks), made, [{"thought": one} for one in said])
    assert "".join(one["thought"] for one in found) == order


@pytest.mark.parametrize("odd", [None, "x", [1, "x"], [{"text": "", "index": 0}]])
def test_what_cannot_go_back_is_passed_over(odd: object) -> None:
    """And takes no place."""
    assert thoughts.interleaved(odd, made, [{"thought": "a"}]) == [{"thought": "a"}]


def test_those_of_unknown_place_come_first() -> None:
    """So do those of an answer of their own, whatever they were part of."""
    [told] = thoughts.alone([{"text": "2", "index": 1, "position": 2}])
    for one in ({"text": "2"}, {"text": "2", "position": "x"}, told):
        found = thoughts.interleaved([one], made, [{"thought": "a"}])
        assert [block["thought"] for block in found] == ["2", "a"]
    assert thoughts.alone([{"text": "x"}]) == [{"text": "x"}]
