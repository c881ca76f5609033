"""How demanding a chat looks, and which model it is given for that."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import chat, choosing, complexity

HARD = """Prove step by step that the algorithm below is optimal, analyze its complexity and compare two designs.
```python
def solve(graph):
    return {node: best(node) for node in graph}
```
"""


def score(text: str, **fields: Any) -> float:
    """The score of a chat of one message."""
    return complexity.features({"messages": [{"role": "user", "content": text}], **fields}).score()


def test_harder_questions_score_higher() -> None:
    """From a greeting to a proof, in the order that a person would give them."""
    questions = [
        "Hi!",
        "What is the capital of France, and how many people live there? Answer in one short sentence, please.",
        "Compare these two contracts and explain why one is riskier. " + "The party of the first part agrees. " * 60,
        HARD * 20,
    ]
    scores = [score(question) for question in questions]
    assert scores == sorted(scores)
    assert scores[0] == 0
    assert scores[-1] > 0.6


@pytest.mark.parametrize(
    "text", ["Prove it.", "Beweise es.", "Démontre-le.", "Demuestra eso.", "请证明这个定理", "докажи это"]
)
def test_reasoning_is_asked_for_in_many_languages(text: str) -> None:
    """The word that asked for it is named."""
    assert complexity.features({"messages": [{"role": "user", "content": text}]}).reasoning


FEATURES: list[tuple[str, dict[str, Any]]] = [
    ("length", {"messages": [{"role": "user", "content": "word " * 2000}]}),
    ("code", {"messages": [{"role": "user", "content": "```\nx\n```"}]}),
    ("reasoning", {"messages": [{"role": "user", "content": "derive it"}]}),
    ("effort", {"reasoning_effort": "high"}),
    ("tools", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
    ("form", {"response_format": {"type": "json_schema"}}),
    ("languages", {"messages": [{"role": "user", "content": "hello мир"}]}),
    ("turns", {"messages": [{"role": "user", "content": "a"}] * 3}),
    ("images", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
]


@pytest.mark.parametrize(("part", "fields"), FEATURES, ids=[part for part, _ in FEATURES])
def test_each_feature_adds_its_part(part: str, fields: dict[str, Any]) -> None:
    """And no other than the one that was changed; together they are the score."""
    found = complexity.features({"messages": [{"role": "user", "content": "a"}], **fields})
    assert list(found.parts()) == [part]
    assert found.score() == found.parts()[part] <= complexity.WEIGHTS[part]


@given(
    st.lists(st.text(max_size=200), min_size=1, max_size=5),
    st.sampled_from([None, "none", "low", "high", "xhigh", "odd"]),
)
def test_any_chat_has_a_score(texts: list[str], effort: str | None) -> None:
    """Within 0 and 1, the same each time, whatever was written; and it can be told as JSON."""
    raw = {"messages": [{"role": "user", "content": text} for text in texts], "reasoning_effort": effort}
    found = complexity.features(raw)
    assert 0 <= found.score() <= 1
    assert complexity.features(raw) == found
    json.dumps(found._asdict())


def test_a_long_chat_is_read_in_bounded_time() -> None:
    """Six megabytes cost what sixty kilobytes do, but for their length: no pattern runs away."""
    for evil in ("a-" * 3_000_000, "{" * 6_000_000, " " * 6_000_000, "at x." * 1_200_000, "étape " * 1_000_000):
        began = time.process_time()
        score(evil)
        assert time.process_time() - began < 10  # seconds; a pattern that runs away takes hours


def test_who_wants_it_cheap_gets_the_cheapest_that_will_do() -> None:
    """And who wants the best the best; whatever the score, nobody is left out."""
    qualities, costs = {"small": 20, "middle": 60, "large": 90}, {"small": 1.0, "middle": 5.0, "large": 20.0}
    first = {
        (priority, score): choosing.ranked(qualities, costs, score, priority)[0]
        for priority in ("cheap", "balanced", "quality")
        for score in (0.0, 0.5, 1.0)
    }
    assert [first["cheap", at] for at in (0.0, 0.5, 1.0)] == ["small", "middle", "middle"]
    assert [first["balanced", at] for at in (0.0, 0.5, 1.0)] == ["small", "middle", "large"]
    assert [first["quality", at] for at in (0.0, 0.5, 1.0)] == ["large", "large", "large"]
    assert set(choosing.ranked(qualities, costs, 1.0, "balanced")) == set(qualities)


def test_a_price_below_that_of_a_better_model_is_no_reason_to_take_the_worse() -> None:
    """Among those that are good enough the price decides, and where it is the same the quality."""
    assert choosing.ranked({"a": 50, "b": 90}, {"a": 3.0, "b": 2.0}, 0.0, "cheap") == ["b", "a"]
    assert choosing.ranked({"a": 50, "b": 90}, {"a": 2.0, "b": 2.0}, 0.0, "cheap") == ["b", "a"]


def test_features_are_read_from_checked_requests() -> None:
    """What the parser lets through can be scored: parts, null contents, tools of both kinds."""
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Plan."}]},
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": []},
        ],
        "functions": [{"name": "f"}],
    }
    found = complexity.features(chat.parse(json.dumps(body).encode()).raw)
    assert (found.turns, found.tools, found.reasoning) == (2, 1, ("plan",))
