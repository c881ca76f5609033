"""`GET /openapi.json`: what can be asked for, made of the routes, models and shapes that serve it.

Powertools describes the administration, and guesses what it answers; that is told here as it is, beside all other
paths.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from functions import answer_shapes, batch_openapi, inference_openapi
from functions.visit import JSON
from shared import manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    Json = dict[str, Any]

FORM: Final = "application/x-www-form-urlencoded"
_GUESSED: Final = "ValidationError"  # how Powertools' names of refusals end; ours look otherwise
_COLLECTION: Final = re.compile(r"/admin/[a-z]+")
_ROTATION: Final = "/admin/keys/{key_id}/rotate"
_METRICS: Final = "/metrics"
_TEXTUAL: Final = {"text/plain": {"schema": {"type": "string"}}}
_BASIC: Final = "basic"
_ERROR: Final = {"$ref": "#/components/schemas/Error"}
_TEXT: Final = {"type": "string"}
_OPTIONAL: Final = {"type": ["string", "null"]}
_SCHEMAS: Final = {
    "Error": {
        "type": "object",
        "required": ["type", "error"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message", "code", "param"],
                "properties": {"type": _TEXT, "message": _TEXT, "code": _OPTIONAL, "param": _OPTIONAL},
                "additionalProperties": True,  # which limit it is, and what is left of it
            },
        },
    },
    "OAuthError": {
        "type": "object",
        "required": ["error", "error_description"],
        "properties": {"error": _TEXT, "error_description": _TEXT},
    },
    "Token": {
        "type": "object",
        "required": ["access_token", "token_type", "expires_in"],
        "properties": {"access_token": _TEXT, "token_type": {"const": "Bearer"}, "expires_in": {"type": "integer"}},
    },
    "TokenRequest": {
        "type": "object",
        "required": ["grant_type"],
        "properties": {
            "grant_type": {"enum": ["password", "client_credentials"]},
            **dict.fromkeys(("organization", "username", "password", "client_id", "client_secret"), _TEXT),
        },
    },
}
_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of /auth/token"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "An API key"},
    _BASIC: {"type": "http", "scheme": "basic", "description": "A client of /auth/token: a key's id, and the key"},
}
_VERSION: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": _TEXT,
    "description": "The version that was read; another one now is a 412. Absent or * is any.",
}
_REPEATED: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {**_TEXT, "minLength": 1, "maxLength": 255},
    "description": "Repeated with the same body, the same is answered, and nothing is made again.",
}
_UNVERSIONED: Final = frozenset({"/admin/catalog", "/admin/blocks/{block_id}"})
_UNREPEATED: Final = frozenset({"/admin/blocks"})
_PLAIN: Final = {  # paths that Powertools does not serve and that take no shape: a tag, and what they are for
    "/health": ("status", "Whether the gateway is there"),
    "/health/live": ("status", "Whether the gateway is there"),
    "/health/ready": ("status", "Whether requests can be served, and what is down if not"),
    "/api/ai/status": ("status", "Which providers serve, rest after failures, or are not configured"),
    "/v1/models": ("models", "List the models that the caller may use"),
    "/v1/models/{id}": ("models", "Look at one of them"),
    "/auth/token": ("tokens", "Log in for a token, as OAuth 2 has it"),
    "/.well-known/jwks.json": ("tokens", "The public keys that tokens are signed with"),
    "/openapi.json": ("status", "This document"),
}


def complete(found: Json) -> Json:
    """Return the document of everything; `found` is the administration's."""
    inference, shapes = inference_openapi.paths()
    administration = {path: _administered(path, found["paths"][path]) for path in found["paths"]}
    paths = {**inference, **batch_openapi.paths(), **dict(_plain()), **administration}
    known = found.get("components", {}).get("schemas", {})
    own = {name: known[name] for name in known if not name.endswith(_GUESSED)}
    schemas = {**own, **shapes, **answer_shapes.SHAPES, **batch_openapi.SHAPES, **_SCHEMAS}
    return {
        **found,
        "paths": {path: {method: _named(path, method, one) for method, one in paths[path].items()} for path in paths},
        "components": {"schemas": schemas, "securitySchemes": _SCHEMES},
        "security": [{name: []} for name in _SCHEMES if name != _BASIC],
    }


def _administered(path: str, operations: Json) -> Json:
    """Say what a route of the administration takes and answers."""
    return {
        method: {**_sent(path, method, one), "responses": _answers(path, method, one["summary"])}
        for method, one in operations.items()
    }


def _sent(path: str, method: str, operation: Json) -> Json:
    """Say which headers an operation minds, and whether its body may be left out."""
    known = list(operation.get("parameters", []))
    if path == _ROTATION:
        body = {**operation["requestBody"], "required": False}
        return {**operation, "parameters": [*known, _VERSION, _REPEATED], "requestBody": body}
    if method in {"put", "patch", "delete"} and path not in _UNVERSIONED:
        known.append(_VERSION)
    if method == "post" and _COLLECTION.fullmatch(path) and path not in _UNREPEATED:
        known.append(_REPEATED)
    return {**operation, "parameters": known} if known else operation


def _answers(path: str, method: str, summary: str) -> Json:
    """Say what a route answers: what is made is a 201."""
    status = "201" if method == "post" and _COLLECTION.fullmatch(path) else "200"
    content = _TEXTUAL if path == _METRICS else {JSON: {"schema": answer_shapes.of(path, method)}}
    return {status: {"description": summary, "content": content}}


def _plain() -> Iterator[tuple[str, Json]]:
    for route in manifest.ROUTES:
        path = route.path.replace("+}", "}")
        if path not in _PLAIN:
            continue
        tag, summary = _PLAIN[path]
        content = {JSON: {"schema": {"type": "object"}}}
        told: Json = {
            "tags": [tag],
            "summary": summary,
            "responses": {"200": {"description": summary, "content": content}},
        }
        names = re.findall(r"\{(\w+)\}", path)
        if names:
            told["parameters"] = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]
        if route.method == "POST":
            taken = {"schema": {"$ref": "#/components/schemas/TokenRequest"}}
            told["requestBody"] = {"required": True, "content": {FORM: taken, JSON: taken}}
            content[JSON] = {"schema": {"$ref": "#/components/schemas/Token"}}
            refused = {"anyOf": [{"$ref": "#/components/schemas/OAuthError"}, _ERROR]}
            told["responses"]["default"] = {"description": "An error", "content": {JSON: {"schema": refused}}}
        if route.auth == "none":
            told["security"] = [{}, {_BASIC: []}] if route.method == "POST" else [{}]
        yield path, {route.method.lower(): told}


def _named(path: str, method: str, operation: Json) -> Json:
    """Give an operation the name that generated clients call it by, and say how it refuses."""
    name = "_".join([method, *re.findall(r"[a-z0-9]+", path)])
    refused = {"default": {"description": "An error", "content": {JSON: {"schema": _ERROR}}}}
    return {**operation, "operationId": name, "responses": {**refused, **operation["responses"]}}
