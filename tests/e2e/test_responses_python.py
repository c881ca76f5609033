"""The official Python SDK judges `/v1/responses`: whole, streamed, parsed, with tools, and refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pydantic
import pytest
from openai.types.responses import Response

from tests.e2e.stack import CHAT, DOWN, THRICE

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx2

TEXT = "This is a simulated answer. Your message was: Hello"
HELLO: Any = {"model": CHAT, "input": "Hello"}
TOOLS: Any = [
    {
        "type": "function",
        "name": name,
        "description": "Says something.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "strict": False,
    }
    for name in ("weather", "tide")
]
CALLING: Any = {"model": CHAT, "input": "weather and tide", "tools": TOOLS}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def lie(mode: str, **more: Any) -> Any:
    """Return what makes the provider lie."""
    return {"simulated": {"mode": mode, **more}}


def keep(events: Iterable[Any], kept: list[Any]) -> None:
    """Put the events of a stream aside until it ends or raises."""
    for event in events:
        kept.append(event)  # noqa: PERF402 - what precedes a failure is kept


def test_answers_whole(client: openai.OpenAI) -> None:
    """A response in full form, with what was asked, usage and the request's id."""
    raw = client.responses.with_raw_response.create(
        **HELLO, instructions="Be brief.", max_output_tokens=64, store=False
    )
    reply = raw.parse()
    Response.model_validate(json.loads(raw.text), strict=True)
    assert reply.output_text == TEXT
    assert (reply.status, reply.object, reply.error, reply.incomplete_details) == ("completed", "response", None, None)
    assert (reply.instructions, reply.max_output_tokens, reply.model) == ("Be brief.", 64, CHAT)
    assert reply.usage
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.total_tokens) == (9, 9, 18)
    assert reply.id.startswith("resp_")
    assert reply._request_id
    assert raw.headers["x-nexus-provider"] == "openai"


def test_streams_the_same(client: openai.OpenAI) -> None:
    """Every event has its place and number, and they add up to the whole answer."""
    with client.responses.stream(**HELLO) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == TEXT
    assert final.usage
    assert final.usage.total_tokens == 13
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_calls_tools_whole_and_streamed(client: openai.OpenAI) -> None:
    """Two parallel calls are two items with whole arguments, however they travel."""
    whole: Any = client.responses.create(**CALLING)
    with client.responses.stream(**CALLING) as stream:
        streamed: Any = stream.get_final_response()
    for reply in (whole, streamed):
        assert [(item.type, item.name, json.loads(item.arguments)) for item in reply.output] == [
            ("function_call", name, {"city": "simulated"}) for name in ("weather", "tide")
        ]
    assert [item.call_id for item in whole.output] == [item.call_id for item in streamed.output]
    assert len(client.responses.create(**CALLING, parallel_tool_calls=False, tool_choice="required").output) == 1


def test_a_whole_conversation_goes_back(client: openai.OpenAI, upstream: httpx2.Client, tag: str) -> None:
    """The items of a response, handed back with what the tools answered, are one turn for the provider."""
    first = client.responses.create(**CALLING)
    items: Any = [{"role": "user", "content": "weather and tide"}, *(item.to_dict() for item in first.output)]
    calls: Any = first.output
    picture = {"type": "input_image", "image_url": PIXEL, "detail": "low"}
    shown = [{"type": "input_text", "text": "sunny"}, picture]
    items += [
        {"type": "function_call_output", "call_id": calls[0].call_id, "output": shown},
        {"type": "function_call_output", "call_id": calls[1].call_id, "output": "high"},
    ]
    knobs = {"simulated": {"tag": tag, "keep_body": True}}
    reply = client.responses.create(model=CHAT, input=items, tools=TOOLS, instructions="Be brief.", extra_body=knobs)
    assert reply.status == "completed"
    (call,) = upstream.get("/_calls", params={"tag": tag}).json()["calls"]
    messages = json.loads(call["body"])["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool", "tool", "user"]
    assert [one["function"]["name"] for one in messages[2]["tool_calls"]] == ["weather", "tide"]
    assert [message["content"] for message in messages[3:5]] == ["sunny", "high"]
    assert messages[5]["content"] == [{"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}]


class City(pydantic.BaseModel):
    """What is asked for."""

    name: str
    country: str


def test_parses_structured_output(client: openai.OpenAI) -> None:
    """By the SDK's own way, whole and streamed."""
    asked: Any = {"model": CHAT, "input": "A city, please.", "text_format": City}
    assert isinstance(client.responses.parse(**asked).output_parsed, City)
    with client.responses.stream(**asked) as stream:
        assert isinstance(stream.get_final_response().output_parsed, City)


def test_an_answer_cut_short_is_incomplete(client: openai.OpenAI) -> None:
    """Which is no failure, and says why."""
    reply = client.responses.create(**HELLO, max_output_tokens=2)
    assert reply.incomplete_details
    assert (reply.status, reply.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    events = list(client.responses.create(**HELLO, max_output_tokens=2, stream=True))
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.output_text == reply.output_text


REFUSED: Any = {
    "a memory": ({"previous_response_id": "resp_1"}, openai.BadRequestError, "previous_response_id"),
    "a conversation": ({"conversation": "conv_1"}, openai.BadRequestError, "conversation"),
    "the background": ({"background": True}, openai.BadRequestError, "background"),
    "a server tool": ({"tools": [{"type": "web_search"}]}, openai.BadRequestError, "tools[0].type"),
    "a reference": ({"input": [{"type": "item_reference", "id": "x"}]}, openai.BadRequestError, "input[0].type"),
    "no such model": ({"model": "nobody"}, openai.NotFoundError, "model"),
    "nobody at home": ({"model": DOWN}, openai.InternalServerError, None),
}


@pytest.mark.parametrize(("fields", "kind", "param"), REFUSED.values(), ids=REFUSED)
def test_refusals_are_typed(client: openai.OpenAI, fields: Any, kind: Any, param: str | None) -> None:
    """Each names the client's own field."""
    with pytest.raises(kind) as raised:
        client.responses.create(**{**HELLO, **fields})
    assert raised.value.param == param
    assert raised.value.request_id


@pytest.mark.parametrize("mode", ["html_200", "empty_200", "error_in_200", "half_json", "no_choices", "cut"])
def test_a_false_whole_answer_is_an_error(client: openai.OpenAI, mode: str) -> None:
    """A 200 that is no completion, and one that breaks off, are a 502."""
    with pytest.raises(openai.InternalServerError) as raised:
        client.responses.create(model=THRICE, input="Hi", extra_body=lie(mode))
    assert (raised.value.status_code, raised.value.code) == (502, "upstream_error")


@pytest.mark.parametrize("mode", ["html_200", "json_to_stream", "error_first"])
def test_a_stream_that_never_began_is_an_http_error(client: openai.OpenAI, mode: str) -> None:
    """As long as nothing was said, the failure of a stream is a status."""
    with pytest.raises(openai.InternalServerError) as raised:
        client.responses.create(model=THRICE, input="Hi", stream=True, extra_body=lie(mode))
    assert (raised.value.status_code, raised.value.code) == (502, "upstream_error")


@pytest.mark.parametrize(
    "more",
    [{"truncate_after": 5}, {"mode": "error_mid_stream"}, {"mode": "half_json"}, {"mode": "reset_mid"}],
    ids=lambda more: str(*more.values()),
)
def test_a_stream_that_breaks_off_raises(client: openai.OpenAI, more: Any) -> None:
    """What was said arrives, then `response.failed` with all of that, and then an error: never a silent end."""
    collected: list[Any] = []
    with pytest.raises(openai.APIError) as raised:
        keep(client.responses.create(**HELLO, stream=True, extra_body={"simulated": more}), collected)
    assert (raised.value.code, raised.value.type) == ("upstream_error", "api_error")
    assert collected[-1].type == "response.failed"
    assert collected[-1].response.status == "failed"
    assert collected[-1].response.error.code == "server_error"
    assert "This is a" in "".join(event.delta for event in collected if event.type == "response.output_text.delta")


@pytest.mark.parametrize("mode", ["no_usage", "absurd_usage", "no_done", "varying_id", "no_role", "surrogates"])
def test_an_odd_stream_is_repaired(client: openai.OpenAI, mode: str) -> None:
    """One that is all there, however oddly written, adds up to a response with usage."""
    with client.responses.stream(**HELLO, extra_body=lie(mode)) as stream:
        final = stream.get_final_response()
    assert final.usage
    assert 0 < final.usage.output_tokens < 1000


@pytest.mark.parametrize("mode", ["tool_repeat_name", "tool_no_index", "tool_same_index"])
def test_tool_calls_are_never_merged(client: openai.OpenAI, mode: str) -> None:
    """Two calls stay two items, whatever a provider does to index, id and name."""
    with client.responses.stream(**CALLING, extra_body=lie(mode)) as stream:
        output: Any = stream.get_final_response().output
    assert [(item.name, json.loads(item.arguments)) for item in output] == [
        (name, {"city": "simulated"}) for name in ("weather", "tide")
    ]
