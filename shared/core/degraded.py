"""What the catalog has answered when nobody can serve a model: a completion like any other, of a text written there."""

from __future__ import annotations

from typing import Any

FINISH = "stop"


def answer(text: str, model: str, request_id: str, now: int) -> dict[str, Any]:
    """Return the whole completion, in the hub's form; `now` is in epoch seconds."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH}
    said = {"id": f"chatcmpl-{request_id}", "object": "chat.completion", "created": now, "model": model}
    return {**said, "choices": [choice]}


def chunks(said: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the same as the chunks of a stream: the text, and the end."""
    shared = {**said, "object": "chat.completion.chunk"}
    [choice] = said["choices"]
    told = {"index": 0, "logprobs": None}
    delta = {"role": "assistant", "content": choice["message"]["content"]}
    first = {**told, "delta": delta, "finish_reason": None}
    last: dict[str, Any] = {**told, "delta": {}, "finish_reason": FINISH}
    return [{**shared, "choices": [part]} for part in (first, last)]
