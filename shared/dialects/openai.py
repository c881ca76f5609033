"""OpenAI's own dialect, for chat and vectors: the inner form is nearly what the client gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import chat, embeddings, errors, sse
from shared.core.usage import to_openai
from shared.core.wire import encode
from shared.dialects.dialect import Dialect

if TYPE_CHECKING:
    from shared.core.chat import Chat
    from shared.core.embeddings import Embeddings
    from shared.core.usage import Usage

_DONE = b"data: [DONE]\n\n"
_SHARED = ("id", "object", "created", "model")  # what all chunks of a stream have in common


class ChatWriter:
    """Writes chat completions. In a stream, usage comes only if it was asked for, and last: SDKs keep the last one."""

    def __init__(self, request: Chat) -> None:
        self._include_usage = request.include_usage
        self._last: dict[str, Any] = {}

    def whole(self, found: dict[str, Any], usage: Usage) -> bytes:
        """Render the completion."""
        found["usage"] = to_openai(usage, found.get("usage"))
        return encode(found)

    def chunk(self, found: dict[str, Any]) -> bytes:
        """Render a chunk; one that tells usage waits for the end."""
        self._last = found
        if "usage" in found:
            return b""
        if self._include_usage:
            found["usage"] = None
        return sse.frame(found)

    def end(self, usage: Usage) -> bytes:
        """Render the usage, if it was asked for, and the end."""
        if not self._include_usage:
            return _DONE
        last, said = self._last, self._last.get("usage")
        told = last if said else {name: last[name] for name in _SHARED}
        return sse.frame({**told, "choices": [], "usage": to_openai(usage, said)}) + _DONE

    def failed(self, error: Exception) -> bytes:
        """Render the event that makes SDKs raise."""
        return sse.frame({"error": errors.body(error)})


class VectorsWriter:
    """Writes lists of vectors, which are never streamed."""

    def __init__(self, _request: Embeddings) -> None:
        pass

    def whole(self, found: dict[str, Any], usage: Usage) -> bytes:
        """Render the list."""
        found["usage"] = {"prompt_tokens": usage.prompt, "total_tokens": usage.total}
        return encode(found)

    def chunk(self, _found: dict[str, Any]) -> bytes:
        """Refuse: there is no stream of vectors."""
        raise errors.UpstreamError("Embeddings are not streamed.")

    def end(self, _usage: Usage) -> bytes:
        """Refuse, as `chunk` does."""
        raise errors.UpstreamError("Embeddings are not streamed.")

    def failed(self, error: Exception) -> bytes:
        """Render the error as a body: no stream has begun."""
        return errors.envelope(error)


CHAT = Dialect(chat.parse, ChatWriter, errors.envelope)
EMBEDDINGS = Dialect(embeddings.parse, VectorsWriter, errors.envelope)
