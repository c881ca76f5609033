"""Containers behind SageMaker: OpenAI's dialect within Amazon's frames, and what an endpoint says when it fails."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core import chat, embeddings
from shared.core.catalog import Provider, Target
from shared.core.errors import UpstreamError
from shared.core.usage import Usage
from shared.providers.adapter import Head, Signing
from shared.providers.sagemaker import FRAMES, SageMakerChat, SageMakerEmbeddings
from tests.providers.exchange import MOMENT, accumulated, completed, events, heard, piece
from tests.providers.wires.bedrock import frame

PROVIDER = Provider("ours", "sagemaker", "https://runtime.sagemaker.{region}.amazonaws.com")
TARGET = Target("ours", "Chat-1/llama-3", region="eu-west-1")
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def adapter(*, stream: bool = True) -> SageMakerChat:
    """Make the adapter of a chat, its request sent."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": stream}
    made = SageMakerChat(chat.parse(json.dumps(body).encode()), TARGET, PROVIDER, MOMENT)
    made.request("")
    return made


def frames(*, done: bool = True) -> list[bytes]:
    """Write a stream of a container, cut into frames where nothing ends."""
    chunks = [piece({"content": "Hel"}), piece({"content": "lo"}, "stop"), {"choices": [], "usage": USAGE}]
    data = events(chunks, done=done)
    pieces = [data[at : at + 11] for at in range(0, len(data), 11)]
    return [frame(one, message_type="event", event_type="PayloadPart") for one in pieces]


@pytest.mark.parametrize(("streamed", "path"), [(True, "invocations-response-stream"), (False, "invocations")])
def test_the_container_gets_what_openai_would(streamed: bool, path: str) -> None:  # noqa: FBT001 - a parameter
    """Under the name that the model has there; AWS gets a signature, and no key."""
    made = adapter(stream=streamed)
    request = made.request("ignored")
    assert request.url == f"https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/Chat-1/{path}"
    assert request.signing == Signing("sagemaker", "eu-west-1")
    assert "authorization" not in request.headers
    assert json.loads(request.body)["model"] == "llama-3"


@pytest.mark.parametrize("step", [0, 1, 7])
def test_the_containers_stream_comes_out_of_the_frames(step: int) -> None:
    """In any cut of either."""
    made = adapter()
    made.check(Head(200, {"content-type": FRAMES}))
    found = accumulated(heard(made, b"".join(frames()), step=step))
    assert (found.choices[0].message.content, made.usage) == ("Hello", Usage(9, 2))


def test_a_broken_stream_is_an_error() -> None:
    """A cut one, a wrong checksum, an error of the endpoint's; what was heard before has left."""
    cut = adapter()
    cut.chunk(b"".join(frames()[:-12]))
    with pytest.raises(UpstreamError):
        cut.end()
    failed = frame({"Message": "container died"}, message_type="exception", exception_type="ModelStreamError")
    for broken in (b"\x00" * 16, failed):
        with pytest.raises(UpstreamError):
            adapter().chunk(broken)
        made = adapter()
        assert made.chunk(b"".join(frames()[:20]) + broken)
        with pytest.raises(UpstreamError):
            made.end()
    with pytest.raises(UpstreamError):
        adapter().check(Head(200, {"content-type": "application/json"}))


def test_whole_answers_and_vectors() -> None:
    """Are the container's own."""
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
    made = adapter(stream=False)
    made.check(Head(200, {"content-type": "application/json"}))
    assert completed(made, json.dumps(answer).encode())["choices"][0]["message"]["content"] == "Hi"
    asked = embeddings.parse(b'{"model": "m", "input": "x", "encoding_format": "float"}')
    vectors = SageMakerEmbeddings(asked, Target("ours", "minilm"), PROVIDER, MOMENT)
    request = vectors.request("")
    assert request.url == "https://runtime.sagemaker.{region}.amazonaws.com/endpoints/minilm/invocations"
    assert json.loads(request.body)["model"] == "minilm"
    found = vectors.reply(b'{"data": [{"index": 0, "embedding": [1.0]}]}')
    assert found["data"][0]["embedding"] == [1.0]


@pytest.mark.parametrize(
    ("status", "body", "seen"),
    [
        (424, {"OriginalStatusCode": 400, "OriginalMessage": '{"error": {"message": "too long"}}'}, 400),
        (424, {"OriginalStatusCode": 503, "OriginalMessage": "busy"}, 503),
        (424, {"Message": "no idea"}, 502),
        (403, {"message": "not allowed"}, 502),
        (503, {"message": "throttled"}, 503),
    ],
)
def test_what_the_container_refused_is_told_as_it_said_it(status: int, body: dict[str, Any], seen: int) -> None:
    """SageMaker wraps it; its own refusals are ours to see to."""
    error = adapter().error(Head(status, {}), json.dumps(body).encode())
    assert error.status == seen
    if status == 424 and seen == 400:
        assert "too long" in error.message
