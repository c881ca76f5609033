"""OpenAI's chat dialect to the hub. Nearly the identity, were all providers that speak it to speak it well.

The stream is taken apart into events and each chunk is rebuilt as the SDKs' strict models want it: one id, one
`created`, the role once, usage apart. A stream that is cut looks like success to every SDK;
here it is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.core import sse, wire
from shared.core.errors import GatewayError, UpstreamError, UpstreamUnreadable
from shared.core.usage import Usage, estimate, from_openai
from shared.providers import openai_choices, openai_completions, openai_errors, openai_plain, openai_quirks
from shared.providers.adapter import HttpRequest
from shared.providers.documents import document
from shared.providers.openai_choices import Choice

if TYPE_CHECKING:
    from shared.core.catalog import Provider, Target
    from shared.core.chat import Chat
    from shared.providers.adapter import Head, Moment

_OWN = "://api.openai.com/"
USER_AGENT = "ai-nexus"
_EVENTS, _JSON = "text/event-stream", "application/json"
_NEVER_JSON = frozenset({"text/html", _EVENTS})


def post(provider: Provider, path: str, secret: str, body: dict[str, Any], accept: str) -> HttpRequest:
    """Make a request of our own headers only: nothing that a client sends may steer a provider."""
    headers = {"content-type": _JSON, "accept": accept, "user-agent": USER_AGENT}
    base = provider.base_url.rstrip("/")
    if provider.api_version:  # Azure: the model is the name of a deployment, which stands in the address
        path = f"openai/deployments/{quote(body['model'], safe='')}/{path}?api-version={provider.api_version}"
        headers["api-key"] = secret
    elif secret:
        headers["authorization"] = f"Bearer {secret}"
    return HttpRequest(f"{base}/{path}", headers, wire.encode(body))


def check(head: Head, *, stream: bool) -> None:
    """Raise UpstreamError for what SDKs take for an empty answer: a page, JSON for a stream, a stream for JSON."""
    if not 200 <= head.status < 300:  # noqa: PLR2004 - success, as HTTP has it
        raise UpstreamError(f"The provider answered with status {head.status}, which is not followed.")
    found = head.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found and (found != _EVENTS if stream else found in _NEVER_JSON):
        asked = "an event stream" if stream else "JSON"
        raise UpstreamError(f"The provider answered with another content type than {asked}.")


class OpenAIChat:
    """One chat completion, whole or streamed."""

    def __init__(self, chat: Chat, target: Target, provider: Provider, moment: Moment) -> None:
        self._chat = chat
        self._target = target
        self._provider = provider
        self._moment = moment
        self._continues = openai_completions.served(chat, target)  # a text, and answers no chat
        self._secret = ""
        self._decoder = sse.Decoder()
        self._done = False
        self._failure: GatewayError | None = None  # told once what came before it has left
        self._common: dict[str, Any] = {}  # the members that all chunks share
        self._choices: dict[int, Choice] = {}
        self._said: Usage | None = None
        self._usage_chunk: dict[str, Any] = {}
        self._estimate = Usage(prompt=estimate(chat.size), estimated=True)

    @property
    def done(self) -> bool:
        """Whether nothing that follows counts."""
        return self._done

    @property
    def usage(self) -> Usage:
        """What the provider said; until then, what was heard."""
        if self._said or not self._choices:
            return self._said or self._estimate
        heard = sum(max(choice.deltas, estimate(choice.size)) for choice in self._choices.values())
        return Usage(prompt=self._estimate.prompt, completion=heard, estimated=True)

    def request(self, secret: str) -> HttpRequest:
        """Forward the client's own body, with the model renamed, or what its dialect made of it.

        Raises:
            BadRequest: that has a field which means nothing to OpenAI.
        """
        self._secret = secret
        body = {**self._body(), "model": self._target.model}
        if self._chat.stream:  # a stream without usage could not be billed
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        if self._target.quirks or self._provider.ignores:
            body = openai_quirks.adapted(body, self._target, self._provider)
        path = "completions" if self._continues else "chat/completions"
        return post(self._provider, path, secret, body, _EVENTS if self._chat.stream else _JSON)

    def check(self, head: Head) -> None:
        """Refuse what is not what was asked for."""
        check(head, stream=self._chat.stream)

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate a refusal."""
        return openai_errors.from_answer(head, body, self._provider.name, self._secret)

    def reply(self, body: bytes) -> dict[str, Any]:
        """Repair a whole answer."""
        found = document(body)
        self._refuse_error(found)
        found = openai_completions.as_chat(found, "message") if self._continues else found
        choices = found.get("choices")
        if not isinstance(choices, list) or not choices:
            raise UpstreamError("The provider answered without a choice.")
        repaired = [openai_choices.whole(choice, at, self._moment.request_id) for at, choice in enumerate(choices)]
        self._said = from_openai(found.get("usage"))
        self._estimate = self._said or Usage(self._estimate.prompt, estimate(len(body)), estimated=True)
        return {**found, **self._shared(found, "chat.completion"), "choices": repaired}

    def chunk(self, data: bytes) -> list[dict[str, Any]]:
        """Take the next bytes of the stream; what precedes an error in them still leaves, then the error is raised."""
        told: list[dict[str, Any]] = []
        try:
            for event in self._decoder.feed(data):
                if chunk := self._event(event):
                    told.append(chunk)  # noqa: PERF401 - what precedes a failure is kept
        except sse.EventTooLargeError as error:
            self._fail(UpstreamUnreadable(f"The provider's stream cannot be read: {error}"))
        except GatewayError as error:
            self._fail(error)
        if self._failure and not told:
            raise self._failure
        return told

    def end(self) -> list[dict[str, Any]]:
        """Return what is left to say; raises if the provider stopped before it had finished."""
        if self._failure:
            raise self._failure
        told = [chunk for event in self._decoder.end() if (chunk := self._event(event))]
        if not self._choices:
            raise UpstreamError("The provider's stream ended without an answer.")
        open_ = [choice for choice in self._choices.values() if not choice.finish]
        if open_ and not self._done:
            raise UpstreamError("The provider's answer was cut off before it was complete.")
        told += [self._chunk({"choices": [choice.finishing()]}) for choice in open_]
        if self._usage_chunk:
            told.append({**self._usage_chunk, **self._common, "choices": []})
        return told

    def _body(self) -> dict[str, Any]:
        if self._continues:
            return openai_completions.body(self._chat)
        body = dict(openai_plain.plain(self._chat.raw) if self._chat.extended else self._chat.raw)
        if "max_tokens" in body and _OWN in self._provider.base_url:  # whose newer models refuse the older name
            older = body.pop("max_tokens")
            if body.get("max_completion_tokens") is None:  # a null bounds nothing
                body["max_completion_tokens"] = older
        return body

    def _fail(self, error: GatewayError) -> None:
        self._failure, self._done = error, True

    def _event(self, event: sse.Event) -> dict[str, Any] | None:
        data = event.data.strip()
        if self._done or not data:
            return None
        if data == sse.DONE:
            self._done = True
            return None
        found = document(data)
        if event.name == b"error":
            raise openai_errors.from_stream(found.get("error") or found, self._provider.name, self._secret)
        self._refuse_error(found)
        return self._translated(found)

    def _refuse_error(self, found: dict[str, Any]) -> None:
        if found.get("error"):
            raise openai_errors.from_stream(found["error"], self._provider.name, self._secret)

    def _translated(self, found: dict[str, Any]) -> dict[str, Any] | None:
        usage = found.get("usage")
        if usage:
            self._said = from_openai(usage) or self._said
            self._usage_chunk = found
        found = openai_completions.as_chat(found, "delta") if self._continues else found
        choices = found.get("choices")
        pieces = choices if isinstance(choices, list) else []
        repaired: list[dict[str, Any]] = []
        for position, piece in enumerate(pieces):
            if isinstance(piece, dict):
                at = self._index(position, piece)
                repaired += self._opened(at)
                repaired.append(self._choices[at].repair(piece))
        if repaired or found.get("moderation"):
            return self._chunk({**found, "choices": repaired})
        return None  # usage, told at the end; or a sign of life

    def _index(self, position: int, piece: dict[str, Any]) -> int:
        index = piece.get("index")
        return index if isinstance(index, int) and 0 <= index < self._chat.n else position

    def _opened(self, at: int) -> list[dict[str, Any]]:
        """Begin all choices up to `at`; return the roles of those before it: SDKs want to meet choices in order."""
        first = len(self._choices)
        for index in range(first, at + 1):
            self._choices[index] = Choice(index, self._moment.request_id)
        return [self._choices[index].repair({}) for index in range(first, at)]

    def _chunk(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return a chunk with what all of them share, and without usage."""
        if not self._common:
            self._common = self._shared(found, "chat.completion.chunk")
        found.update(self._common)
        found.pop("usage", None)
        return found

    def _shared(self, found: dict[str, Any], kind: str) -> dict[str, Any]:
        id_, created, model = found.get("id"), found.get("created"), found.get("model")
        return {
            "id": id_ if id_ and isinstance(id_, str) else f"chatcmpl-{self._moment.request_id}",
            "object": openai_completions.OBJECT if self._continues else kind,
            "created": int(created) if isinstance(created, int | float) else self._moment.now,
            "model": model if model and isinstance(model, str) else self._chat.model,
        }
