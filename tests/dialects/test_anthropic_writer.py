"""Whatever a provider says adds up, in Anthropic's own SDK, to one message; events come in the order it documents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from shared.core.errors import (
    BadRequest,
    BudgetExhausted,
    StoreUnavailable,
    Untranslatable,
    UpstreamError,
    UpstreamTimeout,
)
from shared.core.sse import Decoder
from shared.core.usage import Usage
from shared.dialects import anthropic

if TYPE_CHECKING:
    from collections.abc import Iterable

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
SAID = Usage(prompt=9, completion=5, cached=4, reasoning=2)
ASKED = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "stop_sequences": ["END"]}


def writer() -> anthropic.MessagesWriter:
    """Make a writer."""
    return anthropic.MessagesWriter(anthropic.MESSAGES.parse(json.dumps(ASKED).encode()))  # type: ignore[arg-type]


def piece(delta: dict[str, Any], finish: str | None = None, **members: Any) -> dict[str, Any]:
    """Write a chunk as adapters do."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **members}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def call(number: int, arguments: str = "", name: str = "") -> dict[str, Any]:
    """Write a fragment of a call; one with a name begins it."""
    begun = {"id": f"t{number}", "type": "function"} if name else {}
    function = ({"name": name} if name else {}) | {"arguments": arguments}
    return {"tool_calls": [{"index": number, **begun, "function": function}]}


def streamed(deltas: Iterable[dict[str, Any]], finish: str = "stop", **members: Any) -> tuple[Message, list[Any]]:
    """Stream the deltas; return the message that the SDK adds up, and the events, each checked."""
    made = writer()
    out = b"".join(made.chunk(piece(delta)) for delta in deltas)
    out += made.chunk(piece({}, finish, **members)) + made.end(SAID)
    return added_up(out)


def added_up(out: bytes) -> tuple[Message, list[Any]]:
    """Add a stream up as the SDK does, which passes signs of life over."""
    events = [(event.name.decode(), json.loads(event.data)) for event in Decoder().feed(out) if event.name != b"ping"]
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for name, event in events:
        assert name == event["type"]
        snapshot = accumulate_event(
            event=EVENT.validate_python(event, strict=True), current_snapshot=snapshot, json_bufs=buffers
        )
    return snapshot, [event for _, event in events]


def shown(message: Message) -> list[Any]:
    """Return the blocks in short."""
    return [
        (block.name, block.input)
        if block.type == "tool_use"
        else getattr(block, block.type, getattr(block, "data", None))
        for block in message.content
    ]


def in_order(events: list[Any]) -> None:
    """Check that each block is opened once, filled while open, and closed once, by rising numbers."""
    open_: set[int] = set()
    seen = 0
    assert (events[0]["type"], events[-2]["type"], events[-1]["type"]) == (
        "message_start", "message_delta", "message_stop",
    )  # fmt: skip
    for event in events[1:-2]:
        index = event["index"]
        match event["type"]:
            case "content_block_start":
                assert index == seen
                seen += 1
                open_.add(index)
            case "content_block_delta":
                assert index in open_
            case "content_block_stop":
                open_.remove(index)
            case other:
                raise AssertionError(other)
    assert not open_


def test_text_is_one_block() -> None:
    """With the usage at the end: what was cached is not counted twice."""
    message, events = streamed([{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}])
    in_order(events)
    assert shown(message) == ["Hello"]
    assert (message.id, message.stop_reason, message.stop_sequence) == ("msg_1", "end_turn", None)
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (5, 4, 5)
    assert usage.output_tokens_details is not None


def test_thoughts_text_and_calls_follow_each_other() -> None:
    """Each in its own block, the first with its proof."""
    thought = {"type": "reasoning.text", "text": "hm"}
    message, events = streamed(
        [
            {"reasoning_details": [thought], "reasoning_content": "hm"},
            {"reasoning_details": [{"type": "reasoning.text", "signature": "sig"}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "secret"}]},
            {"reasoning_details": [thought]},
            {"content": "Look: "},
            call(0, "", "f"),
            call(0, '{"a":'),
            call(0, "1}"),
            call(1, "{}", "g"),
            {"content": "Done."},
        ],
        "tool_calls",
    )
    in_order(events)
    assert shown(message) == ["hm", "secret", "hm", "Look: ", ("f", {"a": 1}), ("g", {}), "Done."]
    assert message.content[0].to_dict()["signature"] == "sig"
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize("member", ["reasoning_content", "reasoning"])
def test_plain_thoughts_are_shown(member: str) -> None:
    """As DeepSeek, vLLM and others tell them."""
    assert shown(streamed([{member: "hm"}, {member: "m"}, {"content": "x"}])[0]) == ["hmm", "x"]


def test_calls_that_overlap_stay_whole() -> None:
    """Two that are filled in turns are two blocks, open at once; one that is whole is closed before the next."""
    message, events = streamed(
        [call(0, "", "f"), call(1, "", "g"), call(0, '{"a":1}'), call(1, '{"b":2}')], "tool_calls"
    )
    in_order(events)
    assert shown(message) == [("f", {"a": 1}), ("g", {"b": 2})]
    message, events = streamed([call(0, '{"a":1}', "f"), call(1, '{"b":2}', "g")], "tool_calls")
    kinds = [event["type"] for event in events]
    assert kinds.index("content_block_stop") < len(kinds) - 1 - kinds[::-1].index("content_block_start")


@pytest.mark.parametrize(
    ("finish", "called", "reason"),
    [
        ("stop", False, "end_turn"),
        ("stop", True, "tool_use"),
        ("length", True, "max_tokens"),
        ("content_filter", False, "refusal"),
        ("tool_calls", True, "tool_use"),
    ],
)
def test_reasons(finish: str, called: bool, reason: str) -> None:  # noqa: FBT001 - a parameter of the test
    """A forced call ends with "stop" at OpenAI; here it is a call all the same, streamed and whole."""
    deltas = [call(0, "{}", "f")] if called else [{"content": "x"}]
    assert streamed(deltas, finish)[0].stop_reason == reason
    calls = [{"id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}]
    message = {"content": None, "tool_calls": calls} if called else {"content": "x"}
    assert whole(message, finish).stop_reason == reason


def whole(message: dict[str, Any], finish: str = "stop", **members: Any) -> Message:
    """Write a whole message, checked by the SDK's strict model."""
    choice = {"index": 0, "message": message, "finish_reason": finish, **members}
    found = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return Message.model_validate(json.loads(writer().whole(found, SAID)), strict=True)


def test_a_stop_sequence_is_told_where_the_provider_tells_it() -> None:
    """As vLLM does; a number there is a token's and no text."""
    assert whole({"content": "x"}, stop_reason="END").stop_sequence == "END"
    assert streamed([{"content": "x"}], stop_reason="END")[0].stop_reason == "stop_sequence"
    assert whole({"content": "x"}, stop_reason=128001).stop_reason == "end_turn"


def test_a_whole_message_has_all_blocks() -> None:
    """Thoughts in either form, text, refusals, calls."""
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "sig"},
        {"type": "reasoning.encrypted", "data": "secret"},
        {"type": "reasoning.text"},
        "nonsense",
    ]
    calls = [{"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]
    found = whole({"content": "x", "refusal": "no", "reasoning_details": details, "tool_calls": calls}, "tool_calls")
    assert shown(found) == ["hm", "secret", "x", "no", ("f", {"a": 1})]
    assert shown(whole({"content": None, "reasoning": "hm"})) == ["hm"]


@pytest.mark.parametrize("arguments", ["{", "[]", '"x"', "nonsense"])
def test_half_a_call_is_an_error(arguments: str) -> None:
    """Unless the answer was cut short by its own bound; SDKs would take the half for the whole."""
    function = {"name": "f", "arguments": arguments}
    message = {"content": None, "tool_calls": [{"id": "t", "type": "function", "function": function}]}
    with pytest.raises(UpstreamError):
        whole(message, "tool_calls")
    with pytest.raises(UpstreamError):
        streamed([call(0, arguments, "f")], "tool_calls")
    assert whole(message, "length").content[0].to_dict()["input"] == {}
    assert streamed([call(0, "{", "f")], "length")[0].stop_reason == "max_tokens"


def test_what_anthropic_said_passes_through() -> None:
    """Event by event; the end waits for the settlement; what SDKs rely on is there."""
    made = writer()
    begin = {"type": "message_start", "message": {"id": "msg_9", "content": [], "usage": {"input_tokens": 3}}}
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}}
    stop = {"type": "content_block_stop", "index": 0}
    told = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}
    out = b"".join(made.chunk({"native": event}) for event in (begin, start, {"type": "ping"}, delta, stop, told))
    assert made.chunk({"native": {"type": "message_stop"}}) == b""
    assert b"event: ping" in out
    message, _ = added_up(out + made.end(SAID))
    assert (shown(message), message.id, message.usage.input_tokens) == (["hi"], "msg_9", 3)
    native = {"id": "msg_9", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "usage": None}
    found = json.loads(writer().whole({"native": native}, SAID))
    assert Message.model_validate(found, strict=True).content[0].to_dict()["text"] == "hi"


def test_errors_have_anthropics_types() -> None:
    """As a body and within a stream, with our own code beside them."""
    for error, kind in (
        (UpstreamError("x"), "api_error"),
        (UpstreamTimeout("x"), "timeout_error"),
        (StoreUnavailable("x"), "overloaded_error"),
        (BudgetExhausted("x", details={"scope": "key"}), "billing_error"),
        (KeyError("x"), "api_error"),
    ):
        body = json.loads(anthropic.MESSAGES.envelope(error))
        assert (body["type"], body["error"]["type"]) == ("error", kind)
        (event,) = Decoder().feed(writer().failed(error))
        assert (event.name, json.loads(event.data)) == (b"error", body)


def test_errors_name_the_clients_field() -> None:
    """Not what it became on the way."""
    error = json.loads(anthropic.MESSAGES.envelope(Untranslatable("'stop' is too long.", param="stop")))["error"]
    assert (error["param"], error["message"]) == ("stop_sequences", "'stop_sequences' is too long.")
    assert json.loads(anthropic.MESSAGES.envelope(Untranslatable("x", param="tools")))["error"]["param"] == "tools"
    place, own = "messages[1].content[0].image_url.url", "messages[0].content[0].source"
    assert json.loads(anthropic.MESSAGES.envelope(Untranslatable("x", param=place)))["error"]["param"] == "messages"
    assert json.loads(anthropic.MESSAGES.envelope(BadRequest("x", param=own)))["error"]["param"] == own


TEXTS = st.text(max_size=4)
FRAGMENTS = st.lists(
    st.one_of(
        st.builds(lambda text: {"content": text}, TEXTS),
        st.builds(lambda text: {"reasoning_content": text}, TEXTS),
        st.builds(lambda text: {"reasoning_details": [{"text": text}]}, TEXTS),
        st.builds(lambda text: {"reasoning_details": [{"signature": text}]}, TEXTS),
        st.builds(lambda text: {"reasoning_details": [{"data": text}]}, TEXTS),
        st.just("call"),
        st.builds(lambda at: {"argument": at}, st.integers(0, 3)),
    ),
    max_size=12,
)


@given(FRAGMENTS)
def test_any_order_adds_up(fragments: list[Any]) -> None:
    """Nothing that was said is lost or said twice, and the blocks keep their order of events."""
    calls: list[str] = []
    deltas: list[dict[str, Any]] = []
    for fragment in fragments:
        if fragment == "call":
            deltas.append(call(len(calls), "", f"f{len(calls)}"))
            calls.append("")
        elif "argument" not in fragment:
            deltas.append(fragment)
    ended = [call(number, '{"n":' + str(number) + "}") for number in range(len(calls))]
    message, events = streamed([*deltas, *ended], "tool_calls" if calls else "stop")
    in_order(events)
    text = "".join(delta.get("content", "") for delta in deltas)
    assert "".join(block.text for block in message.content if block.type == "text") == text
    assert [block.input for block in message.content if block.type == "tool_use"] == [
        {"n": n} for n in range(len(calls))
    ]
