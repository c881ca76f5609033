"""Anthropic's Messages API, as its documentation shows exchanges; its SDK's types judge requests."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from pydantic import ConfigDict, TypeAdapter

from tests.providers.wires.wire import SECRET, Story, Wire, forced

if TYPE_CHECKING:
    from shared.providers.adapter import HttpRequest

FINISHES = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
STRICT = ConfigDict(extra="forbid")


@cache
def _types() -> tuple[TypeAdapter[Any], TypeAdapter[Any], TypeAdapter[Any]]:
    return (
        TypeAdapter(list[MessageCreateParamsNonStreaming], config=STRICT),
        TypeAdapter(list[MessageCreateParamsStreaming], config=STRICT),
        TypeAdapter(RawMessageStreamEvent),
    )


def judge(request: HttpRequest) -> dict[str, Any]:
    """Have the SDK's types look at the body, and look at the rest."""
    assert request.url == "https://api.anthropic.com/v1/messages"
    assert request.headers["x-api-key"] == SECRET
    assert request.headers["content-type"] == "application/json"
    body: dict[str, Any] = json.loads(request.body)
    typed = {name: value for name, value in body.items() if name not in {"temperature", "top_p", "top_k"}}
    assert request.headers["anthropic-version"] == ("2026-10-21" if typed == body else "2023-06-01")
    forced(_types()[1 if body.get("stream") else 0].validate_python([typed]))
    return body


def usage(story: Story) -> dict[str, Any]:
    """Write what the answer took: 40 tokens read from the cache, 10 written into it."""
    return {
        "input_tokens": story.prompt - 50,
        "cache_read_input_tokens": 40,
        "cache_creation_input_tokens": 10,
        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6},
        "output_tokens": story.completion,
        "output_tokens_details": {"thinking_tokens": 5},
    }


def blocks(story: Story) -> list[dict[str, Any]]:
    """Write what the model thought, said and called."""
    thoughts = [{"type": "thinking", "thinking": text, "signature": f"sig-{text}"} for text in story.thoughts]
    texts = [{"type": "text", "text": text} for text in story.texts]
    calls = [{"type": "tool_use", "id": id_, "name": name, "input": given} for id_, name, given in story.calls]
    return [*thoughts, *texts, *calls]


def message(story: Story) -> dict[str, Any]:
    """Write a whole message, which the SDK knows."""
    found = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": blocks(story),
        "stop_reason": FINISHES[story.finish],
        "stop_sequence": None,
        "usage": usage(story),
    }
    if story.finish == "content_filter":
        found["stop_details"] = {"type": "refusal", "category": "cyber", "explanation": "Not this."}
    Message.model_validate(found)
    return found


def event(found: dict[str, Any]) -> bytes:
    """Write one event."""
    return f"event: {found['type']}\ndata: {json.dumps(found)}\n\n".encode()


def stream(story: Story) -> list[bytes]:
    """Write the same message as a stream, in the order of the documentation."""
    whole = message(story)
    start = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    found: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        found += filled(index, block)
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None, "stop_details": whole.get("stop_details")}
    found.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": story.completion, **_details()}})
    found.append({"type": "message_stop"})
    for one in found:
        if one["type"] != "ping":
            _types()[2].validate_python(one)
    return [event(one) for one in found]


def _details() -> dict[str, Any]:
    return {"output_tokens_details": {"thinking_tokens": 5}}


def filled(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    """Write a block piece by piece."""
    empty: dict[str, dict[str, Any]] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    deltas: list[dict[str, Any]]
    match block["type"]:
        case "text":
            deltas = [{"type": "text_delta", "text": letter} for letter in block["text"]]
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": letter} for letter in block["thinking"]]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "redacted_thinking":
            deltas = []
        case _:
            text = json.dumps(block["input"]) if block["input"] else ""
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", text[:3], text[3:])]
    return [
        {"type": "content_block_start", "index": index, "content_block": {**block, **empty.get(block["type"], {})}},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


WIRE = Wire(
    dialect="anthropic",
    base_url="https://api.anthropic.com",
    whole=lambda story: json.dumps(message(story)).encode(),
    stream=stream,
    judge=judge,
)
