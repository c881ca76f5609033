"""One contract for what is sent over every wire that is not OpenAI's own: the vendors' own types judge it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.core.errors import BadRequest
from tests.providers.wires.stories import EACH
from tests.providers.wires.wire import SECRET

if TYPE_CHECKING:
    from tests.providers.wires.wire import Wire

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
PIXEL = "data:image/png;base64,iVBORw0KGgo="
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "streamed": {"stream": True, "stream_options": {"include_usage": True}},
    "instructed": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "And kind."}]},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": " there"}]},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "And?", "name": "ann"},
        ]
    },
    "shown": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "high"}},
                ],
            }
        ]
    },
    "with tools": {"tools": [WEATHER], "tool_choice": "auto", "parallel_tool_calls": True},
    "with a tool to use": {
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    },
    "with some tools": {
        "tools": [WEATHER, {"type": "function", "function": {"name": "f", "description": "Does it."}}],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"name": "f"}]}},
    },
    "after calls": {
        "tools": [WEATHER],
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "X"}'}},
                    {"id": "c2", "type": "function", "function": {"name": "get_weather", "arguments": ""}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": '{"sky": "grey"}'}]},
            {"role": "user", "content": "So?"},
        ],
    },
    "in a form": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "answer",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {"steps": {"type": "array", "items": {"type": "object", "properties": {}}}},
                    "required": ["steps"],
                },
            },
        }
    },
    "ended": {"stop": ["END", "\n\n"], "max_tokens": 100, "user": "u1", "metadata": {"a": "b"}},
    "hard": {"reasoning_effort": "high", "max_completion_tokens": 5000},
    "at the usual price": {"service_tier": "default"},
    "with what holds anyway": {
        "n": 1, "temperature": 1, "top_p": 1, "logprobs": False, "presence_penalty": 0, "frequency_penalty": 0.0,
        "logit_bias": {}, "service_tier": "auto", "store": False, "seed": None, "response_format": {"type": "text"},
    },
}  # fmt: skip


@EACH
@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS)
def test_what_is_sent_is_what_the_vendor_takes(wire: Wire, fields: dict[str, Any]) -> None:
    """By the vendor's own types."""
    assert wire.sent(**fields)


@EACH
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"verbosity": "low"}, "verbosity"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"modalities": ["text", "audio"], "audio": {"format": "wav", "voice": "x"}}, "modalities"),
        ({"service_tier": "scale"}, "service_tier"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"min_p": 0.1}, "min_p"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}],
                    }
                ]
            },
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
    ],
)
def test_what_cannot_be_said_there_is_named(wire: Wire, fields: dict[str, Any], param: str) -> None:
    """By the client's own word for it, before anything is sent."""
    with pytest.raises(BadRequest) as refused:
        wire.adapter(**fields).request(SECRET)
    assert refused.value.param == param


@EACH
def test_a_catalog_may_have_a_field_ignored(wire: Wire) -> None:
    """Where an operator prefers an answer to a refusal."""
    made = wire.adapter(logit_bias={"1": 5}, ignores=("logit_bias",))
    assert wire.sent(service_tier="scale", ignores=("service_tier",))
    assert "logit_bias" not in wire.judge(made.request(wire.secret))
