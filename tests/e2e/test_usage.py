"""What is booked is what the provider did, for every way a call can end; the provider's own log is the truth."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.stack import CHAT, EMBEDDING, Stack

if TYPE_CHECKING:
    import httpx2

PATH = "/v1/chat/completions"
PATIENCE = 10.0
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"properties": {"a": {"type": "string"}}}},
}


def body(text: str = "Hi", **more: Any) -> Any:
    """Return a chat request."""
    return {"model": CHAT, "messages": [{"role": "user", "content": text}], **more}


def booked(stack: Stack, request_id: str) -> dict[str, Any]:
    """Return the gateway's one event of a request; it may be written just after the answer."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        whole = (stack.logs / "gateway.log").read_text().rpartition("\n")[0]  # the last line may be half-written
        lines = whole.splitlines()
        found = [json.loads(line) for line in lines if request_id in line and '"event":"request"' in line]
        if found:
            assert len(found) == 1
            event: dict[str, Any] = found[0]
            return event
        time.sleep(0.02)
    raise AssertionError("the request was never booked")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"n": 3},
        {"n": 3, "stream": True},
        {"max_tokens": 2},
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL], "tool_choice": "required", "stream": True},
    ],
    ids=str,
)
def test_books_what_the_provider_counted(
    http: httpx2.Client, upstream: httpx2.Client, stack: Stack, tag: str, more: Any
) -> None:
    """Tokens of whole and streamed answers are booked as the provider counted them, asked for or not, and settled."""
    answer = http.post(PATH, json=body("one two three", **more, simulated={"tag": tag}))
    assert answer.status_code == 200
    report = upstream.get("/_calls", params={"tag": tag}).json()
    event = booked(stack, answer.headers["x-request-id"])
    assert (event["PromptTokens"], event["CompletionTokens"]) == (report["prompt_tokens"], report["completion_tokens"])
    assert (event["outcome"], event["settled"], event["estimated"]) == ("ok", True, False)


@pytest.mark.parametrize("mode", ["no_usage", "negative_usage", "absurd_usage", "string_usage"])
@pytest.mark.parametrize("stream", [False, True])
def test_estimates_what_the_provider_does_not_say(
    http: httpx2.Client,
    stack: Stack,
    mode: str,
    stream: bool,  # noqa: FBT001 - both ways of one answer
) -> None:
    """Missing or impossible usage is replaced by an estimate of what was heard: never nothing, never absurd."""
    answer = http.post(PATH, json=body(stream=stream, simulated={"mode": mode, "tokens": 50}))
    event = booked(stack, answer.headers["x-request-id"])
    assert event["estimated"] is True
    assert 0 < event["PromptTokens"] < 200
    assert 25 <= event["CompletionTokens"] <= 500


def test_books_what_was_heard_of_a_broken_stream(http: httpx2.Client, stack: Stack) -> None:
    """A stream that breaks off costs what came before, and the event says that it failed."""
    answer = http.post(PATH, json=body(stream=True, simulated={"truncate_after": 21, "tokens": 50}))
    event = booked(stack, answer.headers["x-request-id"])
    assert (event["outcome"], event["settled"], event["status"]) == ("upstream_error", True, 200)
    assert 10 <= event["CompletionTokens"] <= 40


def test_books_a_call_that_was_abandoned(http: httpx2.Client, upstream: httpx2.Client, stack: Stack, tag: str) -> None:
    """A client that hangs up still pays for what the provider did until then, or to its end."""
    asked = body(stream=True, simulated={"tag": tag, "gate": tag, "gate_after": 9, "tokens": 40})
    with http.stream("POST", PATH, json=asked) as answer:
        lines = (line for line in answer.iter_lines() if line)
        assert [next(lines) for _ in range(9)]
    upstream.post(f"/_gates/{tag}")
    event = booked(stack, answer.headers["x-request-id"])
    (call,) = upstream.get("/_calls", params={"tag": tag}).json()["calls"]
    assert event["outcome"] in {"ok", "client_gone"}
    assert event["settled"] is True
    assert 8 <= event["CompletionTokens"] <= 2 * call["usage"]["completion_tokens"]


def test_books_embeddings(http: httpx2.Client, stack: Stack) -> None:
    """Embeddings are booked as the service counted them."""
    answer = http.post("/v1/embeddings", json={"model": EMBEDDING, "input": ["one", "two words"]})
    event = booked(stack, answer.headers["x-request-id"])
    assert event["PromptTokens"] == answer.json()["usage"]["prompt_tokens"] > 0
    assert event["CompletionTokens"] == 0


def test_books_nothing_for_a_refusal(http: httpx2.Client, upstream: httpx2.Client, stack: Stack, tag: str) -> None:
    """A refused request reaches no provider and costs nothing."""
    answer = http.post(PATH, json=body(temperature="warm", simulated={"tag": tag}))
    event = booked(stack, answer.headers["x-request-id"])
    assert (event["status"], event.get("PromptTokens", 0), event.get("CompletionTokens", 0)) == (400, 0, 0)
    assert upstream.get("/_calls", params={"tag": tag}).json()["calls"] == []
