"""The official SDKs' own types as an OpenAPI document: what providers may be asked, and what they may say.

An answer can be said in several ways. `sparse` has what is required and nothing else; each numbered one has all members
there are, of which every union shows another side; and each lettered one has a third of those that are not required.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types import message_create_params as messages
from openai.types import (
    CreateEmbeddingResponse,
    EmbeddingCreateParams,
    ModerationCreateParams,
    ModerationCreateResponse,
)
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import completion_create_params as chat
from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Schema = dict[str, Any]

SPARSE = "sparse"
ALL = "012345"
THIRDS = "abc"
WAYS = (SPARSE, *ALL, *THIRDS)
_PLACE = "#/components/schemas/{}"
_UNIONS = ("anyOf", "oneOf")
_ENDPOINTS: dict[str, tuple[tuple[Any, ...], Any, Any]] = {  # what is asked, and what is answered, whole and streamed
    "/v1/chat/completions": (
        (chat.CompletionCreateParamsNonStreaming, chat.CompletionCreateParamsStreaming),
        ChatCompletion,
        ChatCompletionChunk,
    ),
    "/v1/messages": (
        (messages.MessageCreateParamsNonStreaming, messages.MessageCreateParamsStreaming),
        Message,
        RawMessageStreamEvent,
    ),
    "/v1/embeddings": ((EmbeddingCreateParams,), CreateEmbeddingResponse, None),
    "/v1/moderations": ((ModerationCreateParams,), ModerationCreateResponse, None),
}


def document() -> Schema:
    """Return the document; the paths of a way begin with it."""
    schemas: Schema = {}
    paths: Schema = {}
    for path, (asked, whole, streamed) in _ENDPOINTS.items():
        request = {"anyOf": [_reference(kind, "asked", schemas) for kind in asked]}
        for way in WAYS:
            content = {"application/json": {"schema": _reference(whole, way, schemas)}}
            if streamed:
                content["text/event-stream"] = {"schema": _reference(streamed, way, schemas)}
            paths[f"/{way}{path}"] = {
                "post": {
                    "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
                    "responses": {"200": {"description": "An answer", "content": content}},
                }
            }
    return {
        "openapi": "3.1.0",
        "info": {"title": "The SDKs' types", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _reference(kind: Any, way: str, schemas: Schema) -> Schema:
    """Put the schema of `kind` where it can be referred to, under names that no other has, and do so."""
    name = f"{way}.{getattr(kind, '__name__', 'Event')}"
    schema = TypeAdapter(kind).json_schema(ref_template=_PLACE.format(f"{name}.{{model}}"))
    inner = schema.pop("$defs", {})
    found = {name: schema} | {f"{name}.{inside}": inner[inside] for inside in inner}
    schemas |= {one: _said(found[one], way) for one in found}
    return {"$ref": _PLACE.format(name)}


def _said(schema: Any, way: str) -> Any:
    """Return `schema` with what has to be said in this `way` of saying it."""
    if isinstance(schema, list):
        return [_said(one, way) for one in schema]
    if not isinstance(schema, dict) or way not in {*ALL, *THIRDS}:
        return schema
    return dict(_members(schema, way))


def _members(schema: Schema, way: str) -> Iterator[tuple[str, Any]]:
    """Yield the members of a schema that has no defaults any more, as they would be said."""
    for name, value in schema.items():
        if name == "properties":
            yield name, {one: _said(inner, way) for one, inner in value.items()}
            yield "required", _required(sorted(value), schema.get("required", ()), way)
        elif name in _UNIONS and way in ALL:
            at = int(way) % len(value)
            yield name, _said([*value[at:], *value[:at]], way)
        elif name not in {"default", "required"}:
            yield name, _said(value, way)


def _required(names: list[str], already: Sequence[str], way: str) -> list[str]:
    return names if way in ALL else sorted({*already, *names[THIRDS.index(way) :: len(THIRDS)]})
