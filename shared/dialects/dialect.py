"""What a client dialect is: how its requests are read, and how answers, chunks and errors are written in it.

Between a dialect and an adapter everything is in one inner form, the hub: dicts as OpenAI's chat completions have them
(`chat.completion`, `chat.completion.chunk`), already repaired to what strict models want. A dialect never sees a
provider, an adapter never sees a client. Beyond OpenAI's own members the hub has

- `reasoning_content` (text) and `reasoning_details` (a list as OpenRouter has it: `{"type": "reasoning.text", "text",
  "signature"}`, `{"type": "reasoning.encrypted", "data"}`; placed as `shared.core.thoughts` has it) in messages and
  deltas,
- `cache_control` on parts, tools and messages; `is_error`, images and files in messages of tools,
- `top_k` and `thinking` beside `model`,

which only those providers get that know them. Where client and provider speak one dialect, `{"native": <event or whole
answer>}` passes through in place of a translation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from shared.core import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.core.chat import Chat
    from shared.core.embeddings import Embeddings
    from shared.core.judgements import Judgement
    from shared.core.usage import Usage

    Request = Chat | Embeddings | Judgement


_SILENT = frozenset({"message_start", "ping", "content_block_stop"})
_FILLED = frozenset({"text", "thinking"})  # blocks of Anthropic's that what follows fills


class Writer(Protocol):
    """Writes one answer, whole or streamed; it owns what it is given and may change it. One instance per try."""

    def bill(self, provider: str, model: str, cost: int | None) -> None:
        """Take note of who answered and for how many nano-dollars, before `whole` or `end`, if the dialect `bills`."""
        del provider, model, cost  # most tell neither in a body

    def whole(self, found: dict[str, Any], usage: Usage) -> bytes:
        """Render a whole answer."""

    def chunk(self, found: dict[str, Any]) -> bytes:
        """Render a chunk as the events that it means, perhaps none yet."""

    def end(self, usage: Usage) -> bytes:
        """Render the last events, usage among them; they leave once the exchange is settled."""

    def failed(self, error: Exception) -> bytes:
        """Render `error` as the last event of a stream that has begun."""


def speaks(found: Mapping[str, Any]) -> bool:
    """Tell whether a chunk has something of an answer in it: a word, a call, a reason to stop.

    A role, an empty block or a ping says only that there may be an answer.
    """
    event = found.get("native")
    if event is None:
        return any(_said(choice) for choice in found["choices"])
    kind, delta = event.get("type"), event.get("delta")
    if kind == "content_block_delta" and isinstance(delta, dict):
        return any(value for name, value in delta.items() if name != "type")
    if kind != "content_block_start":
        return kind not in _SILENT
    block = event.get("content_block")
    return not (isinstance(block, dict) and block.get("type") in _FILLED and not block.get(block["type"]))


def _said(choice: Mapping[str, Any]) -> bool:
    return bool(choice["finish_reason"]) or any(value for name, value in choice["delta"].items() if name != "role")


def named(error: Exception, names: Mapping[str, str]) -> dict[str, object]:
    """Return an error object that names the client's own field where the error names that of the hub.

    A plain BadRequest comes from reading the request, so it has the client's own name. Of a place in the conversation
    the field alone is told: its items are counted otherwise here.
    """
    found = errors.body(error)
    param = found["param"]
    own = _own(param, names) if isinstance(param, str) and type(error) is not errors.BadRequest else None
    if own is None:
        return found
    return {**found, "param": own, "message": str(found["message"]).replace(f"'{param}'", f"'{own}'")}


def _own(param: str, names: Mapping[str, str]) -> str | None:
    field, dot, inner = param.partition(".")
    field, _, place = field.partition("[")
    own = names.get(param) or names.get(field)
    return f"{own}.{inner}" if own and dot and not place and param not in names else own


class Dialect(NamedTuple):
    """One language.

    Attributes:
        parse: Reads the bytes of a request; raises BadRequest that names the client's own field, or TooLarge.
        writer: Makes the writer of an answer to that request.
        envelope: Renders an error as a whole body.
        id_header: Where its SDKs look for the request's id, beside `x-request-id`.
        bills: Its answers tell the provider and the cost in their bodies.
    """

    parse: Callable[[bytes], Request]
    writer: Callable[[Any], Writer]
    envelope: Callable[[Exception], bytes]
    id_header: str = "x-request-id"
    bills: bool = False
