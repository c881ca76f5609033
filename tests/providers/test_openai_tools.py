"""Tool calls add up, in the official SDK, to what the model said, however the provider tells them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.providers.exchange import accumulated, adapter, events, piece, replied, streamed, streaming


def fragment(arguments: Any = None, *, index: int | None = None, id: str | None = None, name: str | None = None) -> Any:  # noqa: A002
    """Write one fragment of a call, without the members that are None."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    members = (("index", index), ("id", id), ("type", "function" if id else None), ("function", function or None))
    return {key: value for key, value in members if value is not None}


def told(*fragments: Any) -> list[tuple[str, str, str]]:
    """Stream the fragments, one in each chunk; return id, name and arguments of each call as the SDK has them."""
    chunks = [piece({"tool_calls": [one]}) for one in fragments]
    found = streamed(streaming(), events([*chunks, piece(finish="tool_calls")]))
    calls = accumulated(found).choices[0].message.tool_calls or []
    assert [call.type for call in calls] == ["function"] * len(calls)
    return [(call.id, call.function.name, call.function.arguments) for call in calls if call.type == "function"]


WEATHER, TIME = ("a", "weather", '{"city":"Rome"}'), ("b", "time", '{"zone":"CET"}')

WAYS: dict[str, list[Any]] = {
    "as OpenAI": [
        fragment("", index=0, id="a", name="weather"),
        fragment('{"city":', index=0),
        fragment('"Rome"}', index=0),
        fragment("", index=1, id="b", name="time"),
        fragment('{"zone":"CET"}', index=1),
    ],
    "id, type and name each time": [
        fragment('{"city":', index=0, id="a", name="weather"),
        fragment('"Rome"}', index=0, id="a", name="weather"),
        fragment('{"zone":', index=1, id="b", name="time"),
        fragment('"CET"}', index=1, id="b", name="time"),
    ],
    "both on one index": [
        fragment("", index=0, id="a", name="weather"),
        fragment('{"city":"Rome"}', index=0),
        fragment("", index=0, id="b", name="time"),
        fragment('{"zone":"CET"}', index=0),
    ],
    "no index": [
        fragment("", id="a", name="weather"),
        fragment('{"city":"Rome"}'),
        fragment("", id="b", name="time"),
        fragment('{"zone":"CET"}'),
    ],
    "no index, interleaved by id": [
        fragment('{"city":', id="a", name="weather"),
        fragment('{"zone":', id="b", name="time"),
        fragment('"Rome"}', id="a"),
        fragment('"CET"}', id="b"),
    ],
    "interleaved by index": [
        fragment("", index=0, id="a", name="weather"),
        fragment("", index=1, id="b", name="time"),
        fragment('{"city":"Rome"}', index=0),
        fragment('{"zone":"CET"}', index=1),
    ],
    "counted from 1, with a gap": [
        fragment('{"city":"Rome"}', index=1, id="a", name="weather"),
        fragment('{"zone":"CET"}', index=5, id="b", name="time"),
    ],
    "another id with each fragment": [
        fragment('{"city":', index=0, id="a", name="weather"),
        fragment('"Rome"}', index=0, id="x1"),
        fragment('{"zone":', index=1, id="b", name="time"),
        fragment('"CET"}', index=1, id="x2"),
    ],
    "arguments as objects": [
        fragment({"city": "Rome"}, id="a", name="weather"),
        fragment({"zone": "CET"}, id="b", name="time"),
    ],
    "no arguments at first": [
        fragment(index=0, id="a", name="weather"),
        fragment('{"city":"Rome"}', index=0),
        fragment(index=1, id="b", name="time"),
        fragment('{"zone":"CET"}', index=1),
    ],
    "a name in pieces": [
        fragment(index=0, id="a", name="wea"),
        fragment(index=0, name="ther"),
        fragment('{"city":"Rome"}', index=0),
        fragment('{"zone":"CET"}', index=1, id="b", name="time"),
    ],
}


@pytest.mark.parametrize("fragments", WAYS.values(), ids=WAYS)
def test_two_calls_stay_two(fragments: list[Any]) -> None:
    """Each with its own id, name and arguments, once."""
    assert told(*fragments) == [WEATHER, TIME]


def test_calls_without_ids_get_some() -> None:
    """Whole calls, one after the other, even to the same function."""
    calls = told(
        fragment({"city": "Rome"}, name="weather"),
        fragment({"city": "Oslo"}, name="weather"),
        fragment("{}", name="time"),
    )
    assert [call[1:] for call in calls] == [
        ("weather", '{"city":"Rome"}'),
        ("weather", '{"city":"Oslo"}'),
        ("time", "{}"),
    ]
    assert len({call[0] for call in calls}) == 3


def test_each_delta_is_what_javascript_wants() -> None:
    """An index on every fragment, counted from 0; id, type and name on the first only."""
    found = streamed(
        streaming(),
        events(
            [*(piece({"tool_calls": [one]}) for one in WAYS["id, type and name each time"]), piece(finish="tool_calls")]
        ),
    )
    deltas = [call for chunk in found for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", [])]
    assert [delta["index"] for delta in deltas] == [0, 0, 1, 1]
    assert [sorted(delta) for delta in deltas] == [["function", "id", "index", "type"], ["function", "index"]] * 2


def test_calls_of_several_choices_do_not_mix() -> None:
    """Each choice counts its own."""
    chunks = [piece({"tool_calls": [fragment("{}", id=f"c{index}", name="f")]}, index=index) for index in (0, 1)]
    ends = [piece(finish="tool_calls", index=index) for index in (0, 1)]
    final = accumulated(streamed(streaming(n=2), events([*chunks, *ends])))
    assert [[call.id for call in choice.message.tool_calls or []] for choice in final.choices] == [["c0"], ["c1"]]


def test_a_stream_of_calls_without_a_reason_ends_for_them() -> None:
    """What is made up fits what was said."""
    found = streamed(streaming(), events([piece({"tool_calls": WAYS["as OpenAI"][:1]})]))
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_calls_count_as_heard() -> None:
    """An estimate of tokens includes the arguments."""
    made = streaming()
    streamed(made, events([piece({"tool_calls": [fragment("x" * 400, id="a", name="f")]}), piece(finish="tool_calls")]))
    assert made.usage.completion >= 100


def test_nonsense_in_place_of_calls_is_left_out() -> None:
    """What is no call cannot be repaired to one."""
    found = streamed(streaming(), events([piece({"tool_calls": ["x", None], "content": "hi"}), piece(finish="stop")]))
    assert found[0]["choices"][0]["delta"]["content"] == "hi"


def test_whole_calls_are_repaired_too() -> None:
    """Arguments are text, ids are there, content is null, the reason says tool_calls."""
    calls = [
        {"function": {"name": "weather", "arguments": {"city": "Rome"}}, "index": 0},
        {"id": "b", "function": {"name": "f"}},
    ]
    answer = {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": calls}}]}
    choice = replied(adapter(), answer)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    first, second = choice["message"]["tool_calls"]
    assert json.loads(first["function"]["arguments"]) == {"city": "Rome"}
    assert first["id"] == "call_req1_0_0"
    assert (second["id"], second["function"]["arguments"]) == ("b", "")
