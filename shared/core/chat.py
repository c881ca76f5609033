"""The request of `POST /v1/chat/completions`, typed: every documented field is checked, everything else passes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from shared.core import body, slips
from shared.core.errors import BadRequest
from shared.core.fields import typed
from shared.core.messages import (
    AssistantMessage,
    AudioPart,
    FilePart,
    Function,
    ImagePart,
    Message,
    Named,
    ResponseFormat,
    Tool,
    ToolChoice,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
MAX_STOPS = 4
# Upstreams that are gateways too would ask other models for them, or what has a price of its own.
_DETOURS = frozenset({"fallbacks", "models", "plugins"})
_BOUNDS = ("max_completion_tokens", "max_tokens")
USUAL_TIERS = frozenset({None, "auto", "default", "flex"})  # the others cost more than the prices that are known
_UNBOUNDED_PARTS = frozenset({AudioPart, FilePart})


class Chat(Struct, frozen=True):
    """A request for a chat completion.

    `raw` is in OpenAI's form: the client's own object, or what its dialect translated that into; the provider gets it,
    the model renamed. `native` is the client's own object in another dialect, with that dialect's name: a provider that
    speaks it gets that instead, and so loses nothing.
    """

    raw: dict[str, Any]
    model: str
    stream: bool
    include_usage: bool  # the client wants a usage chunk at the end of its stream
    n: int
    max_tokens: int | None  # the larger of `max_tokens` and `max_completion_tokens`, per choice; None if unbounded
    size: int  # bytes of the body: bounds the tokens of the prompt
    images: int = 0  # whose tokens it does not bound
    unbounded: str = ""  # the field that makes the price of the answer unforeseeable, if there is one
    caching: bool = True  # whether it may have the provider write into its cache
    extended: bool = False  # `raw` has members that a translation put there and OpenAI does not know
    native: tuple[str, dict[str, Any]] | None = None
    native_only: str = ""  # the field, if there is one, that nobody can serve who does not get `native`

    kind: ClassVar[Literal["chat"]] = "chat"


class StreamOptions(Struct):
    """How a stream is written."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Audio(Struct):
    """How a spoken answer sounds."""

    format: str
    voice: str | dict[str, Any]


class Prediction(Struct, tag="content"):
    """What much of the answer will look like."""

    content: str | list[dict[str, Any]]


class ChatFields(Struct):
    """The members of a request."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[Message], Meta(min_length=1, max_length=4096)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    tools: Annotated[list[Tool], Meta(max_length=1024)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Function] | None = None
    function_call: str | Named | None = None
    response_format: ResponseFormat | None = None
    modalities: list[str] | None = None
    audio: Audio | None = None
    prediction: Prediction | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    web_search_options: dict[str, Any] | None = None
    moderation: bool | str | dict[str, Any] | None = None


_FIELDS = frozenset(ChatFields.__struct_fields__)


def parse(data: bytes) -> Chat:
    """Read the body of a request.

    Raises:
        BadRequest: a field is wrong; `param` names it.
        TooLarge: the body is too large.
    """
    return read(body.parse(data), data)


def read(raw: dict[str, Any], data: bytes) -> Chat:
    """Read a request that its dialect has already taken out of `data`; raises as `parse` does."""
    body.refuse(raw, _DETOURS)
    slips.refuse(raw, _FIELDS)
    fields = typed(raw, ChatFields)
    _check_together(fields)
    parts = [part for message in fields.messages if type(message.content) is list for part in message.content]
    return Chat(
        raw=raw,
        model=fields.model,
        stream=bool(fields.stream),
        include_usage=bool(fields.stream_options and fields.stream_options.include_usage),
        n=fields.n or 1,
        max_tokens=max(fields.max_tokens or 0, fields.max_completion_tokens or 0) or None,
        size=len(data),
        images=sum(type(part) is ImagePart for part in parts),
        unbounded=_unbounded(fields, parts),
        caching=may_cache(data),
    )


def refuse_strange(given: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse members of a chat completion in a request of another dialect, whose members are those that are `known`.

    They would go along unread, and nothing would bound what they cost: several answers, say, or much longer ones.

    Raises:
        BadRequest: there is one, or one of its own members is mistyped.
    """
    slips.refuse(given, known)
    for name in ChatFields.__struct_fields__:
        if name not in known and given.get(name) is not None:
            raise BadRequest(
                f"The field '{name}' is one of chat completions, and not of this path. Remove it.", param=name
            )


def may_cache(data: bytes) -> bool:
    """Tell whether the body of a request may ask a provider to write into its cache."""
    return b"cache_control" in data or b"\\u" in data  # the second may spell the first


def bounded(chat: Chat, max_tokens: int) -> Chat:
    """Return the same request with answers of at most `max_tokens`."""
    given = [name for name in _BOUNDS if chat.raw.get(name) is not None] or _BOUNDS[:1]
    lowered = {name: min(chat.raw.get(name) or max_tokens, max_tokens) for name in given}
    return replace(chat, raw={**chat.raw, **lowered}, max_tokens=max_tokens)


def _unbounded(fields: ChatFields, parts: Sequence[object]) -> str:
    """Name the field for which providers charge by rates of its own, or more tokens than the body or `max_tokens`."""
    if fields.service_tier not in USUAL_TIERS:
        return "service_tier"
    if fields.web_search_options is not None:
        return "web_search_options"
    if fields.prediction is not None:
        return "prediction"
    if fields.audio is not None or "audio" in (fields.modalities or ()):
        return "modalities"
    replayed = any(type(message) is AssistantMessage and message.audio for message in fields.messages)  # by its id
    return "messages" if replayed or any(type(part) in _UNBOUNDED_PARTS for part in parts) else ""


def _check_together(fields: ChatFields) -> None:
    """Check what no single field's type can say."""
    if fields.stream_options and not fields.stream:
        raise BadRequest("'stream_options' is only allowed when 'stream' is true.", param="stream_options")
    if isinstance(fields.stop, list) and len(fields.stop) > MAX_STOPS:
        raise BadRequest(f"'stop' holds at most {MAX_STOPS} sequences.", param="stop")
    if fields.top_logprobs is not None and not fields.logprobs:
        raise BadRequest("'top_logprobs' is only allowed when 'logprobs' is true.", param="top_logprobs")
    if fields.tool_choice not in (None, "none", "auto") and not fields.tools:
        raise BadRequest("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
