"""A message's request means the same in the inner form, and what cannot be said there is noticed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import BadRequest, GatewayError
from shared.dialects import anthropic
from shared.providers import openai_plain

if TYPE_CHECKING:
    from shared.core import chat

HELLO = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
CACHE = {"type": "ephemeral"}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}


def parsed(**fields: Any) -> chat.Chat:
    """Parse a request with these fields."""
    return anthropic.MESSAGES.parse(json.dumps({**HELLO, **fields}).encode())  # type: ignore[return-value]


def user(*blocks: Any) -> dict[str, Any]:
    """Write the messages of a user who says these blocks."""
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def test_every_field_has_its_place() -> None:
    """Names and shapes are OpenAI's; what nobody knows goes along."""
    made = parsed(
        system="Be brief.",
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop_sequences=["x"],
        metadata={"user_id": "u"},
        thinking={"type": "enabled", "budget_tokens": 2048},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        stream=True,
        service_tier="auto",
        x_vendor=1,
    )
    assert made.raw == {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "stop": ["x"],
        "user": "u",
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "reasoning_effort": "high",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
        "stream": True,
        "x_vendor": 1,
    }
    assert (made.stream, made.max_tokens, made.n, made.extended, made.native_only) == (True, 9, 1, True, "")
    assert made.native is not None
    assert made.native[0] == "anthropic"
    assert made.native[1]["system"] == "Be brief."


@pytest.mark.parametrize("field", ["n", "max_completion_tokens", "web_search_options", "prediction", "modalities"])
def test_members_of_a_chat_are_none_of_a_message(field: str) -> None:
    """Passed on unread, ten answers would be asked for where the price of one was reserved."""
    with pytest.raises(BadRequest) as refused:
        parsed(**{field: 10})
    assert refused.value.param == field
    assert parsed(**{field: None}).max_tokens == 9


def test_a_turn_of_tools_becomes_calls_and_answers() -> None:
    """Thoughts stay with their proof; answers come before what the user says beside them."""
    picture = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}, "cache_control": CACHE}
    result = {
        "type": "tool_result",
        "tool_use_id": "t1",
        "is_error": True,
        "content": [{"type": "text", "text": "no"}, picture],
    }
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    made = parsed(
        messages=[
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [thought, {"type": "redacted_thinking", "data": "d"}, CALL]},
            {"role": "user", "content": [{"type": "text", "text": "so?"}, result]},
        ]
    )
    url = {"type": "image_url", "image_url": {"url": "https://x/y.png"}, "cache_control": CACHE}
    assert made.raw["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
            "reasoning_details": [
                {"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0},
                {"type": "reasoning.encrypted", "data": "d", "index": 1},
            ],
            "reasoning_content": "hm",
        },
        {"role": "tool", "tool_call_id": "t1", "content": [{"type": "text", "text": "no"}, url], "is_error": True},
        {"role": "user", "content": [{"type": "text", "text": "so?"}]},
    ]
    assert made.images == 1
    plain = openai_plain.plain(made.raw)["messages"]
    assert [message["role"] for message in plain] == ["user", "assistant", "tool", "user", "user"]
    assert plain[1].keys() == {"role", "content", "tool_calls"}
    assert (plain[2]["content"], plain[4]["content"]) == ("Error: no", "so?")
    assert plain[3]["content"] == [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]


def test_tools_and_choices() -> None:
    """The client's own tools are functions; how they may be used has other words."""
    tool = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True, "cache_control": CACHE}
    made = parsed(tools=[tool], tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True})
    function = {"name": "f", "parameters": {"type": "object"}, "description": "d", "strict": True}
    assert made.raw["tools"] == [{"type": "function", "function": function, "cache_control": CACHE}]
    assert made.raw["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert made.raw["parallel_tool_calls"] is False
    assert openai_plain.plain(made.raw)["tools"] == [{"type": "function", "function": function}]
    for kind, word in (("auto", "auto"), ("any", "required"), ("none", "none")):
        assert parsed(tools=[tool], tool_choice={"type": kind}).raw["tool_choice"] == word


def test_documents_become_text_or_files() -> None:
    """With what the client says about them."""
    about = {"title": "T", "context": "C"}
    made = parsed(
        **user(
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}, **about},
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "in"}]}, **about},
            {"type": "document", "source": {"type": "content", "content": "in"}},
            {"type": "document", "source": PDF, "cache_control": CACHE},
            {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "found"}]},
        )
    )
    texts = [part.get("text") for part in made.raw["messages"][0]["content"]]
    assert texts == ["T\nC\nwords", "T\nC\n", "in", "in", None, "t\ns\nfound"]
    assert made.raw["messages"][0]["content"][4] == {
        "type": "file",
        "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
        "cache_control": CACHE,
    }
    assert (made.native_only, made.unbounded) == ("", "messages")


def document(**members: Any) -> dict[str, Any]:
    """Write the messages of a user who shows a document."""
    return user({"type": "document", **members})


def turns(*blocks: Any) -> dict[str, Any]:
    """Write messages whose last is what the assistant said."""
    return {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": list(blocks)}]}


URL, FILE = {"type": "url", "url": "https://x"}, {"type": "file", "file_id": "f"}
BEYOND: dict[str, tuple[dict[str, Any], str, str]] = {
    "a server tool": ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools", "tools"),
    "a container": ({"container": "c1"}, "container", "container"),
    "servers of tools": ({"mcp_servers": [{"url": "https://x"}]}, "mcp_servers", "mcp_servers"),
    "a dear speed": ({"speed": "fast"}, "speed", "speed"),
    "a dear place": ({"inference_geo": "us"}, "inference_geo", "inference_geo"),
    "a dear tier": ({"service_tier": "priority"}, "", "service_tier"),
    "an uploaded image": (user({"type": "image", "source": FILE}), "messages", ""),
    "a document elsewhere": (document(source=URL), "messages", "messages"),
    "an unknown block": (user({"type": "container_upload", "file_id": "f"}), "messages", "messages"),
    "citations": (
        document(source={"type": "content", "content": "x"}, citations={"enabled": True}), "messages", "",
    ),
    "an answer begun": (turns({"type": "text", "text": "The best is ("}), "messages", ""),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "native_only", "unbounded"), BEYOND.values(), ids=BEYOND)
def test_what_only_anthropic_can_do_is_named(fields: Any, native_only: str, unbounded: str) -> None:
    """It is not left out in silence, and what has no price bound is told to who keeps the budget."""
    made = parsed(**fields)
    assert (made.native_only, made.unbounded) == (native_only, unbounded)


def test_thoughts_of_others_do_not_go_to_anthropic_unsigned() -> None:
    """It refuses what it did not think; so the request is translated, and the thought left out there."""
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    assert parsed(**turns(thought)).native is None


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no max_tokens": ({"max_tokens": None}, "max_tokens"),
    "no messages": ({"messages": []}, "messages"),
    "a role": ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].role"),
    "a block without a type": (user({"text": "x"}), "messages[0].content[0].type"),
    "a type that is no word": (turns({"type": []}), "messages[1].content[0].type"),
    "a tier that is no word": ({"service_tier": []}, "service_tier"),
    "text that is none": (user({"type": "text", "text": 1}), "messages[0].content[0].text"),
    "an image without a source": (user({"type": "image"}), "messages[0].content[0].source"),
    "an inner block": (
        user({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]}),
        "messages[0].content[0].content[0].text",
    ),
    "a call's input": (turns({**CALL, "input": "x"}), "messages[1].content[0].input"),
    "a tool's schema": ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    "a choice without tools": ({"tool_choice": {"type": "auto"}}, "tool_choice"),
    "a choice without a name": (
        {"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "tool"}}, "tool_choice.name",
    ),
    "a temperature": ({"temperature": 1.5}, "temperature"),
    "a stop": ({"stop_sequences": [""]}, "stop_sequences[0]"),
    "a format": ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    "an address": ({"base_url": "http://x"}, "base_url"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(fields: Any, param: str) -> None:
    """By its place in the client's own request."""
    with pytest.raises(BadRequest) as refused:
        parsed(**fields)
    assert refused.value.param == param


def test_top_k_is_not_dropped_in_silence() -> None:
    """It changes answers."""
    with pytest.raises(BadRequest, match="top_k"):
        openai_plain.plain(parsed(top_k=3).raw)


def test_tokens_are_counted_without_what_is_no_text() -> None:
    """An image is not worth its bytes; a count needs no max_tokens."""
    body: dict[str, Any] = {"model": "m", "messages": HELLO["messages"]}
    plain = anthropic.count(json.dumps(body).encode())
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x" * 100_000}}
    model, shown = anthropic.count(json.dumps({**body, **user(picture)}).encode())
    assert (plain[0], model) == ("m", "m")
    assert plain[1] + 1600 < shown < 2000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["type", "text", "role", "content", "source", "tool_use", "id", "name", "input", "data", "url", "thinking"]
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
KINDS = ("text", "image", "document", "tool_use", "tool_result", "thinking", "search_result", "x")
MEMBERS = ("text", "source", "content", "id", "name", "input", "tool_use_id", "thinking", "title")
BLOCK = st.fixed_dictionaries({"type": st.sampled_from(KINDS)}, optional=dict.fromkeys(MEMBERS, JSON))


@given(st.lists(BLOCK | JSON, max_size=3), st.sampled_from(["user", "assistant", "system"]), JSON)
def test_anything_is_parsed_or_refused(blocks: Any, role: str, system: Any) -> None:
    """Never another exception; what is parsed can be rendered for OpenAI."""
    try:
        made = parsed(messages=[{"role": role, "content": blocks}], system=system)
    except GatewayError:
        return
    json.dumps(openai_plain.plain(made.raw))
