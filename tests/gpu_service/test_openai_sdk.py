"""The official SDK is the judge of the shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openai
import pytest

from tests.gpu_service.conftest import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_service.engine import Engine
    from tests.gpu_service.process import Server

MODEL = "all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    """The SDK as its users set it up."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0) as found:
        yield found


def test_the_default_encoding_and_floats_agree(client: openai.OpenAI, engine: Engine) -> None:
    """The SDK asks for base64 unless told otherwise, and decodes it itself."""
    texts = ["hello world", "It's so sunny outside!"]
    default = client.embeddings.create(model=MODEL, input=texts)
    floats = client.embeddings.create(model=MODEL, input=texts, encoding_format="float")

    ours, theirs = (np.array([one.embedding for one in found.data], np.float32) for found in (default, floats))
    assert np.array_equal(ours, theirs)
    assert np.allclose(ours, engine.embed(texts).vectors, atol=1e-6)
    assert default.usage.total_tokens == 4 + 9


def test_token_arrays_are_taken(client: openai.OpenAI) -> None:
    """`[1, 2]` and `[[1, 2]]`, as LangChain sends them, are the text they stand for."""
    text, ids, arrays = (
        client.embeddings.create(model=MODEL, input=given).data[0].embedding
        for given in ("hello world", [7592, 2088], [[7592, 2088]])
    )

    assert ids == text
    assert arrays == text


def test_models_are_listed(client: openai.OpenAI) -> None:
    """The list parses into the SDK's own type."""
    assert [model.id for model in client.models.list()] == [MODEL]


def test_errors_are_typed(client: openai.OpenAI) -> None:
    """A wrong model, field or token raises what the SDK raises for OpenAI's own, with the field named."""
    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model="text-embedding-3-small", input="a")
    with pytest.raises(openai.BadRequestError) as wrong:
        client.embeddings.create(model=MODEL, input="a", dimensions=100)
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").embeddings.create(model=MODEL, input="a")

    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert (wrong.value.type, wrong.value.param) == ("invalid_request_error", "dimensions")
