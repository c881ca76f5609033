"""The blocks of a streamed message: which is open, and what opens, fills and closes them.

Blocks follow each other, so a new one closes the last. Only calls may overlap, where a provider tells several at once:
the call before stays open as long as its input is not whole.
"""

from __future__ import annotations

from typing import Any

from shared.core import sse
from shared.dialects import calls

_START, _DELTA, _STOP = "content_block_start", "content_block_delta", "content_block_stop"


class Blocks:
    """All blocks of one message."""

    def __init__(self) -> None:
        self.called = False  # a tool
        self._count = 0
        self._open = ""  # "text" or "thinking", if one of them is
        self._words = 0  # its block
        self._signed = False  # the thoughts that are open have their signature
        self._calls: dict[int, int] = {}  # the block of each call
        self._inputs: dict[int, str] = {}  # what each call that is open was given so far

    def take(self, delta: dict[str, Any]) -> bytes:
        """Return the events that a delta means."""
        out = []
        details = delta.get("reasoning_details")
        if isinstance(details, list) and details:
            out += [self._detail(detail) for detail in details if isinstance(detail, dict)]
        elif thought := delta.get("reasoning_content") or delta.get("reasoning"):
            out.append(self._think(thought) if isinstance(thought, str) else b"")
        for text in (delta.get("content"), delta.get("refusal")):
            if text and isinstance(text, str):
                opening = self._opened("text", {"type": "text", "text": ""})
                out += [opening, self._fill(self._words, "text_delta", "text", text)]
        out += [self._call(call) for call in delta.get("tool_calls") or () if "custom" not in call]
        return b"".join(out)

    def finish(self, *, whole: bool) -> bytes:
        """Close whatever is open, because the answer has ended; `whole` if it was not cut short.

        Raises:
            UpstreamError: what SDKs would take for the whole input of a call is half of it.
        """
        if whole:
            calls.require_whole(self._inputs.values())
        return self.close()

    def close(self) -> bytes:
        """Close whatever is open."""
        out = self._close_words() + b"".join(_stopped(self._calls[number]) for number in self._inputs)
        self._inputs = {}
        return out

    def _close_words(self) -> bytes:
        """Close the block of text or of thoughts that is open."""
        if not self._open:
            return b""
        index, self._open = self._words, ""
        return _stopped(index)

    def _close_whole(self) -> bytes:
        """Close what a new block ends: words, and the calls whose input is whole."""
        return self._close_words() + b"".join(map(self._closed, list(self._inputs)))

    def _opened(self, kind: str, block: dict[str, Any]) -> bytes:
        """Make sure that a block of text or of thoughts is open."""
        if self._open == kind:
            return b""
        closing, self._open, self._words = self._close_whole(), kind, self._count
        return closing + self._begin(block)

    def _begin(self, block: dict[str, Any]) -> bytes:
        index, self._count = self._count, self._count + 1
        return sse.named(_START, {"type": _START, "index": index, "content_block": block})

    def _fill(self, index: int, kind: str, member: str, value: str) -> bytes:
        return sse.named(_DELTA, {"type": _DELTA, "index": index, "delta": {"type": kind, member: value}})

    def _detail(self, detail: dict[str, Any]) -> bytes:
        if data := detail.get("data"):
            begun = self._close_whole() + self._begin({"type": "redacted_thinking", "data": data})
            return begun + _stopped(self._count - 1)
        out, text, signature = b"", detail.get("text") or detail.get("summary"), detail.get("signature")
        if text and isinstance(text, str):
            out += self._think(text)
        if signature and isinstance(signature, str):
            out += self._thinking() + self._fill(self._words, "signature_delta", "signature", signature)
            self._signed = True
        return out

    def _think(self, text: str) -> bytes:
        closing = self._close_words() if self._signed and self._open == "thinking" else b""
        return closing + self._thinking() + self._fill(self._words, "thinking_delta", "thinking", text)

    def _thinking(self) -> bytes:
        opening = self._opened("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self._signed = self._signed and not opening
        return opening

    def _call(self, call: dict[str, Any]) -> bytes:
        number, function = call["index"], call["function"]
        out = b"" if number in self._calls else self._opened_call(number, call)
        text = function.get("arguments")
        if text:
            if number in self._inputs:
                self._inputs[number] += text
            out += self._fill(self._calls[number], "input_json_delta", "partial_json", text)
        return out

    def _opened_call(self, number: int, call: dict[str, Any]) -> bytes:
        closing = self._close_whole()
        self.called = True
        self._calls[number], self._inputs[number] = self._count, ""
        name = call["function"].get("name") or ""
        return closing + self._begin({"type": "tool_use", "id": call.get("id"), "name": name, "input": {}})

    def _closed(self, number: int) -> bytes:
        """Close a call if its input is whole."""
        if not calls.complete(self._inputs[number]):
            return b""
        del self._inputs[number]
        return _stopped(self._calls[number])


def _stopped(index: int) -> bytes:
    return sse.named(_STOP, {"type": _STOP, "index": index})
