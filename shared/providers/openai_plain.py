"""A request that came in another dialect, as OpenAI takes it: without the members that only the hub has.

Marks for a cache and thoughts of earlier turns change no answer, so they are left out. Images that a tool answered with
are shown by the user, right after the answers of the tools: OpenAI takes none in a tool's own message. That a tool has
failed is told in words, for the same reason.
"""

from __future__ import annotations

from typing import Any

from shared.core.errors import Untranslatable

_BESIDE = frozenset({"cache_control", "is_error", "reasoning_content", "reasoning_details"})


def plain(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the body without what OpenAI does not know.

    Raises:
        BadRequest: what it does not know would change the answer; `param` names the field.
    """
    if raw.get("top_k") is not None:
        raise Untranslatable("The provider of this model does not take 'top_k'. Leave it out.", param="top_k")
    body = {name: value for name, value in raw.items() if name not in {"thinking", "top_k"}}
    body["messages"] = _messages(raw["messages"])
    if "tools" in raw:
        body["tools"] = [_without(tool) for tool in raw["tools"]]
    return body


def _messages(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []  # by the tools that answer now
    for message in given:
        if message["role"] != "tool" and shown:
            found.append({"role": "user", "content": shown})
            shown = []
        made = _without(message)
        content = made.get("content")
        if isinstance(content, list):
            parts = [_without(part) for part in content]
            if message["role"] == "tool":
                shown += [part for part in parts if part["type"] != "text"]
                made["content"] = "\n".join(part["text"] for part in parts if part["type"] == "text")
            else:
                made["content"] = parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts
        if message.get("is_error"):
            made["content"] = f"Error: {made.get('content') or 'the tool failed'}"
        if "tool_calls" in made:
            made["tool_calls"] = [_without(call) for call in made["tool_calls"]]
        found.append(made)
    return [*found, {"role": "user", "content": shown}] if shown else found


def _without(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in _BESIDE}
