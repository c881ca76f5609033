"""Every refusal becomes the right exception of the official Python SDK, with code, type, param and request id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.e2e.stack import CHAT, DOWN, EMBEDDING, THRICE, Stack

if TYPE_CHECKING:
    from collections.abc import Callable

HI: Any = [{"role": "user", "content": "Hi"}]


def _told(error: openai.APIStatusError) -> tuple[int, str | None, str | None, str | None]:
    assert error.request_id
    assert error.request_id == error.response.headers["x-request-id"]
    return error.status_code, error.type, error.code, error.param


def test_a_wrong_key(stack: Stack) -> None:
    """A key that opens nothing is an AuthenticationError."""
    wrong = stack.client_key[:-1] + ("A" if stack.client_key[-1] != "A" else "B")
    with openai.OpenAI(base_url=f"{stack.base_url}/v1", api_key=wrong, max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as raised:
            client.chat.completions.create(model=CHAT, messages=HI)
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
    assert _told(raised.value) == (401, "authentication_error", "invalid_api_key", None)


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model(client: openai.OpenAI, stream: bool) -> None:  # noqa: FBT001
    """A model nobody has is a NotFoundError that names the field, also when a stream was asked."""
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="gpt-17", messages=HI, stream=stream)
    assert _told(raised.value) == (404, "not_found_error", "model_not_found", "model")
    assert "gpt-17" in raised.value.message


def test_an_unknown_model_retrieved(client: openai.OpenAI) -> None:
    """So is retrieving it, with a slash in its name too."""
    for name in ("gpt-17", "acme/none"):
        with pytest.raises(openai.NotFoundError) as raised:
            client.models.retrieve(name)
        assert _told(raised.value)[2] == "model_not_found"


def test_an_endpoint_that_is_not_there(client: openai.OpenAI) -> None:
    """An API that is not served is a NotFoundError with code unknown_url, which clients fall back on."""
    with pytest.raises(openai.NotFoundError) as raised:
        client.images.generate(model=CHAT, prompt="Hi")
    assert _told(raised.value) == (404, "not_found_error", "unknown_url", None)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"n": 0}, "n"),
        ({"temperature": "warm"}, "temperature"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"extra_body": {"api_base": "http://127.0.0.1:1"}}, "api_base"),
        ({"extra_body": {"api_key": "sk-mine"}}, "api_key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_field(client: openai.OpenAI, more: Any, param: str) -> None:
    """A field that cannot be served is a BadRequestError naming it."""
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**{"model": CHAT, "messages": HI, **more})
    assert _told(raised.value)[1] == "invalid_request_error"
    assert raised.value.param == param


def test_a_wrong_kind_of_model(client: openai.OpenAI) -> None:
    """A chat with an embedding model, and the reverse, say that it is the model."""
    with pytest.raises(openai.BadRequestError) as chat:
        client.chat.completions.create(model=EMBEDDING, messages=HI)
    with pytest.raises(openai.BadRequestError) as embedding:
        client.embeddings.create(model=CHAT, input="Hi")
    assert (chat.value.param, embedding.value.param) == ("model", "model")


def test_a_key_at_its_limit(stack: Stack, new_key: Callable[..., dict[str, Any]]) -> None:
    """A free key gets ten requests a minute; the next is a RateLimitError that says which limit and when to return."""
    key = new_key(tier="free")["key"]
    with openai.OpenAI(base_url=f"{stack.base_url}/v1", api_key=key, max_retries=0) as client:
        remaining = [_remaining(client) for _ in range(10)]
        with pytest.raises(openai.RateLimitError) as raised:
            client.chat.completions.create(model=CHAT, messages=HI)
    assert remaining == list(range(9, -1, -1))
    assert _told(raised.value) == (429, "rate_limit_error", "rate_limit_exceeded", None)
    error: Any = raised.value.body
    assert error["limit"] == error["used"] == 10
    assert {"scope", "reserved", "resets_at"} <= error.keys()
    assert 0 < float(raised.value.response.headers["retry-after"]) <= 60


def _remaining(client: openai.OpenAI) -> int:
    raw = client.chat.completions.with_raw_response.create(model=CHAT, messages=HI)
    return int(raw.headers["x-ratelimit-remaining-requests"])


def test_a_provider_that_is_down(client: openai.OpenAI) -> None:
    """A provider nobody answers for is a 503."""
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model=DOWN, messages=HI)
    assert _told(raised.value) == (503, "api_error", "upstream_unavailable", None)


@pytest.mark.parametrize(
    ("status", "kind", "seen"),
    [
        (400, openai.BadRequestError, 400),
        (404, openai.NotFoundError, 404),
        (422, openai.UnprocessableEntityError, 422),
        (429, openai.RateLimitError, 429),
    ],
)
def test_a_provider_that_refuses(
    client: openai.OpenAI, status: int, kind: type[openai.APIStatusError], seen: int
) -> None:
    """The provider's verdict on the request itself is passed on, code and all."""
    knobs = {"simulated": {"fail_status": status, "retry_after": "30"}}
    with pytest.raises(kind) as raised:
        client.chat.completions.create(model=CHAT, messages=HI, extra_body=knobs)
    assert raised.value.status_code == seen
    assert raised.value.request_id
    assert raised.value.code


@pytest.mark.parametrize(("status", "seen"), [(500, {502, 503}), (503, {503}), (529, {503}), (401, {502, 503})])
def test_a_provider_in_trouble(client: openai.OpenAI, status: int, seen: set[int]) -> None:
    """The provider's own trouble, a key of ours that it refuses included, is a gateway error and not the client's."""
    knobs = {"simulated": {"fail_status": status, "retry_after": "30"}}
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model=CHAT, messages=HI, extra_body=knobs)
    assert raised.value.status_code in seen
    assert _told(raised.value)[1] == "api_error"


def test_a_provider_that_recovers(client: openai.OpenAI, tag: str) -> None:
    """A provider that fails twice is asked a third time, and the client sees only the answer."""
    knobs = {"simulated": {"fail_first": 2, "fail_status": 503, "seed": tag}}
    assert client.chat.completions.create(model=CHAT, messages=HI, extra_body=knobs).choices


def test_a_target_that_fails(client: openai.OpenAI, tag: str) -> None:
    """Of a model's targets, the first that answers serves, under the name that it has there."""
    knobs = {"simulated": {"fail_first": 1, "seed": tag}}
    assert client.chat.completions.create(model=THRICE, messages=HI, extra_body=knobs).model == "second"


def test_a_provider_that_echoes_our_key(client: openai.OpenAI) -> None:
    """The gateway's own credentials never reach a client, even when the provider repeats them."""
    with pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(model=CHAT, messages=HI, extra_body={"simulated": {"mode": "echo_key"}})
    assert "canary" not in raised.value.response.text
    assert raised.value.status_code >= 500
