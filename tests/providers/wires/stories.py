"""Answers that every wire must bring across, and all the wires."""

from __future__ import annotations

import pytest

from tests.providers.wires import anthropic, bedrock, gemini
from tests.providers.wires.wire import Story

WIRES = (anthropic.WIRE, bedrock.WIRE, gemini.WIRE)
EACH = pytest.mark.parametrize("wire", WIRES, ids=[wire.dialect for wire in WIRES])
STORIES = {
    "text": Story(texts=("Hello", " wörld ☃")),
    "nothing": Story(),
    "cut short": Story(texts=("Hel",), finish="length"),
    "a call": Story(calls=(("c1", "get_weather", {"city": "Zürich"}),), finish="tool_calls"),
    "calls at once": Story(
        texts=("Let me see.",),
        calls=(("c1", "get_weather", {"city": "Paris"}), ("c2", "get_time", {}), ("c3", "get_weather", {"n": [1]})),
        finish="tool_calls",
    ),
    "refused": Story(texts=("I ",), finish="content_filter"),
    "thought": Story(thoughts=("Hmm, what?",), texts=("42",)),
    "thought and called": Story(thoughts=("Hmm",), calls=(("c1", "f", {"a": 1}),), finish="tool_calls"),
}
EACH_STORY = pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
