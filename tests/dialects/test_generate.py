"""The product's own shape: a text for a prompt, and what it cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from shared.core.errors import BadRequest, UpstreamError
from shared.core.usage import Usage
from shared.dialects import generate
from tests.dialects.test_anthropic_writer import piece

if TYPE_CHECKING:
    from shared.core.chat import Chat


def parsed(**fields: Any) -> Chat:
    """Parse a request with these fields."""
    return generate.GENERATE.parse(json.dumps({"model": "m", **fields}).encode())  # type: ignore[return-value]


def writer() -> generate.TextWriter:
    """Make a writer that knows the bill."""
    made = generate.TextWriter(parsed(prompt="x"))
    made.bill("openai", "m", 1_500)
    return made


def test_a_prompt_is_what_the_user_says() -> None:
    """Beside it, or instead of it, whatever a chat completion takes."""
    made = parsed(prompt="hi", system="Be brief.", max_tokens=9, temperature=0.5, stream=True)
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    assert made.raw == {"model": "m", "max_tokens": 9, "temperature": 0.5, "stream": True, "messages": said}
    assert (made.max_tokens, made.stream, made.images) == (9, True, 0)
    picture = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    assert parsed(messages=[{"role": "user", "content": [picture]}]).images == 1
    assert parsed(messages=said[1:], system="Be brief.").raw["messages"] == said


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": "x", "messages": []}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["x"]}, "prompt"),
        ({"prompt": "x", "system": 1}, "system"),
        ({"prompt": "x", "n": 2}, "n"),
        ({"messages": "x"}, "messages"),
        ({"messages": [], "system": ""}, "system"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"prompt": "x", "max_tokens": "many"}, "max_tokens"),
    ],
)
def test_what_is_wrong_is_named(fields: Any, param: str) -> None:
    """As anywhere."""
    with pytest.raises(BadRequest) as refused:
        parsed(**fields)
    assert refused.value.param == param


def test_a_text_comes_with_its_bill() -> None:
    """Whole, and in the last event of a stream."""
    told = {
        "id": "gen-1",
        "model": "m",
        "provider": "openai",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "cost_usd": "0.0000015",
        "finish_reason": "length",
    }
    choice = {"index": 0, "message": {"content": "Hello"}, "finish_reason": "length"}
    whole = writer().whole({"id": "chatcmpl-1", "choices": [choice]}, Usage(prompt=3, completion=2))
    assert json.loads(whole) == {**told, "text": "Hello"}
    made = writer()
    out = made.chunk(piece({"content": "Hel"})) + made.chunk(piece({"content": "lo"})) + made.chunk(piece({}, "length"))
    frames = (out + made.end(Usage(prompt=3, completion=2))).decode().split("\n\n")
    assert (frames.pop(), frames.pop()) == ("", "data: [DONE]")
    events = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    assert events == [{"text": "Hel"}, {"text": "lo"}, {**told, "text": ""}]


def test_without_a_price_there_is_no_bill() -> None:
    """Null, and not nothing to pay; an error is told as in a chat."""
    made = generate.TextWriter(parsed(prompt="x"))
    made.bill("openai", "m", None)
    choice = {"index": 0, "message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}
    told = json.loads(made.whole({"id": "1", "choices": [choice]}, Usage()))
    assert (told["cost_usd"], told["text"]) == (None, "no")
    assert json.loads(made.failed(UpstreamError("x"))[6:])["error"]["code"] == "upstream_error"
