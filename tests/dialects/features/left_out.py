"""What is left out on the way to some provider, and why that may be."""

from __future__ import annotations

from typing import NamedTuple

from tests.dialects.features.feature import PIXEL, SCHEMA, Feature, asks, says, user


class LeftOut(NamedTuple):
    """What is not sent on to these providers, and why that may be."""

    language: str
    feature: Feature
    providers: tuple[str, ...]
    why: str


OTHERS = ("anthropic", "bedrock", "gemini")
SHOWN = {"url": f"data:image/png;base64,{PIXEL}", "detail": "mark-detail"}
MARKED = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
THOUGHT = {"type": "thinking", "thinking": "mark-thought", "signature": "s"}
LEFT_OUT = {
    "a name": LeftOut("chat", says("m", said={"role": "user", "content": "x", "name": "mark"}), OTHERS, "none there"),
    "a detail": LeftOut(
        "chat", says(PIXEL, said=user({"type": "image_url", "image_url": SHOWN})), OTHERS, "a hint on the price"
    ),
    "a form's name": LeftOut(
        "chat",
        asks("mark_property", response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}),
        ("anthropic", "gemini"),
        "a label",
    ),
    "hints": LeftOut(
        "chat",
        asks(user="u", safety_identifier="s", store=True, metadata={"a": "b"}, prompt_cache_key="k"),
        OTHERS,
        "they change no answer",
    ),
    "a mark for the cache": LeftOut("messages", says("x", said=user(MARKED)), ("openai", "gemini"), "it caches itself"),
    "thoughts of before": LeftOut(
        "messages", says("y", said={"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "y"}]}),
        ("openai", "bedrock", "gemini"), "they are proven to their own model only",
    ),
    "how much to think": LeftOut(
        "messages", asks(thinking={"type": "enabled", "budget_tokens": 2048}), ("openai",), "an effort is for that"
    ),
    "calls of tools": LeftOut("responses", asks(max_tool_calls=2), ("openai", *OTHERS), "its tools run nowhere"),
}  # fmt: skip
