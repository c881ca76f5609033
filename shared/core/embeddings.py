"""The request of `POST /v1/embeddings`, typed."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from shared.core import body
from shared.core.errors import BadRequest
from shared.core.fields import typed

MAX_INPUTS = 2048
MAX_TOKEN = 2**31 - 1


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
        inputs=_inputs(fields.input),
        encoding_format=fields.encoding_format or "float",
        dimensions=fields.dimensions,
        size=len(data),
    )


def _inputs(given: str | list[Any]) -> list[str] | list[list[int]]:
    """Bring the four shapes of `input` (text, texts, tokens, arrays of tokens) into two."""
    if isinstance(given, str):
        given = [given]
    if given and type(given[0]) is int:
        given = [given]
    if not 1 <= len(given) <= MAX_INPUTS:
        raise BadRequest(f"'input' must hold 1 to {MAX_INPUTS} items; it holds {len(given)}.", param="input")
    shape = type(given[0])
    for position, item in enumerate(given):
        if type(item) is not shape or not _is_input(item):
            raise BadRequest(
                "'input' must be a text, an array of texts, an array of token ids, or an array of such arrays, "
                f"none of them empty; item {position} breaks that.",
                param=f"input[{position}]",
            )
    return given


def _is_input(item: object) -> bool:
    if isinstance(item, str):
        return bool(item)
    return (
        isinstance(item, list) and bool(item) and all(type(token) is int and 0 <= token <= MAX_TOKEN for token in item)
    )
