"""The official SDK accepts what the simulated provider says, and it says the same every time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import pydantic
import pytest

if TYPE_CHECKING:
    import httpx2
    import openai

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
            "required": ["city", "days"],
        },
    },
}
CLOCK: Any = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}


def _ask(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_answers_the_same_question_with_the_same_words(client: openai.OpenAI) -> None:
    """The text and usage depend on the request alone; the id does not repeat."""
    one, two = (client.chat.completions.create(model="simulated", messages=_ask("What is 2+2?")) for _ in range(2))
    assert one.choices[0].message.content == two.choices[0].message.content
    assert "simulated answer" in str(one.choices[0].message.content)
    assert one.usage == two.usage
    assert one.id != two.id


def test_streams_the_words_it_would_have_said_whole(client: openai.OpenAI) -> None:
    """A stream carries the same text, and the same usage in its last chunk when asked."""
    whole = client.chat.completions.create(model="simulated", messages=_ask("Hello there"), n=2)
    chunks = list(
        client.chat.completions.create(
            model="simulated", messages=_ask("Hello there"), n=2, stream=True, stream_options={"include_usage": True}
        )
    )
    said = ["", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
    assert said == [choice.message.content for choice in whole.choices]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_sends_no_usage_chunk_unless_asked(client: openai.OpenAI) -> None:
    """Without include_usage no chunk has an empty choices list."""
    chunks = client.chat.completions.create(model="simulated", messages=_ask("Hi"), stream=True)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_stops_at_the_token_limit(client: openai.OpenAI, limit: str) -> None:
    """A limit cuts the answer, says `length`, and is what usage counts."""
    asked: Any = {limit: 3}
    reply = client.chat.completions.create(model="simulated", messages=_ask("Hi"), **asked)
    assert reply.choices[0].finish_reason == "length"
    assert reply.choices[0].message.content == "This is a"
    assert reply.usage
    assert reply.usage.completion_tokens == 3


def test_stops_before_a_stop_word(client: openai.OpenAI) -> None:
    """The first stop sequence found ends the answer and is not part of it."""
    reply = client.chat.completions.create(model="simulated", messages=_ask("Hi"), stop=["answer", "message"])
    assert reply.choices[0].message.content == "This is a simulated "
    assert reply.choices[0].finish_reason == "stop"


def test_reads_content_parts(client: openai.OpenAI) -> None:
    """Text parts are one text, and an image costs 85 tokens."""
    text = [{"type": "text", "text": "See this"}]
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    plain = client.chat.completions.create(model="simulated", messages=[{"role": "user", "content": text}])  # type: ignore[misc,list-item]
    seen = client.chat.completions.create(model="simulated", messages=[{"role": "user", "content": text + image}])  # type: ignore[misc,list-item,operator]
    assert "See this" in str(plain.choices[0].message.content)
    assert plain.usage
    assert seen.usage
    assert seen.usage.prompt_tokens - plain.usage.prompt_tokens == 85


def test_calls_the_tools_that_the_prompt_names(client: openai.OpenAI) -> None:
    """Two tools named in the prompt are two parallel calls, with arguments their schemas accept."""
    reply = client.chat.completions.create(
        model="simulated", messages=_ask("What do the weather and the clock say?"), tools=[WEATHER, CLOCK]
    )
    choice = reply.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or []]  # type: ignore[union-attr]
    assert calls == [("get_weather", {"city": "simulated", "days": 2}), ("clock", {})]


def test_streams_tool_calls_that_the_accumulator_joins(client: openai.OpenAI) -> None:
    """The SDK's own accumulator finds the same two calls in the stream's fragments."""
    asked: Any = {"model": "simulated", "messages": _ask("weather and clock"), "tools": [WEATHER, CLOCK]}
    with client.chat.completions.stream(**asked) as stream:
        streamed = stream.get_final_completion()
    whole = client.chat.completions.create(**asked)
    joined = [call.model_dump(exclude={"index": True, "function": {"parsed_arguments"}}) for call in _calls(streamed)]
    assert joined == [call.model_dump() for call in _calls(whole)]


def _calls(reply: Any) -> Any:
    return reply.choices[0].message.tool_calls


@pytest.mark.parametrize(
    ("prompt", "more", "names"),
    [
        ("Hi", {}, None),
        ("Hi", {"tool_choice": "required"}, ["get_weather"]),
        ("Hi", {"tool_choice": {"type": "function", "function": {"name": "clock"}}}, ["clock"]),
        ("weather and clock", {"tool_choice": "none"}, None),
        ("weather and clock", {"parallel_tool_calls": False}, ["get_weather"]),
    ],
)
def test_obeys_tool_choice(client: openai.OpenAI, prompt: str, more: Any, names: list[str] | None) -> None:
    """A tool is called when forced, never when forbidden, and one at a time when parallel calls are off."""
    reply = client.chat.completions.create(model="simulated", messages=_ask(prompt), tools=[WEATHER, CLOCK], **more)
    assert (_calls(reply) and [call.function.name for call in _calls(reply)]) == names


def test_answers_with_text_after_a_tool_result(client: openai.OpenAI) -> None:
    """The tool loop of an agent ends: a tool message is answered with words."""
    history = [*_ask("weather?"), {"role": "tool", "tool_call_id": "call_1", "content": "sunny weather"}]
    reply = client.chat.completions.create(model="simulated", messages=history, tools=[WEATHER])
    assert "sunny weather" in str(reply.choices[0].message.content)


class Tree(pydantic.BaseModel):
    """A recursive model with the traps of real schemas."""

    name: str
    kind: Literal["leaf", "branch"]
    weight: float = pydantic.Field(ge=3)
    children: list[Tree]
    parent: Tree | None


def test_fills_a_structured_answer(client: openai.OpenAI) -> None:
    """The SDK parses the answer into the caller's own model, recursive references included."""
    reply = client.chat.completions.parse(model="simulated", messages=_ask("A tree"), response_format=Tree)
    assert reply.choices[0].message.parsed == Tree(name="simulated", kind="leaf", weight=3, children=[], parent=None)


def test_answers_json_when_json_is_asked(client: openai.OpenAI) -> None:
    """Response format json_object gives an object."""
    reply = client.chat.completions.create(
        model="simulated", messages=_ask("json"), response_format={"type": "json_object"}
    )
    assert json.loads(str(reply.choices[0].message.content)) == {"simulated": True, "prompt": "json"}


@pytest.mark.parametrize("value", ["text", ["a", "b"], [1, 2, 3], [[1], [2]]])
def test_embeds_all_input_forms(client: openai.OpenAI, value: Any) -> None:
    """Base64 (the SDK's default) and float agree; there is one vector an input, in order."""
    packed = client.embeddings.create(model="simulated-embedding", input=value, dimensions=8)
    plain = client.embeddings.create(model="simulated-embedding", input=value, dimensions=8, encoding_format="float")
    assert [one.index for one in packed.data] == list(range(len(packed.data)))
    assert len(packed.data) == (2 if value in (["a", "b"], [[1], [2]]) else 1)
    for one, two in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(two.embedding, abs=1e-6)
        assert sum(number * number for number in one.embedding) == pytest.approx(1, abs=1e-5)


def test_lists_its_models(client: openai.OpenAI) -> None:
    """Each listed model can be retrieved."""
    names = [model.id for model in client.models.list()]
    assert names == ["simulated", "simulated-embedding"]
    assert client.models.retrieve("simulated").owned_by == "simulated"


def test_refuses_what_it_does_not_know(http: httpx2.Client) -> None:
    """Unknown paths and models are 404, a body that is not JSON is 400, both in OpenAI's form."""
    for answer, status in [
        (http.get("/v1/models/other"), 404),
        (http.get("/nowhere"), 404),
        (http.post("/v1/chat/completions", content=b"{"), 400),
        (http.post("/v1/chat/completions", json={"model": "simulated"}), 400),
    ]:
        assert answer.status_code == status
        assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
