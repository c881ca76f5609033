"""What of a stream is a word, and what says only that there may be one."""

from __future__ import annotations

from typing import Any

import pytest

from shared.dialects.dialect import speaks

CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
SILENT: list[dict[str, Any]] = [{"role": "assistant"}, {"role": "assistant", "content": ""}, {"content": None}, {}]
WORDS: list[dict[str, Any]] = [
    {"content": " "},
    {"tool_calls": [CALL]},
    {"reasoning_content": "Hm"},
    {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
    {"refusal": "No."},
]


def event(kind: str, **members: Any) -> dict[str, Any]:
    """An event of Anthropic's, passed through."""
    return {"native": {"type": kind, "index": 0, **members}}


NATIVE_SILENT = [
    event("message_start", message={"role": "assistant"}),
    event("ping"),
    event("content_block_start", content_block={"type": "text", "text": ""}),
    event("content_block_start", content_block={"type": "thinking", "thinking": "", "signature": ""}),
    event("content_block_delta", delta={"type": "text_delta", "text": ""}),
    event("content_block_stop"),
]
NATIVE_WORDS = [
    event("content_block_start", content_block={"type": "text", "text": "Hi"}),
    event("content_block_start", content_block={"type": "tool_use", "id": "c", "name": "f", "input": {}}),
    event("content_block_delta", delta={"type": "text_delta", "text": "H"}),
    event("content_block_delta", delta={"type": "thinking_delta", "thinking": "Hm"}),
    event("content_block_delta", delta={"type": "signature_delta", "signature": "x"}),
    event("message_delta", delta={"stop_reason": "end_turn"}),
    event("message_stop"),
    event("of a kind that is new"),
]


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    """A chunk of the hub."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


@pytest.mark.parametrize("found", [*map(chunk, WORDS), chunk({}, "stop"), *NATIVE_WORDS], ids=str)
def test_a_word_a_call_a_thought_and_an_end_speak(found: dict[str, Any]) -> None:
    """Whoever says one of these is answering."""
    assert speaks(found)


@pytest.mark.parametrize("found", [*map(chunk, SILENT), {"choices": []}, *NATIVE_SILENT], ids=str)
def test_a_start_does_not(found: dict[str, Any]) -> None:
    """Servers send these before they have anything to say."""
    assert not speaks(found)
