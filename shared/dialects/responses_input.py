"""The items of a Responses request as messages of a chat.

What a model thought, said and called stands here as one item after the other; in a chat it is one message.
"""

from __future__ import annotations

import binascii
from typing import Any

from shared.core.errors import BadRequest
from shared.core.fields import typed
from shared.core.thoughts import alone
from shared.core.wire import decode, encode
from shared.dialects import responses_shapes as shapes

_OPAQUE = "nexus1."  # begins thoughts that were sealed here
_TYPES = "message, function_call, function_call_output, custom_tool_call, custom_tool_call_output and reasoning"


class Conversation:
    """A conversation in the making.

    Attributes:
        messages: What was said, in the inner form.
        images: How many there are in it.
        unbounded: The field whose price nobody can foresee, "" if there is none.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.images = 0
        self.unbounded = ""
        self._thoughts: list[dict[str, Any]] = []  # of the assistant's next message
        self._turn: dict[str, Any] | None = None  # the assistant's message that calls still join

    def take(self, item: shapes.Item, at: str) -> None:
        """Add an item that stands at `at`.

        Raises:
            BadRequest: it is wrong, or of a kind that takes a memory; `param` names the field.
        """
        match item.get("type", "message"):
            case "message":
                self._said(typed(item, shapes.Message, at), f"{at}.content")
            case "function_call":
                call = typed(item, shapes.FunctionCall, at)
                function = {"name": call.name, "arguments": call.arguments}
                self._called({"id": call.call_id, "type": "function", "function": function})
            case "custom_tool_call":
                custom = typed(item, shapes.CustomCall, at)
                free = {"name": custom.name, "input": custom.input}
                self._called({"id": custom.call_id, "type": "custom", "custom": free})
            case "function_call_output" | "custom_tool_call_output":
                answer = typed(item, shapes.CallOutput, at)
                content = self._content(answer.output, f"{at}.output")
                self._add({"role": "tool", "tool_call_id": answer.call_id, "content": content})
            case "reasoning":
                self._thoughts += _thoughts(typed(item, shapes.Reasoning, at))
            case other:
                raise BadRequest(
                    f"Items of type '{other}' cannot be served here: nothing is kept between requests, and no tools "
                    f"run here. Known are {_TYPES}.",
                    param=f"{at}.type",
                )

    def _add(self, message: dict[str, Any]) -> None:
        self._turn = None
        self.messages.append(message)

    def _said(self, message: shapes.Message, at: str) -> None:
        content = self._content(message.content, at)
        if message.role == "assistant":
            self._add(self._with_thoughts({"role": "assistant", "content": _said(content)}))
            self._turn = self.messages[-1]
        else:
            self._thoughts = []
            self._add({"role": message.role, "content": content})

    def _called(self, call: dict[str, Any]) -> None:
        if self._turn is None or self._thoughts:
            self._add(self._with_thoughts({"role": "assistant", "content": None}))
            self._turn = self.messages[-1]
        self._turn.setdefault("tool_calls", []).append(call)

    def _with_thoughts(self, message: dict[str, Any]) -> dict[str, Any]:
        if not self._thoughts:
            return message
        thoughts, self._thoughts = alone(self._thoughts), []
        text = "".join(thought.get("text", "") for thought in thoughts)
        return {**message, "reasoning_details": thoughts, "reasoning_content": text}

    def _content(self, content: str | list[shapes.Item], at: str) -> str | list[dict[str, Any]]:
        if isinstance(content, str):
            return content
        return [self._part(part, f"{at}[{number}]") for number, part in enumerate(content)]

    def _part(self, part: shapes.Item, at: str) -> dict[str, Any]:
        match part.get("type"):
            case "input_text" | "output_text":
                return {"type": "text", "text": typed(part, shapes.TextPart, at).text}
            case "refusal":
                return {"type": "refusal", "refusal": typed(part, shapes.RefusalPart, at).refusal}
            case "input_image":
                return self._image(typed(part, shapes.ImagePart, at), at)
            case "input_file":
                return self._file(typed(part, shapes.FilePart, at), at)
            case "input_audio":
                self.unbounded = self.unbounded or "input"
                return {"type": "input_audio", "input_audio": typed(part, shapes.AudioPart, at).input_audio}
            case other:
                raise BadRequest(f"The field '{at}.type' is wrong: no part is a {other!r}.", param=f"{at}.type")

    def _image(self, part: shapes.ImagePart, at: str) -> dict[str, Any]:
        self.images += 1
        if part.image_url is None:
            raise BadRequest(
                f"The required field '{at}.image_url' is missing: uploaded files cannot be shown.",
                param=f"{at}.image_url",
            )
        detail = {"detail": part.detail} if part.detail else {}
        return {"type": "image_url", "image_url": {"url": part.image_url, **detail}}

    def _file(self, part: shapes.FilePart, at: str) -> dict[str, Any]:
        self.unbounded = self.unbounded or "input"
        if part.file_url is not None:
            raise BadRequest(
                f"The field '{at}.file_url' cannot be served: send the file itself as 'file_data'.",
                param=f"{at}.file_url",
            )
        given = {"file_data": part.file_data, "file_id": part.file_id, "filename": part.filename}
        return {"type": "file", "file": {name: value for name, value in given.items() if value is not None}}


def seal(details: list[dict[str, Any]]) -> str:
    """Return thoughts as one word that clients hand back unread; it hides nothing."""
    return _OPAQUE + binascii.b2a_base64(encode(details), newline=False).decode()


def _unsealed(text: str) -> list[dict[str, Any]]:
    """Return sealed thoughts; those of others stay closed, and are left out."""
    try:
        found = decode(binascii.a2b_base64(text.removeprefix(_OPAQUE), strict_mode=True))
    except ValueError:
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _thoughts(item: shapes.Reasoning) -> list[dict[str, Any]]:
    sealed = item.encrypted_content or ""
    if sealed.startswith(_OPAQUE) and (known := _unsealed(sealed)):
        return known
    return [{"type": "reasoning.text", "text": part.text} for part in (item.content or item.summary)]


def _said(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]] | None:
    """Return an assistant's text in its plainest form."""
    if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
        text: str = content[0]["text"]
        return text
    return content or None
