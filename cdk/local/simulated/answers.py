"""What the simulated model says: a function of the request alone, so that every run and every reader gets the same.

Texts say plainly that they are simulated. One token is one word (with the white space before it), for prompts and
answers alike; an image counts 85, a message 3.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from cdk.local.simulated.schema import instance

if TYPE_CHECKING:
    from cdk.local.simulated import Json
    from cdk.local.simulated.knobs import Knobs

_WORD = re.compile(r"\s*\S+\s*\Z|\s*\S+")
_FILLER = ("and", "so", "on,", "word", "by", "word,", "all", "of", "it", "simulated,")
_TOKENS_PER_MESSAGE = 3
_TOKENS_PER_IMAGE = 85
_QUOTED = 200
_NAMING = 4  # letters that a word of a tool's name needs, to be taken for a request to call it


class Answer(NamedTuple):
    """One choice: words of text, or tool calls, and why it ended."""

    words: list[str]
    calls: list[dict[str, Any]]
    finish: str


def words(text: str) -> list[str]:
    """Cut `text` into its tokens; joined they are `text` again."""
    return _WORD.findall(text)


def answers(body: dict[str, Any], knobs: Knobs) -> list[Answer]:
    """Return the `n` choices for a chat request."""
    return [_answer(body, knobs, index) for index in range(body.get("n") or 1)]


def _answer(body: dict[str, Any], knobs: Knobs, index: int) -> Answer:
    calls = _calls(body, index)
    if calls:
        return Answer([], calls, "tool_calls")
    text, stopped = _stopped(_text(body, knobs, index), body.get("stop"))
    said = words(text)
    wanted = max(knobs.tokens, knobs.chunks)
    if not stopped:
        said += [f" {_FILLER[at % len(_FILLER)]}" for at in range(wanted - len(said))]
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or len(said)
    return Answer(said[:limit], [], "length" if limit < len(said) else "stop")


def _text(body: dict[str, Any], knobs: Knobs, index: int) -> str:
    if knobs.answer is not None:
        return knobs.answer
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return json.dumps(instance((form.get("json_schema") or {}).get("schema") or {}))
    last = body["messages"][-1]
    if form.get("type") == "json_object":
        return json.dumps({"simulated": True, "prompt": text_of(last)[:_QUOTED]})
    which = f" (choice {index + 1})" if index else ""
    what = "the tool's result" if last.get("role") == "tool" else "your message"
    return f"This is a simulated answer{which}. {what.capitalize()} was: {text_of(last)[:_QUOTED]}"


def _stopped(text: str, stop: Json) -> tuple[str, bool]:
    stops = [stop] if isinstance(stop, str) else stop or []
    cuts = [at for at in (text.find(one) for one in stops) if at >= 0]
    return (text[: min(cuts)], True) if cuts else (text, False)


def text_of(message: dict[str, Any]) -> str:
    """Return the text of a message, whichever form its content has."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def prompt_tokens(body: dict[str, Any]) -> int:
    """Count the tokens of all messages."""
    return sum(_tokens(message) for message in body["messages"])


def _tokens(message: dict[str, Any]) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    images: int = sum(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)
    text = len(words(text_of(message)))
    return _TOKENS_PER_MESSAGE + _TOKENS_PER_IMAGE * images + text


def _calls(body: dict[str, Any], index: int) -> list[dict[str, Any]]:
    tools = [tool["function"] for tool in body.get("tools") or [] if tool.get("type") == "function"]
    chosen = _chosen(tools, body.get("tool_choice"), body["messages"][-1])
    if body.get("parallel_tool_calls") is False:
        chosen = chosen[:1]
    return [_call(function, index, number) for number, function in enumerate(chosen)]


def _chosen(tools: list[dict[str, Any]], choice: Json, last: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        return [tool for tool in tools if tool["name"] == name]
    if choice == "none" or last.get("role") == "tool":
        return []
    asked = [tool for tool in tools if _asks(text_of(last).lower(), tool["name"])]
    return asked or (tools[:1] if choice == "required" else [])


def _asks(prompt: str, name: str) -> bool:
    naming = [word for word in re.split(r"[^a-z]+", name.lower()) if len(word) >= _NAMING]
    return name.lower() in prompt or any(word in prompt for word in naming)


def _call(function: dict[str, Any], index: int, number: int) -> dict[str, Any]:
    arguments = json.dumps(instance(function.get("parameters") or {"type": "object"}))
    digest = hashlib.sha256(f"{function['name']}{index}{number}{arguments}".encode()).hexdigest()
    name = function["name"]
    return {"id": f"call_{digest[:24]}", "type": "function", "function": {"name": name, "arguments": arguments}}


def usage(body: dict[str, Any], given: list[Answer]) -> dict[str, Any]:
    """Return the true usage of an exchange."""
    prompt = prompt_tokens(body)
    completion = sum(len(answer.words) for answer in given)
    completion += sum(len(words(call["function"]["arguments"])) + 1 for answer in given for call in answer.calls)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def vector(text: str, dimensions: int) -> list[float]:
    """Return a unit vector made from the hash of `text`: equal texts agree, others do not; it knows no meaning."""
    noise = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(4 * dimensions)
    raw = [number / 2**31 - 1 for number in struct.unpack(f"<{dimensions}I", noise)]
    length = sum(number * number for number in raw) ** 0.5 or 1.0
    return [number / length for number in raw]


def packed(numbers: list[float]) -> str:
    """Return base64 of little-endian float32, the form the SDKs ask for."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
