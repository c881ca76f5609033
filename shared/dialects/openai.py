"""OpenAI's own dialect, for chats, vectors and verdicts: the inner form is nearly what the client gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import chat, embeddings, errors, judgements, sse
from shared.core.usage import to_openai
from shared.core.wire import encode
from shared.dialects.dialect import Dialect, Writer

if TYPE_CHECKING:
    from shared.core.chat import Chat
    from shared.core.embeddings import Embeddings
    from shared.core.judgements import Judgement
    from shared.core.usage import Usage

_DONE = b"data: [DONE]\n\n"
_SHARED = ("id", "object", "created", "model")  # what all chunks of a stream have in common


class ChatWriter(Writer):
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


class WholeWriter(Writer):
    """Writes answers that are never streamed, as they are."""

    def __init__(self, _request: Embeddings | Judgement) -> None:
        pass

    def whole(self, found: dict[str, Any], _usage: Usage) -> bytes:
        """Render the answer."""
        return encode(found)

    def chunk(self, _found: dict[str, Any]) -> bytes:
        """Refuse: there is no stream."""
        raise errors.UpstreamError("This answer is not streamed.")

    def end(self, _usage: Usage) -> bytes:
        """Refuse, as `chunk` does."""
        raise errors.UpstreamError("This answer is not streamed.")

    def failed(self, error: Exception) -> bytes:
        """Render the error as a body: no stream has begun."""
        return errors.envelope(error)


class VectorsWriter(WholeWriter):
    """Writes lists of vectors and rankings, whose usage is of a prompt only."""

    def whole(self, found: dict[str, Any], usage: Usage) -> bytes:
        """Render the list."""
        found["usage"] = {"prompt_tokens": usage.prompt, "total_tokens": usage.total}
        return encode(found)


CHAT = Dialect(chat.parse, ChatWriter, errors.envelope)
EMBEDDINGS = Dialect(embeddings.parse, VectorsWriter, errors.envelope)
MODERATIONS = Dialect(judgements.moderation, WholeWriter, errors.envelope)
RERANK = Dialect(judgements.rerank, VectorsWriter, errors.envelope)
