"""The client gets its vectors in the encoding it asked for, whatever the provider sent."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from shared.core import embeddings
from shared.core.catalog import Target
from shared.core.errors import UpstreamError
from shared.core.usage import Usage
from shared.dialects.openai import VectorsWriter
from shared.providers import vectors
from shared.providers.adapter import Head
from shared.providers.openai_embeddings import OpenAIEmbeddings
from tests.providers.exchange import MOMENT, PROVIDER, SECRET

FLOATS = [[0.5, -1.25, 3.0], [1.0, 2.0, 4.0]]


def packed(vector: list[float]) -> str:
    """Write a vector in base64, as the reference does."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def adapter(**fields: Any) -> OpenAIEmbeddings:
    """Make the adapter for two texts."""
    body = {"model": "small", "input": ["a", "b"], **fields}
    made = OpenAIEmbeddings(
        embeddings.parse(json.dumps(body).encode()), Target("openai", "te-3-small"), PROVIDER, MOMENT
    )
    made.request(SECRET)
    return made


def replied(made: OpenAIEmbeddings, body: bytes) -> Any:
    """Give the adapter an answer; return what the client gets."""
    return json.loads(VectorsWriter(made._asked).whole(made.reply(body), made.usage))


def answer(*found: Any, **members: Any) -> bytes:
    """Write an answer with these embeddings."""
    data = [{"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(found)]
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    return json.dumps({"object": "list", "data": data, "model": "te-3-small", "usage": usage, **members}).encode()


@pytest.mark.parametrize(
    "sent", [FLOATS, [packed(one) for one in FLOATS], [FLOATS[0], packed(FLOATS[1])]], ids=["floats", "base64", "both"]
)
@pytest.mark.parametrize("asked", ["float", "base64", None])
def test_any_encoding_becomes_the_one_asked_for(sent: list[Any], asked: str | None) -> None:
    """Floats by default, as the API documents it."""
    made = adapter(**({"encoding_format": asked} if asked else {}))
    found = replied(made, answer(*sent))
    wanted = [packed(one) for one in FLOATS] if asked == "base64" else FLOATS
    assert [item["embedding"] for item in found["data"]] == wanted
    assert [item["index"] for item in found["data"]] == [0, 1]
    assert made.usage == Usage(prompt=8)
    if asked != "base64":
        CreateEmbeddingResponse.model_validate(found, strict=True)


def test_nothing_is_asked_for_that_the_client_did_not() -> None:
    """The provider gets the client's own request."""
    body = json.loads(adapter(encoding_format="base64", x=1).request(SECRET).body)
    assert body == {"model": "te-3-small", "input": ["a", "b"], "encoding_format": "base64", "x": 1}
    assert adapter().request(SECRET).url.endswith("/v1/embeddings")


def test_vectors_are_put_in_order() -> None:
    """By index, wherever they stand."""
    data = [{"index": 1, "embedding": FLOATS[1]}, {"index": 0, "embedding": FLOATS[0]}]
    found = replied(adapter(), answer(data=data))
    assert [item["embedding"] for item in found["data"]] == FLOATS


def test_what_is_missing_is_made_up() -> None:
    """Index by place, usage by an estimate, the model as asked for."""
    made = adapter()
    found = replied(made, json.dumps({"data": [{"embedding": one} for one in FLOATS]}).encode())
    CreateEmbeddingResponse.model_validate(found, strict=True)
    assert found["model"] == "small"
    assert made.usage.estimated
    assert found["usage"]["prompt_tokens"] == made.usage.prompt > 0


def test_dimensions_are_held_to() -> None:
    """A provider that ignores them is found out."""
    assert adapter(dimensions=3).reply(answer(*FLOATS))
    with pytest.raises(UpstreamError, match="2 dimensions"):
        adapter(dimensions=2).reply(answer(*FLOATS))


BROKEN = {
    "a page": b"<html>",
    "an error": b'{"error": {"message": "overloaded"}}',
    "no data": b'{"object": "list"}',
    "one too few": answer(FLOATS[0]),
    "one too many": answer(*FLOATS, FLOATS[0]),
    "one twice": answer(data=[{"index": 0, "embedding": FLOATS[0]}] * 2),
    "counted from 1": answer(data=[{"index": 1, "embedding": FLOATS[0]}, {"index": 2, "embedding": FLOATS[1]}]),
    "an index that is none": answer(
        data=[{"index": [0], "embedding": FLOATS[0]}, {"index": 1, "embedding": FLOATS[1]}]
    ),
    "different sizes": answer(FLOATS[0], [1.0]),
    "empty vectors": answer([], []),
    "null vectors": answer(None, None),
    "a null among numbers": answer(FLOATS[0], [1.0, None, 2.0]),
    "text among numbers": answer(FLOATS[0], [1.0, "2", 3.0]),
    "beyond a float": answer(FLOATS[0], [1e300, 1.0, 1.0]),
    "not base64": answer("!!!!", "!!!!"),
    "base64 with other letters in it": answer(*["*" + packed(one) for one in FLOATS]),
    "base64 of half a float": answer("AAA=", "AAA="),
    "base64 of NaN": answer(packed([float("nan")]), packed([1.0])),
    "base64 of infinity": answer(packed([1.0]), packed([float("-inf")])),
    "base64 beyond ascii": answer("é", "é"),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("asked", ["float", "base64"])
def test_what_cannot_be_used_is_an_error(body: bytes, asked: str) -> None:
    """A wrong vector looks like any other to who gets it."""
    with pytest.raises(UpstreamError):
        adapter(encoding_format=asked).reply(body)


def test_a_wrong_number_of_vectors_is_told() -> None:
    """With both numbers, for whoever runs the provider."""
    with pytest.raises(UpstreamError, match="3 vectors for 2 inputs"):
        adapter().reply(answer(*FLOATS, FLOATS[0]))


def test_there_is_no_stream_of_vectors() -> None:
    """Neither in pieces nor at the end; nor is a page accepted."""
    made = adapter()
    with pytest.raises(UpstreamError):
        made.chunk(b"")
    with pytest.raises(UpstreamError):
        made.end()
    with pytest.raises(UpstreamError):
        made.check(Head(200, {"content-type": "text/html"}))
    assert made.error(Head(503, {}), b"").status == 503


@given(
    st.lists(
        st.floats(width=32, min_value=-(2.0**100), max_value=2.0**100),
        min_size=1,
    )
)
def test_packing_loses_nothing(vector: list[float]) -> None:
    """Base64 and back is the identity for 32-bit floats, and agrees with the reference."""
    assert vectors.text(vectors.pack(vector)) == packed(vector)
    assert vectors.floats(vectors.pack(packed(vector)), None) == vector
