"""The items of a response, and the events that tell how they come to be.

Items follow each other, so a new one ends the last. Only calls may overlap, where a provider tells several at once: the
call before goes on as long as its arguments are not whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.dialects import calls
from shared.dialects.logprobs import tokens
from shared.dialects.responses_input import seal

if TYPE_CHECKING:
    from collections.abc import Callable

    Emit = Callable[..., None]

_KINDS = {  # of a call: the item's type, its member, and the events' name
    "function": ("function_call", "arguments", "response.function_call_arguments"),
    "custom": ("custom_tool_call", "input", "response.custom_tool_call_input"),
}


class Part:
    """A part of what is said: text or a refusal."""

    def __init__(self, kind: str, index: int) -> None:
        self.index = index
        self.member = "text" if kind == "output_text" else "refusal"
        self.told: list[str] = []
        self.logprobs: list[dict[str, Any]] = []
        self.shape: dict[str, Any] = {"type": kind, self.member: ""}
        if kind == "output_text":
            self.shape |= {"annotations": [], "logprobs": self.logprobs}


class Output:
    """All items of one response; `emit` is told of every event, with its members."""

    def __init__(self, id_: str, emit: Emit, *, sealed: bool) -> None:
        """`sealed` has thoughts leave in a form that can be handed back as it was."""
        self.items: list[dict[str, Any]] = []
        self._id = id_
        self._emit = emit
        self._sealed = sealed
        self._open: dict[str, Any] | None = None  # the message or the thoughts that are told now
        self._part: Part | None = None
        self._details: list[dict[str, Any]] = []  # of the thoughts that are told now
        self._at: dict[str, int] = {}  # where each stands, by its id
        self._calls: dict[int, dict[str, Any]] = {}  # by the number that the hub gives them
        self._unfinished: dict[int, list[str]] = {}

    def take(self, delta: dict[str, Any], logprobs: object = None) -> None:
        """Go on with what a delta says; a whole message is one."""
        details = delta.get("reasoning_details")
        if isinstance(details, list) and details:
            for detail in details:
                if isinstance(detail, dict):
                    self._think(detail.get("text") or detail.get("summary"), detail)
        else:
            self._think(delta.get("reasoning_content") or delta.get("reasoning"))
        self._say("output_text", delta.get("content"), logprobs)
        self._say("refusal", delta.get("refusal"))
        for number, call in enumerate(delta.get("tool_calls") or ()):
            self._call(call.get("index", number), call)

    def finish(self, status: str) -> None:
        """End whatever is not ended, in this status.

        Raises:
            UpstreamError: what SDKs would take for the whole arguments of a call is half of them.
        """
        if status == "completed":
            unfinished = [number for number in self._unfinished if self._calls[number]["type"] == "function_call"]
            calls.require_whole("".join(self._unfinished[number]) for number in unfinished)
        self._close(status)
        for number in list(self._unfinished):
            self._called(number, status)

    def _begin(self, prefix: str, item: dict[str, Any]) -> dict[str, Any]:
        index = len(self.items)
        known = {"id": f"{prefix}_{self._id}_{index}", **item}
        self._at[known["id"]] = index
        self.items.append(known)
        self._emit("response.output_item.added", output_index=index, item=known)
        return known

    def _end(self, item: dict[str, Any], **members: object) -> None:
        item.update(members)
        self._emit("response.output_item.done", output_index=self._at[item["id"]], item=item)

    def _opened(self, prefix: str, item: dict[str, Any]) -> dict[str, Any]:
        """Return the message or the thoughts that are told now, begun if something else was."""
        if self._open is None or self._open["type"] != item["type"]:
            self._close()
            for number in list(self._unfinished):
                if calls.complete("".join(self._unfinished[number])):
                    self._called(number)
            self._open = self._begin(prefix, item)
        return self._open

    def _place(self, item: dict[str, Any]) -> dict[str, Any]:
        return {"item_id": item["id"], "output_index": self._at[item["id"]]}

    def _say(self, kind: str, text: object, logprobs: object = None) -> None:
        if not text or not isinstance(text, str):
            return
        item = self._opened("msg", {"type": "message", "status": "in_progress", "role": "assistant", "content": []})
        if self._part is None or self._part.shape["type"] != kind:
            self._end_part()
            self._part = Part(kind, len(item["content"]))
            self._emit(
                "response.content_part.added",
                content_index=self._part.index,
                part=self._part.shape,
                **self._place(item),
            )
        part, found = self._part, tokens(logprobs)
        part.told.append(text)
        part.logprobs += found
        more = {"logprobs": found} if kind == "output_text" else {}
        self._emit(f"response.{kind}.delta", content_index=part.index, delta=text, **self._place(item), **more)

    def _end_part(self) -> None:
        item, part, self._part = self._open, self._part, None
        if item is None or part is None:
            return
        part.shape[part.member] = "".join(part.told)
        more = {"logprobs": part.logprobs} if part.member == "text" else {}
        done = {part.member: part.shape[part.member]} | more
        kind = part.shape["type"]
        self._emit(f"response.{kind}.done", content_index=part.index, **self._place(item), **done)
        self._emit("response.content_part.done", content_index=part.index, part=part.shape, **self._place(item))
        item["content"].append(part.shape)

    def _think(self, text: object, detail: dict[str, Any] | None = None) -> None:
        told = text if isinstance(text, str) else ""
        if not told and detail is None:
            return
        item = self._opened("rs", {"type": "reasoning", "summary": []})
        if detail is not None:
            self._details.append(detail)
        if not told:
            return
        place = {**self._place(item), "summary_index": 0}
        if not item["summary"]:
            item["summary"].append({"type": "summary_text", "text": ""})
            self._emit("response.reasoning_summary_part.added", part=item["summary"][0], **place)
        item["summary"][0]["text"] += told
        self._emit("response.reasoning_summary_text.delta", delta=told, **place)

    def _close(self, status: str = "completed") -> None:
        """End the message or the thoughts that are told now."""
        item = self._open
        if item is None:
            return
        if item["type"] == "message":
            self._end_part()
            self._open = None
            self._end(item, status=status)
            return
        if item["summary"]:
            place = {**self._place(item), "summary_index": 0}
            self._emit("response.reasoning_summary_text.done", text=item["summary"][0]["text"], **place)
            self._emit("response.reasoning_summary_part.done", part=item["summary"][0], **place)
        details, self._details, self._open = joined(self._details), [], None
        self._end(item, **({"encrypted_content": seal(details)} if details and self._sealed else {}))

    def _call(self, number: int, call: dict[str, Any]) -> None:
        kind = "custom" if "custom" in call else "function"
        type_, member, events = _KINDS[kind]
        if number not in self._calls:
            self._close()
            for other in list(self._unfinished):
                if calls.complete("".join(self._unfinished[other])):
                    self._called(other)
            begun = {"type": type_, "call_id": call.get("id"), "name": call[kind].get("name") or "", member: ""}
            begun |= {"status": "in_progress"} if kind == "function" else {}
            self._calls[number] = self._begin("fc" if kind == "function" else "ctc", begun)
            self._unfinished[number] = []
        text = call[kind].get(member)
        if text and number in self._unfinished:
            self._unfinished[number].append(text)
            self._emit(f"{events}.delta", delta=text, **self._place(self._calls[number]))

    def _called(self, number: int, status: str = "completed") -> None:
        """End a call."""
        item, text = self._calls[number], "".join(self._unfinished.pop(number))
        kind = "function" if item["type"] == "function_call" else "custom"
        _, member, events = _KINDS[kind]
        self._emit(f"{events}.done", **self._place(item), **{member: text})
        self._end(item, **{member: text}, **({"status": status} if kind == "function" else {}))


def joined(details: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the pieces of each thought together: its text comes in many, and its signature in the last."""
    found: list[dict[str, Any]] = []
    for detail in details:
        last = found[-1] if found else None
        if last is None or not _goes_on(last, detail):
            found.append(dict(detail))
            continue
        text = (last.get("text") or "") + (detail.get("text") or "")
        last.update({**detail, "text": text})
    return found


def _goes_on(last: dict[str, Any], detail: dict[str, Any]) -> bool:
    """Tell whether `detail` is the next piece of the same thought."""
    kinds = {last.get("type", "reasoning.text"), detail.get("type", "reasoning.text")}
    return kinds == {"reasoning.text"} and not last.get("signature") and last.get("index") == detail.get("index")
