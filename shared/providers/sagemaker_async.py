"""SageMaker's asynchronous endpoints: the same containers, asked by way of S3, which may start from no instance at all.

They have no streams: who asks for one gets the whole answer as its one piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from shared.core.errors import UpstreamUnavailable
from shared.providers import openai_errors, sagemaker
from shared.providers.adapter import Deferred
from shared.providers.documents import document
from shared.providers.openai import OpenAIChat
from shared.providers.openai_embeddings import OpenAIEmbeddings

if TYPE_CHECKING:
    from shared.core.catalog import Provider, Target
    from shared.core.chat import Chat
    from shared.core.embeddings import Embeddings
    from shared.core.errors import GatewayError
    from shared.providers.adapter import Head, HttpRequest, Moment

_OF_STREAMS = frozenset({"stream", "stream_options"})
_FAILED = 500


class LaterChat(OpenAIChat):
    """One chat completion."""

    def __init__(self, chat: Chat, target: Target, provider: Provider, moment: Moment) -> None:
        raw = {name: value for name, value in chat.raw.items() if name not in _OF_STREAMS}
        super().__init__(replace(chat, raw=raw, stream=False), sagemaker.inner(target), provider, moment)
        self._endpoint = target
        self._heard = b""

    def request(self, secret: str) -> HttpRequest:
        """Ask the endpoint for what OpenAI would answer whole."""
        return _later(super().request(secret), self._endpoint, self._provider)

    def chunk(self, data: bytes) -> list[dict[str, Any]]:
        """Keep it: there is nothing to tell before it is whole."""
        self._heard += data
        return []

    def end(self) -> list[dict[str, Any]]:
        """Tell the whole answer at once; raises as for OpenAI."""
        found = document(self._heard)
        self._refuse_error(found)
        choices = found.get("choices")
        whole = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
        told = self._translated({**found, "choices": [_piece(choice) for choice in whole]})
        return [*([told] if told else []), *super().end()]

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate a refusal, or what the endpoint wrote down instead of an answer."""
        return _refusal(head, body, self._provider.name)


class LaterEmbeddings(OpenAIEmbeddings):
    """One list of vectors."""

    def __init__(self, request: Embeddings, target: Target, provider: Provider, moment: Moment) -> None:
        super().__init__(request, sagemaker.inner(target), provider, moment)
        self._endpoint = target

    def request(self, secret: str) -> HttpRequest:
        """Ask the endpoint for what OpenAI would answer."""
        return _later(super().request(secret), self._endpoint, self._provider)

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate a refusal, or what the endpoint wrote down instead of an answer."""
        return _refusal(head, body, self._provider.name)


def _later(request: HttpRequest, target: Target, provider: Provider) -> HttpRequest:
    storage = provider.storage
    if storage is None:
        raise UpstreamUnavailable(f"The provider '{provider.name}' has no storage.")
    made = sagemaker.invocation(request, target, provider, "async-invocations")
    answers = (storage.output, storage.failure) if storage.failure else (storage.output,)
    return made._replace(deferred=Deferred(storage.url, storage.input, answers))


def _piece(choice: dict[str, Any]) -> dict[str, Any]:
    """Write a choice of a whole answer as that of a stream."""
    message = choice.get("message")
    delta = dict(message) if isinstance(message, dict) else {}
    if isinstance(calls := delta.get("tool_calls"), list):
        delta["tool_calls"] = [{**call, "index": at} for at, call in enumerate(calls) if isinstance(call, dict)]
    return {**{name: value for name, value in choice.items() if name != "message"}, "delta": delta}


def _refusal(head: Head, body: bytes, provider: str) -> GatewayError:
    """Translate a refusal; what stands in a file of failures is plain text."""
    text = body.decode(errors="replace").strip()
    if head.status == _FAILED and text[:1] not in ("", "{", "[", "<"):
        return openai_errors.from_object(head, {"message": text}, provider, "")
    return sagemaker.refusal(head, body, provider)
