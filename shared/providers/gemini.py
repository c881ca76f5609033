"""Gemini's generateContent: a chat completion out of it.

A stream is a row of answers, each with the next parts, and all with the usage so far. Nothing marks its end: it has
said all when every candidate has a reason to have stopped. A prompt that Gemini blocks has no candidates at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import sse, wire
from shared.core.errors import UpstreamError
from shared.core.usage import Usage, count
from shared.providers import gemini_errors, gemini_request, hub
from shared.providers.documents import document
from shared.providers.gemini_contents import FORMAT
from shared.providers.translated import Translated, items, member, word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.errors import GatewayError
    from shared.providers.adapter import Head, HttpRequest
    from shared.providers.translated import Frames

_FINISHES = {"MAX_TOKENS": "length"} | dict.fromkeys(
    (
        "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR",
        "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
    ),
    "content_filter",
)  # fmt: skip
_BROKEN = frozenset({
    "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
})  # fmt: skip


class GeminiChat(Translated):
    """One answer, whole or streamed."""

    _refused = False  # the prompt is blocked, so nothing follows

    def request(self, secret: str) -> HttpRequest:
        """Translate the request."""
        self._secret = secret
        base = "" if "/v1" in self._provider.base_url else "v1beta/"
        method = "streamGenerateContent?alt=sse" if self._chat.stream else "generateContent"
        body = gemini_request.translated(self._chat, self._target, self._provider)
        return self._post(f"{base}models/{self._target.model}:{method}", gemini_errors.key(secret), body)

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate a refusal."""
        return gemini_errors.from_answer(head, body, self._provider.name, self._secret)

    @property
    def _complete(self) -> bool:
        finished = sum(choice.finish is not None for choice in self._answer.choices.values())
        return finished >= self._chat.n or self._refused

    def _decoder(self) -> Frames:
        return sse.Decoder()

    def _whole(self, found: dict[str, Any]) -> dict[str, Any]:
        self._noted(found)
        choices = [self._choice(at, one) for at, one in enumerate(items(found, "candidates"))]
        if not choices and (refusal := _blocked(found)):
            choices = [hub.choice(finish="content_filter", texts=[], calls=[], thoughts=[], refusal=refusal)]
        if not choices:
            raise UpstreamError("The provider answered without a candidate.")
        return self._answer.whole(choices)

    def _frame(self, frame: sse.Event) -> list[dict[str, Any]]:
        found = document(frame.data)
        self._noted(found)
        if (refusal := _blocked(found)) and not found.get("candidates"):
            self._refused = True
            return [self._answer.piece({"refusal": refusal}, "content_filter")]
        return [piece for one in items(found, "candidates") for piece in self._candidate(one)]

    def _noted(self, found: dict[str, Any]) -> None:
        """Take what all answers and pieces tell: an error, or whose it is and what it took so far."""
        if found.get("error"):
            raise gemini_errors.from_stream(found["error"], self._provider.name, self._secret)
        self._answer.id = word(found, "responseId") or self._answer.id
        self._answer.model = word(found, "modelVersion") or self._answer.model
        said = usage(member(found, "usageMetadata"))
        final = not self._chat.stream or any(one.get("finishReason") for one in items(found, "candidates"))
        if said and (final or _blocked(found)):
            self._said = said
        elif said:
            self._estimate = Usage(said.prompt, estimated=True)

    def _candidate(self, found: dict[str, Any]) -> list[dict[str, Any]]:
        index = found.get("index")
        at = index if isinstance(index, int) and 0 <= index < self._chat.n else 0
        told = [self._answer.piece({}, index=before) for before in range(len(self._answer.choices), at)]
        said = [piece for part in items(member(found, "content"), "parts") for piece in self._part(part, at)]
        told += _likely(said, _logprobs(found))
        reason = _finish(word(found, "finishReason"), calls=self._answer.choice(at).calls)
        return [*told, self._answer.piece({}, reason, index=at)] if reason else told

    def _part(self, part: dict[str, Any], at: int) -> list[dict[str, Any]]:
        text, signature = word(part, "text"), word(part, "thoughtSignature")
        if isinstance(call := part.get("functionCall"), dict):
            given = wire.encode(member(call, "args")).decode()
            return [self._answer.call(word(call, "id"), word(call, "name"), given, index=at, **_extra(signature))]
        if part.get("thought") is True:
            detail = {"type": "reasoning.text", "text": text, "format": FORMAT, "index": 0}
            return [self._answer.thought(detail, at)] if text else []
        signed = [self._answer.thought(_signed(signature), at)] if signature else []
        return self._answer.text(text, at) + signed

    def _choice(self, position: int, found: dict[str, Any]) -> dict[str, Any]:
        texts: list[str] = []
        calls: list[dict[str, Any]] = []
        thoughts: list[dict[str, Any]] = []
        for part in items(member(found, "content"), "parts"):
            signature = word(part, "thoughtSignature")
            if isinstance(call := part.get("functionCall"), dict):
                id_ = word(call, "id") or f"call_{self._moment.request_id}_{position}_{len(calls)}"
                given = wire.encode(member(call, "args")).decode()
                calls.append(hub.function_call(id_, word(call, "name"), given, **_extra(signature)))
            elif part.get("thought") is True:
                told = {"type": "reasoning.text", "text": word(part, "text"), "format": FORMAT}
                thoughts.append({**told, "index": len(thoughts)})
            else:
                texts.append(word(part, "text"))
                thoughts += [{**_signed(signature), "index": len(thoughts)}] if signature else []
        finish = _finish(word(found, "finishReason"), calls=len(calls)) or ("tool_calls" if calls else "stop")
        made = hub.choice(index=position, finish=finish, texts=texts, calls=calls, thoughts=thoughts)
        return made | {"logprobs": _logprobs(found)}


def usage(found: Mapping[str, Any]) -> Usage | None:
    """Read `usageMetadata`; None if it is missing or absurd. Thoughts stand beside what was said, and are both paid."""
    prompt, total = count(found.get("promptTokenCount")), count(found.get("totalTokenCount"))
    if prompt is None:
        return None
    used = prompt + (count(found.get("toolUsePromptTokenCount")) or 0)
    thought = count(found.get("thoughtsTokenCount")) or 0
    said = (count(found.get("candidatesTokenCount")) or 0) + thought
    cached = min(used, count(found.get("cachedContentTokenCount")) or 0)
    return Usage(used, max(said, (total or 0) - used), cached=cached, reasoning=thought)


def _likely(pieces: list[dict[str, Any]], logprobs: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Have the first piece with text tell how likely the text of all of them was."""
    for piece in pieces if logprobs else ():
        [choice] = piece["choices"]
        if choice["delta"].get("content"):
            choice["logprobs"] = logprobs
            break
    return pieces


def _logprobs(candidate: dict[str, Any]) -> dict[str, Any] | None:
    """Return how likely each token was, as OpenAI tells it; None if Gemini does not."""
    found = member(candidate, "logprobsResult")
    chosen = [_token(one) for one in items(found, "chosenCandidates")]
    tops = [[_token(top) for top in items(one, "candidates")] for one in items(found, "topCandidates")]
    tops += [[] for _ in chosen[len(tops) :]]
    content = [{**one, "top_logprobs": top} for one, top in zip(chosen, tops, strict=False)]
    return {"content": content, "refusal": None} if content else None


def _token(found: dict[str, Any]) -> dict[str, Any]:
    token, chance = word(found, "token"), found.get("logProbability")
    likely = chance if isinstance(chance, int | float) else 0.0  # JSON leaves a zero out
    return {"token": token, "logprob": likely, "bytes": list(token.encode("utf-8", "surrogatepass"))}


def _finish(reason: str, *, calls: int) -> str | None:
    """Return why a candidate has stopped, None if it has not.

    Raises:
        UpstreamError: it broke off.
    """
    if reason in _BROKEN:
        raise UpstreamError(f"The provider broke its answer off: {reason}.")
    if not reason:
        return None
    return _FINISHES.get(reason, "tool_calls" if calls else "stop")


def _blocked(found: dict[str, Any]) -> str:
    """Return the refusal of a prompt, "" if it is not refused."""
    reason = word(member(found, "promptFeedback"), "blockReason")
    return f"The provider refuses this prompt: {reason}." if reason else ""


def _extra(signature: str) -> dict[str, Any]:
    return {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}


def _signed(signature: str) -> dict[str, Any]:
    return {"type": "reasoning.encrypted", "data": signature, "format": FORMAT, "index": 1}
