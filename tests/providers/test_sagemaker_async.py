"""Endpoints that answer by way of S3: what is asked, a stream of one piece, and failures in a file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core import chat, embeddings
from shared.core.catalog import Provider, Storage, Target
from shared.core.errors import UpstreamError
from shared.core.usage import Usage
from shared.providers.adapter import Deferred, Head, Signing
from shared.providers.sagemaker_async import LaterChat, LaterEmbeddings
from tests.providers.exchange import JSON_HEAD, MOMENT, accumulated, completed, heard

STORAGE = Storage("s3://b/in", "s3://b/out", "s3://b/failed")
PROVIDER = Provider("later", "sagemaker-async", "https://runtime.sagemaker.{region}.amazonaws.com", storage=STORAGE)
TARGET = Target("later", "Chat-1/llama-3", region="eu-west-1")
CALLS = [{"id": f"c{at}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for at in range(2)]
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "model": "llama-3",
    "created": 1,
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"},
        {
            "index": 1,
            "message": {"role": "assistant", "content": None, "tool_calls": CALLS},
            "finish_reason": "tool_calls",
        },
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}


def adapter(*, stream: bool = True) -> LaterChat:
    """Make the adapter of a chat, its request sent."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": stream, "n": 2}
    options = {"stream_options": {"include_usage": True}} if stream else {}
    made = LaterChat(chat.parse(json.dumps(body | options).encode()), TARGET, PROVIDER, MOMENT)
    made.request("")
    return made


@pytest.mark.parametrize("stream", [True, False])
def test_the_container_is_asked_for_a_whole_answer(stream: bool) -> None:  # noqa: FBT001 - a parameter
    """It lies in S3 until it is answered; where, is the catalog's."""
    request = adapter(stream=stream).request("")
    assert request.url == "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/Chat-1/async-invocations"
    assert request.signing == Signing("sagemaker", "eu-west-1")
    folders = ("s3://b/out", "s3://b/failed")
    assert request.deferred == Deferred("https://s3.{region}.amazonaws.com", "s3://b/in", folders)
    sent = json.loads(request.body)
    assert (sent["model"], sent.get("stream", False), "stream_options" in sent) == ("llama-3", False, False)


@pytest.mark.parametrize("step", [0, 7])
def test_a_stream_is_the_whole_answer_in_one_piece(step: int) -> None:
    """With its calls numbered, its usage and its ends, as strict SDKs want a stream."""
    made = adapter()
    made.check(JSON_HEAD)
    found = accumulated(heard(made, json.dumps(ANSWER).encode(), step=step))
    assert [choice.message.content for choice in found.choices] == ["Hello", None]
    calls = found.choices[1].message.tool_calls or []
    assert [(call.id, call.type) for call in calls] == [("c0", "function"), ("c1", "function")]
    assert [choice.finish_reason for choice in found.choices] == ["stop", "tool_calls"]
    assert made.usage == Usage(9, 2)


def test_a_whole_answer_is_the_containers_own() -> None:
    """As for other endpoints."""
    made = adapter(stream=False)
    assert completed(made, json.dumps(ANSWER).encode())["choices"][0]["message"]["content"] == "Hello"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"choices": []}', b'{"choices": [1]}', b'{"error": {"message": "x"}}']
)
def test_what_is_no_answer_is_an_error(body: bytes) -> None:
    """Streamed and whole."""
    with pytest.raises(UpstreamError):
        heard(adapter(), body)
    with pytest.raises(UpstreamError):
        adapter(stream=False).reply(body)


def test_vectors_come_the_same_way() -> None:
    """From the endpoint, by the model's name in it."""
    asked = embeddings.parse(b'{"model": "m", "input": "x", "encoding_format": "float"}')
    made = LaterEmbeddings(asked, Target("later", "minilm"), PROVIDER, MOMENT)
    request = made.request("")
    assert request.deferred
    assert json.loads(request.body)["model"] == "minilm"
    assert made.reply(b'{"data": [{"index": 0, "embedding": [1.0]}]}')["data"][0]["embedding"] == [1.0]
    assert made.error(Head(500, {}), b"out of memory").status == 502


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"Received server error (503) from primary: sk-proj-abcd1234 AKIAABCDEFGHIJKL", "server error (503)"),
        (b'{"message": "out of memory, key-12345678"}', "out of memory"),
        (b"<html>secret</html>", "status 500"),
        (b"", "status 500"),
    ],
)
def test_a_failure_is_told_without_secrets(body: bytes, said: str) -> None:
    """What stands in the file may be anything."""
    error = adapter().error(Head(500, {}), body)
    assert (error.status, said in error.message) == (502, True)
    assert not [word for word in ("sk-proj", "AKIA", "12345678", "html") if word in error.message]
