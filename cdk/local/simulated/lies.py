"""Lies in the content of an answer: pure functions from a right answer to a wrong one, in three tables by mode.

`REPLIES` bend a whole completion, `CHUNKS` the list of a stream's chunks, `FRAMES` the bytes of its events (`[DONE]` is
the last of them).
"""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from cdk.local.simulated.frames import DONE, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Json = dict[str, Any]

T = TypeVar("T")

ERROR = {
    "error": {
        "message": "The simulated model is overloaded.",
        "type": "server_error",
        "param": None,
        "code": "simulated_overload",
    }
}
_ABSURD = {"prompt_tokens": 10**15, "completion_tokens": 10**15, "total_tokens": 2 * 10**15}
_NEGATIVE = {"prompt_tokens": -5, "completion_tokens": -1000, "total_tokens": -1005}
_STRING = {"prompt_tokens": "many", "completion_tokens": "3", "total_tokens": None}
_RUNNING = {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4}
_HIGH, _LOW = "\ud83d", "\ude00"  # one emoji as two halves, as providers that count UTF-16 units cut it


def told(value: T, modes: Iterable[str], table: dict[str, Callable[[T], T]]) -> T:
    """Apply the lies of `modes` that are in `table`, in the table's order."""
    for name, lie in table.items():
        if name in modes:
            value = lie(value)
    return value


def _usage_of_reply(usage: Json | None, reply: Json) -> Json:
    kept = {name: value for name, value in reply.items() if name != "usage"}
    return kept if usage is None else {**kept, "usage": usage}


def _message(reply: Json, **changes: str | None) -> Json:
    changed = copy.deepcopy(reply)
    for choice in changed["choices"]:
        choice["message"].update(changes)
    return changed


def _without(name: str, reply: Json) -> Json:
    return {key: value for key, value in reply.items() if key != name}


def _unfinished(reply: Json) -> Json:
    return {**reply, "choices": [{**choice, "finish_reason": None} for choice in reply["choices"]]}


REPLIES: dict[str, Callable[[Json], Json]] = {
    "no_usage": partial(_usage_of_reply, None),
    "negative_usage": partial(_usage_of_reply, _NEGATIVE),
    "absurd_usage": partial(_usage_of_reply, _ABSURD),
    "string_usage": partial(_usage_of_reply, _STRING),
    "null_content": partial(_message, content=None),
    "surrogates": partial(_message, content=f"a {_HIGH} half"),
    "no_finish": _unfinished,
    "no_role": lambda reply: _message(reply, role=None),
    "no_object": partial(_without, "object"),
    "no_id": partial(_without, "id"),
    "no_choices": partial(_without, "choices"),
    "empty_choices": lambda reply: {**reply, "choices": []},
}


def _usage_of_chunks(usage: Json | None, chunks: list[Json]) -> list[Json]:
    kept = [chunk for chunk in chunks if not chunk.get("usage")]
    return kept if usage is None else [*kept, {**chunks[-1], "choices": [], "usage": usage}]


def _usage_in_each_chunk(chunks: list[Json]) -> list[Json]:
    counted = [{**chunk, "usage": {**_RUNNING, "completion_tokens": at}} for at, chunk in enumerate(chunks[:-1])]
    return [*counted, chunks[-1]]


def _deltas(bend: Callable[[Json], Json], chunks: list[Json]) -> list[Json]:
    return [
        {**chunk, "choices": [{**choice, "delta": bend(choice["delta"])} for choice in chunk["choices"]]}
        for chunk in chunks
    ]


def _emoji_in_halves(chunks: list[Json]) -> list[Json]:
    where = chunks[1]
    halves = [_deltas(lambda _, half=half: {"content": half}, [where])[0] for half in (_HIGH, _LOW)]  # type: ignore[misc]
    return [*chunks[:2], *halves, *chunks[2:]]


def _tools(bend: Callable[[Json, dict[int, Json]], Json]) -> Callable[[list[Json]], list[Json]]:
    def lie(chunks: list[Json]) -> list[Json]:
        first: dict[int, Json] = {}

        def delta(value: Json) -> Json:
            if "tool_calls" not in value:
                return value
            for call in value["tool_calls"]:
                first.setdefault(call["index"], call)
            return {**value, "tool_calls": [bend(call, first) for call in value["tool_calls"]]}

        return _deltas(delta, chunks)

    return lie


def _named_again(call: Json, first: dict[int, Json]) -> Json:
    begun = first[call["index"]]
    name = begun["function"]["name"]
    return {**call, "id": begun["id"], "type": "function", "function": {**call["function"], "name": name}}


CHUNKS: dict[str, Callable[[list[Json]], list[Json]]] = {
    "no_usage": partial(_usage_of_chunks, None),
    "negative_usage": partial(_usage_of_chunks, _NEGATIVE),
    "absurd_usage": partial(_usage_of_chunks, _ABSURD),
    "string_usage": partial(_usage_of_chunks, _STRING),
    "usage_everywhere": _usage_in_each_chunk,
    "surrogates": _emoji_in_halves,
    "no_finish": lambda chunks: [
        chunk for chunk in chunks if not any(choice["finish_reason"] for choice in chunk["choices"])
    ],
    "no_role": lambda chunks: _deltas(lambda delta: _without("role", delta), chunks),
    "no_object": lambda chunks: [_without("object", chunk) for chunk in chunks],
    "no_id": lambda chunks: [_without("id", chunk) for chunk in chunks],
    "varying_id": lambda chunks: [{**chunk, "id": f"{chunk['id']}-{at}"} for at, chunk in enumerate(chunks)],
    "no_choices": lambda chunks: [_without("choices", chunk) for chunk in chunks],
    "empty_choices": lambda chunks: [{**chunk, "choices": []} for chunk in chunks],
    "null_content": lambda chunks: _deltas(
        lambda delta: {**delta, "content": None} if "content" in delta else delta, chunks
    ),
    "tool_repeat_name": _tools(_named_again),
    "tool_same_index": _tools(lambda call, _: {**call, "index": 0}),
    "tool_no_index": _tools(lambda call, _: _without("index", call)),
}


def _error_at(at: int | None, frames: list[bytes]) -> list[bytes]:
    return [*frames[: len(frames) // 2 if at is None else at], frame(ERROR)]


def _bad_frame(bad: bytes, frames: list[bytes]) -> list[bytes]:
    middle = len(frames) // 2
    return [*frames[:middle], bad, *frames[middle:]]


def _half_json(frames: list[bytes]) -> list[bytes]:
    middle = len(frames) // 2
    return [*frames[:middle], frames[middle][: len(frames[middle]) // 2]]


def _chatty(frames: list[bytes]) -> list[bytes]:
    return [piece for one in frames for piece in (b": keep-alive\n\n", b"id: 7\nretry: 1000\n\n", one)]


FRAMES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "no_done": lambda frames: [one for one in frames if one != DONE],
    "two_done": lambda frames: [*frames, DONE],
    "error_first": partial(_error_at, 0),
    "error_mid_stream": partial(_error_at, None),
    "half_json": _half_json,
    "bad_json": partial(_bad_frame, b'data: {"choices": [}\n\n'),
    "bad_utf8": partial(_bad_frame, b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n'),
    "comments": _chatty,
    "no_space": lambda frames: [one.replace(b"data: ", b"data:", 1) for one in frames],
    "multi_line": lambda frames: [one.replace(b"data: {", b"data: {\ndata: ", 1) for one in frames],
    "no_blank_line": lambda frames: [one.replace(b"\n\n", b"\n") for one in frames],
    "crlf": lambda frames: [one.replace(b"\n", b"\r\n") for one in frames],
    "cr": lambda frames: [one.replace(b"\n", b"\r") for one in frames],
    "bom": lambda frames: [b"\xef\xbb\xbf", *frames],
    "split_utf8": lambda frames: [bytes([byte]) for one in frames for byte in one],
}
