"""Amazon Bedrock's Converse: a chat completion out of it, from any model family.

Requests are signed at the edge with the function's own role, unless the provider has a key. A stream comes in Amazon's
binary frames: the reason to have stopped first, and then, in a frame of its own, what it took.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.core import eventstream, wire
from shared.core.errors import UpstreamError
from shared.core.usage import Usage, count
from shared.providers import bedrock_errors, bedrock_request, hub
from shared.providers.adapter import Signing
from shared.providers.bedrock_messages import FORMAT
from shared.providers.documents import document
from shared.providers.translated import Translated, items, member, word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.errors import GatewayError
    from shared.providers.adapter import Head, HttpRequest
    from shared.providers.translated import Frames

_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}
_BROKEN = frozenset({"malformed_model_output", "malformed_tool_use"})


class BedrockChat(Translated):
    """One answer, whole or streamed."""

    stream_type = "application/vnd.amazon.eventstream"

    def request(self, secret: str) -> HttpRequest:
        """Translate the request; without a key it must still be signed."""
        self._secret = secret
        body = bedrock_request.translated(self._chat, self._target, self._provider)
        method = "converse-stream" if self._chat.stream else "converse"
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        made = self._post(f"model/{quote(self._target.model, safe='')}/{method}", headers, body)
        return made if secret else made._replace(signing=Signing("bedrock", self._target.region))

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate a refusal."""
        return bedrock_errors.from_answer(head, body, self._provider.name, self._secret)

    @property
    def _complete(self) -> bool:
        return self._answer.choice().finish is not None

    def _decoder(self) -> Frames:
        return eventstream.Decoder()

    def _whole(self, found: dict[str, Any]) -> dict[str, Any]:
        message = member(member(found, "output"), "message")
        if not isinstance(message.get("content"), list):
            raise UpstreamError("The provider answered without a message.")
        self._said = usage(member(found, "usage"))
        choice = _choice(message, _finish(word(found, "stopReason")))
        return self._answer.whole([hub.stopped_at(choice, _sequence(found))])

    def _frame(self, frame: eventstream.Message) -> list[dict[str, Any]]:
        if frame.headers.get(":message-type", "event") != "event":
            raise bedrock_errors.from_frame(frame, self._provider.name, self._secret)
        found = document(frame.payload)
        match frame.headers.get(":event-type"):
            case "contentBlockStart":
                return self._begun(member(member(found, "start"), "toolUse"))
            case "contentBlockDelta":
                return self._delta(member(found, "delta"), found.get("contentBlockIndex"))
            case "messageStop":
                told = self._answer.piece({}, _finish(word(found, "stopReason")))
                return [{**told, "choices": [hub.stopped_at(told["choices"][0], _sequence(found))]}]
            case "metadata":
                self._said = usage(member(found, "usage"))
                self._done = self._complete
            case _:
                pass
        return []

    def _begun(self, call: dict[str, Any]) -> list[dict[str, Any]]:
        return [self._answer.call(word(call, "toolUseId"), word(call, "name"))] if call else []

    def _delta(self, found: dict[str, Any], block: object) -> list[dict[str, Any]]:
        if text := word(found, "text"):
            return self._answer.text(text)
        if given := word(member(found, "toolUse"), "input"):
            return [self._answer.argument(max(self._answer.choice().calls - 1, 0), given)]
        thought = member(found, "reasoningContent")
        if not thought:
            return []
        return [self._answer.thought(_detail(thought, block if isinstance(block, int) else 0))]


def usage(found: Mapping[str, Any]) -> Usage | None:
    """Read a `usage` object; None if it is missing or absurd. The cache's tokens stand beside `inputTokens`."""
    prompt, completion = count(found.get("inputTokens")), count(found.get("outputTokens"))
    if prompt is None or completion is None:
        return None
    read = count(found.get("cacheReadInputTokens")) or 0
    written = count(found.get("cacheWriteInputTokens")) or 0
    longer = sum(count(one.get("inputTokens")) or 0 for one in items(found, "cacheDetails") if one.get("ttl") == "1h")
    return Usage(
        prompt=prompt + read + written,
        completion=completion,
        cached=read,
        cache_write=written,
        cache_write_long=min(written, longer),
    )


def _choice(message: dict[str, Any], finish: str) -> dict[str, Any]:
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    thoughts: list[dict[str, Any]] = []
    for number, block in enumerate(items(message, "content")):
        if text := word(block, "text"):
            texts.append(text)
        if call := member(block, "toolUse"):
            given = wire.encode(member(call, "input")).decode()
            calls.append(hub.function_call(word(call, "toolUseId"), word(call, "name"), given))
        if thought := member(block, "reasoningContent"):
            thoughts.append(_detail(member(thought, "reasoningText") or thought, number))
    return hub.choice(finish=finish, texts=texts, calls=calls, thoughts=thoughts)


def _detail(thought: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a thought, or a piece of one, as `reasoning_details` have it."""
    if data := word(thought, "redactedContent"):
        return {"type": "reasoning.encrypted", "data": data, "format": FORMAT, "index": number}
    known = {name: word(thought, name) for name in ("text", "signature") if word(thought, name)}
    return {"type": "reasoning.text", **known, "format": FORMAT, "index": number}


def _sequence(found: dict[str, Any]) -> str:
    """Return the sequence that ended the answer, where the model tells it."""
    return word(member(found, "additionalModelResponseFields"), "stop_sequence")


def _finish(reason: str) -> str:
    if reason in _BROKEN:
        raise UpstreamError(f"The provider broke its answer off: {reason}.")
    return _FINISHES.get(reason, "stop")
