"""Vectors of Gemini, as OpenAI's SDK takes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types
from openai.types import CreateEmbeddingResponse

from shared.core import embeddings
from shared.core.catalog import Provider, Target
from shared.core.errors import BadRequest, UpstreamError
from shared.core.usage import Usage
from shared.dialects.openai import VectorsWriter
from shared.providers.adapter import Head
from shared.providers.gemini_embeddings import GeminiEmbeddings
from tests.providers.exchange import MOMENT

PROVIDER = Provider("gemini", "gemini", "https://generativelanguage.googleapis.com", secret="KEY")


def adapter(given: Any = "x", **fields: Any) -> GeminiEmbeddings:
    """Make the adapter for these inputs."""
    asked = embeddings.parse(json.dumps({"model": "m", "input": given, **fields}).encode())
    return GeminiEmbeddings(asked, Target("gemini", "gemini-embedding-001"), PROVIDER, MOMENT)


def test_each_text_is_a_request() -> None:
    """Of the size that is asked for."""
    request = adapter(["a", "b"], dimensions=2).request("key-1")
    assert request.url == (
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-embedding-001:batchEmbedContents"
    )
    assert request.headers["x-goog-api-key"] == "key-1"
    asked = json.loads(request.body)["requests"]
    assert [types.Content.model_validate(one["content"]).parts[0].text for one in asked] == ["a", "b"]  # type: ignore[index]
    assert {(one["model"], one["outputDimensionality"]) for one in asked} == {("models/gemini-embedding-001", 2)}


def test_vectors_come_in_order_and_are_counted_if_they_can_be() -> None:
    """Usage that nobody tells is a guess."""
    made = adapter(["a", "b"], dimensions=2)
    answer: dict[str, Any] = {"embeddings": [{"values": [1.0, 0.5]}, {"values": [0.0, -1.0]}]}
    found = json.loads(VectorsWriter(made._asked).whole(made.reply(json.dumps(answer).encode()), made.usage))
    listed = CreateEmbeddingResponse.model_validate(found, strict=True)
    assert [one.embedding for one in listed.data] == [[1.0, 0.5], [0.0, -1.0]]
    assert made.usage.estimated
    made.reply(json.dumps({**answer, "usageMetadata": {"promptTokenCount": 7}}).encode())
    assert made.usage == Usage(7)


@pytest.mark.parametrize("body", [b"{}", b'{"embeddings": [{"values": []}]}', b'{"error": {"message": "no"}}', b"["])
def test_what_are_no_vectors_is_an_error(body: bytes) -> None:
    """Also too few, and empty ones."""
    with pytest.raises(UpstreamError):
        adapter().reply(body)


def test_tokens_are_refused_by_name() -> None:
    """They belong to another tokenizer; a bad key is ours to see to."""
    with pytest.raises(BadRequest) as refused:
        adapter([1, 2]).request("k")
    assert refused.value.param == "input"
    bad = {"error": {"details": [{"reason": "API_KEY_INVALID"}], "message": "no"}}
    assert adapter().error(Head(400, {}), json.dumps(bad).encode()).status == 502
