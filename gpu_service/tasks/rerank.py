"""`POST /v1/rerank`, in the shape that Cohere and Jina have: documents by their relevance to a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from gpu_service.tasks.answer import Answer, check_count, identity
from shared.core import body
from shared.core.errors import BadRequest
from shared.core.fields import typed

if TYPE_CHECKING:
    from gpu_service.fleet import Fleet


class _Fields(msgspec.Struct):
    model: Annotated[str, Meta(min_length=1)]
    query: Annotated[str, Meta(min_length=1)]
    documents: Annotated[list[Any], Meta(min_length=1)]
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool | None = None


async def rerank(fleet: Fleet, data: bytes) -> Answer:
    """Answer a rerank request.

    Raises:
        GatewayError: what the client is told instead.
    """
    fields = typed(body.parse(data), _Fields)
    texts = [_text(document, place) for place, document in enumerate(fields.documents)]
    service = await fleet.find(fields.model, "rerank")
    engine = await service.engine()
    check_count(len(texts), engine, "documents")
    query = fields.query
    computed = await service.compute(texts, lambda engine: engine.pairs(query, texts), beside=len(query))
    scores = [float(result[0]) for result in computed.results]
    best = sorted(range(len(texts)), key=lambda place: (-scores[place], place))[: fields.top_n]
    results = [
        {"index": place, "relevance_score": scores[place]}
        | ({"document": {"text": texts[place]}} if fields.return_documents else {})
        for place in best
    ]
    usage = {"prompt_tokens": computed.tokens, "total_tokens": computed.tokens}
    meta = {"billed_units": {"search_units": 1}}
    told = {"id": identity("rerank"), "object": "list", "model": engine.manifest.name, "results": results}
    return Answer.of({**told, "usage": usage, "meta": meta}, computed)


def _text(document: object, place: int) -> str:
    """Take a text, or an object with a `text`."""
    text = document.get("text") if isinstance(document, dict) else document
    if not isinstance(text, str) or not text:
        raise BadRequest(
            f"'documents[{place}]' must be a text, or an object with a 'text', and not empty.",
            param=f"documents[{place}]",
        )
    return text
