"""Whatever a provider says adds up, in OpenAI's own SDK, to one response, by numbered events in their order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from shared.core.errors import Untranslatable, UpstreamError, UpstreamRateLimited
from shared.core.sse import Decoder
from shared.core.usage import Usage
from shared.dialects import responses
from tests.dialects.test_anthropic_writer import call, piece

if TYPE_CHECKING:
    from collections.abc import Iterable

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
SAID = Usage(prompt=9, completion=5, cached=4, reasoning=2)
SIGNED = {"type": "reasoning.text", "text": "hm", "signature": "s"}


def writer(**fields: Any) -> responses.ResponsesWriter:
    """Make a writer."""
    body = {"model": "m", "input": "x", **fields}
    return responses.ResponsesWriter(responses.RESPONSES.parse(json.dumps(body).encode()))  # type: ignore[arg-type]


def added_up(out: bytes) -> tuple[Any, list[Any]]:
    """Add a stream up as the SDK does; each event is checked, and numbered without a gap."""
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    events = [(event.name.decode(), json.loads(event.data)) for event in Decoder().feed(out)]
    for number, (name, event) in enumerate(events):
        assert (name, number) == (event["type"], event["sequence_number"])
        if name != "error":
            state.handle_event(EVENT.validate_python(event, strict=True))
    return state._completed_response, [event for _, event in events]


def in_order(events: list[Any]) -> None:
    """Check that each item, and each of its parts, is begun, told and ended, once."""
    open_: set[int] = set()
    parts: set[tuple[int, int]] = set()
    begun = 0
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    for event in events[2:-1]:
        kind, at = event["type"], event["output_index"]
        if kind == "response.output_item.added":
            assert at == begun
            begun += 1
            open_.add(at)
            continue
        assert at in open_
        part = (at, event.get("content_index", event.get("summary_index", 0)))
        if kind.endswith("part.added"):
            assert part not in parts
            parts.add(part)
        elif kind == "response.output_item.done":
            open_.remove(at)
            assert not [one for one in parts if one[0] == at]
        elif kind.endswith("part.done"):
            parts.remove(part)
        elif kind.endswith((".text.delta", "refusal.delta")):
            assert part in parts
    assert not open_


def streamed(
    deltas: Iterable[dict[str, Any]], finish: str = "stop", asked: dict[str, Any] | None = None
) -> tuple[Any, list[Any]]:
    """Stream the deltas; return the response that the SDK adds up, and the events."""
    made = writer(**(asked or {}))
    out = b"".join(made.chunk(piece(delta)) for delta in deltas)
    return added_up(out + made.chunk(piece({}, finish)) + made.end(SAID))


def whole(message: dict[str, Any], finish: str = "stop", asked: dict[str, Any] | None = None, **members: Any) -> Any:
    """Write a whole response, checked by the SDK's strict model."""
    choice = {"index": 0, "message": message, "finish_reason": finish, **members}
    found = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return Response.model_validate(json.loads(writer(**(asked or {})).whole(found, SAID)), strict=True)


def shown(response: Any) -> list[Any]:
    """Return the items in short."""
    found: list[Any] = []
    for one in response.output:
        match one.type:
            case "message":
                found += [
                    part.text if part.type == "output_text" else {"refusal": part.refusal} for part in one.content
                ]
            case "reasoning":
                found.append([part.text for part in one.summary])
            case "function_call":
                found.append((one.name, json.loads(one.arguments)))
            case other:
                found.append((other, one.input))
    return found


def test_thoughts_text_and_calls_follow_each_other() -> None:
    """Each is an item; what was streamed is what the whole says."""
    deltas = [
        {"role": "assistant", "reasoning_content": "h"},
        {"reasoning_content": "m"},
        {"content": "Look"},
        {"content": ": "},
        {"refusal": "no"},
        call(0, "", "f"),
        call(0, '{"a":1}'),
        call(1, "{}", "g"),
    ]
    found, events = streamed(deltas, "tool_calls")
    in_order(events)
    assert shown(found) == [["hm"], "Look: ", {"refusal": "no"}, ("f", {"a": 1}), ("g", {})]
    assert (found.status, found.usage.input_tokens, found.usage.total_tokens) == ("completed", 9, 14)
    assert found.usage.input_tokens_details.cached_tokens == 4
    calls = [one["tool_calls"][0] for one in (call(0, '{"a":1}', "f"), call(1, "{}", "g"))]
    message = {"content": "Look: ", "refusal": "no", "reasoning_content": "hm", "tool_calls": calls}
    again = whole(message, "tool_calls")
    assert shown(again) == shown(found)
    assert [one.id for one in again.output] == [one.id for one in found.output]
    assert again.created_at == 1


def test_what_was_asked_is_told_again() -> None:
    """With the defaults that the SDK's strict model wants."""
    tools = [{"type": "function", "name": "f", "parameters": {}, "strict": False}]
    asked = {
        "instructions": "i", "tools": tools, "tool_choice": {"type": "function", "name": "f"}, "temperature": 0.5,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}, "metadata": {"a": "b"},
        "reasoning": {"effort": "low"}, "parallel_tool_calls": False, "max_output_tokens": 7,
    }  # fmt: skip
    found = whole({"content": "x"}, asked=asked).to_dict()
    assert {name: found[name] for name in asked if name not in {"text", "reasoning"}} == {
        name: value for name, value in asked.items() if name not in {"text", "reasoning"}
    }
    assert (found["text"]["format"]["name"], found["reasoning"]["effort"]) == ("n", "low")


def test_thoughts_can_be_handed_back_sealed() -> None:
    """Their proof goes with them, if the client asks for it, streamed or whole."""
    asked = {"include": ["reasoning.encrypted_content"]}
    pieces = [
        {"reasoning_details": [{"type": "reasoning.text", "text": "h"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "m"}]},
        {"reasoning_details": [{"type": "reasoning.text", "signature": "s"}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "d"}]},
    ]
    found, events = streamed([*pieces, {"content": "x"}], asked=asked)
    in_order(events)
    message = {"content": "x", "reasoning_details": [SIGNED, {"type": "reasoning.encrypted", "data": "d"}]}
    for response in (found, whole(message, asked=asked)):
        assert shown(response) == [["hm"], "x"]
        items = [{"role": "user", "content": "x"}, *(one.to_dict() for one in response.output)]
        back: Any = responses.RESPONSES.parse(json.dumps({"model": "m", "input": items}).encode())
        assert back.raw["messages"][1]["reasoning_details"] == message["reasoning_details"]
    assert whole(message).output[0].encrypted_content is None


def test_calls_that_overlap_stay_whole() -> None:
    """Two that are filled in turns are two items, open at once; free text is told in its own events."""
    found, events = streamed([call(0, "", "f"), call(1, "", "g"), call(0, '{"a":1}'), call(1, '{"b":2}')], "tool_calls")
    in_order(events)
    assert shown(found) == [("f", {"a": 1}), ("g", {"b": 2})]
    custom = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "h", "input": "free"}}
    found, events = streamed([{"tool_calls": [custom]}], "tool_calls")
    in_order(events)
    assert shown(found) == [("custom_tool_call", "free")]
    assert "response.custom_tool_call_input.done" in [event["type"] for event in events]


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_what_is_cut_short_is_incomplete(finish: str, reason: str) -> None:
    """As its items are, and its last event; half of a call is then no error."""
    made = writer()
    out = (
        made.chunk(piece({"content": "Hel"})) + made.chunk(piece(call(0, '{"a"', "f"))) + made.chunk(piece({}, finish))
    )
    _, events = added_up(out + made.end(SAID))
    in_order(events)
    assert events[-1]["type"] == "response.incomplete"
    response = events[-1]["response"]
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert response["output"][1]["status"] == "incomplete"
    assert whole({"content": "Hel"}, finish).status == "incomplete"


def test_half_a_call_is_an_error() -> None:
    """SDKs would take it for the whole; what is told after that keeps its numbers."""
    made = writer()
    out = made.chunk(piece({"content": "Look"}))
    with pytest.raises(UpstreamError) as failure:
        made.chunk(piece(call(0, '{"a"', "f"), "tool_calls"))
    _, events = added_up(out + made.failed(failure.value))
    assert [event["type"] for event in events[-2:]] == ["response.failed", "error"]
    with pytest.raises(UpstreamError):
        whole({"content": None, "tool_calls": call(0, "[]", "f")["tool_calls"]}, "tool_calls")


def test_a_failure_is_told_twice() -> None:
    """As the response's last state, with what was said; and as the error that makes SDKs raise."""
    made = writer()
    out = made.chunk(piece({"content": "Hel"})) + made.failed(UpstreamRateLimited("slow down"))
    _, events = added_up(out)
    failed, error = events[-2:]
    assert (failed["response"]["status"], failed["response"]["error"]["code"]) == ("failed", "rate_limit_exceeded")
    assert (error["code"], error["error"]["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    body = json.loads(responses.RESPONSES.envelope(Untranslatable("'messages' are wrong.", param="messages")))
    assert (body["error"]["param"], body["error"]["message"]) == ("input", "'input' are wrong.")


def test_probabilities_are_told() -> None:
    """With every member that the strict model wants."""
    token = {"token": "x", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": "y", "logprob": -2.0}]}
    found = whole({"content": "x"}, logprobs={"content": [token, "nonsense"]})
    assert found.output[0].content[0].logprobs[0].top_logprobs[0].token == "y"
    made = writer()
    chunk = piece({"content": "x"}, logprobs={"content": [token]})
    response, _ = added_up(made.chunk(chunk) + made.chunk(piece({}, "stop")) + made.end(SAID))
    assert response.output[0].content[0].logprobs[0].token == "x"


TEXTS = st.text(max_size=4)
DELTAS = st.lists(
    st.one_of(
        st.builds(lambda text: {"content": text}, TEXTS),
        st.builds(lambda text: {"refusal": text}, TEXTS),
        st.builds(lambda text: {"reasoning": text}, TEXTS),
        st.builds(lambda text: {"reasoning_details": [{"text": text}]}, TEXTS),
        st.builds(lambda text: {"reasoning_details": [{"signature": text}, "nonsense"]}, TEXTS),
        st.builds(lambda number, text: (number, text), st.integers(0, 2), TEXTS),
    ),
    max_size=12,
)


@given(DELTAS)
def test_any_order_adds_up(deltas: list[Any]) -> None:
    """Nothing that was said is lost, and the items keep their order of events."""
    begun: dict[int, list[str]] = {}
    told = []
    for delta in deltas:
        if isinstance(delta, dict):
            told.append(delta)
            continue
        number, text = min(delta[0], len(begun)), json.dumps(delta[1])
        name = "" if number in begun else f"f{number}"
        opening = '{"n":[0' if name else f",{text}"
        begun.setdefault(number, []).append(opening)
        told.append(call(number, opening, name))
    told += [call(number, "]}") for number in begun]
    found, events = streamed(told, "tool_calls" if begun else "stop")
    in_order(events)
    texts = "".join(one.get("content", "") for one in told)
    assert found.output_text == texts
    arguments = [one.arguments for one in found.output if one.type == "function_call"]
    assert arguments == ["".join(parts) + "]}" for parts in begun.values()]
