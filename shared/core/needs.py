"""What a request asks of a model: which capabilities, and how long a context. Read once, and lazily where it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from shared.core.chat import Chat
from shared.core.usage import estimate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.core.catalog import Capability, Model
    from shared.core.embeddings import Embeddings
    from shared.core.judgements import Judgement

IMAGE_TOKENS = 1_000  # of one image, for an estimate of a prompt's length
SPARSE_BYTES = 32  # of a body to one token, at most: a word of four Chinese characters is 24, written as escapes
_WHEN_ASKED = frozenset({"anthropic", "bedrock"})  # dialects whose models think for who asks only, or aloud
_DATA = "data:"
_FIELDS: dict[str, Capability] = {  # what asks for something once it is neither false nor zero nor empty
    "stream": "stream",
    "tools": "tools",
    "functions": "tools",
    "logprobs": "logprobs",
    "presence_penalty": "penalties",
    "frequency_penalty": "penalties",
}
_FORMATS: dict[str, Capability] = {"image_url": "vision", "input_audio": "audio", "file": "files"}


class Need(NamedTuple):
    """A capability, and the field that asks for it."""

    capability: Capability
    field: str


class Needs(NamedTuple):
    """All of it. `size` bounds the tokens of the prompt; `max_tokens` is 0 where the client has set no bound.

    Texts to be embedded are asked for nothing: what is too long for a model is cut by it, or refused by its provider.
    """

    needs: tuple[Need, ...] = ()
    size: int = 0
    max_tokens: int = 0
    images: int = 0
    raw: dict[str, Any] | None = None  # whose long parts are no text
    native_only: str = ""  # the field that only a provider of the client's own dialect can serve
    native: str = ""  # that dialect, "" if the request cannot be passed on in it

    def tokens(self) -> int:
        """Estimate the prompt's tokens; data in URLs, which is no text, counts as what it stands for."""
        return estimate(self._text()) + IMAGE_TOKENS * self.images

    def least_tokens(self) -> int:
        """Return the fewest tokens that the prompt can have."""
        return self._text() // SPARSE_BYTES

    @property
    def bound(self) -> str:
        """The field that bounds the answer."""
        given = self.raw and self.raw.get("max_completion_tokens") is not None
        return "max_completion_tokens" if given else "max_tokens"

    def _text(self) -> int:
        data = sum(map(_encoded, _parts(self.raw))) if self.raw else 0
        return max(0, self.size - data)


def of(request: Chat | Embeddings | Judgement) -> Needs:
    """Read what a request asks for."""
    if not isinstance(request, Chat):
        return Needs()
    native = request.native[0] if request.native_only and request.native else ""
    asked, most = tuple(_asked(request)), request.max_tokens or 0
    return Needs(asked, request.size, most, request.images, request.raw, request.native_only, native)


def thinks(request: Chat | Embeddings | Judgement, model: Model, dialect: str) -> bool:
    """Tell whether an answer may cost tokens that nobody sees: thoughts that are billed, and not wholly shown."""
    if not isinstance(request, Chat) or "reasoning" not in (model.capabilities or ()):
        return False
    effort, thinking = request.raw.get("reasoning_effort"), request.raw.get("thinking") or {}
    asked = effort or thinking.get("type", "disabled") != "disabled"
    return effort != "none" and bool(asked or dialect not in _WHEN_ASKED)


def _asked(chat: Chat) -> Iterator[Need]:
    raw = chat.raw
    for field, capability in _FIELDS.items():
        if raw.get(field):
            yield Need(capability, field)
    if chat.n > 1:
        yield Need("choices", "n")
    if (raw.get("response_format") or {}).get("type") == "json_schema":
        yield Need("json_schema", "response_format")
    if raw.get("reasoning_effort") not in (None, "none"):
        yield Need("reasoning", "reasoning_effort")
    if raw.get("audio") or "audio" in (raw.get("modalities") or ()):
        yield Need("audio", "modalities")
    yield from _shown(chat)


def _shown(chat: Chat) -> Iterator[Need]:
    if chat.images:
        yield Need("vision", "messages")
    if chat.unbounded:  # perhaps for its parts
        kinds = {part.get("type") for part in _parts(chat.raw)} - {"image_url"}
        yield from (Need(_FORMATS[kind], "messages") for kind in _FORMATS if kind in kinds)


def _parts(raw: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts of all messages that are made of parts."""
    for message in raw.get("messages", ()):
        content = message.get("content")
        if isinstance(content, list):
            yield from content


def _encoded(part: dict[str, Any]) -> int:
    """Count the bytes of a part that are encoded data."""
    kind = part.get("type", "")
    inner = part.get(kind)
    if kind not in _FORMATS or not isinstance(inner, dict):
        return 0
    texts = (inner.get(name) for name in ("url", "data", "file_data"))
    return sum(len(text) for text in texts if isinstance(text, str) and (kind != "image_url" or text[:5] == _DATA))
