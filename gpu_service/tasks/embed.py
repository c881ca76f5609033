"""`POST /v1/embeddings`, in OpenAI's shape, with `input_type` and `truncate` as Cohere and NVIDIA have them."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final, Literal, cast

import msgspec
import numpy as np

from gpu_service.heads import unit
from gpu_service.tasks.answer import Answer, check_count
from shared.core import embeddings
from shared.core.errors import BadRequest
from shared.core.fields import typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpu_service.engine import Engine
    from gpu_service.fleet import Fleet
    from gpu_service.tokens import Cut, Row

_QUERIES: Final = frozenset({"query", "search_query"})


class _Options(msgspec.Struct):
    input_type: Literal["query", "document", "passage", "search_query", "search_document"] | None = None
    truncate: Literal["END", "START", "NONE", "end", "start", "none"] = "END"


async def embed(fleet: Fleet, data: bytes) -> Answer:
    """Answer an embeddings request.

    Raises:
        GatewayError: what the client is told instead.
    """
    request = embeddings.parse(data)
    options = typed(request.raw, _Options)
    service = await fleet.find(request.model, "embedding")
    engine = await service.engine()
    _check(request, engine)
    inputs = _prefixed(request.inputs, engine, options)
    cut = cast("Cut", options.truncate.lower())
    computed = await service.compute(inputs, lambda engine: engine.rows(inputs, cut))
    vectors = _cut(computed.results, request.dimensions)
    written = list(map(_base64, vectors)) if request.encoding_format == "base64" else vectors
    listed = [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(written)]
    usage = {"prompt_tokens": computed.tokens, "total_tokens": computed.tokens}
    return Answer.of({"object": "list", "data": listed, "model": engine.manifest.name, "usage": usage}, computed)


def _check(request: embeddings.Embeddings, engine: Engine) -> None:
    name, size, shorter = engine.manifest.name, engine.manifest.dimensions, engine.spec.dimensions
    if request.dimensions not in {None, size, *shorter}:
        sizes = ", ".join(map(str, [*shorter, size]))
        raise BadRequest(
            f"The model '{name}' gives vectors of {sizes} dimensions, and was not trained to be cut "
            f"{'elsewhere' if shorter else 'shorter'}.",
            param="dimensions",
        )
    check_count(len(request.inputs), engine, "input")


def _prefixed(inputs: list[str] | list[Row], engine: Engine, options: _Options) -> list[str] | list[Row]:
    """Put the model's instruction before each text; token ids are taken as they are."""
    if options.input_type is None or not isinstance(inputs[0], str):
        return inputs
    before = engine.spec.prefixes.get("query" if options.input_type in _QUERIES else "document", "")
    return [f"{before}{text}" for text in inputs] if before else inputs


def _cut(vectors: list[NDArray[np.float32]], size: int | None) -> list[NDArray[np.float32]]:
    if size is None or size == len(vectors[0]):
        return vectors
    return list(unit(np.stack(vectors)[:, :size]))


def _base64(vector: NDArray[np.float32]) -> str:
    return binascii.b2a_base64(vector.astype("<f4", copy=False).tobytes(), newline=False).decode("ascii")
