"""Anthropic's Messages API: `POST /v1/messages`, its stream of events, its errors.

An answer is a row of blocks (thoughts, text, tool calls), each of which a stream opens, fills and closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import errors, sse
from shared.core.thoughts import interleaved
from shared.core.wire import encode
from shared.dialects import calls
from shared.dialects.anthropic_blocks import Blocks
from shared.dialects.anthropic_request import count, parse
from shared.dialects.dialect import Dialect, Writer, named

if TYPE_CHECKING:
    from shared.core.chat import Chat
    from shared.core.usage import Usage

__all__ = ["MESSAGES", "MessagesWriter", "count"]

_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_TYPES = {429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error"}
_FIELDS = {  # as the hub calls them, and as the client does
    "messages": "messages",
    "stop": "stop_sequences",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "response_format": "output_config.format",
    "reasoning_effort": "output_config.effort",
    "user": "metadata.user_id",
}
_ENDING = "message_stop"


class MessagesWriter(Writer):
    """Writes messages. What a provider of the same dialect said passes through."""

    def __init__(self, request: Chat) -> None:
        self._request = request
        self._blocks = Blocks()
        self._id = ""
        self._finish = ""
        self._stopped_at: str | None = None
        self._held = b""  # the last event of a native stream, which leaves at the end

    def whole(self, found: dict[str, Any], usage: Usage) -> bytes:
        """Render the message."""
        if "native" in found:
            return encode(self._completed(found["native"]))
        choice = found["choices"][0]
        message = choice["message"]
        content = [*_words(message), *_calls(message, choice["finish_reason"])]
        self._finish, self._stopped_at = choice["finish_reason"], _stopped_at(choice)
        told = self._message(found, content) | self._stop(called=content[-1:] and content[-1]["type"] == "tool_use")
        return encode(told | {"usage": counted(usage)})

    def chunk(self, found: dict[str, Any]) -> bytes:
        """Render a chunk as the events that it means."""
        if "native" in found:
            return self._native(found["native"])
        out = [] if self._id else [self._start(found)]
        for choice in found["choices"]:
            out.append(self._blocks.take(choice["delta"]))
            if choice["finish_reason"]:
                self._finish, self._stopped_at = choice["finish_reason"], _stopped_at(choice)
                out.append(self._blocks.finish(whole=self._finish != "length"))
        return b"".join(out)

    def end(self, usage: Usage) -> bytes:
        """Render why it stopped, the usage and the end."""
        if not self._id:
            return self._held
        delta = {"type": "message_delta", "delta": self._stop(called=self._blocks.called), "usage": counted(usage)}
        return self._blocks.close() + sse.named("message_delta", delta) + sse.named(_ENDING, {"type": _ENDING})

    def failed(self, error: Exception) -> bytes:
        """Render the event that makes SDKs raise."""
        return sse.named("error", {"type": "error", "error": _body(error)})

    def _start(self, found: dict[str, Any]) -> bytes:
        message = self._message(found, []) | {"stop_reason": None, "stop_sequence": None}
        usage = {"input_tokens": 0, "output_tokens": 0}  # nobody knows yet; `message_delta` tells
        return sse.named("message_start", {"type": "message_start", "message": {**message, "usage": usage}})

    def _message(self, found: dict[str, Any], content: list[dict[str, Any]]) -> dict[str, Any]:
        self._id = f"msg_{found['id'].removeprefix('chatcmpl-')}"
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": found["model"],
            "content": content,
        }

    def _stop(self, *, called: object) -> dict[str, Any]:
        if self._stopped_at in (self._request.raw.get("stop") or ()):
            return {"stop_reason": "stop_sequence", "stop_sequence": self._stopped_at}
        reason = _STOPS.get(self._finish, "end_turn")
        return {"stop_reason": "tool_use" if called and reason == "end_turn" else reason, "stop_sequence": None}

    def _native(self, event: dict[str, Any]) -> bytes:
        """Pass an event on, also of a type that is new; one without any says nothing, and strict SDKs break at it."""
        kind = event.get("type")
        if not isinstance(kind, str) or not (kind.isascii() and kind.isprintable()):
            return b""
        if kind == "message_start":
            event = {**event, "message": self._completed(event.get("message"))}
        if kind == _ENDING or self._held:
            self._held += sse.named(kind, event)
            return b""
        return sse.named(kind, event)

    def _completed(self, found: object) -> dict[str, Any]:
        """Return a native message with what SDKs rely on."""
        given = found if isinstance(found, dict) else {}
        known = {"type": "message", "role": "assistant", "stop_reason": None, "stop_sequence": None}
        lacking = {"id": "msg_unknown", "model": self._request.model, "content": [], "usage": {}}
        told = known | lacking | {name: value for name, value in given.items() if value is not None}
        used = told["usage"]
        told["usage"] = {"input_tokens": 0, "output_tokens": 0} | (used if isinstance(used, dict) else {})
        return told


def counted(usage: Usage) -> dict[str, Any]:
    """Render `usage` as Anthropic does: what was read from a cache is no part of `input_tokens`."""
    told: dict[str, Any] = {
        "input_tokens": usage.prompt - usage.cached - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }
    return told | ({"output_tokens_details": {"thinking_tokens": usage.reasoning}} if usage.reasoning else {})


def envelope(error: Exception) -> bytes:
    """Render an error as a whole body."""
    return encode({"type": "error", "error": _body(error)})


def _body(error: Exception) -> dict[str, object]:
    """Return the error object, with the types that Anthropic has."""
    known = errors.translate(error)
    kind = "billing_error" if isinstance(known, errors.BudgetExhausted) else _TYPES.get(known.status, known.type)
    return named(known, _FIELDS) | {"type": kind}


def _stopped_at(choice: dict[str, Any]) -> str | None:
    """Return the sequence that ended the answer: some providers tell it, as vLLM does."""
    found = choice.get("stop_reason")
    return found if isinstance(found, str) else None


def _words(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was thought and said."""
    details = message.get("reasoning_details")
    if isinstance(details, list) and details:
        return interleaved(details, _thought, _texts(message))
    text = message.get("reasoning_content") or message.get("reasoning")
    told = [{"type": "thinking", "thinking": text, "signature": ""}] if text and isinstance(text, str) else []
    return told + _texts(message)


def _thought(detail: dict[str, Any]) -> dict[str, Any] | None:
    if detail.get("data"):
        return {"type": "redacted_thinking", "data": detail["data"]}
    text = detail.get("text") or detail.get("summary") or ""
    signature = detail.get("signature") or ""
    return {"type": "thinking", "thinking": text, "signature": signature} if text or signature else None


def _texts(message: dict[str, Any]) -> list[dict[str, Any]]:
    said = (message.get("content"), message.get("refusal"))
    return [{"type": "text", "text": text, "citations": None} for text in said if text]


def _calls(message: dict[str, Any], finish: str) -> list[dict[str, Any]]:
    called = [call for call in message.get("tool_calls") or () if call["type"] == "function"]
    return [{"type": "tool_use", "id": call["id"], **_input(call["function"], finish)} for call in called]


def _input(function: dict[str, Any], finish: str) -> dict[str, Any]:
    """Return name and input of a call.

    Raises:
        UpstreamError: the arguments are no JSON object, although the answer was not cut short.
    """
    if finish != "length":
        calls.require_whole([function["arguments"]])
    return {"name": function["name"], "input": calls.arguments(function["arguments"]) or {}}


MESSAGES = Dialect(parse, MessagesWriter, envelope, id_header="request-id")
