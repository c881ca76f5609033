"""OpenAI's older `POST /v1/completions`: a prompt goes on. Any chat model serves it, as what one user says.

What goes on with a text can more than a chat: several prompts, tokens, a suffix, the probabilities of an echo, the best
of several. Targets that the catalog marks `completions` get the client's own request, and serve all of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from shared.core import body, chat, inputs, sse
from shared.core.errors import BadRequest
from shared.core.fields import typed
from shared.core.wire import encode
from shared.dialects.dialect import Dialect, named
from shared.dialects.logprobs import tokens
from shared.dialects.openai import ChatWriter

if TYPE_CHECKING:
    from shared.core.usage import Usage

NAME, OBJECT = "completions", "text_completion"
USUAL_TOKENS = 16  # of an answer, as OpenAI has it
MOST_PROMPTS = 128  # in one request, as many as there may be answers
_FIELDS = {"messages": "prompt", "top_logprobs": "logprobs"}  # as the hub calls them, and as the client does
_FINISHES = frozenset({"stop", "length", "content_filter"})
_OWN = frozenset({"prompt", "best_of", "echo", "suffix", "logprobs"})

Text = Annotated[str, Meta(min_length=1)]


class CompletionsFields(Struct):
    """The members of a request."""

    model: Text
    prompt: Text | list[Any]
    best_of: Annotated[int, Meta(ge=1, le=20)] | None = None
    echo: bool | None = None
    frequency_penalty: chat.Penalty | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    max_tokens: chat.Count | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    presence_penalty: chat.Penalty | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: chat.StreamOptions | None = None
    suffix: str | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    user: str | None = None


def parse(data: bytes) -> chat.Chat:
    """Read the body of a request.

    Raises:
        BadRequest: a field is wrong; `param` names it.
        TooLarge: the body is too large.
    """
    given = body.parse(data)
    fields = typed(given, CompletionsFields)
    chat.refuse_strange(given, CompletionsFields.__struct_fields__)
    prompts = inputs.listed(fields.prompt, "prompt", MOST_PROMPTS)
    answers = fields.best_of or fields.n or 1
    if answers < (fields.n or 1):
        raise BadRequest("'best_of' must be at least 'n'.", param="best_of")
    native = {**given, "max_tokens": fields.max_tokens or USUAL_TOKENS}
    said = "\n".join(prompt for prompt in prompts if isinstance(prompt, str))
    raw = {name: value for name, value in native.items() if name not in _OWN} | _told(fields.logprobs)
    return replace(
        chat.read({**raw, "messages": [{"role": "user", "content": said}]}, data),
        n=len(prompts) * answers,
        native=(NAME, native),
        native_only=_native_only(fields, prompts),
    )


def _told(logprobs: int | None) -> dict[str, Any]:
    if logprobs is None:
        return {}
    return {"logprobs": True} | ({"top_logprobs": logprobs} if logprobs else {})


def _native_only(fields: CompletionsFields, prompts: list[str] | list[list[int]]) -> str:
    """Name the field that asks for what no chat can do, "" if there is none."""
    if len(prompts) > 1 or not isinstance(prompts[0], str):
        return "prompt"
    if fields.suffix:
        return "suffix"
    if fields.echo and fields.logprobs is not None:
        return "echo"
    return "best_of" if fields.best_of and fields.best_of > (fields.n or 1) else ""


class CompletionsWriter(ChatWriter):
    """Writes completions; an echo of the prompt is put before what a chat says."""

    def __init__(self, request: chat.Chat) -> None:
        super().__init__(request)
        asked = request.native[1] if request.native else {}
        self._echo = request.raw["messages"][0]["content"] if asked.get("echo") else ""
        self._length: dict[int, int] = {}  # of each text, so far, in characters

    def whole(self, found: dict[str, Any], usage: Usage) -> bytes:
        """Render the completion."""
        return super().whole(self._completion(found, "message"), usage)

    def chunk(self, found: dict[str, Any]) -> bytes:
        """Render a chunk, if it says something."""
        told = self._completion(found, "delta")
        told["choices"] = [choice for choice in told["choices"] if choice["text"] or choice["finish_reason"]]
        out = super().chunk(told)
        return out if told["choices"] else b""

    def failed(self, error: Exception) -> bytes:
        """Render the event that makes SDKs raise."""
        return sse.frame({"error": _body(error)})

    def _completion(self, found: dict[str, Any], member: str) -> dict[str, Any]:
        own = found["object"] == OBJECT  # of a provider that went on with the prompt itself
        choice = self._own if own else self._of_chat
        found["id"] = f"cmpl-{found['id'].removeprefix('chatcmpl-').removeprefix('cmpl-')}"
        found["object"] = OBJECT
        found["choices"] = [choice(one, one[member]) for one in found["choices"]]
        return found

    def _own(self, choice: dict[str, Any], _said: dict[str, Any]) -> dict[str, Any]:
        return _choice(choice, choice.get("text") or "", choice.get("logprobs"))

    def _of_chat(self, choice: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
        index, text = choice["index"], "".join(_texts(said))
        echo = "" if index in self._length else self._echo
        start = self._length.get(index, 0) + len(echo)
        self._length[index] = start + len(text)
        return _choice(choice, echo + text, _logprobs(choice.get("logprobs"), start))


def _choice(choice: dict[str, Any], text: str, logprobs: object) -> dict[str, Any]:
    finish = choice["finish_reason"]
    reason = finish if finish in _FINISHES or finish is None else "stop"
    return {"text": text, "index": choice["index"], "logprobs": logprobs, "finish_reason": reason}


def _texts(said: dict[str, Any]) -> list[str]:
    return [text for text in (said.get("content"), said.get("refusal")) if isinstance(text, str)]


def _logprobs(found: object, start: int) -> dict[str, Any] | None:
    """Return the probabilities of a piece of text as this API has them; `start` is where the piece does."""
    known = tokens(found)
    if not known:
        return None
    words = [token["token"] for token in known]
    tops = [{top["token"]: top["logprob"] for top in token["top_logprobs"]} for token in known]
    return {
        "tokens": words,
        "token_logprobs": [token["logprob"] for token in known],
        "top_logprobs": tops if any(tops) else None,
        "text_offset": [start + sum(map(len, words[:at])) for at in range(len(words))],
    }


def envelope(error: Exception) -> bytes:
    """Render an error as a whole body."""
    return encode({"type": "error", "error": _body(error)})


def _body(error: Exception) -> dict[str, object]:
    return named(error, _FIELDS)


COMPLETIONS = Dialect(parse, CompletionsWriter, envelope)
