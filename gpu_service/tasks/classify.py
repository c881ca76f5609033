"""`POST /v1/classify`: the labels of texts or files, best first, in the shape that Jina has."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from gpu_service.tasks.answer import Answer, check_count
from shared.core import body
from shared.core.errors import BadRequest
from shared.core.fields import typed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gpu_service.fleet import Fleet


class _Fields(msgspec.Struct):
    model: Annotated[str, Meta(min_length=1)]
    input: str | dict[str, Any] | Annotated[list[Any], Meta(min_length=1)]
    top_n: Annotated[int, Meta(ge=1)] = 5


async def classify(fleet: Fleet, data: bytes) -> Answer:
    """Answer a classify request; `input` is a text, `{"base64": ...}` for bytes, or an array of these.

    Raises:
        GatewayError: what the client is told instead.
    """
    fields = typed(body.parse(data), _Fields)
    service = await fleet.find(fields.model, "classification")
    engine = await service.engine()
    given = fields.input if isinstance(fields.input, list) else [fields.input]
    check_count(len(given), engine, "input")
    reads = _content if engine.spec.reads == "magika" else _text
    inputs: list[Any] = [reads(item, place) for place, item in enumerate(given)]
    computed = await service.compute(inputs, lambda engine: engine.rows(inputs))
    listed = [
        {"object": "classification", "index": index, **_told(scores, engine.spec.labels, fields.top_n)}
        for index, scores in enumerate(computed.results)
    ]
    usage = {"prompt_tokens": computed.tokens, "total_tokens": computed.tokens}
    return Answer.of({"object": "list", "model": engine.manifest.name, "data": listed, "usage": usage}, computed)


def _told(scores: NDArray[np.float32], labels: list[str], most: int) -> dict[str, Any]:
    best = (-scores).argsort(kind="stable")[:most]
    found = [{"label": labels[place], "score": float(scores[place])} for place in best]
    return {"prediction": found[0]["label"], "score": found[0]["score"], "predictions": found}


def _text(item: object, place: int) -> str:
    if not isinstance(item, str) or not item:
        raise BadRequest(f"'input[{place}]' must be a text, and not empty.", param=f"input[{place}]")
    return item


def _content(item: object, place: int) -> bytes:
    """Give the bytes of a file; a text stands for its bytes in UTF-8."""
    if isinstance(item, str):
        return item.encode()
    try:
        return base64.b64decode(item["base64"], validate=True)  # type: ignore[index]
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise BadRequest(
            f"'input[{place}]' must be a text, or an object whose 'base64' holds the file's bytes.",
            param=f"input[{place}]",
        ) from error
