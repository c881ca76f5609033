"""The official Python SDK judges the whole: chat, tools, structured output, embeddings and models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pydantic
import pytest

from tests.e2e.stack import CHAT, EMBEDDING, SLASHED, Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

REMOTE_EMBEDDING = "text-embedding-3-small"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CLOCK: Any = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}


def ask(text: str) -> Any:
    """Return the messages of one question."""
    return [{"role": "user", "content": text}]


def said(chunks: Any) -> str:
    """Return the text of a stream."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_answers_whole(client: openai.OpenAI) -> None:
    """A completion has text, usage, the members that strict clients require, and a request id."""
    reply = client.chat.completions.create(model=CHAT, messages=ask("Hello, world"), stream=False)
    (choice,) = reply.choices
    assert choice.message.content == "This is a simulated answer. Your message was: Hello, world"
    assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
    assert {"logprobs", "finish_reason", "index"} <= choice.model_fields_set
    assert "refusal" in choice.message.model_fields_set
    assert reply.object == "chat.completion"
    assert reply.usage
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (5, 10, 15)
    assert reply._request_id


def test_streams_the_same_text(client: openai.OpenAI) -> None:
    """The chunks of a stream add up to the whole answer, in the form that every SDK accepts."""
    whole = client.chat.completions.create(model=CHAT, messages=ask("Hello"))
    chunks = list(client.chat.completions.create(model=CHAT, messages=ask("Hello"), stream=True))
    assert said(chunks) == whole.choices[0].message.content
    assert len({(chunk.id, chunk.created, chunk.object) for chunk in chunks}) == 1
    assert chunks[0].object == "chat.completion.chunk"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]


def test_tells_usage_last_and_only_when_asked(client: openai.OpenAI) -> None:
    """With include_usage the last chunk alone has it, and no choice; without it there is neither."""
    asked: Any = {"model": CHAT, "messages": ask("Hello"), "stream": True}
    plain = list(client.chat.completions.create(**asked))
    assert all(chunk.choices and "usage" not in chunk.model_fields_set for chunk in plain)
    told = list(client.chat.completions.create(**asked, stream_options={"include_usage": True}))
    assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in told[:-1])
    assert told[-1].choices == []
    assert told[-1].usage
    assert told[-1].usage.completion_tokens == 9
    assert len(told) == len(plain) + 1


def test_streams_several_choices(client: openai.OpenAI) -> None:
    """Each of `n` choices arrives with its own index, role and end."""
    with client.chat.completions.stream(model=CHAT, messages=ask("Hi"), n=2) as stream:
        final = stream.get_final_completion()
    texts = [choice.message.content for choice in final.choices]
    assert texts == [
        "This is a simulated answer. Your message was: Hi",
        "This is a simulated answer (choice 2). Your message was: Hi",
    ]


def test_calls_tools_whole_and_streamed(client: openai.OpenAI) -> None:
    """Two parallel calls are the same two, with parsable arguments, however they travel."""
    asked: Any = {"model": CHAT, "messages": ask("weather and clock, please"), "tools": [WEATHER, CLOCK]}
    whole = client.chat.completions.create(**asked).choices[0]
    with client.chat.completions.stream(**asked) as stream:
        streamed = stream.get_final_completion().choices[0]
    for choice in (whole, streamed):
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
        calls: Any = choice.message.tool_calls
        assert [(call.type, call.function.name) for call in calls] == [
            ("function", "get_weather"),
            ("function", "clock"),
        ]
        assert [json.loads(call.function.arguments) for call in calls] == [{"city": "simulated"}, {}]
    assert _ids(whole) == _ids(streamed)


def _ids(choice: Any) -> list[str]:
    return [call.id for call in choice.message.tool_calls]


def test_counts_tool_deltas(client: openai.OpenAI) -> None:
    """Each delta has its call's index; id, type and name come once, arguments in fragments."""
    chunks = client.chat.completions.create(
        model=CHAT, messages=ask("weather and clock"), tools=[WEATHER, CLOCK], tool_choice="required", stream=True
    )
    deltas = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert [delta.index for delta in deltas] == sorted(delta.index for delta in deltas)
    named = [(delta.index, delta.function.name) for delta in deltas if delta.function and delta.function.name]
    assert named == [(0, "get_weather"), (1, "clock")]
    assert sum(delta.id is not None for delta in deltas) == 2


def test_goes_on_after_a_tool_result(client: openai.OpenAI) -> None:
    """The history of an agent's loop, with its empty assistant content, is accepted."""
    call = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    history = [
        *ask("What time is it?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
    ]
    reply = client.chat.completions.create(model=CHAT, messages=history, tools=[CLOCK])
    assert "noon" in str(reply.choices[0].message.content)


class Answer(pydantic.BaseModel):
    """What the structured answer must parse into."""

    city: str
    degrees: float


def test_passes_structured_output_on(client: openai.OpenAI) -> None:
    """A schema reaches the provider, and its answer parses, whole and streamed."""
    asked: Any = {"model": CHAT, "messages": ask("How warm?"), "response_format": Answer}
    expected = Answer(city="simulated", degrees=1)
    assert client.chat.completions.parse(**asked).choices[0].message.parsed == expected
    with client.chat.completions.stream(**asked) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == expected


def test_passes_every_documented_field_on(client: openai.OpenAI, upstream: httpx2.Client, tag: str) -> None:
    """What current clients send is accepted, and the provider gets all of it, unchanged but for the key and host."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
    body: Any = {
        "messages": [
            {"role": "developer", "content": "Be brief.", "name": "boss"},
            {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
        ],
        "max_completion_tokens": 100,
        "tools": [WEATHER],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
        "store": False,
        "metadata": {"purpose": "test"},
        "service_tier": "auto",
        "safety_identifier": "hashed",
        "prompt_cache_key": "k",
        "verbosity": "low",
        "reasoning_effort": "low",
        "seed": 7,
        "user": "u",
        "logit_bias": {"50256": -100},
        "temperature": 0.5,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "stop": ["\n\n\n"],
    }
    extra = {"simulated": {"tag": tag, "keep_body": True}, "field_of_tomorrow": {"deep": [1, 2.5, "é"]}}
    reply = client.chat.completions.create(model=CHAT, **body, extra_body=extra)
    assert json.loads(str(reply.choices[0].message.content))["prompt"] == "What is this?"
    (call,) = upstream.get("/_calls", params={"tag": tag}).json()["calls"]
    assert json.loads(call["body"]) == {"model": CHAT, **body, **extra}
    assert call["headers"]["authorization"] == "...4242"
    assert not {name for name in call["other_headers"] if name.startswith(("x-stainless", "x-forwarded", "x-amz"))}


@pytest.mark.parametrize("value", ["one text", ["two", "texts"], [101, 7592, 102], [[101, 7592, 102], [101, 102]]])
def test_embeds_in_both_encodings(client: openai.OpenAI, value: Any) -> None:
    """Base64, which the SDK asks for, and floats are the same unit vectors of 384 numbers, in order."""
    packed = client.embeddings.create(model=EMBEDDING, input=value)
    plain = client.embeddings.create(model=EMBEDDING, input=value, encoding_format="float")
    assert [one.index for one in packed.data] == list(range(len(packed.data)))
    assert len(packed.data) == (2 if isinstance(value[0], list) or len(value) == 2 else 1)
    assert packed.usage == plain.usage
    assert packed.usage.prompt_tokens > 0
    for one, two in zip(packed.data, plain.data, strict=True):
        assert len(one.embedding) == 384
        assert one.embedding == pytest.approx(two.embedding, abs=1e-6)
        assert sum(number * number for number in one.embedding) == pytest.approx(1, abs=1e-3)


def test_embeds_the_meaning(client: openai.OpenAI) -> None:
    """The model is a real one: a paraphrase is nearer than another subject."""
    texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "Interest rates rose again."]
    cat, kitten, rates = (one.embedding for one in client.embeddings.create(model=EMBEDDING, input=texts).data)
    near, far = (sum(a * b for a, b in zip(cat, other, strict=True)) for other in (kitten, rates))
    assert near > 0.5 > far + 0.2


@pytest.mark.parametrize("form", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_embeds_elsewhere_with_dimensions(client: openai.OpenAI, form: Any) -> None:
    """A provider's embedding model gets `dimensions` and the encoding that was asked for."""
    reply = client.embeddings.create(model=REMOTE_EMBEDDING, input=["a", "b"], dimensions=8, **form)
    assert reply.model == REMOTE_EMBEDDING
    sizes = [len(one.embedding) for one in reply.data]
    assert sizes == ([44, 44] if form.get("encoding_format") == "base64" else [8, 8])


def test_lists_and_retrieves_models(client: openai.OpenAI, stack: Stack) -> None:
    """The list is what the stack announced; each can be retrieved, one with a slash in its name too."""
    listed = {model.id: model for model in client.models.list()}
    assert {CHAT, EMBEDDING, SLASHED} <= listed.keys()
    assert sorted(listed) == sorted(stack.models)
    for name in (CHAT, SLASHED):
        model = client.models.retrieve(name)
        assert model == listed[name]
        assert (model.object, isinstance(model.created, int), bool(model.owned_by)) == ("model", True, True)
    assert client.chat.completions.create(model=SLASHED, messages=ask("Hi")).choices


def test_sends_the_headers_that_clients_read(client: openai.OpenAI) -> None:
    """Request id, limits and what served the call are headers; the provider's own headers stay behind."""
    raw = client.chat.completions.with_raw_response.create(model=CHAT, messages=ask("Hi"))
    headers = raw.headers
    assert headers["x-request-id"] == raw.parse()._request_id
    assert int(headers["x-ratelimit-remaining-requests"]) < int(headers["x-ratelimit-limit-requests"])
    assert headers["x-ratelimit-reset-requests"]
    assert headers["x-nexus-provider"] == "openai"
    assert headers["x-nexus-model"] == CHAT
    assert not {"set-cookie", "openai-organization"} & headers.keys()
    assert headers.get("server") != "simulated"


@pytest.fixture
async def async_client(stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    """Return the asynchronous client."""
    async with openai.AsyncOpenAI(base_url=f"{stack.base_url}/v1", api_key=stack.client_key, max_retries=0) as made:
        yield made


@pytest.mark.anyio
async def test_serves_the_asynchronous_client(async_client: openai.AsyncOpenAI) -> None:
    """The asynchronous client gets the same from chat, stream, embeddings and models."""
    whole = await async_client.chat.completions.create(model=CHAT, messages=ask("Hi"))
    stream = await async_client.chat.completions.create(model=CHAT, messages=ask("Hi"), stream=True)
    assert said([chunk async for chunk in stream]) == whole.choices[0].message.content
    vectors = await async_client.embeddings.create(model=EMBEDDING, input="Hi")
    assert len(vectors.data[0].embedding) == 384
    assert CHAT in [model.id async for model in async_client.models.list()]


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"
