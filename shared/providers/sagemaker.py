"""SageMaker endpoints whose containers speak OpenAI's dialect: chat and vectors, signed at the edge.

A target's model is the endpoint's name, and behind a slash the name that the model has in the container, if that is
another. A stream comes in Amazon's frames, whose payloads are the container's own bytes, cut anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from shared.core import eventstream, wire
from shared.core.errors import GatewayError, UpstreamError
from shared.providers import openai_errors
from shared.providers.adapter import Signing
from shared.providers.openai import OpenAIChat
from shared.providers.openai_embeddings import OpenAIEmbeddings

if TYPE_CHECKING:
    from shared.core.catalog import Provider, Target
    from shared.core.chat import Chat
    from shared.core.embeddings import Embeddings
    from shared.providers.adapter import Head, HttpRequest, Moment

FRAMES = "application/vnd.amazon.eventstream"
_MODEL_ERROR = 424


class SageMakerChat(OpenAIChat):
    """One chat completion, whole or streamed."""

    def __init__(self, chat: Chat, target: Target, provider: Provider, moment: Moment) -> None:
        super().__init__(chat, inner(target), provider, moment)
        self._endpoint = target
        self._frames = eventstream.Decoder()

    def request(self, secret: str) -> HttpRequest:
        """Send what OpenAI would get to the endpoint."""
        return _invocation(super().request(secret), self._endpoint, self._provider, stream=self._chat.stream)

    def check(self, head: Head) -> None:
        """Refuse what is not what was asked for; a stream is one of frames."""
        kind = head.headers.get("content-type", "")
        if self._chat.stream and kind.partition(";")[0].strip().lower() != FRAMES:
            raise UpstreamError("The provider answered with another content type than an event stream.")
        if not self._chat.stream:
            super().check(head)

    def chunk(self, data: bytes) -> list[dict[str, Any]]:
        """Take the next bytes of the stream; raises as for OpenAI, or because a frame is broken or tells an error."""
        told: list[dict[str, Any]] = []
        try:
            for frame in self._frames.feed(data):
                told += super().chunk(self._payload(frame))
        except eventstream.BrokenStreamError as error:
            self._fail(UpstreamError(f"The provider's stream cannot be read: {error}"))
        except GatewayError as error:
            self._fail(error)
        if self._failure and not told:
            raise self._failure
        return told

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate a refusal."""
        return refusal(head, body, self._provider.name)

    def _payload(self, frame: eventstream.Message) -> bytes:
        if frame.headers.get(":message-type", "event") == "event":
            return frame.payload
        found = openai_errors.error_object(frame.payload)
        raise openai_errors.from_stream(found, self._provider.name, "")


class SageMakerEmbeddings(OpenAIEmbeddings):
    """One list of vectors."""

    def __init__(self, request: Embeddings, target: Target, provider: Provider, moment: Moment) -> None:
        super().__init__(request, inner(target), provider, moment)
        self._endpoint = target
        self._name = provider

    def request(self, secret: str) -> HttpRequest:
        """Send what OpenAI would get to the endpoint."""
        return _invocation(super().request(secret), self._endpoint, self._name, stream=False)

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate a refusal."""
        return refusal(head, body, self._name.name)


def inner(target: Target) -> Target:
    """Return the target by the name that the model has in the container."""
    endpoint, _, model = target.model.partition("/")
    return replace(target, model=model or endpoint)


def _invocation(request: HttpRequest, target: Target, provider: Provider, *, stream: bool) -> HttpRequest:
    return invocation(request, target, provider, "invocations-response-stream" if stream else "invocations")


def invocation(request: HttpRequest, target: Target, provider: Provider, path: str) -> HttpRequest:
    """Send to the endpoint what would go to OpenAI."""
    base = provider.base_url.rstrip("/")
    base = base.replace("{region}", target.region) if target.region else base
    headers = {name: value for name, value in request.headers.items() if name != "authorization"}
    return request._replace(
        url=f"{base}/endpoints/{target.model.partition('/')[0]}/{path}",
        headers=headers,
        signing=Signing("sagemaker", target.region),
    )


def refusal(head: Head, body: bytes, provider: str) -> GatewayError:
    """Translate a refusal; what the container itself said comes wrapped."""
    try:
        found = wire.decode(body)
    except ValueError:
        found = None
    if head.status == _MODEL_ERROR and isinstance(found, dict):
        status, said = found.get("OriginalStatusCode"), found.get("OriginalMessage")
        original = status if isinstance(status, int) and 400 <= status < 600 else 500  # noqa: PLR2004 - HTTP's errors
        return openai_errors.from_answer(head._replace(status=original), str(said or "").encode(), provider, "")
    return openai_errors.from_answer(head, body, provider, "")
