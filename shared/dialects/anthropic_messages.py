"""The turns of a Messages request as messages of a chat: each block becomes a part, a tool call, or a tool's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core.errors import BadRequest
from shared.core.fields import typed
from shared.core.wire import encode
from shared.dialects import anthropic_shapes as shapes

if TYPE_CHECKING:
    from shared.dialects.anthropic_shapes import Block, Message

_THOUGHTS = ("thinking", "redacted_thinking")


class Conversation:
    """A conversation in the making.

    Attributes:
        messages: What was said, in the inner form.
        images: How many there are in it.
        embedded: Bytes of base64 in it, which are no text.
        native_only: The first field that only Anthropic can serve, "" if there is none.
        unbounded: The field whose price nobody can foresee, "" if there is none.
        foreign: It holds thoughts that were not Anthropic's, which Anthropic would refuse.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.images = 0
        self.embedded = 0
        self.native_only = ""
        self.unbounded = ""
        self.foreign = False

    def only_natively(self, field: str, *, unbounded: bool = False) -> None:
        """Note that nobody but Anthropic can serve `field`."""
        self.native_only = self.native_only or field
        if unbounded:
            self.unbounded = self.unbounded or field

    def say(self, role: str, content: str | list[dict[str, Any]]) -> None:
        """Add a message."""
        self.messages.append({"role": role, "content": content})

    def take(self, message: Message, at: str) -> None:
        """Add a turn whose content stands at `at`.

        Raises:
            BadRequest: a block is wrong; `param` names the field.
        """
        if message.role == "assistant":
            self._answered(message.content, at)
        elif isinstance(message.content, str):
            self.say(message.role, message.content)
        else:
            self._asked(message.role, message.content, at)

    def text(self, block: shapes.TextBlock | shapes.SystemBlock) -> dict[str, Any]:
        """Return a part of text."""
        return self.cached({"type": "text", "text": block.text}, block.cache_control)

    def cached(self, made: dict[str, Any], cache_control: Block | None) -> dict[str, Any]:
        """Return `made` with the mark of what to keep in the provider's cache."""
        return made if cache_control is None else {**made, "cache_control": cache_control}

    def _asked(self, role: str, blocks: list[Block], at: str) -> None:
        """Add what the user says and what its tools answered; those answers follow the calls at once."""
        said = []
        for number, block in enumerate(blocks):
            where = f"{at}[{number}]"
            if block.get("type") == "tool_result":
                self._result(typed(block, shapes.ToolResultBlock, where), f"{where}.content")
            else:
                said += self._parts(block, where)
        if said:
            self.say(role, said)

    def _result(self, block: shapes.ToolResultBlock, at: str) -> None:
        content: str | list[dict[str, Any]] = block.content if isinstance(block.content, str) else []
        if isinstance(block.content, list):
            content = [part for n, inner in enumerate(block.content) for part in self._parts(inner, f"{at}[{n}]")]
        made: dict[str, Any] = {"role": "tool", "tool_call_id": block.tool_use_id, "content": content or ""}
        made |= {"is_error": True} if block.is_error else {}
        self.messages.append(self.cached(made, block.cache_control))

    def _answered(self, content: str | list[Block], at: str) -> None:
        if isinstance(content, str):
            self.say("assistant", content)
            return
        said: list[dict[str, Any]] = []
        thoughts: list[dict[str, Any]] = []
        calls: list[dict[str, Any]] = []
        for number, block in enumerate(content):
            kind, where = block.get("type"), f"{at}[{number}]"
            if kind == "tool_use":
                calls.append(self._call(typed(block, shapes.ToolUseBlock, where)))
            elif kind in _THOUGHTS:
                place = {} if number == len(thoughts) else {"position": number}
                thoughts.append({**self._thought(block, where), "index": len(thoughts), **place})
            else:
                said += self._parts(block, where)
        message: dict[str, Any] = {"role": "assistant", "content": _content(said)}
        message |= {"tool_calls": calls} if calls else {}
        if thoughts:
            message["reasoning_details"] = thoughts
            message["reasoning_content"] = "".join(thought.get("text", "") for thought in thoughts)
        self.messages.append(message)

    def _call(self, block: shapes.ToolUseBlock) -> dict[str, Any]:
        function = {"name": block.name, "arguments": encode(block.input).decode()}
        return self.cached({"id": block.id, "type": "function", "function": function}, block.cache_control)

    def _thought(self, block: Block, at: str) -> dict[str, Any]:
        if block["type"] == "redacted_thinking":
            return {"type": "reasoning.encrypted", "data": typed(block, shapes.RedactedThinkingBlock, at).data}
        known = typed(block, shapes.ThinkingBlock, at)
        self.foreign = self.foreign or not known.signature
        return {"type": "reasoning.text", "text": known.thinking, "signature": known.signature}

    def _parts(self, block: Block, at: str) -> list[dict[str, Any]]:
        """Translate a block that is no tool's and no thought; one of another kind is Anthropic's own."""
        match block.get("type"):
            case "text":
                return [self.text(typed(block, shapes.TextBlock, at))]
            case "image":
                return self._image(typed(block, shapes.ImageBlock, at))
            case "document":
                return self._document(typed(block, shapes.DocumentBlock, at), at)
            case "search_result":
                return self._found(typed(block, shapes.SearchResultBlock, at))
            case str():
                self.only_natively("messages", unbounded=True)
                return []
            case _:
                raise BadRequest(f"The required field '{at}.type' is missing.", param=f"{at}.type")

    def _image(self, block: shapes.ImageBlock) -> list[dict[str, Any]]:
        self.images += 1
        source = block.source
        if isinstance(source, shapes.FileSource):
            self.only_natively("messages")
            return []
        url = source.url if isinstance(source, shapes.UrlSource) else self._data_url(source)
        return [self.cached({"type": "image_url", "image_url": {"url": url}}, block.cache_control)]

    def _data_url(self, source: shapes.Base64Source) -> str:
        self.embedded += len(source.data)
        return f"data:{source.media_type};base64,{source.data}"

    def _document(self, block: shapes.DocumentBlock, at: str) -> list[dict[str, Any]]:
        if block.citations and block.citations.enabled:
            self.only_natively("messages")
        about = "".join(f"{line}\n" for line in (block.title, block.context) if line)
        match block.source:
            case shapes.TextSource(data=text):
                made: list[dict[str, Any]] = [{"type": "text", "text": about + text}]
            case shapes.ContentSource(content=str() as text):
                made = [{"type": "text", "text": about + text}]
            case shapes.ContentSource(content=list() as blocks):
                made = [{"type": "text", "text": about}] if about else []
                made += [p for n, b in enumerate(blocks) for p in self._parts(b, f"{at}.source.content[{n}]")]
            case shapes.Base64Source() as source:
                self.unbounded = self.unbounded or "messages"
                file = {"filename": block.title or "document.pdf", "file_data": self._data_url(source)}
                made = [{"type": "text", "text": block.context}] if block.context else []
                made.append({"type": "file", "file": file})
            case _:
                self.only_natively("messages", unbounded=True)
                made = []
        return [*made[:-1], self.cached(made[-1], block.cache_control)] if made else []

    def _found(self, block: shapes.SearchResultBlock) -> list[dict[str, Any]]:
        if block.citations and block.citations.enabled:
            self.only_natively("messages")
        text = "".join(part.text for part in block.content)
        return [self.cached({"type": "text", "text": f"{block.title}\n{block.source}\n{text}"}, block.cache_control)]


def _content(said: list[dict[str, Any]]) -> str | list[dict[str, Any]] | None:
    """Return an assistant's text in its plainest form."""
    if len(said) == 1 and said[0].keys() == {"type", "text"}:
        text: str = said[0]["text"]
        return text
    return said or None
