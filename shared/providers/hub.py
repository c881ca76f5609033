"""Answers in the inner language, written piece by piece or whole by the adapters of other dialects.

What SDKs add up without looking adds up: one id, the role once and first, calls numbered from 0, the reason at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core.thoughts import placed
from shared.core.usage import estimate, size

if TYPE_CHECKING:
    from shared.providers.adapter import Moment


class Choice:
    """One choice of one answer."""

    def __init__(self) -> None:
        self.named = False  # the role has been told
        self.calls = 0  # tool calls so far
        self.finish: str | None = None
        self.thoughts: dict[int, int] = {}  # the numbers of those that have begun, by their blocks


class Answer:
    """One streamed answer in the making. `id` and `model` are as the provider says, once it has said them."""

    def __init__(self, moment: Moment, model: str) -> None:
        self.id = f"chatcmpl-{moment.request_id}"
        self.model = model
        self.choices: dict[int, Choice] = {}
        self.deltas = 0  # that said something: about as many tokens, if the provider does not count
        self.size = 0  # bytes of that
        self._moment = moment

    @property
    def heard(self) -> int:
        """The tokens that were said, guessed."""
        return max(self.deltas, estimate(self.size))

    def choice(self, index: int = 0) -> Choice:
        """Return the choice with this index."""
        return self.choices.setdefault(index, Choice())

    def piece(
        self, delta: dict[str, Any], finish: str | None = None, *, index: int = 0, said: int = 0
    ) -> dict[str, Any]:
        """Return the next chunk; `said` is how many bytes of the model's own words are in it."""
        choice = self.choice(index)
        if said:
            self.deltas += 1
            self.size += said
        if not choice.named:
            choice.named, delta = True, {"role": "assistant", **delta}
        choice.finish = finish or choice.finish
        told = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._common("chat.completion.chunk"), "choices": [told]}

    def text(self, text: str, index: int = 0) -> list[dict[str, Any]]:
        """Return a piece of the answer's text."""
        return [self.piece({"content": text}, index=index, said=size(text))] if text else []

    def thought(self, detail: dict[str, Any], index: int = 0) -> dict[str, Any]:
        """Return a thought, or its next piece, told as `reasoning_content` too; its `index` is that of its block.

        What does not change is told once: SDKs put pieces of one index together, joining texts and adding numbers.
        """
        begun, block, text = self.choice(index).thoughts, detail["index"], detail.get("text") or ""
        if block in begun:
            told = {name: value for name, value in detail.items() if name != "format"} | {"index": begun[block]}
        else:
            begun[block] = len(begun)
            told = placed(detail, begun[block])
        delta = {"reasoning_content": text} if text else {}
        return self.piece({**delta, "reasoning_details": [told]}, index=index, said=size(text))

    def call(self, id_: str, name: str, arguments: str = "", *, index: int = 0, **more: object) -> dict[str, Any]:
        """Begin the next tool call; one without an id is given one."""
        choice = self.choice(index)
        number, choice.calls = choice.calls, choice.calls + 1
        known = id_ or f"call_{self._moment.request_id}_{index}_{number}"
        told = {
            "index": number,
            "id": known,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
            **more,
        }
        return self.piece({"tool_calls": [told]}, index=index, said=size(name) + size(arguments))

    def argument(self, number: int, text: str, index: int = 0) -> dict[str, Any]:
        """Go on with the arguments of call `number`."""
        return self.piece(
            {"tool_calls": [{"index": number, "function": {"arguments": text}}]}, index=index, said=size(text)
        )

    def finishing(self) -> list[dict[str, Any]]:
        """Return the last pieces, of choices of which the provider has said all and not why it stopped."""
        open_ = [index for index in self.choices or [0] if not self.choice(index).finish]
        return [self.piece({}, "tool_calls" if self.choice(at).calls else "stop", index=at) for at in open_]

    def whole(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a whole answer."""
        return {**self._common("chat.completion"), "choices": choices}

    def _common(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self._moment.now, "model": self.model}


def function_call(id_: str, name: str, arguments: str, **more: object) -> dict[str, Any]:
    """Return a tool call of a whole message."""
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def stopped_at(choice: dict[str, Any], sequence: str) -> dict[str, Any]:
    """Return a choice that tells which sequence has ended it, as vLLM does; "" if none has."""
    return {**choice, "stop_reason": sequence} if sequence else choice


def choice(
    *,
    index: int = 0,
    finish: str,
    texts: list[str],
    calls: list[dict[str, Any]],
    thoughts: list[dict[str, Any]],
    refusal: str | None = None,
) -> dict[str, Any]:
    """Return a whole choice; `thoughts` are `reasoning_details`, told as `reasoning_content` too, by their blocks."""
    thoughts = [placed(thought, number) for number, thought in enumerate(thoughts)]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": refusal}
    if thoughts:
        told = "".join(thought.get("text") or "" for thought in thoughts)
        message |= ({"reasoning_content": told} if told else {}) | {"reasoning_details": thoughts}
    if calls:
        message["tool_calls"] = calls
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
