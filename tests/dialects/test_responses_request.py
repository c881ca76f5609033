"""A Responses request means the same in the inner form; what would need a memory is refused by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import BadRequest, GatewayError
from shared.dialects import responses
from shared.dialects.responses_input import seal
from shared.providers import openai_plain

if TYPE_CHECKING:
    from shared.core.chat import Chat

SCHEMA = {"type": "object", "properties": {}}


def parsed(**fields: Any) -> Chat:
    """Parse a request with these fields."""
    return responses.RESPONSES.parse(json.dumps({"model": "m", "input": "hello", **fields}).encode())  # type: ignore[return-value]


def called(number: int) -> dict[str, Any]:
    """Write the item of a call."""
    return {"type": "function_call", "id": f"fc_{number}", "call_id": f"c{number}", "name": "f", "arguments": "{}"}


def answered(number: int, output: Any = "ok") -> dict[str, Any]:
    """Write the item of a tool's answer."""
    return {"type": "function_call_output", "call_id": f"c{number}", "output": output}


def test_every_field_has_its_place() -> None:
    """Names and shapes are those of chat completions; what nobody knows goes along."""
    made = parsed(
        instructions="Be brief.",
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_logprobs=2,
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}, "verbosity": "low"},
        stream=True,
        stream_options={"include_obfuscation": False},
        user="u",
        service_tier="flex",
        prompt_cache_key="k",
        store=True,
        metadata={"a": "b"},
        truncation="disabled",
        x_vendor=1,
    )
    assert made.raw == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "high",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
        "verbosity": "low",
        "stream": True,
        "user": "u",
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "x_vendor": 1,
    }
    assert (made.stream, made.max_tokens, made.n, made.unbounded) == (True, 9, 1, "")
    assert parsed(text={"format": {"type": "json_object"}}).raw["response_format"] == {"type": "json_object"}
    assert "response_format" not in parsed(text={"format": {"type": "text"}}).raw
    assert parsed(include=["message.output_text.logprobs"]).raw["logprobs"] is True


@pytest.mark.parametrize("field", ["n", "max_completion_tokens", "max_tokens", "web_search_options", "modalities"])
def test_members_of_a_chat_are_none_of_a_response(field: str) -> None:
    """Passed on unread, ten answers would be asked for where the price of one was reserved."""
    with pytest.raises(BadRequest) as refused:
        parsed(max_output_tokens=9, **{field: 10})
    assert refused.value.param == field
    assert parsed(moderation={"model": "m"}, **{field: None}).raw["moderation"] == {"model": "m"}


def test_items_become_turns() -> None:
    """What the model thought, said and called is one message, until a tool or somebody else has the word."""
    thoughts = [{"type": "reasoning.text", "text": "hm", "signature": "s"}]
    made = parsed(
        input=[
            {"role": "developer", "content": "rules"},
            {"role": "user", "content": [{"type": "input_text", "text": "go"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": seal(thoughts)},
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "content": [{"type": "output_text", "text": "Look"}],
            },
            called(1),
            called(2),
            answered(1),
            answered(2, [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "https://x/y.png"}]),
            called(3),
            answered(3),
            {"type": "custom_tool_call", "call_id": "c4", "name": "g", "input": "free"},
            {"type": "custom_tool_call_output", "call_id": "c4", "output": "done"},
        ]
    )
    first, second, third = [message for message in made.raw["messages"] if message["role"] == "assistant"]
    assert [message["role"] for message in made.raw["messages"]] == [
        "developer", "user", "assistant", "tool", "tool", "assistant", "tool", "assistant", "tool",
    ]  # fmt: skip
    assert first == {
        "role": "assistant",
        "content": "Look",
        "reasoning_details": thoughts,
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in (1, 2)
        ],
    }
    assert [call["id"] for call in second["tool_calls"]] == ["c3"]
    assert third["tool_calls"] == [{"id": "c4", "type": "custom", "custom": {"name": "g", "input": "free"}}]
    assert made.images == 1
    assert [message["role"] for message in openai_plain.plain(made.raw)["messages"]][4:6] == ["tool", "user"]


@pytest.mark.parametrize(
    ("item", "texts"),
    [
        ({"summary": [{"type": "summary_text", "text": "hm"}]}, ["hm"]),
        ({"summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}, ["hm"]),
        ({"summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gAAAA"}, ["hm"]),
        ({"summary": [], "encrypted_content": "nexus1.!!"}, []),
        ({"summary": [], "encrypted_content": "nexus1.AAAA"}, []),
    ],
)
def test_thoughts_of_others_are_read_as_far_as_they_can_be(item: Any, texts: list[str]) -> None:
    """What is sealed by somebody else stays closed; nonsense is nothing."""
    made = parsed(input=[{"role": "user", "content": "x"}, {"type": "reasoning", "id": "r", **item}, called(1)])
    found = made.raw["messages"][1].get("reasoning_details") or []
    assert [thought["text"] for thought in found] == texts


def test_thoughts_that_led_to_nothing_are_nobodys() -> None:
    """They do not become those of a later turn."""
    thought = {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}]}
    made = parsed(input=[thought, {"role": "user", "content": "x"}, called(1)])
    assert "reasoning_details" not in made.raw["messages"][1]


def test_parts() -> None:
    """Images, files and sound in the form of a chat; what bytes do not bound is told to who keeps the budget."""
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}
    file = {"type": "input_file", "file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}
    sound = {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}
    made = parsed(input=[{"role": "user", "content": [image, file, sound]}])
    assert made.raw["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
    ]
    assert (made.images, made.unbounded) == (1, "input")
    assert parsed(service_tier="priority").unbounded == "service_tier"
    refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    assert parsed(input=[refused]).raw["messages"][0]["content"] == [{"type": "refusal", "refusal": "no"}]


def test_tools_and_choices() -> None:
    """Functions, free text with a grammar, and every way to choose among them."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
    tools = [
        {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True, "description": "d"},
        {"type": "function", "name": "g", "parameters": None, "strict": None},
        {"type": "custom", "name": "h", "format": grammar},
    ]
    made = parsed(tools=tools).raw["tools"]
    assert [tool["type"] for tool in made] == ["function", "function", "custom"]
    assert made[0]["function"] == {"name": "f", "description": "d", "strict": True, "parameters": SCHEMA}
    assert made[1]["function"] == {"name": "g", "parameters": {}}
    assert made[2]["custom"]["format"] == {
        "type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"},
    }  # fmt: skip
    for choice, wanted in (
        ("required", "required"),
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "custom", "name": "h"}, {"type": "custom", "custom": {"name": "h"}}),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        ),
    ):
        assert parsed(tools=tools, tool_choice=choice).raw["tool_choice"] == wanted
    assert "tool_choice" not in parsed(tool_choice="auto").raw


def item(**members: Any) -> dict[str, Any]:
    """Write a request of one item."""
    return {"input": [members]}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a memory": ({"previous_response_id": "resp_1"}, "previous_response_id"),
    "a conversation": ({"conversation": {"id": "c"}}, "conversation"),
    "a stored prompt": ({"prompt": {"id": "p"}}, "prompt"),
    "the background": ({"background": True}, "background"),
    "a context that is managed": ({"context_management": [{"type": "compaction"}]}, "context_management"),
    "leaving out": ({"truncation": "auto"}, "truncation"),
    "nothing": ({"input": []}, "input"),
    "thoughts alone": (item(type="reasoning", id="r", summary=[]), "input"),
    "a reference": (item(type="item_reference", id="x"), "input[0].type"),
    "a call of a server's tool": (item(type="web_search_call", id="x"), "input[0].type"),
    "a server's tool": ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    "a tool without a name": ({"tools": [{"type": "function"}]}, "tools[0].name"),
    "a choice without tools": ({"tool_choice": "required"}, "tool_choice"),
    "a role": (item(role="tool", content="x"), "input[0].role"),
    "a part": (item(role="user", content=[{"type": "video"}]), "input[0].content[0].type"),
    "text that is none": (item(role="user", content=[{"type": "input_text"}]), "input[0].content[0].text"),
    "an uploaded image": (
        item(role="user", content=[{"type": "input_image", "file_id": "f"}]), "input[0].content[0].image_url",
    ),
    "a file elsewhere": (
        item(role="user", content=[{"type": "input_file", "file_url": "https://x"}]), "input[0].content[0].file_url",
    ),
    "an answer without a call": (item(type="function_call_output", output="x"), "input[0].call_id"),
    "a format": ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
    "a bound": ({"max_output_tokens": 0}, "max_output_tokens"),
    "an address": ({"base_url": "http://x"}, "base_url"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(fields: Any, param: str) -> None:
    """By its place in the client's own request."""
    with pytest.raises(BadRequest) as refused:
        parsed(**fields)
    assert refused.value.param == param


KINDS = ("message", "function_call", "function_call_output", "reasoning", "custom_tool_call", "x")
NAMES = ["role", "content", "call_id", "name", "arguments", "output", "summary", "encrypted_content", "text", "type"]
WORDS = st.sampled_from(["user", "assistant", "input_text", "output_text", "refusal", "input_image", "", "{}"])
JSON = st.recursive(
    st.none() | st.integers(-9, 9) | WORDS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
ITEM = st.fixed_dictionaries({"type": st.sampled_from(KINDS)}, optional=dict.fromkeys(NAMES[:-1], JSON))


@given(st.lists(ITEM | JSON, max_size=4) | JSON, JSON)
def test_anything_is_parsed_or_refused(items: Any, tools: Any) -> None:
    """Never another exception; what is parsed can be rendered for OpenAI."""
    try:
        made = parsed(input=items, tools=tools)
    except GatewayError:
        return
    json.dumps(openai_plain.plain(made.raw))
