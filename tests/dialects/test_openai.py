"""OpenAI's dialect writes what its SDKs add up, and nothing that was not asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core import chat, embeddings
from shared.core.errors import StoreUnavailable, UpstreamError
from shared.core.usage import Usage
from shared.dialects import openai

SHARED = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
SAID = Usage(prompt=9, completion=2)
TOKENS = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def writer(**fields: Any) -> openai.ChatWriter:
    """Make the writer of an answer to a request with these fields."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **fields}
    return openai.ChatWriter(chat.parse(json.dumps(body).encode()))


def finished(**members: Any) -> dict[str, Any]:
    """A last chunk."""
    return {**SHARED, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **members}


def frames(written: bytes) -> list[Any]:
    """Take a stream apart."""
    found = written.decode().split("\n\n")
    assert found.pop() == ""
    return [json.loads(frame.removeprefix("data: ")) for frame in found if frame != "data: [DONE]"]


def test_usage_is_told_last_even_if_the_provider_said_nothing() -> None:
    """With the members that all chunks share, and no others of the last."""
    made = writer(stream=True, stream_options={"include_usage": True})
    told = frames(made.chunk(finished(obfuscation="x")) + made.end(SAID))
    assert told == [finished(obfuscation="x", usage=None), {**SHARED, "choices": [], "usage": TOKENS}]


def test_what_the_provider_said_of_its_usage_is_kept() -> None:
    """The tokens are those of the books."""
    made = writer(stream=True, stream_options={"include_usage": True})
    made.chunk(finished())
    assert made.chunk({**SHARED, "choices": [], "usage": {"queue_time": 0.1, "prompt_tokens": -1}}) == b""
    assert frames(made.end(SAID))[0]["usage"] == {"queue_time": 0.1, **TOKENS}
    assert json.loads(writer().whole({"usage": {"queue_time": 0.1}}, SAID))["usage"] == {"queue_time": 0.1, **TOKENS}


def test_unasked_there_is_no_usage_in_a_stream() -> None:
    """Nor a chunk without choices."""
    made = writer(stream=True)
    assert frames(made.chunk(finished()) + made.end(SAID)) == [finished()]
    assert made.end(SAID) == b"data: [DONE]\n\n"


def test_vectors_have_no_completion_and_no_stream() -> None:
    """An error of theirs is a body."""
    made = openai.VectorsWriter(embeddings.parse(b'{"model": "m", "input": "x"}'))
    assert json.loads(made.whole({"data": []}, Usage(prompt=3)))["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert json.loads(made.failed(StoreUnavailable("no")))["error"]["code"] == "store_unavailable"
    with pytest.raises(UpstreamError):
        made.chunk({})
    with pytest.raises(UpstreamError):
        made.end(Usage())
