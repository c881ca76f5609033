"""Bedrock's Converse, by botocore's own service model, which judges requests, answers and events."""

from __future__ import annotations

import json
import struct
from binascii import crc32
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.validate import ParamValidator

from shared.providers.adapter import Signing
from tests.providers.wires.wire import Story, Wire

if TYPE_CHECKING:
    from shared.providers.adapter import HttpRequest

FINISHES = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "content_filtered"}


@cache
def service() -> Any:
    """Return botocore's model of the service."""
    return botocore.session.get_session().get_service_model("bedrock-runtime")


def valid(value: Any, shape: Any) -> None:
    """Have botocore judge a value: kinds and required members, and also that it knows all of them."""
    report = ParamValidator().validate(value, shape)
    assert not report.has_errors(), report.generate_report()


def judge(request: HttpRequest) -> dict[str, Any]:
    """Have botocore look at the body, and look at the rest."""
    method = "converse-stream" if request.headers["accept"] != "application/json" else "converse"
    assert request.url == f"https://bedrock-runtime.{{region}}.amazonaws.com/model/m-1/{method}"
    assert request.signing == Signing("bedrock", "")
    assert "authorization" not in request.headers
    body: dict[str, Any] = json.loads(request.body)
    valid({**body, "modelId": "m-1"}, service().operation_model("Converse").input_shape)
    return body


def usage(story: Story) -> dict[str, Any]:
    """Write what the answer took: 40 tokens read from the cache, 10 written into it, 6 of them for an hour."""
    return {
        "inputTokens": story.prompt - 50,
        "outputTokens": story.completion,
        "totalTokens": story.prompt + story.completion,
        "cacheReadInputTokens": 40,
        "cacheWriteInputTokens": 10,
        "cacheDetails": [{"ttl": "5m", "inputTokens": 4}, {"ttl": "1h", "inputTokens": 6}],
    }


def blocks(story: Story) -> list[dict[str, Any]]:
    """Write what the model thought, said and called."""
    thoughts = [
        {"reasoningContent": {"reasoningText": {"text": text, "signature": f"sig-{text}"}}} for text in story.thoughts
    ]
    texts = [{"text": text} for text in story.texts]
    calls = [{"toolUse": {"toolUseId": id_, "name": name, "input": given}} for id_, name, given in story.calls]
    return [*thoughts, *texts, *calls]


def whole(story: Story) -> dict[str, Any]:
    """Write a whole answer."""
    found = {
        "output": {"message": {"role": "assistant", "content": blocks(story)}},
        "stopReason": FINISHES[story.finish],
        "usage": usage(story),
        "metrics": {"latencyMs": 1},
    }
    valid(found, service().operation_model("Converse").output_shape)
    return found


def frame(payload: Any, **headers: str) -> bytes:
    """Write one frame; headers are named with `_` for `-`, and without the colon."""
    named = {f":{name.replace('_', '-')}": value for name, value in headers.items()}
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in named.items()
    )
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    start = struct.pack(">II", 16 + len(head) + len(body), len(head))
    message = start + struct.pack(">I", crc32(start)) + head + body
    return message + struct.pack(">I", crc32(message))


def event(kind: str, payload: dict[str, Any]) -> bytes:
    """Write one event, which botocore knows."""
    shapes = service().operation_model("ConverseStream").output_shape.members["stream"].members
    if kind in shapes:
        valid(payload, shapes[kind])
    return frame(payload, message_type="event", event_type=kind, content_type="application/json")


def stream(story: Story) -> list[bytes]:
    """Write the same answer as a stream."""
    found = [event("messageStart", {"role": "assistant"})]
    for index, block in enumerate(blocks(story)):
        found += filled(index, block)
    found.append(event("messageStop", {"stopReason": FINISHES[story.finish]}))
    found.append(event("metadata", {"usage": usage(story), "metrics": {"latencyMs": 1}}))
    return found


def filled(index: int, block: dict[str, Any]) -> list[bytes]:
    """Write a block piece by piece."""
    at = {"contentBlockIndex": index}
    start: list[bytes] = []
    deltas: list[dict[str, Any]]
    if "text" in block:
        deltas = [{"text": letter} for letter in block["text"]]
    elif "toolUse" in block:
        call = block["toolUse"]
        named = {"toolUseId": call["toolUseId"], "name": call["name"]}
        start = [event("contentBlockStart", {**at, "start": {"toolUse": named}})]
        text = json.dumps(call["input"])
        deltas = [{"toolUse": {"input": piece}} for piece in (text[:3], text[3:])]
    elif "redactedContent" in block["reasoningContent"]:
        deltas = [block]
    else:
        thought = block["reasoningContent"]["reasoningText"]
        deltas = [{"reasoningContent": {"text": letter}} for letter in thought["text"]]
        deltas.append({"reasoningContent": {"signature": thought["signature"]}})
    told = [event("contentBlockDelta", {**at, "delta": delta}) for delta in deltas]
    return [*start, *told, event("contentBlockStop", at)]


WIRE = Wire(
    dialect="bedrock",
    base_url="https://bedrock-runtime.{region}.amazonaws.com",
    whole=lambda story: json.dumps(whole(story)).encode(),
    stream=stream,
    judge=judge,
    stream_type="application/vnd.amazon.eventstream",
    keyless=True,
    closing=2,
    broken=frame({}, message_type="event")[:-1] + b"?",
    unknown=frame({"new": 1}, message_type="event", event_type="newEvent"),
)
