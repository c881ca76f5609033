"""What the paths of inference take, as OpenAPI: made of the shapes that judge requests, so it cannot say otherwise."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from shared.core.chat import ChatFields
from shared.core.embeddings import EmbeddingsFields
from shared.core.ensembles import EnsembleFields
from shared.core.judgements import ModerationFields, RerankFields
from shared.dialects.anthropic_shapes import CountTokensFields, MessagesFields
from shared.dialects.completions import CompletionsFields
from shared.dialects.generate import GenerateFields
from shared.dialects.responses_shapes import ResponsesFields
from shared.dialects.route import RouteFields

TAKES: Final[dict[str, tuple[type[msgspec.Struct], str]]] = {  # by path: the shape, and what comes of it
    "/v1/chat/completions": (ChatFields, "A chat completion, as OpenAI has it"),
    "/v1/completions": (CompletionsFields, "A text that goes on, as OpenAI had it before there were chats"),
    "/v1/responses": (ResponsesFields, "A response, as OpenAI has it; nothing is stored"),
    "/v1/embeddings": (EmbeddingsFields, "Vectors, as OpenAI has them"),
    "/v1/moderations": (ModerationFields, "Verdicts on texts, as OpenAI has them"),
    "/v1/rerank": (RerankFields, "Documents by relevance, as Cohere and Jina have them"),
    "/v1/messages": (MessagesFields, "A message, as Anthropic has it"),
    "/v1/messages/count_tokens": (CountTokensFields, "About how many tokens a message has"),
    "/api/llm/generate": (GenerateFields, "A text, and what it cost"),
    "/api/ai/route": (RouteFields, "An answer by a model that is strong enough, or the plan for one"),
    "/api/ai/ensemble": (EnsembleFields, "One answer out of several models', with each of theirs"),
}
_TEMPLATE: Final = "#/components/schemas/{name}"
_CONTENT: Final = "application/json"


def paths() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the paths, and the schemas that they refer to. Members that no schema names are passed on."""
    shapes = [shape for shape, _ in TAKES.values()]
    references, schemas = msgspec.json.schema_components(shapes, ref_template=_TEMPLATE)
    found = {
        path: {"post": _operation(told, reference, stream="stream" in shape.__struct_fields__)}
        for (path, (shape, told)), reference in zip(TAKES.items(), references, strict=True)
    }
    return found, schemas


def _operation(told: str, reference: dict[str, Any], *, stream: bool) -> dict[str, Any]:
    answers: dict[str, Any] = {_CONTENT: {"schema": {"type": "object"}}}
    if stream:
        answers["text/event-stream"] = {"schema": {"type": "string"}}
    return {
        "summary": told,
        "tags": ["inference"],
        "requestBody": {"required": True, "content": {_CONTENT: {"schema": reference}}},
        "responses": {"200": {"description": told, "content": answers}},
    }
