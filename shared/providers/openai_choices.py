"""Choices, repaired to the strict models of the SDKs: in a stream, piece by piece, and whole."""

from __future__ import annotations

from typing import Any

from shared.core.errors import UpstreamError
from shared.core.usage import size
from shared.providers import openai_tools
from shared.providers.openai_tools import ToolCalls

FAILED = "error"  # a finish reason that some routers report a broken answer with
_FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_FOREIGN = {
    "max_tokens": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "safety": "content_filter",
    "recitation": "content_filter",
}


def finish_reason(found: object) -> str | None:
    """Return `found` as one of the five reasons that SDKs know; None if there is none yet.

    Raises:
        UpstreamError: the provider says that it failed.
    """
    if not isinstance(found, str) or not found:
        return None
    if found in _FINISHES:
        return found
    if found == FAILED:
        raise UpstreamError("The provider broke its answer off with an error.")
    return _FOREIGN.get(found.lower(), "stop")


class Choice:
    """One choice of one stream."""

    def __init__(self, index: int, request_id: str) -> None:
        self.index = index
        self.finish: str | None = None
        self.deltas = 0  # that said something: about as many tokens, if the provider does not count
        self.size = 0  # bytes of that
        self._named = False  # the role has been told
        self._request_id = request_id
        self._tools: ToolCalls | None = None

    def repair(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return the next piece of this choice as SDKs want it."""
        given = found.get("delta")
        delta = self._delta(given if isinstance(given, dict) else {})
        finish = finish_reason(found.get("finish_reason"))
        self.finish = finish or self.finish
        return {**found, "index": self.index, "delta": delta, "finish_reason": finish}

    def finishing(self) -> dict[str, Any]:
        """Return the last piece, for a provider that has said all and not why it stopped."""
        self.finish = "tool_calls" if self._tools else "stop"
        return {"index": self.index, "delta": {}, "logprobs": None, "finish_reason": self.finish}

    def _delta(self, given: dict[str, Any]) -> dict[str, Any]:
        delta = {name: value for name, value in given.items() if name not in {"role", "tool_calls"}}
        content, calls = delta.get("content"), given.get("tool_calls")
        if content is not None and not isinstance(content, str):
            delta["content"] = _text(content)
        if isinstance(calls, list) and calls:
            delta["tool_calls"] = self._called(calls)
        said = sum(size(value) for value in delta.values() if isinstance(value, str))
        if said:
            self.deltas += 1
            self.size += said
        if self._named:
            return delta
        self._named = True
        return {"role": "assistant", **delta}

    def _called(self, calls: list[Any]) -> list[dict[str, Any]]:
        self._tools = self._tools or ToolCalls(f"call_{self._request_id}_{self.index}")
        repaired = self._tools.repair(calls)
        self.deltas += 1
        self.size += sum(size(text) for call in repaired for text in call.get("function", {}).values() if text)
        return repaired


def whole(found: object, position: int, request_id: str) -> dict[str, Any]:
    """Repair one choice of a whole answer.

    Raises:
        UpstreamError: it holds no message.
    """
    message = found.get("message") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(message, dict):
        raise UpstreamError("The provider sent a choice without a message.")
    message = _message(message, f"call_{request_id}_{position}")
    finish = finish_reason(found.get("finish_reason")) or ("tool_calls" if message.get("tool_calls") else "stop")
    index = found.get("index")
    return {
        "logprobs": None,
        **found,
        "index": index if isinstance(index, int) else position,
        "message": message,
        "finish_reason": finish,
    }


def _message(found: dict[str, Any], prefix: str) -> dict[str, Any]:
    message = {"refusal": None, **found, "role": "assistant", "content": _text(found.get("content"))}
    calls = message.pop("tool_calls", None)
    if isinstance(calls, list) and calls:
        message["tool_calls"] = openai_tools.whole(calls, prefix)
    return message


def _text(content: object) -> str | None:
    """Return the content as text: some providers answer in parts."""
    if isinstance(content, list):
        return "".join(_part(part) for part in content)
    return content if isinstance(content, str) else None


def _part(part: object) -> str:
    text = part.get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else ""
