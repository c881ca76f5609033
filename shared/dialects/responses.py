"""OpenAI's Responses API: `POST /v1/responses`, its stream of numbered events. Nothing is stored.

Every event of a stream that tells the response's state repeats what was asked, as OpenAI does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import errors, sse
from shared.core.wire import encode
from shared.dialects.dialect import Dialect, Writer, named
from shared.dialects.responses_output import Output
from shared.dialects.responses_request import parse

if TYPE_CHECKING:
    from shared.core.chat import Chat
    from shared.core.usage import Usage

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_FIELDS = {  # as the hub calls them, and as the client does
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "messages": "input",
    "logprobs": "top_logprobs",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
_RATE_LIMITED = 429


class ResponsesWriter(Writer):
    """Writes responses."""

    def __init__(self, request: Chat) -> None:
        self._asked = request.native[1] if request.native else {}
        self._model = request.model
        self._events: list[bytes] = []
        self._count = 0
        self._output: Output | None = None
        self._head: dict[str, Any] = {}
        self._finish = "stop"

    def whole(self, found: dict[str, Any], usage: Usage) -> bytes:
        """Render the response."""
        self._head = self._begun(found)
        output = self._output = Output(self._id, lambda *_args, **_members: None, sealed=self._sealed)
        choice = found["choices"][0]
        self._finish = choice["finish_reason"]
        output.take(choice["message"], choice.get("logprobs"))
        output.finish(self._status)
        return encode(self._response(self._status, usage))

    def chunk(self, found: dict[str, Any]) -> bytes:
        """Render a chunk as the events that it means."""
        output = self._output or self._opened(found)
        for choice in found["choices"]:
            output.take(choice["delta"], choice.get("logprobs"))
            if choice["finish_reason"]:
                self._finish = choice["finish_reason"]
                output.finish(self._status)
        return self._told()

    def end(self, usage: Usage) -> bytes:
        """Render the response as it has become."""
        self._emit(f"response.{self._status}", response=self._response(self._status, usage))
        return self._told()

    def failed(self, error: Exception) -> bytes:
        """Render the failed response, and then the event that makes SDKs raise: they pass over the first."""
        known = errors.translate(error)
        code = "rate_limit_exceeded" if known.status == _RATE_LIMITED else "server_error"
        failure = {"code": code, "message": known.message}
        self._count -= len(self._events)
        self._events.clear()  # those of a chunk that could not be told to its end
        self._emit("response.failed", response={**self._response("failed"), "error": failure})
        body = named(known, _FIELDS)
        told = {name: body[name] for name in ("code", "message", "param")}
        self._emit("error", **told, error=body)
        return self._told()

    @property
    def _status(self) -> str:
        return "incomplete" if self._finish in _INCOMPLETE else "completed"

    @property
    def _id(self) -> str:
        id_: str = self._head["id"]
        return id_.removeprefix("resp_")

    @property
    def _sealed(self) -> bool:
        return "reasoning.encrypted_content" in (self._asked.get("include") or ())

    def _emit(self, kind: str, **members: object) -> None:
        self._events.append(sse.named(kind, {"type": kind, "sequence_number": self._count, **members}))
        self._count += 1

    def _told(self) -> bytes:
        told = b"".join(self._events)
        self._events.clear()
        return told

    def _opened(self, found: dict[str, Any]) -> Output:
        self._head = self._begun(found)
        for kind in ("created", "in_progress"):
            self._emit(f"response.{kind}", response=self._response("in_progress"))
        self._output = Output(self._id, self._emit, sealed=self._sealed)
        return self._output

    def _begun(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return the members that no event changes: what was asked, and whose answer it is."""
        asked = self._asked
        tools = asked.get("tools") or []
        text = asked.get("text") or {}
        return {
            "id": f"resp_{found['id'].removeprefix('chatcmpl-')}",
            "object": "response",
            "created_at": found["created"],
            "model": found["model"],
            "background": False,
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "metadata": asked.get("metadata") or {},
            "parallel_tool_calls": asked.get("parallel_tool_calls") is not False,
            "previous_response_id": None,
            "reasoning": {"summary": None, **({"effort": None} | (asked.get("reasoning") or {}))},
            "service_tier": found.get("service_tier"),
            "store": False,
            "temperature": 1.0 if asked.get("temperature") is None else asked["temperature"],
            "text": {**text, "format": text.get("format") or {"type": "text"}},
            "tool_choice": asked.get("tool_choice") or "auto",
            "tools": tools,
            "top_p": 1.0 if asked.get("top_p") is None else asked["top_p"],
            "truncation": "disabled",
        }

    def _response(self, status: str, usage: Usage | None = None) -> dict[str, Any]:
        reason = {"reason": _INCOMPLETE[self._finish]} if status == "incomplete" else None
        return {
            **self._head,
            "status": status,
            "error": None,
            "incomplete_details": reason,
            "output": self._output.items if self._output else [],
            "usage": counted(usage) if usage else None,
        }


def counted(usage: Usage) -> dict[str, Any]:
    """Render `usage` as this API does."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def envelope(error: Exception) -> bytes:
    """Render an error as a whole body."""
    return encode({"type": "error", "error": named(error, _FIELDS)})


RESPONSES = Dialect(parse, ResponsesWriter, envelope)
