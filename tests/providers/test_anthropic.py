"""What is peculiar to Anthropic: thinking, caching, its versions, its errors, and clients that speak its language."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from shared.core import errors
from shared.core.errors import GatewayError, UpstreamError
from shared.core.usage import Usage
from shared.providers.adapter import Head
from shared.providers.anthropic import AnthropicChat
from tests.providers.exchange import completed, heard
from tests.providers.wires.anthropic import WIRE, event, message, stream
from tests.providers.wires.wire import HELLO, SECRET, Story

THOUGHT = Story(thoughts=("Hmm",), calls=(("c1", "f", {"a": 1}),), finish="tool_calls")
EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}
BUDGET = ("sampling", "thinking-budget")


def test_what_the_cache_took_is_counted_apart() -> None:
    """Read, written, and written for an hour: each has its price."""
    made = WIRE.adapter()
    completed(made, WIRE.whole(Story(texts=("x",))))
    assert made.usage == Usage(100, 20, cached=40, reasoning=5, cache_write=10, cache_write_long=6)


def test_a_cut_stream_keeps_what_the_first_half_said() -> None:
    """The prompt is counted by then, the answer is not."""
    made = WIRE.streaming()
    made.chunk(b"".join(stream(Story(texts=("x",)))[:3]))
    assert made.usage == Usage(100, 0, estimated=True)


def test_thoughts_go_back_as_they_came() -> None:
    """Signed ones, whole or streamed; those of others, and unsigned ones, stay here."""
    whole = completed(WIRE.adapter(), WIRE.whole(THOUGHT))["choices"][0]["message"]
    assert whole["reasoning_content"] == "Hmm"
    details = [
        *whole["reasoning_details"],
        {"type": "reasoning.encrypted", "data": "opaque"},
        {"type": "reasoning.text", "text": "theirs", "signature": "s", "format": "google-gemini-v1"},
        {"type": "reasoning.text", "text": "unsigned"},
    ]
    history = [*HELLO, {**whole, "reasoning_details": details}, {"role": "tool", "tool_call_id": "c1", "content": "1"}]
    assert WIRE.sent(messages=history)["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hmm", "signature": "sig-Hmm"},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
    ]


def test_streamed_thoughts_carry_their_signature() -> None:
    """Pieces of one thought share an index, as clients add them up."""
    chunks = heard(WIRE.streaming(), b"".join(stream(THOUGHT)))
    details = [one for chunk in chunks for one in chunk["choices"][0]["delta"].get("reasoning_details", ())]
    assert "".join(one.get("text", "") for one in details) == "Hmm"
    assert [one["signature"] for one in details if "signature" in one] == ["sig-Hmm"]
    assert {one["index"] for one in details} == {0}


def test_redacted_thoughts_are_kept() -> None:
    """Nobody can read them, and they must go back."""
    block = {"type": "redacted_thinking", "data": "xyz"}
    body = {**message(Story(texts=("x",))), "content": [block, {"type": "text", "text": "x"}]}
    found = completed(WIRE.adapter(), json.dumps(body).encode())["choices"][0]["message"]
    assert [(one["type"], one["data"]) for one in found["reasoning_details"]] == [("reasoning.encrypted", "xyz")]
    begun = event({"type": "content_block_start", "index": 0, "content_block": block})
    chunk = WIRE.streaming().chunk(begun)[0]
    assert chunk["choices"][0]["delta"]["reasoning_details"] == found["reasoning_details"]


@pytest.mark.parametrize("stream_", [False, True], ids=["whole", "streamed"])
def test_the_sequence_that_ended_it_is_told(stream_: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """As vLLM does it; clients of this dialect are told in their own words."""
    ended = {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    if stream_:
        frames = [frame.replace(b'"stop_sequence": null', b'"stop_sequence": "END"') for frame in stream(Story(("x",)))]
        told = heard(WIRE.streaming(stop=["END"]), b"".join(frames))[-1]
    else:
        told = completed(WIRE.adapter(stop=["END"]), json.dumps({**message(Story(("x",))), **ended}).encode())
    assert (told["choices"][0]["stop_reason"], told["choices"][0]["finish_reason"]) == ("END", "stop")


def test_a_refusal_says_why() -> None:
    """Whole and streamed, in the member that SDKs have for it."""
    story = Story(texts=("I",), finish="content_filter")
    assert completed(WIRE.adapter(), WIRE.whole(story))["choices"][0]["message"]["refusal"] == "Not this."
    last = heard(WIRE.streaming(), b"".join(stream(story)))[-1]["choices"][0]
    assert (last["delta"], last["finish_reason"]) == ({"refusal": "Not this."}, "content_filter")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", errors.UpstreamUnavailable),
        ("rate_limit_error", errors.UpstreamRateLimited),
        ("api_error", errors.UpstreamError),
    ],
)
def test_an_error_in_the_stream_is_the_error_it_is(kind: str, expected: type[GatewayError]) -> None:
    """At once if nothing has left yet, so that another target can be asked; else behind what has."""
    frame = event({"type": "error", "error": {"type": kind, "message": f"no {SECRET}"}})
    frames = stream(Story(texts=("Hello",)))
    with pytest.raises(expected) as failure:
        WIRE.streaming().chunk(frames[0] + frame)
    assert SECRET not in failure.value.message
    made = WIRE.streaming()
    assert made.chunk(b"".join(frames[:5]) + frame)
    with pytest.raises(expected):
        made.end()


@pytest.mark.parametrize(
    ("status", "message", "seen", "param"),
    [
        (400, "messages.1.content.0.text: must not be empty", 400, "messages"),
        (400, "output_config.format.schema: too deep", 400, "response_format"),
        (400, "max_tokens: 5 > 4", 400, "max_tokens"),
        (400, "Something else: is wrong", 400, None),
        (400, "Your credit balance is too low to access the Anthropic API.", 502, None),
        (404, "model: nope", 404, None),
    ],
)
def test_a_refusal_names_the_clients_field(status: int, message: str, seen: int, param: str | None) -> None:
    """An empty account is ours, and looks like nobody's mistake."""
    made = WIRE.adapter()
    made.request(SECRET)
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": message}, "request_id": "req_1"}
    error = made.error(Head(status, {}), json.dumps(body).encode())
    assert (error.status, error.param) == (seen, param)


NATIVE = {"model": "alias", "max_tokens": 50_000, "messages": HELLO, "stream": True, "temperature": 0.1, "new": [1]}


def native(**more: Any) -> AnthropicChat:
    """Make the adapter for a client that speaks this dialect."""
    made: Any = WIRE.adapter(stream=bool(more.get("stream")))
    chat = replace(made._chat, native=("anthropic", {**NATIVE, **more}))
    return AnthropicChat(chat, made._target, made._provider, made._moment)


def test_a_client_of_this_dialect_is_passed_on() -> None:
    """Its own body, whatever we know of it, but for the model and the longest answer."""
    request = native(stream=True).request(SECRET)
    assert json.loads(request.body) == {**NATIVE, "model": "m-1", "max_tokens": 8000}
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert json.loads(native(max_tokens=0).request(SECRET).body)["max_tokens"] == 0


def test_its_answer_comes_back_as_it_is() -> None:
    """Event by event, and all the same counted."""
    made = native(stream=True)
    frames = stream(THOUGHT)
    found = [piece["native"] for piece in made.chunk(b"".join(frames)) + made.end()]
    assert b"".join(event(one) for one in found) == b"".join(frames)
    assert made.usage == Usage(100, 20, cached=40, reasoning=5, cache_write=10, cache_write_long=6)
    whole = native(stream=False)
    assert whole.reply(WIRE.whole(THOUGHT)) == {"native": message(THOUGHT)}
    assert whole.usage.completion == 20
    cut = native(stream=True)
    cut.chunk(b"".join(frames[:-1]))
    with pytest.raises(UpstreamError):
        cut.end()


def test_input_that_comes_with_the_call_is_not_lost() -> None:
    """Some servers of this dialect send it at once, and nothing after it."""
    call = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
    frames = [event({"type": "content_block_start", "index": 0, "content_block": call})]
    frames += [event({"type": "content_block_stop", "index": 0}), event({"type": "message_stop"})]
    chunks = heard(WIRE.streaming(), b"".join(frames))
    told = [
        one["function"]["arguments"] for chunk in chunks for one in chunk["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert "".join(told) == '{"a":1}'
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_half_an_emoji_survives() -> None:
    """It leaves as the escape it was."""
    body = json.dumps(message(Story(texts=("x",)))).replace('"x"', '"a \\ud83d half"').encode()
    assert completed(WIRE.adapter(), body)["choices"][0]["message"]["content"] == "a \ud83d half"
