"""A whole answer reaches the client in full form, or as an error."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from shared.core.errors import UpstreamError
from shared.core.usage import Usage
from shared.providers.adapter import Head
from tests.providers.exchange import PROVIDER, SECRET, adapter, replied

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_690_000_000,
    "model": "gpt-5-2025-08-07",
    "choices": [CHOICE],
    "usage": USAGE,
    "service_tier": "default",
    "x_vendor": {"kept": True},
}


def test_the_request_is_the_clients_own_with_the_model_renamed() -> None:
    """Unknown fields go along; headers are ours alone."""
    made = adapter(x_vendor={"deep": [1]}, temperature=0.5)
    request = made.request(SECRET)
    body = json.loads(request.body)
    assert request.url == "https://api.openai.com/v1/chat/completions"
    assert (body["model"], body["x_vendor"], body["temperature"]) == ("gpt-5-2025-08-07", {"deep": [1]}, 0.5)
    assert request.headers == {
        "authorization": f"Bearer {SECRET}",
        "content-type": "application/json",
        "accept": "application/json",
        "user-agent": "ai-nexus",
    }
    assert "authorization" not in made.request("").headers


def test_openai_itself_is_told_the_bound_by_its_newer_name() -> None:
    """Its newer models refuse the older one, which is all that some others know."""
    assert json.loads(adapter(max_tokens=5).request(SECRET).body)["max_completion_tokens"] == 5
    assert "max_tokens" not in json.loads(adapter(max_tokens=5).request(SECRET).body)
    unsaid = adapter(max_tokens=5, max_completion_tokens=None)  # which would bound nothing
    assert json.loads(unsaid.request(SECRET).body)["max_completion_tokens"] == 5
    elsewhere = msgspec.structs.replace(PROVIDER, base_url="http://127.0.0.1:1/v1")
    assert json.loads(adapter(provider=elsewhere, max_tokens=5).request(SECRET).body)["max_tokens"] == 5


def test_a_good_answer_passes() -> None:
    """With what the strict models require added, and all else kept."""
    made = adapter()
    found = replied(made, ANSWER)
    assert found["x_vendor"] == {"kept": True}
    assert found["choices"][0]["logprobs"] is None
    assert found["choices"][0]["message"]["refusal"] is None
    assert made.usage == Usage(prompt=9, completion=2)


BENT: dict[str, Any] = {
    "nothing but choices": {"choices": [CHOICE]},
    "nulls": {**ANSWER, "id": None, "object": None, "created": None, "model": None, "usage": None},
    "no index": {"choices": [{"message": CHOICE["message"], "finish_reason": "stop"}]},
    "no role": {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]},
    "no reason": {"choices": [{"message": CHOICE["message"]}]},
    "a foreign reason": {"choices": [{**CHOICE, "finish_reason": "eos"}]},
    "content in parts": {"choices": [{**CHOICE, "message": {"content": [{"type": "text", "text": "Hel"}, "lo"]}}]},
    "a null among tool calls": {"choices": [{**CHOICE, "message": {"content": "Hello", "tool_calls": None}}]},
    "a null error": {**ANSWER, "error": None},
}


@pytest.mark.parametrize("answer", BENT.values(), ids=BENT)
def test_bent_answers_are_straightened(answer: Any) -> None:
    """The SDK's model holds, strictly."""
    choice = replied(adapter(), answer)["choices"][0]
    assert choice["message"]["content"] == "Hello"
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "usage",
    [None, {"prompt_tokens": -9, "completion_tokens": 2}, {"prompt_tokens": 10**15, "completion_tokens": 1}, "many"],
    ids=str,
)
def test_usage_that_cannot_be_believed_is_estimated(usage: Any) -> None:
    """The client and the books get the same numbers, the books know that they are guessed."""
    made = adapter()
    found = replied(made, {**ANSWER, "usage": usage})
    assert made.usage.estimated
    assert found["usage"]["prompt_tokens"] == made.usage.prompt > 0
    assert found["usage"]["completion_tokens"] == made.usage.completion > 0


BROKEN = {
    "empty": b"",
    "a page": b"<html>502</html>",
    "half": json.dumps(ANSWER).encode()[:-20],
    "an array": b"[]",
    "an error": b'{"error": {"message": "overloaded", "type": "server_error"}}',
    "an error beside choices": json.dumps({**ANSWER, "error": "x"}).encode(),
    "no choices": b'{"id": "x"}',
    "empty choices": b'{"choices": []}',
    "a choice of nothing": b'{"choices": [null]}',
    "a choice without a message": b'{"choices": [{"text": "Hello"}]}',
    "NaN": b'{"choices": [{"message": {"content": "x"}}], "x": NaN}',
    "deep": b'{"choices": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_what_is_no_answer_is_an_error(body: bytes) -> None:
    """SDKs would hand the caller None, or an empty text."""
    with pytest.raises(UpstreamError) as failure:
        adapter().reply(body)
    assert failure.value.status == 502
    assert "html" not in failure.value.message


def test_half_an_emoji_survives() -> None:
    """It leaves as the escape it was."""
    found = replied(adapter(), {"choices": [{"message": {"content": "a \ud83d half"}}]})
    assert found["choices"][0]["message"]["content"] == "a \ud83d half"


@pytest.mark.parametrize("kind", ["text/html", "text/event-stream"])
def test_an_answer_of_another_type_is_refused_at_its_head(kind: str) -> None:
    """A page and a stream are no whole answer."""
    with pytest.raises(UpstreamError, match="JSON"):
        adapter().check(Head(200, {"content-type": kind}))


def test_a_redirect_is_not_followed() -> None:
    """Wherever it points to."""
    with pytest.raises(UpstreamError, match="302"):
        adapter().check(Head(302, {"location": "http://169.254.169.254/", "content-type": "application/json"}))
