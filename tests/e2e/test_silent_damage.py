"""What SDKs take for success although it is none: the gateway makes it an error, or repairs it; it never passes it on.

Without a gateway, each of the refused faults here leaves the official SDKs with an empty or shortened answer and no
exception; each of the repaired ones breaks some SDK although the answer is all there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.e2e.stack import CHAT, THRICE

if TYPE_CHECKING:
    import httpx2

HI: Any = [{"role": "user", "content": "Hi"}]
TEXT = "This is a simulated answer. Your message was: Hi"
TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
    for name in ("weather", "tide")
]
NOT_AN_ANSWER = (
    "html_200",
    "empty_200",
    "error_in_200",
    "redirect",
    "redirect_loop",
    "reset",
    "bad_status_line",
    "gzip_bomb",
)


def lie(mode: str, **more: Any) -> Any:
    """Return what makes the provider lie."""
    return {"simulated": {"mode": mode, **more}}


@pytest.mark.parametrize(
    "mode",
    [
        *NOT_AN_ANSWER,
        *("sse_to_whole", "half_json", "no_choices", "empty_choices", "cut", "reset_mid", "bad_length", "bad_chunk"),
    ],
)
def test_a_false_whole_answer_is_an_error(client: openai.OpenAI, mode: str) -> None:
    """A 200 that is no completion, and one that breaks off, are a 502 in the error envelope."""
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model=THRICE, messages=HI, extra_body=lie(mode))
    assert (raised.value.status_code, raised.value.type, raised.value.code) == (502, "api_error", "upstream_error")
    assert raised.value.request_id


@pytest.mark.parametrize("mode", [*NOT_AN_ANSWER, "json_to_stream", "error_first", "no_choices"])
def test_a_stream_that_never_began_is_an_http_error(client: openai.OpenAI, mode: str) -> None:
    """As long as nothing was said, the failure of a stream is a status, not an empty stream."""
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model=THRICE, messages=HI, stream=True, extra_body=lie(mode))
    assert (raised.value.status_code, raised.value.code) == (502, "upstream_error")


@pytest.mark.parametrize(
    "more",
    [
        {"truncate_after": 5},
        {"mode": "error_mid_stream"},
        {"mode": "half_json"},
        {"mode": "bad_json"},
        {"mode": "no_finish,no_done"},
        {"mode": "cut"},
        {"mode": "reset_mid"},
        {"mode": "bad_chunk"},
    ],
    ids=lambda more: str(*more.values()),
)
def test_a_stream_that_breaks_off_raises(client: openai.OpenAI, http: httpx2.Client, more: Any) -> None:
    """What was said arrives, then an error event: never a silent end, and never [DONE]."""
    heard = []
    with (
        pytest.raises(openai.APIError) as raised,
        client.chat.completions.create(model=CHAT, messages=HI, stream=True, extra_body={"simulated": more}) as stream,
    ):
        heard += [choice.delta.content or "" for chunk in stream for choice in chunk.choices]
    assert not isinstance(raised.value, openai.APIStatusError | openai.APIConnectionError)
    assert (raised.value.code, raised.value.type) == ("upstream_error", "api_error")
    body = {"model": CHAT, "messages": HI, "stream": True, "simulated": more}
    lines = [line for line in http.post("/v1/chat/completions", json=body).text.splitlines() if line]
    assert "This is a" in "".join(json.loads(line[6:])["choices"][0]["delta"].get("content", "") for line in lines[:-1])
    assert json.loads(lines[-1][6:])["error"].keys() >= {"message", "type", "code", "param"}


@pytest.mark.parametrize(
    "mode",
    [
        *("no_done", "two_done", "comments", "crlf", "cr", "no_space", "multi_line", "bom", "split_utf8"),
        *("no_role", "no_object", "no_id", "varying_id", "no_usage", "negative_usage", "absurd_usage", "string_usage"),
        "usage_everywhere",
    ],
)
def test_an_odd_stream_is_repaired(client: openai.OpenAI, mode: str) -> None:
    """A stream that is all there, however oddly written, arrives in the one form that every SDK reads."""
    options: Any = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(model=CHAT, messages=HI, **options, extra_body=lie(mode)))
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == TEXT
    assert len({(chunk.id, chunk.object, chunk.created) for chunk in chunks}) == 1
    assert (chunks[0].object, chunks[0].choices[0].delta.role) == ("chat.completion.chunk", "assistant")
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["stop"]
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    usage = chunks[-1].usage
    assert usage
    assert 0 < usage.completion_tokens < 1000
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@pytest.mark.parametrize("mode", ["no_usage", "negative_usage", "absurd_usage", "string_usage", "no_id", "no_object"])
def test_an_odd_whole_answer_is_repaired(client: openai.OpenAI, mode: str) -> None:
    """Wrong or missing usage and members are put right: usage is never negative, absurd or absent."""
    reply = client.chat.completions.create(model=CHAT, messages=HI, extra_body=lie(mode))
    assert reply.choices[0].message.content == TEXT
    assert (reply.object, reply.choices[0].finish_reason) == ("chat.completion", "stop")
    assert reply.id
    assert reply.usage
    assert 0 < reply.usage.completion_tokens < 1000


@pytest.mark.parametrize("mode", ["", "tool_repeat_name", "tool_no_index", "tool_same_index"])
def test_tool_calls_are_never_merged(client: openai.OpenAI, mode: str) -> None:
    """Two calls stay two calls with whole arguments, whatever a provider does to index, id and name."""
    asked: Any = {"model": CHAT, "messages": [{"role": "user", "content": "weather and tide"}], "tools": TOOLS}
    with client.chat.completions.stream(**asked, extra_body=lie(mode)) as stream:
        calls: Any = stream.get_final_completion().choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["weather", "tide"]
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "simulated"}] * 2
    assert len({call.id for call in calls}) == 2


def test_half_characters_survive(http: httpx2.Client) -> None:
    """A provider that cuts an emoji in two between chunks breaks nothing, streamed or whole."""
    body: Any = {"model": CHAT, "messages": HI, **lie("surrogates")}
    whole = http.post("/v1/chat/completions", json=body)
    assert whole.status_code == 200
    assert "half" in whole.json()["choices"][0]["message"]["content"]
    streamed = http.post("/v1/chat/completions", json={**body, "stream": True})
    events = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: {")]
    text = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
    assert text.encode("utf-16", "surrogatepass").decode("utf-16").startswith("This\U0001f600 is")
    assert streamed.text.endswith("data: [DONE]\n\n")


def test_letters_outside_ascii_survive_every_cut(client: openai.OpenAI) -> None:
    """Bytes that arrive one by one are characters again when they leave."""
    text = "naïve 日本語 👩‍👩‍👧 done"
    stream = client.chat.completions.create(
        model=CHAT, messages=HI, stream=True, extra_body=lie("split_utf8", answer=text)
    )
    assert "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices) == text


def test_headers_of_a_provider_are_no_burden(client: openai.OpenAI) -> None:
    """800 kB of headers are refused or survived, not passed on."""
    try:
        raw = client.chat.completions.with_raw_response.create(model=THRICE, messages=HI, extra_body=lie("big_headers"))
    except openai.InternalServerError as error:
        assert (error.status_code, error.code) == (502, "upstream_error")  # noqa: PT017 - one of two right outcomes
    else:
        assert not [name for name in raw.headers if name.startswith("x-big")]


def test_an_endless_answer_is_ended(client: openai.OpenAI) -> None:
    """An upstream that never stops is cut at a bound, with an error; the gateway answers the next request."""
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model=THRICE, messages=HI, extra_body=lie("endless"))
    assert (raised.value.status_code, raised.value.code) == (502, "upstream_error")
    assert client.chat.completions.create(model=THRICE, messages=HI).choices[0].message.content == TEXT
