"""The official Anthropic SDK judges `/v1/messages`, in front of a provider that speaks OpenAI's dialect only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
from anthropic.types import Message

from tests.e2e.stack import CHAT, DOWN, THRICE, Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    import httpx2

TEXT = "This is a simulated answer. Your message was: Hello"
HELLO: Any = {"model": CHAT, "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
TOOLS: Any = [
    {
        "name": name,
        "description": "Says something.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "cache_control": {"type": "ephemeral"},
    }
    for name in ("weather", "tide")
]
CALLING: Any = {**HELLO, "messages": [{"role": "user", "content": "weather and tide"}], "tools": TOOLS}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def lie(mode: str, **more: Any) -> Any:
    """Return what makes the provider lie."""
    return {"simulated": {"mode": mode, **more}}


@pytest.fixture
def claude(stack: Stack) -> Iterator[anthropic.Anthropic]:
    """Return the official client; it sends the key as `x-api-key`."""
    with anthropic.Anthropic(base_url=stack.base_url, api_key=stack.client_key, max_retries=0, timeout=30) as made:
        yield made


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


@pytest.fixture
async def hasty(stack: Stack) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Return the asynchronous client; it sends the key as `Authorization`."""
    async with anthropic.AsyncAnthropic(
        base_url=stack.base_url, auth_token=stack.client_key, max_retries=0, timeout=30
    ) as made:
        yield made


def test_answers_whole(claude: anthropic.Anthropic) -> None:
    """A message in full form, with usage, the request id, and who served it for how much."""
    raw = claude.messages.with_raw_response.create(**HELLO)
    reply = raw.parse()
    Message.model_validate(json.loads(raw.text()), strict=True)
    assert [block.to_dict() for block in reply.content] == [{"type": "text", "text": TEXT, "citations": None}]
    assert (reply.role, reply.type, reply.stop_reason, reply.model) == ("assistant", "message", "end_turn", CHAT)
    assert reply.id.startswith("msg_")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (4, 9)
    assert reply._request_id == raw.headers["x-request-id"]
    assert raw.headers["x-nexus-provider"] == "openai"
    assert float(raw.headers["x-nexus-cost-usd"]) > 0


def test_streams_the_same(claude: anthropic.Anthropic) -> None:
    """What the stream adds up to is the whole answer; its events come in their order."""
    with claude.messages.stream(**HELLO) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    whole = claude.messages.create(**HELLO)
    assert final.content[0].to_dict() | {"citations": None} == whole.content[0].to_dict()
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("end_turn", 4, 9)
    raw = [kind for kind in kinds if kind != "text"]
    assert raw[:2] == ["message_start", "content_block_start"]
    assert raw[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(raw[2:-3]) == {"content_block_delta"}


def test_calls_tools_whole_and_streamed(claude: anthropic.Anthropic) -> None:
    """Two parallel calls are two blocks with whole inputs, however they travel."""
    whole = claude.messages.create(**CALLING)
    with claude.messages.stream(**CALLING) as stream:
        streamed = stream.get_final_message()
    reply: Any
    for reply in (whole, streamed):
        assert reply.stop_reason == "tool_use"
        calls = [block for block in reply.content if block.type == "tool_use"]
        assert [(call.name, call.input) for call in calls] == [
            (name, {"city": "simulated"}) for name in ("weather", "tide")
        ]
    assert [block.to_dict()["id"] for block in whole.content] == [block.to_dict()["id"] for block in streamed.content]
    forced = claude.messages.create(**CALLING, tool_choice={"type": "any", "disable_parallel_tool_use": True})
    assert len(forced.content) == 1


def test_a_whole_conversation_goes_back(claude: anthropic.Anthropic, upstream: httpx2.Client, tag: str) -> None:
    """System text, images, calls and the tools' answers reach the provider in its own form, marks left out."""
    first = claude.messages.create(**CALLING)
    calls = [block for block in first.content if block.type == "tool_use"]
    picture: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    marked: Any = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
    answers: Any = [
        {"type": "tool_result", "tool_use_id": calls[0].id, "content": [{"type": "text", "text": "sunny"}, picture]},
        {"type": "tool_result", "tool_use_id": calls[1].id, "content": "no data", "is_error": True},
        {"type": "text", "text": "So?"},
    ]
    reply = claude.messages.create(
        model=CHAT,
        max_tokens=200,
        system=[marked],
        messages=[
            *CALLING["messages"],
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": answers},
        ],
        tools=TOOLS,
        tool_choice={"type": "none"},
        stop_sequences=["never"],
        extra_body={"simulated": {"tag": tag, "keep_body": True}},
    )
    assert isinstance(reply.content[0], anthropic.types.TextBlock)
    (call,) = upstream.get("/_calls", params={"tag": tag}).json()["calls"]
    body = json.loads(call["body"])
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool", "user", "user"]
    assert [message["content"] for message in body["messages"][3:5]] == ["sunny", "Error: no data"]
    assert body["messages"][5]["content"][0]["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"
    assert (body["stop"], body["tool_choice"]) == (["never"], "none")
    assert "cache_control" not in call["body"]


def test_counts_tokens(claude: anthropic.Anthropic) -> None:
    """An estimate, without asking any provider; more text is more tokens."""
    few = claude.messages.count_tokens(model=CHAT, messages=HELLO["messages"]).input_tokens
    many = claude.messages.count_tokens(model=CHAT, messages=HELLO["messages"], system="word " * 100).input_tokens
    assert 0 < few < many
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.count_tokens(model="nobody", messages=HELLO["messages"])


@pytest.mark.anyio
async def test_the_asynchronous_client_with_a_bearer_token(hasty: anthropic.AsyncAnthropic) -> None:
    """Whole, streamed, and refused."""
    assert (await hasty.messages.create(**HELLO)).content[0].to_dict()["text"] == TEXT
    async with hasty.messages.stream(**HELLO) as stream:
        assert "".join([text async for text in stream.text_stream]) == TEXT
    with pytest.raises(anthropic.NotFoundError):
        await hasty.messages.create(**{**HELLO, "model": "nobody"})


REFUSED: Any = {
    "no such model": ({"model": "nobody"}, anthropic.NotFoundError, "not_found_error", "model"),
    "a model of another kind": (
        {"model": "text-embedding-3-small"}, anthropic.BadRequestError, "invalid_request_error", "model",
    ),
    "a tool of Anthropic's": (
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        anthropic.BadRequestError, "invalid_request_error", "tools",
    ),
    "a field that is wrong": (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        anthropic.BadRequestError, "invalid_request_error", "messages[0].content[0].text",
    ),
    "what OpenAI cannot do": (
        {"extra_body": {"top_k": 5}}, anthropic.BadRequestError, "invalid_request_error", "top_k",
    ),
    "nobody at home": ({"model": DOWN}, anthropic.ServiceUnavailableError, "overloaded_error", None),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "kind", "type_", "param"), REFUSED.values(), ids=REFUSED)
def test_refusals_are_typed(claude: anthropic.Anthropic, fields: Any, kind: Any, type_: str, param: str | None) -> None:
    """Each is the SDK's own exception, in Anthropic's shape, with the request's id, and the field if one is wrong."""
    with pytest.raises(kind) as raised:
        claude.messages.create(**{**HELLO, **fields})
    assert raised.value.type == type_
    assert raised.value.request_id
    body: Any = raised.value.body
    assert (body["type"], body["error"]["param"]) == ("error", param)


def test_a_wrong_key_and_a_spent_budget_are_typed(stack: Stack, new_key: Callable[..., dict[str, Any]]) -> None:
    """The gateway's own refusals read like Anthropic's."""
    with anthropic.Anthropic(base_url=stack.base_url, api_key="nexus_wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            client.messages.create(**HELLO)
        assert refused.value.type == "authentication_error"
        assert refused.value.request_id  # although API Gateway itself said it
    key = new_key(tier="pro", budget={"total_usd": "0.000001"})["key"]
    with anthropic.Anthropic(base_url=stack.base_url, api_key=key, max_retries=2) as client:
        with pytest.raises(anthropic.RateLimitError) as spent:
            client.messages.create(**HELLO)
        assert spent.value.type == "billing_error"
        assert spent.value.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("mode", ["html_200", "empty_200", "error_in_200", "half_json", "no_choices", "cut"])
def test_a_false_whole_answer_is_an_error(claude: anthropic.Anthropic, mode: str) -> None:
    """A 200 that is no completion, and one that breaks off, are a 502 in Anthropic's shape."""
    with pytest.raises(anthropic.InternalServerError) as raised:
        claude.messages.create(**{**HELLO, "model": THRICE}, extra_body=lie(mode))
    assert (raised.value.status_code, raised.value.type) == (502, "api_error")


@pytest.mark.parametrize("mode", ["html_200", "json_to_stream", "error_first"])
def test_a_stream_that_never_began_is_an_http_error(claude: anthropic.Anthropic, mode: str) -> None:
    """As long as nothing was said, the failure of a stream is a status."""
    with pytest.raises(anthropic.InternalServerError) as raised:
        claude.messages.create(**{**HELLO, "model": THRICE}, stream=True, extra_body=lie(mode))
    assert (raised.value.status_code, raised.value.type) == (502, "api_error")


@pytest.mark.parametrize(
    "more",
    [{"truncate_after": 5}, {"mode": "error_mid_stream"}, {"mode": "half_json"}, {"mode": "reset_mid"}],
    ids=lambda more: str(*more.values()),
)
def test_a_stream_that_breaks_off_raises(claude: anthropic.Anthropic, http: httpx2.Client, more: Any) -> None:
    """What was said arrives, then an error event: never `message_stop`."""
    heard = []
    with (
        pytest.raises(anthropic.APIStatusError) as raised,
        claude.messages.stream(**HELLO, extra_body={"simulated": more}) as stream,
    ):
        heard += list(stream.text_stream)
    assert raised.value.type == "api_error"
    told = http.post("/v1/messages", json={**HELLO, "stream": True, "simulated": more}).text
    assert "This is a" in "".join(
        json.loads(line[6:])["delta"].get("text", "") for line in told.splitlines() if '"delta"' in line
    )
    assert told.split("\n\n")[-2].startswith("event: error\n")
    assert "message_stop" not in told
    del heard


@pytest.mark.parametrize("mode", ["no_usage", "absurd_usage", "no_done", "varying_id", "no_role", "surrogates"])
def test_an_odd_stream_is_repaired(claude: anthropic.Anthropic, mode: str) -> None:
    """One that is all there, however oddly written, adds up to a message with usage."""
    with claude.messages.stream(**HELLO, extra_body=lie(mode)) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn"
    assert 0 < final.usage.output_tokens < 1000


@pytest.mark.parametrize("mode", ["tool_repeat_name", "tool_no_index", "tool_same_index"])
def test_tool_calls_are_never_merged(claude: anthropic.Anthropic, mode: str) -> None:
    """Two calls stay two blocks, whatever a provider does to index, id and name."""
    with claude.messages.stream(**CALLING, extra_body=lie(mode)) as stream:
        final = stream.get_final_message()
    calls = [block for block in final.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [
        (name, {"city": "simulated"}) for name in ("weather", "tide")
    ]


def test_lists_models(claude: anthropic.Anthropic) -> None:
    """The one list serves both SDKs."""
    assert CHAT in [model.id for model in claude.models.list()]
    found = claude.models.retrieve(CHAT)
    assert (found.id, found.type, found.display_name, found.created_at.tzname()) == (CHAT, "model", CHAT, "UTC")
