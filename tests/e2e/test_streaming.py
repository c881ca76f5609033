"""Chunks leave when they arrive; a client that hangs up leaves nothing behind. Gates prove the order, not clocks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.e2e.stack import CHAT, Stack

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2

PATH = "/v1/chat/completions"
PATIENCE = 400  # looks at the call log until something must have happened


def body(**knobs: Any) -> Any:
    """Return a request for a stream under `knobs`."""
    return {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}], "stream": True, "simulated": knobs}


def calls(upstream: httpx2.Client, tag: str) -> list[dict[str, Any]]:
    """Return what the provider knows of the calls with `tag`."""
    found: list[dict[str, Any]] = upstream.get("/_calls", params={"tag": tag}).json()["calls"]
    return found


def test_the_first_word_does_not_wait_for_the_last(http: httpx2.Client, upstream: httpx2.Client, tag: str) -> None:
    """The client reads the first chunk while the provider still holds all the others back."""
    with http.stream("POST", PATH, json=body(tag=tag, gate=tag, gate_after=2)) as answer:
        lines = answer.iter_lines()
        first = next(line for line in lines if '"content":"This"' in line)
        (call,) = calls(upstream, tag)
        assert (call["outcome"], call["frames"]) == ("open", 2)
        upstream.post(f"/_gates/{tag}")
        rest = [line for line in lines if line]
    assert first
    assert rest[-1] == "data: [DONE]"
    assert calls(upstream, tag)[0]["outcome"] == "answered"


def test_each_word_leaves_as_it_comes(http: httpx2.Client, upstream: httpx2.Client, tag: str) -> None:
    """Wherever the provider pauses, exactly what it said so far has been heard: nothing is held back or batched."""
    for after in (1, 3, 5):
        gate = f"{tag}-{after}"
        with http.stream("POST", PATH, json=body(gate=gate, gate_after=after, answer="a b c d e f")) as answer:
            lines = (line for line in answer.iter_lines() if line)
            heard = [next(lines) for _ in range(after)]
            upstream.post(f"/_gates/{gate}")
            rest = list(lines)
        texts = [json.loads(line[6:])["choices"][0]["delta"].get("content") for line in heard]
        assert "".join(text or "" for text in texts) == "a b c d e f"[: max(0, 2 * (after - 1) - 1)]
        assert rest[-1] == "data: [DONE]"


def test_streams_side_by_side(http: httpx2.Client, upstream: httpx2.Client, tag: str) -> None:
    """One stream that waits holds up no other request of the same key."""
    with http.stream("POST", PATH, json=body(tag=tag, gate=tag)) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ")
        assert http.post(PATH, json={**body(), "stream": False}).status_code == 200
        assert calls(upstream, tag)[0]["outcome"] == "open"
        upstream.post(f"/_gates/{tag}")
        assert "data: [DONE]" in list(lines)


def test_a_client_that_hangs_up(
    http: httpx2.Client, upstream: httpx2.Client, new_key: Callable[..., dict[str, Any]], tag: str
) -> None:
    """After a hang-up the call still ends and is settled: the key's only place is free for the next request."""
    key = {"authorization": f"Bearer {new_key(tier='pro', limits={'concurrency': 1})['key']}"}
    with http.stream("POST", PATH, json=body(tag=tag, gate=tag, tokens=30), headers=key) as answer:
        assert next(answer.iter_lines()).startswith("data: ")
        busy = http.post(PATH, json=body(), headers=key)
        assert busy.status_code == 429
        assert busy.json()["error"]["scope"]
    upstream.post(f"/_gates/{tag}")
    for _ in range(PATIENCE):
        if http.post(PATH, json=body(), headers=key).status_code == 200:
            break
    else:
        pytest.fail("the place of the abandoned stream was never given back")
    assert calls(upstream, tag)[0]["outcome"] in {"answered", "client_gone"}


def test_a_stream_left_by_the_sdk(stack: Stack, upstream: httpx2.Client, tag: str) -> None:
    """Leaving the SDK's stream early does not disturb the next request on the same client."""
    with openai.OpenAI(base_url=f"{stack.base_url}/v1", api_key=stack.client_key, max_retries=0) as client:
        asked: Any = {key: value for key, value in body(tag=tag, gate=tag).items() if key != "simulated"}
        stream = client.chat.completions.create(**asked, extra_body={"simulated": {"tag": tag, "gate": tag}})
        assert next(iter(stream)).choices
        stream.close()
        upstream.post(f"/_gates/{tag}")
        assert client.chat.completions.create(**{**asked, "stream": False}).choices
    assert len(calls(upstream, tag)) == 1
