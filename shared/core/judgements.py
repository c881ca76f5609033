"""The requests of `POST /v1/moderations` and `POST /v1/rerank`, typed: texts are judged, and nothing is written."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from shared.core import body
from shared.core.errors import BadRequest
from shared.core.fields import typed
from shared.core.wire import encode

MODERATOR = "omni-moderation-latest"  # where none is asked for, as OpenAI documents it
MAX_TEXTS = 2048
# Cohere charges a ranking as one search for each 100 documents, and counts a document that has, with the query, more
# than 500 tokens as several (docs.cohere.com, "How does pricing work?"). No token is shorter than a byte; half of the
# 500 is for the query.
SEARCH_DOCUMENTS = 100
PIECE_BYTES = 250
_IMAGE = "image_url"


class Judgement(Struct, frozen=True):
    """A request for verdicts. `raw` is the client's own object; the provider gets it, the model renamed."""

    kind: Literal["moderation", "rerank"]
    raw: dict[str, Any]
    model: str
    count: int  # what is judged: as many verdicts come of a moderation, at most as many of a ranking
    size: int  # bytes of the body: bounds the tokens
    images: int = 0  # whose tokens it does not bound
    searches: int = 1  # as how many requests a provider may charge it at most


class ModerationFields(Struct):
    """The members of a request for a moderation."""

    input: str | Annotated[list[Any], Meta(min_length=1, max_length=MAX_TEXTS)]
    model: Annotated[str, Meta(min_length=1)] | None = None


class RerankFields(Struct):
    """The members of a request for a ranking."""

    model: Annotated[str, Meta(min_length=1)]
    query: Annotated[str, Meta(min_length=1)]
    documents: Annotated[list[Any], Meta(min_length=1, max_length=MAX_TEXTS)]
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool | None = None


def moderation(data: bytes) -> Judgement:
    """Read the body of `POST /v1/moderations`.

    Raises:
        BadRequest: a field is wrong; `param` names it.
        TooLarge: the body is too large.
    """
    raw = body.parse(data)
    fields = typed(raw, ModerationFields)
    given = [fields.input] if isinstance(fields.input, str) else fields.input
    parts = [part for part in given if isinstance(part, dict)]
    for place, item in enumerate(given):
        if not _moderable(item) or (parts and isinstance(item, str)):
            raise BadRequest(
                "'input' must be a text, an array of texts, or an array of parts of type 'text' and 'image_url', none "
                f"of them empty; item {place} breaks that.",
                param=f"input[{place}]",
            )
    images = sum(part["type"] == _IMAGE for part in parts)
    return Judgement("moderation", raw, fields.model or MODERATOR, 1 if parts else len(given), len(data), images)


def rerank(data: bytes) -> Judgement:
    """Read the body of `POST /v1/rerank`; raises as `moderation` does."""
    raw = body.parse(data)
    fields = typed(raw, RerankFields)
    pieces = 0
    for place, document in enumerate(fields.documents):
        text = document.get("text") if isinstance(document, dict) else document
        if not isinstance(text, str) or not text:
            raise BadRequest(
                f"'documents[{place}]' must be a text, or an object with a 'text', and not empty.",
                param=f"documents[{place}]",
            )
        pieces += -(-len(encode(document)) // PIECE_BYTES)
    searches = -(-pieces // SEARCH_DOCUMENTS)
    return Judgement("rerank", raw, fields.model, len(fields.documents), len(data), searches=searches)


def _moderable(item: object) -> bool:
    if isinstance(item, str):
        return bool(item)
    if not isinstance(item, dict):
        return False
    if item.get("type") == _IMAGE:
        inner = item.get(_IMAGE)
        return isinstance(inner, dict) and isinstance(inner.get("url"), str)
    return item.get("type") == "text" and isinstance(item.get("text"), str)
