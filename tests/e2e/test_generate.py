"""`POST /api/llm/generate` over HTTP: a text, its bill, and errors as anywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.expect import refused
from tests.e2e.stack import CHAT, THRICE

if TYPE_CHECKING:
    import httpx2

PATH = "/api/llm/generate"
TEXT = "This is a simulated answer. Your message was: Hi"


def test_a_prompt_gets_a_text(http: httpx2.Client) -> None:
    """With who answered and for how much, which is what the header says."""
    answer = http.post(PATH, json={"model": CHAT, "prompt": "Hi", "system": "Be brief.", "max_tokens": 99})
    told = answer.json()
    assert (told["text"], told["model"], told["provider"], told["finish_reason"]) == (TEXT, CHAT, "openai", "stop")
    assert told["usage"]["total_tokens"] == 18
    assert told["cost_usd"] == answer.headers["x-nexus-cost-usd"]


def test_it_streams_the_same(http: httpx2.Client) -> None:
    """Piece by piece, the bill last."""
    frames = http.post(PATH, json={"model": CHAT, "prompt": "Hi", "stream": True}).text.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    events = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]
    assert "".join(event["text"] for event in events) == TEXT
    assert float(events[-1]["cost_usd"]) > 0


def test_wrong_requests_are_refused(http: httpx2.Client) -> None:
    """By the name of the field."""
    refused(http.post(PATH, json={"model": CHAT}), 400, "invalid_request", "prompt")
    refused(http.post(PATH, json={"model": "nobody", "prompt": "Hi"}), 404, "model_not_found", "model")
    refused(http.post("/v1/moderations", json={"model": CHAT, "input": "Hi"}), 400, "invalid_request", "model")
    refused(http.post("/v1/rerank", json={"model": CHAT, "query": "Hi"}), 400, "invalid_request", "documents")


@pytest.mark.parametrize("mode", ["html_200", "empty_200", "error_in_200", "no_choices"])
def test_a_false_answer_is_an_error(http: httpx2.Client, mode: str) -> None:
    """Whole or streamed."""
    asked: dict[str, Any] = {"model": THRICE, "prompt": "Hi", "simulated": {"mode": mode}}
    refused(http.post(PATH, json=asked), 502, "upstream_error")
    refused(http.post(PATH, json={**asked, "stream": True}), 502, "upstream_error")


@pytest.mark.parametrize("more", [{"truncate_after": 5}, {"mode": "error_mid_stream"}], ids=str)
def test_a_stream_that_breaks_off_ends_with_an_error(http: httpx2.Client, more: Any) -> None:
    """And never with a bill."""
    frames = http.post(PATH, json={"model": CHAT, "prompt": "Hi", "stream": True, "simulated": more}).text.split("\n\n")
    assert json.loads(frames[-2].removeprefix("data: "))["error"]["code"] == "upstream_error"
    assert "cost_usd" not in "".join(frames)
