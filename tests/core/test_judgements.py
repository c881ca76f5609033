"""What is to be judged is checked before anybody judges it, and counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core import judgements
from shared.core.errors import BadRequest

PICTURE = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}


def moderation(given: Any, **fields: Any) -> judgements.Judgement:
    """Parse a request for a moderation."""
    return judgements.moderation(json.dumps({"input": given, **fields}).encode())


def rerank(**fields: Any) -> judgements.Judgement:
    """Parse a request for a ranking."""
    body = {"model": "m", "query": "q", "documents": ["a", {"text": "b"}], **fields}
    return judgements.rerank(json.dumps(body).encode())


def test_each_text_gets_a_verdict_and_all_parts_together_one() -> None:
    """As OpenAI counts; without a model it is OpenAI's."""
    assert (moderation("x").count, moderation(["x", "y"]).count) == (1, 2)
    parts = moderation([{"type": "text", "text": "x"}, PICTURE])
    assert (parts.count, parts.images, parts.kind) == (1, 1, "moderation")
    assert (moderation("x").model, moderation("x", model="m").model) == ("omni-moderation-latest", "m")
    assert (rerank().count, rerank().kind, rerank(top_n=1).raw["top_n"]) == (2, "rerank", 1)


@pytest.mark.parametrize("given", ["", [], [""], [1], ["x", PICTURE], [{"type": "text"}], [{"type": "image_url"}], 5])
def test_what_cannot_be_moderated_is_named(given: Any) -> None:
    """By its place."""
    with pytest.raises(BadRequest) as refused:
        moderation(given)
    assert (refused.value.param or "").startswith("input")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"query": ""}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": ["a", ""]}, "documents[1]"),
        ({"documents": [{"title": "a"}]}, "documents[0]"),
        ({"top_n": 0}, "top_n"),
        ({"model": None}, "model"),
    ],
)
def test_what_cannot_be_ranked_is_named(fields: Any, param: str) -> None:
    """By its place."""
    with pytest.raises(BadRequest) as refused:
        rerank(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("documents", "searches"),
    [
        (["a"], 1),
        (["a"] * 100, 1),
        (["a"] * 101, 2),
        (["a" * 240] * 100, 1),
        (["a" * 600] * 100, 3),
        ([{"text": "a", "title": "b" * 600}] * 40, 2),
    ],
)
def test_a_long_ranking_may_be_charged_as_several(documents: list[Any], searches: int) -> None:
    """Each hundred documents are a search, and a long document, all that is in it, counts as several."""
    body = {"model": "m", "query": "q", "documents": documents}
    assert judgements.rerank(json.dumps(body).encode()).searches == searches
