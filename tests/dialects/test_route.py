"""Queries for whichever model suits: how they are read, and what their answers tell."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core.errors import BadRequest
from shared.core.usage import Usage
from shared.dialects import route

WHOLE = {
    "id": "chatcmpl-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
}


def parsed(**fields: Any) -> route.Query:
    """Parse a query with these fields."""
    return route.parse(json.dumps(fields).encode())


def test_a_query_is_a_chat_with_whoever_suits() -> None:
    """The model is `auto` unless an alias is named; what is ours does not reach a provider."""
    made = parsed(query="Is 7 prime?", costPriority="cheap", explain=True, dry_run=False, max_tokens=5)
    assert made.chat.raw == {
        "model": "auto",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "Is 7 prime?"}],
    }
    assert (made.priority, made.explain, made.dry_run) == ("cheap", True, False)
    assert parsed(query="x", model="fast").chat.model == "fast"
    assert parsed(query="x").priority == "balanced"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "x", "messages": []}, "query"),
        ({"query": "x", "costPriority": "free"}, "costPriority"),
        ({"query": "x", "costPriority": ["cheap"]}, "costPriority"),
        ({"query": "x", "explain": "yes"}, "explain"),
        ({"query": "x", "dry_run": 1}, "dry_run"),
        ({"query": "x", "dry_run": []}, "dry_run"),
        ({"query": "x", "n": 2}, "n"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    """By the client's own field."""
    with pytest.raises(BadRequest) as refused:
        parsed(**fields)
    assert refused.value.param == param


def test_an_answer_tells_who_gave_it_and_why() -> None:
    """The reasons only where they are asked for."""
    query = parsed(query="Prove step by step that 7 is prime.", explain=True, costPriority="quality")
    writer = route.dialect(query).writer(query.chat)
    writer.bill("openai", "gpt-5", 1_500)
    told = json.loads(writer.whole(json.loads(json.dumps(WHOLE)), Usage(3, 2)))
    assert (told["answer"], told["model"], told["provider"]) == ("Yes.", "gpt-5", "openai")
    assert (told["costPriority"], told["cost_usd"]) == ("quality", "0.0000015")
    assert 0 < told["complexity"]["score"] <= 1
    assert sum(told["complexity"]["parts"].values()) > 0

    plain = parsed(query="Hi")
    writer = route.dialect(plain).writer(plain.chat)
    writer.bill("openai", "gpt-5", None)
    assert "complexity" not in json.loads(writer.whole(json.loads(json.dumps(WHOLE)), Usage()))
