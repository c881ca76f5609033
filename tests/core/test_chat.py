"""A chat request is read once, strictly; what is wrong is named as OpenAI names it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core import chat
from shared.core.errors import BadRequest

HELLO = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}, "strict": True}}


def parsed(**fields: Any) -> chat.Chat:
    """Parse the plainest request with these fields on top."""
    return chat.parse(json.dumps({**HELLO, **fields}).encode())


def blamed(**fields: Any) -> str | None:
    """Return the param of the refusal."""
    with pytest.raises(BadRequest) as refusal:
        parsed(**fields)
    assert refusal.value.param
    assert refusal.value.param in refusal.value.message
    return refusal.value.param


def test_the_plainest_request() -> None:
    """Whole, one choice, no bound; the size of the body is kept for estimates."""
    found = parsed()
    assert (found.model, found.stream, found.include_usage, found.n, found.max_tokens) == (
        "gpt-5",
        False,
        False,
        1,
        None,
    )
    assert found.raw == HELLO
    assert found.size == len(json.dumps(HELLO))


def test_a_stream_with_usage() -> None:
    """What frameworks send by default."""
    found = parsed(stream=True, stream_options={"include_usage": True, "include_obfuscation": False}, n=3)
    assert (found.stream, found.include_usage, found.n) == (True, True, 3)


def test_the_larger_bound_counts() -> None:
    """The worst case is what money is held for."""
    assert parsed(max_tokens=5).max_tokens == 5
    assert parsed(max_tokens=5, max_completion_tokens=9).max_tokens == 9


MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": [{"type": "text", "text": "Be brief."}], "name": "dev"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "data:,"}}],
    },
    {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}]},
    {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}], "name": "ann"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "refusal": None},
    {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]},
    {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
    {"role": "tool", "content": "21", "tool_call_id": "call_1"},
    {"role": "tool", "content": [{"type": "text", "text": "21"}], "tool_call_id": "call_1"},
    {"role": "function", "name": "weather", "content": "21"},
]


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_every_kind_of_message_passes_untouched(message: dict[str, Any]) -> None:
    """All roles, and content in all its forms, with members nobody documented."""
    odd = {**message, "x_vendor": {"deep": [1]}}
    assert parsed(messages=[odd]).raw["messages"] == [odd]


FIELDS: dict[str, Any] = {
    "max_completion_tokens": 100,
    "tools": [TOOL, {"type": "custom", "custom": {"name": "sh", "format": {"type": "text"}}}],
    "parallel_tool_calls": False,
    "functions": [{"name": "weather", "parameters": {}}],
    "function_call": {"name": "weather"},
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {}, "strict": True}},
    "store": True,
    "metadata": {"simulated": {"latency_ms": 1}},
    "service_tier": "flex",
    "safety_identifier": "u1",
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "auto"},
    "prompt_cache_retention": "24h",
    "verbosity": "low",
    "reasoning_effort": "minimal",
    "web_search_options": {"search_context_size": "low"},
    "moderation": {"mode": "auto"},
    "seed": 7,
    "user": "u1",
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "temperature": 2,
    "top_p": 0.1,
    "presence_penalty": -2,
    "frequency_penalty": 2.0,
    "stop": ["a", "b", "c", "d"],
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"},
    "some_vendor_extension": [1, {"two": 3}],
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_documented_field_passes_untouched(field: str) -> None:
    """What clients send is what providers get; null is the same as leaving a field out."""
    assert parsed(**{field: FIELDS[field]}).raw[field] == FIELDS[field]
    assert parsed(**{field: None}).raw[field] is None


def test_all_fields_at_once() -> None:
    """They get along."""
    assert parsed(**FIELDS).raw == {**HELLO, **FIELDS}


@pytest.mark.parametrize(
    "choice",
    [
        "none",
        "auto",
        "required",
        {"type": "function", "function": {"name": "weather"}},
        {"type": "custom", "custom": {"name": "sh"}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
    ],
    ids=str,
)
def test_every_tool_choice(choice: Any) -> None:
    """By word and by name."""
    assert parsed(tools=[TOOL], tool_choice=choice).raw["tool_choice"] == choice


USER = {"role": "user", "content": "x"}
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("model", {"model": None}),
    ("model", {"model": ""}),
    ("model", {"model": 5}),
    ("messages", {"messages": []}),
    ("messages", {"messages": None}),
    ("messages", {"messages": "hello"}),
    ("messages[0]", {"messages": ["hello"]}),
    ("messages[0].role", {"messages": [{"content": "x"}]}),
    ("messages[1].role", {"messages": [USER, {"role": "root", "content": "x"}]}),
    ("messages[0].role", {"messages": [{"role": 7, "content": "x"}]}),
    ("messages[0].content", {"messages": [{"role": "user"}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": None}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": {"text": "x"}}]}),
    ("messages[0].content[0].type", {"messages": [{"role": "user", "content": [{"text": "x"}]}]}),
    ("messages[0].content[0].type", {"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}),
    ("messages[0].content[0].text", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
    (
        "messages[0].content[0].image_url",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}]},
    ),
    ("messages[0].tool_call_id", {"messages": [{"role": "tool", "content": "x"}]}),
    (
        "messages[0].tool_calls[0].function.arguments",
        {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]}]},
    ),
    ("n", {"n": 0}),
    ("n", {"n": 1000}),
    ("n", {"n": "2"}),
    ("n", {"n": True}),
    ("max_tokens", {"max_tokens": 0}),
    ("max_tokens", {"max_tokens": 10**12}),
    ("max_completion_tokens", {"max_completion_tokens": -1}),
    ("temperature", {"temperature": 2.1}),
    ("temperature", {"temperature": "hot"}),
    ("top_p", {"top_p": -0.1}),
    ("presence_penalty", {"presence_penalty": 3}),
    ("stream", {"stream": "true"}),
    ("stream_options", {"stream_options": {"include_usage": True}}),
    ("stream_options.include_usage", {"stream": True, "stream_options": {"include_usage": "yes"}}),
    ("stop", {"stop": ["a", "b", "c", "d", "e"]}),
    ("stop[1]", {"stop": ["a", 2]}),
    ("logit_bias", {"logit_bias": {"1": 101}}),
    ("top_logprobs", {"top_logprobs": 2}),
    ("tools[0].type", {"tools": [{"type": "rocket"}]}),
    ("tools[0].function.name", {"tools": [{"type": "function", "function": {}}]}),
    ("tools[0].function.name", {"tools": [{"type": "function", "function": {"name": ""}}]}),
    ("tool_choice", {"tool_choice": "required"}),
    ("tool_choice", {"tools": [TOOL], "tool_choice": "maybe"}),
    ("tool_choice.function.name", {"tools": [TOOL], "tool_choice": {"type": "function", "function": {}}}),
    ("response_format.type", {"response_format": {"type": "xml"}}),
    ("response_format.json_schema.name", {"response_format": {"type": "json_schema", "json_schema": {}}}),
    ("metadata", {"metadata": "x"}),
    ("user", {"user": {"id": 1}}),
    ("base_url", {"base_url": "http://169.254.169.254"}),
]


@pytest.mark.parametrize(("param", "fields"), WRONG, ids=str)
def test_a_wrong_field_is_named(param: str, fields: dict[str, Any]) -> None:
    """The path leads to the member that is wrong or missing."""
    assert blamed(**fields) == param


def test_a_strange_model_name_is_not_judged_here() -> None:
    """Whether a model exists is the catalog's to say."""
    assert parsed(model="gpt\u20114o\n" + "x" * 10_000).model.startswith("gpt\u20114o\n")


@pytest.mark.parametrize("field", ["fallbacks", "models", "plugins"])
def test_other_models_are_not_named_behind_the_gateways_back(field: str) -> None:
    """A provider that routes by itself would ask what the caller may not use, at a price that nobody holds."""
    assert blamed(**{field: []}) == field
