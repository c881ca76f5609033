"""The wire form of an answer: one JSON object, or the chunks of a stream as server-sent events."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from cdk.local.simulated import Json
    from cdk.local.simulated.answers import Answer

DONE = b"data: [DONE]\n\n"
_ARGUMENT_LETTERS = 8  # of a tool call's arguments in one chunk
_encode = msgspec.json.Encoder().encode


def encode(value: Json) -> bytes:
    """Return compact JSON; lone surrogates leave as escapes, as providers send them."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def frame(value: Json) -> bytes:
    """Return one server-sent event."""
    return b"data: %b\n\n" % encode(value)


def completion(head: dict[str, Any], given: list[Answer], usage: dict[str, Any]) -> dict[str, Any]:
    """Return a whole chat completion."""
    choices = [_choice(index, answer) for index, answer in enumerate(given)]
    return {**head, "object": "chat.completion", "choices": choices, "usage": usage}


def _choice(index: int, answer: Answer) -> dict[str, Any]:
    content = "".join(answer.words) if not answer.calls else None
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    if answer.calls:
        message["tool_calls"] = answer.calls
    return {"index": index, "message": message, "logprobs": None, "finish_reason": answer.finish}


def chunks(
    head: dict[str, Any], given: list[Answer], usage: dict[str, Any] | None, pieces: int
) -> list[dict[str, Any]]:
    """Return the chunks of a streamed completion; `usage` ends it if it was asked for, `pieces` 0 is one a word."""
    shape = {**head, "object": "chat.completion.chunk"}
    if usage is not None:
        shape["usage"] = None
    made: list[dict[str, Any]] = []
    for index, answer in enumerate(given):
        deltas = [{"role": "assistant", "content": None if answer.calls else "", "refusal": None}]
        deltas += _call_deltas(answer.calls) if answer.calls else _text_deltas(answer.words, pieces)
        made += [{**shape, "choices": [_chunk_choice(index, delta, None)]} for delta in deltas]
        made.append({**shape, "choices": [_chunk_choice(index, {}, answer.finish)]})
    if usage is not None:
        made.append({**shape, "choices": [], "usage": usage})
    return made


def _chunk_choice(index: int, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _text_deltas(said: list[str], pieces: int) -> list[dict[str, Any]]:
    if not pieces or pieces >= len(said):
        return [{"content": word} for word in said]
    edges = [len(said) * at // pieces for at in range(pieces + 1)]
    return [{"content": "".join(said[start:end])} for start, end in pairwise(edges)]


def _call_deltas(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    deltas = []
    for index, call in enumerate(calls):
        function = {"name": call["function"]["name"], "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": function}]})
        text = call["function"]["arguments"]
        for at in range(0, len(text), _ARGUMENT_LETTERS):
            part = {"arguments": text[at : at + _ARGUMENT_LETTERS]}
            deltas.append({"tool_calls": [{"index": index, "function": part}]})
    return deltas
