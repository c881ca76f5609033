"""`POST /api/llm/generate`: text for a prompt, in the plainest shape there is, and what it cost.

    {"model", "prompt" or "messages", "system", "max_tokens", "temperature", "stream"}
    -> {"id", "text", "model", "provider", "usage", "cost_usd", "finish_reason"}

Whatever else a chat completion takes goes along. Streamed, each event has the next piece of `text`, and the last all
the other members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct

from shared.core import body, chat, errors, slips, sse
from shared.core.errors import BadRequest
from shared.core.fields import typed
from shared.core.pricing import usd
from shared.core.usage import to_openai
from shared.core.wire import encode
from shared.dialects.dialect import Dialect, Writer

if TYPE_CHECKING:
    from shared.core.chat import Chat
    from shared.core.usage import Usage

Text = Annotated[str, Meta(min_length=1)]
_DONE = b"data: [DONE]\n\n"


class Shared(Struct):
    """What requests for one text have in common; whatever else a chat completion takes goes along."""

    messages: list[Any] | None = None
    system: Text | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    stream: bool | None = None
    n: Literal[1] | None = None


class GenerateFields(Shared, kw_only=True):
    """The members of a request: one of `prompt` and `messages`, and the rest."""

    model: Annotated[str, Meta(min_length=1)]
    prompt: Text | None = None


def parse(data: bytes) -> Chat:
    """Read the body of a request.

    Raises:
        BadRequest: a field is wrong, or there is not exactly one of 'prompt' and 'messages'; `param` names it.
        TooLarge: the body is too large.
    """
    raw = body.parse(data)
    fields = typed(raw, GenerateFields)
    return chat_of(raw, data, fields, ("prompt", fields.prompt))


def chat_of(raw: dict[str, Any], data: bytes, fields: Shared, asking: tuple[str, str | None]) -> Chat:
    """Make a chat out of what was parsed from `data`; `asking` is the member that may hold the message, and its text.

    Raises:
        BadRequest: there is not exactly one of that and 'messages', or another field is wrong.
    """
    name, text = asking
    slips.refuse(raw, type(fields).__struct_fields__)
    if (text is None) == (fields.messages is None):
        raise BadRequest(f"Send '{name}' (a text) or 'messages' (as of a chat completion), one of them.", param=name)
    rest = {member: value for member, value in raw.items() if member not in {name, "system"}}
    before = [{"role": "system", "content": fields.system}] if fields.system else []
    said = [{"role": "user", "content": text}] if text else fields.messages or []
    return chat.read({**rest, "messages": [*before, *said]}, data)


class TextWriter(Writer):
    """Writes texts, under the name `text`."""

    text = "text"

    def __init__(self, request: Chat) -> None:
        self._model = request.model
        self._provider = ""
        self._cost: int | None = None
        self._id = ""
        self._finish = "stop"

    def bill(self, provider: str, model: str, cost: int | None) -> None:
        """Take note of who answered, and for how many nano-dollars."""
        self._provider, self._model, self._cost = provider, model, cost

    def whole(self, found: dict[str, Any], usage: Usage) -> bytes:
        """Render the text and what there is to tell of it."""
        choice = found["choices"][0]
        self._id, self._finish = found["id"], choice["finish_reason"]
        return encode(self.told(_said(choice["message"]), usage))

    def chunk(self, found: dict[str, Any]) -> bytes:
        """Render a piece of the text."""
        self._id = found["id"]
        for choice in found["choices"]:
            self._finish = choice["finish_reason"] or self._finish
        text = "".join(_said(choice["delta"]) for choice in found["choices"])
        return sse.frame({self.text: text}) if text else b""

    def end(self, usage: Usage) -> bytes:
        """Render what there is to tell of the text, and the end."""
        return sse.frame(self.told("", usage)) + _DONE

    def failed(self, error: Exception) -> bytes:
        """Render the error as the last event."""
        return sse.frame({"error": errors.body(error)})

    def told(self, text: str, usage: Usage) -> dict[str, Any]:
        """Return all that there is to tell of an answer."""
        return {
            "id": f"gen-{self._id.removeprefix('chatcmpl-')}",
            self.text: text,
            "model": self._model,
            "provider": self._provider,
            "usage": to_openai(usage),
            "cost_usd": None if self._cost is None else usd(self._cost),
            "finish_reason": self._finish,
        }


def _said(message: dict[str, Any]) -> str:
    return "".join(text for text in (message.get("content"), message.get("refusal")) if isinstance(text, str))


GENERATE = Dialect(parse, TextWriter, errors.envelope, bills=True)
