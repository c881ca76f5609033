"""Gemini's generateContent, as its documentation shows exchanges; its SDK's types judge both directions."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from google.genai import types
from pydantic import TypeAdapter

from tests.providers.wires.wire import SECRET, Story, Wire

if TYPE_CHECKING:
    from shared.providers.adapter import HttpRequest

FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
URL = "https://generativelanguage.googleapis.com/v1beta/models/m-1:"


@cache
def _types() -> dict[str, TypeAdapter[Any]]:
    return {
        "contents": TypeAdapter(list[types.Content]),
        "systemInstruction": TypeAdapter(types.Content),
        "tools": TypeAdapter(list[types.Tool]),
        "toolConfig": TypeAdapter(types.ToolConfig),
        "generationConfig": TypeAdapter(types.GenerationConfig),
        "serviceTier": TypeAdapter(types.ServiceTier),
    }


def judge(request: HttpRequest) -> dict[str, Any]:
    """Have the SDK's types, which know no other members, look at the body, and look at the rest."""
    assert request.url in {URL + "generateContent", URL + "streamGenerateContent?alt=sse"}
    assert request.headers["x-goog-api-key"] == SECRET
    body: dict[str, Any] = json.loads(request.body)
    for name, value in body.items():
        _types()[name].validate_json(json.dumps(value))
    return body


def candidate(parts: list[dict[str, Any]], finish: str = "", index: int = 0) -> dict[str, Any]:
    """Write one candidate."""
    return {
        "content": {"parts": parts, "role": "model"},
        "index": index,
        **({"finishReason": finish} if finish else {}),
    }


def answer(story: Story, candidates: list[dict[str, Any]], *, counted: bool = True) -> dict[str, Any]:
    """Write an answer, or one of a stream's, which the SDK knows."""
    usage = {"promptTokenCount": story.prompt, "cachedContentTokenCount": 40, "totalTokenCount": story.prompt}
    if counted:
        usage |= {"candidatesTokenCount": story.completion - 5, "thoughtsTokenCount": 5}
        usage["totalTokenCount"] += story.completion
    found = {"candidates": candidates, "usageMetadata": usage, "modelVersion": "m-1", "responseId": "resp_1"}
    types.GenerateContentResponse.model_validate_json(json.dumps(found))
    return found


def parts(story: Story) -> list[dict[str, Any]]:
    """Write what the model thought, said and called; of several calls the first is signed, and none has an id."""
    thoughts = [{"text": text, "thought": True} for text in story.thoughts]
    texts = [{"text": text} for text in story.texts]
    calls: list[dict[str, Any]] = [{"functionCall": {"name": name, "args": given}} for _, name, given in story.calls]
    if calls:
        calls[0]["thoughtSignature"] = "c2lnbmVk"
    return [*thoughts, *texts, *calls]


def whole(story: Story) -> dict[str, Any]:
    """Write a whole answer."""
    return answer(story, [candidate(parts(story), FINISHES[story.finish])])


def event(found: dict[str, Any]) -> bytes:
    """Write one event, with the ends of lines that Google sends."""
    return f"data: {json.dumps(found)}\r\n\r\n".encode()


def stream(story: Story) -> list[bytes]:
    """Write the same answer as a stream: calls whole, text in pieces, the reason with the last, which is empty."""
    pieces: list[dict[str, Any]] = []
    for part in parts(story):
        pieces += [part | {"text": letter} for letter in part["text"]] if "text" in part else [part]
    frames = [answer(story, [candidate([piece])], counted=False) for piece in pieces]
    frames.append(answer(story, [candidate([{"text": ""}], FINISHES[story.finish])]))
    return [event(frame) for frame in frames]


WIRE = Wire(
    dialect="gemini",
    base_url="https://generativelanguage.googleapis.com",
    whole=lambda story: json.dumps(whole(story)).encode(),
    stream=stream,
    judge=judge,
    unknown=b'data: {"newThing": 1}\r\n\r\n',
)
