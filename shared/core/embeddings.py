"""The request of `POST /v1/embeddings`, typed."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from shared.core import body, inputs
from shared.core.fields import typed

MAX_INPUTS = 2048


class Embeddings(msgspec.Struct, frozen=True):
    """A request for vectors. `inputs` holds one text, or one array of token ids, per vector wanted."""

    raw: dict[str, Any]
    model: str
    inputs: list[str] | list[list[int]]
    encoding_format: Literal["float", "base64"]
    dimensions: int | None
    size: int  # bytes of the body, for estimates

    kind: ClassVar[Literal["embedding"]] = "embedding"


class EmbeddingsFields(msgspec.Struct):
    """The members of a request."""

    model: Annotated[str, Meta(min_length=1)]
    input: str | list[Any]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=65536)] | None = None
    user: str | None = None


def parse(data: bytes) -> Embeddings:
    """Read the body of a request.

    Raises:
        BadRequest: a field is wrong; `param` names it.
        TooLarge: the body is too large.
    """
    raw = body.parse(data)
    fields = typed(raw, EmbeddingsFields)
    return Embeddings(
        raw=raw,
        model=fields.model,
        inputs=inputs.listed(fields.input, "input", MAX_INPUTS),
        encoding_format=fields.encoding_format or "float",
        dimensions=fields.dimensions,
        size=len(data),
    )
