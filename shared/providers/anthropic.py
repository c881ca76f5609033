"""Anthropic's Messages API: a chat completion out of it, or the client's own message through it.

A message is a row of blocks (thoughts, text, tool calls); its stream opens, fills and closes them one by one. The usage
comes in two halves, the prompt's with the first event and the answer's with the last but one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import sse, wire
from shared.core.errors import UpstreamError
from shared.core.usage import Usage
from shared.providers import anthropic_errors, anthropic_request, hub
from shared.providers.anthropic_messages import FORMAT
from shared.providers.anthropic_usage import usage
from shared.providers.documents import document
from shared.providers.translated import Translated, items, member, word

if TYPE_CHECKING:
    from shared.core.catalog import Provider, Target
    from shared.core.chat import Chat
    from shared.core.errors import GatewayError
    from shared.providers.adapter import Head, HttpRequest, Moment
    from shared.providers.translated import Frames

DIALECT = "anthropic"
_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class AnthropicChat(Translated):
    """One message, whole or streamed."""

    def __init__(self, chat: Chat, target: Target, provider: Provider, moment: Moment) -> None:
        super().__init__(chat, target, provider, moment)
        self._native = chat.native[1] if chat.native and chat.native[0] == DIALECT else None
        self._counted: dict[str, Any] = {}  # the provider's usage, as far as it is known
        self._calls: dict[int, tuple[int, str]] = {}  # by block: the call's number, and its input if nothing follows

    def request(self, secret: str) -> HttpRequest:
        """Translate the request, or pass the client's own on."""
        self._secret = secret
        if self._native is None:
            body = anthropic_request.translated(self._chat, self._target, self._provider)
        else:
            body = anthropic_request.native(self._chat, self._native, self._target)
        headers = {"anthropic-version": anthropic_request.version(body), **({"x-api-key": secret} if secret else {})}
        return self._post("v1/messages", headers, body)

    def end(self) -> list[dict[str, Any]]:
        """Return what is left to say; a client that speaks this dialect has heard it all."""
        told = super().end()
        return told if self._native is None else [piece for piece in told if "native" in piece]

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate a refusal."""
        return anthropic_errors.from_answer(head, body, self._provider.name, self._secret)

    def _decoder(self) -> Frames:
        return sse.Decoder()

    def _whole(self, found: dict[str, Any]) -> dict[str, Any]:
        if found.get("type") == "error":
            raise anthropic_errors.from_stream(member(found, "error"), self._provider.name, self._secret)
        if not isinstance(found.get("content"), list):
            raise UpstreamError("The provider answered without content.")
        self._said = usage(member(found, "usage"))
        if self._native is not None:
            return {"native": found}
        self._opened(found)
        return self._answer.whole([_choice(found)])

    def _frame(self, frame: sse.Event) -> list[dict[str, Any]]:
        found = document(frame.data)
        kind = word(found, "type") or frame.name.decode("ascii", "replace")
        if kind == "error":
            raise anthropic_errors.from_stream(member(found, "error"), self._provider.name, self._secret)
        told = self._event(kind, found)
        return told if self._native is None else [{"native": found}]

    def _event(self, kind: str, found: dict[str, Any]) -> list[dict[str, Any]]:
        """Note what an event says, and translate it; an unknown one says nothing, as their documentation wants it."""
        index = found.get("index")
        block = index if isinstance(index, int) else 0
        match kind:
            case "message_start":
                self._opened(member(found, "message"))
                self._count(member(member(found, "message"), "usage"), last=False)
            case "content_block_start":
                return self._begun(block, member(found, "content_block"))
            case "content_block_delta":
                return self._delta(block, member(found, "delta"))
            case "content_block_stop" if block in self._calls:
                number, given = self._calls.pop(block)
                return [self._answer.argument(number, given)] if given else []
            case "message_delta":
                self._count(member(found, "usage"), last=True)
                return self._stopping(member(found, "delta"))
            case "message_stop":
                self._done = True
            case _:
                pass
        return []

    def _begun(self, block: int, found: dict[str, Any]) -> list[dict[str, Any]]:
        match word(found, "type"):
            case "text":
                return self._answer.text(word(found, "text"))
            case "thinking" if word(found, "thinking"):
                return self._delta(block, {"type": "thinking_delta", "thinking": found["thinking"]})
            case "redacted_thinking":
                return [self._answer.thought(_detail(found, block))]
            case "tool_use":
                number = self._answer.choice().calls
                self._calls[block] = number, wire.encode(member(found, "input")).decode()
                return [self._answer.call(word(found, "id"), word(found, "name"))]
            case _:
                return []

    def _delta(self, block: int, found: dict[str, Any]) -> list[dict[str, Any]]:
        match word(found, "type"):
            case "text_delta":
                return self._answer.text(word(found, "text"))
            case "input_json_delta" if block in self._calls and word(found, "partial_json"):
                number, _ = self._calls[block]
                self._calls[block] = number, ""
                return [self._answer.argument(number, found["partial_json"])]
            case "thinking_delta" if word(found, "thinking"):
                return [self._answer.thought({**_detail({"type": "thinking"}, block), "text": found["thinking"]})]
            case "signature_delta":
                signature = word(found, "signature")
                return [self._answer.thought({**_detail({"type": "thinking"}, block), "signature": signature})]
            case _:
                return []

    def _stopping(self, found: dict[str, Any]) -> list[dict[str, Any]]:
        reason = word(found, "stop_reason")
        if not reason:
            return []
        refusal = _refusal(found)
        told = self._answer.piece({"refusal": refusal} if refusal else {}, _finish(reason))
        return [{**told, "choices": [hub.stopped_at(told["choices"][0], word(found, "stop_sequence"))]}]

    def _opened(self, message: dict[str, Any]) -> None:
        self._answer.id = word(message, "id") or self._answer.id
        self._answer.model = word(message, "model") or self._answer.model

    def _count(self, found: dict[str, Any], *, last: bool) -> None:
        """Take a half of the usage: the first tells the prompt's, and only the last the answer's."""
        self._counted |= {name: value for name, value in found.items() if value is not None}
        counted = usage(self._counted)
        if last:
            self._said = counted or self._said
        elif counted:
            self._estimate = Usage(counted.prompt, estimated=True)


def _choice(found: dict[str, Any]) -> dict[str, Any]:
    """Translate the blocks of a whole message."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    thoughts: list[dict[str, Any]] = []
    for number, block in enumerate(items(found, "content")):
        match word(block, "type"):
            case "text":
                texts.append(word(block, "text"))
            case "tool_use":
                given = wire.encode(member(block, "input")).decode()
                calls.append(hub.function_call(word(block, "id"), word(block, "name"), given))
            case "thinking" | "redacted_thinking":
                thoughts.append(_detail(block, number))
            case _:
                pass
    finish = _finish(word(found, "stop_reason"))
    made = hub.choice(finish=finish, texts=texts, calls=calls, thoughts=thoughts, refusal=_refusal(found))
    return hub.stopped_at(made, word(found, "stop_sequence"))


def _detail(block: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a thought as `reasoning_details` have it, whole, or begun where the block has no words yet."""
    if word(block, "type") == "redacted_thinking":
        return {"type": "reasoning.encrypted", "data": word(block, "data"), "format": FORMAT, "index": number}
    told = {"text": word(block, "thinking"), "signature": word(block, "signature")}
    known = {name: text for name, text in told.items() if text}
    return {"type": "reasoning.text", **known, "format": FORMAT, "index": number}


def _finish(reason: str) -> str:
    return _FINISHES.get(reason, "stop")


def _refusal(found: dict[str, Any]) -> str | None:
    """Return why the provider refuses to go on, if it does and says so."""
    return word(member(found, "stop_details"), "explanation") or None
