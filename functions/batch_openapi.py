"""What the paths of files and batches take and answer, as OpenAPI; the members are OpenAI's."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from shared.core.batches import BatchFields

Json = dict[str, Any]

_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_COUNT: Final = {"type": "integer"}
_COUNT_OR_NULL: Final = {"type": ["integer", "null"]}
_SECONDS: Final = {"type": "integer", "description": "In epoch seconds"}
_YES: Final = {"type": "boolean"}
_CONTENT: Final = "application/json"
_ID: Final = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
_PAGE: Final = (("after", _TEXT), ("limit", {"type": "integer", "minimum": 1}))


def _shape(kind: str, members: Json) -> Json:
    known = {"object": {"const": kind}, **members}
    return {"type": "object", "properties": known, "required": list(known)}


def _page(of: str) -> Json:
    ends = {"first_id": _TEXT_OR_NULL, "last_id": _TEXT_OR_NULL, "has_more": _YES}
    return _shape("list", {"data": {"type": "array", "items": _ref(of)}, **ends})


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_FAULT: Final = {
    "type": "object",
    "required": ["code", "message", "line", "param"],
    "properties": {"code": _TEXT, "message": _TEXT, "line": _COUNT_OR_NULL, "param": _TEXT_OR_NULL},
}
_FAULTS: Final = _shape("list", {"data": {"type": "array", "items": _FAULT}})
_COUNTS: Final = dict.fromkeys(("total", "completed", "failed"), _COUNT)
_TIMES: Final = (
    *("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at"),
)
SHAPES: Final[dict[str, Json]] = {
    "Batch": _shape(
        "batch",
        {
            **dict.fromkeys(("id", "endpoint", "input_file_id", "completion_window", "status"), _TEXT),
            **dict.fromkeys(("output_file_id", "error_file_id"), _TEXT_OR_NULL),
            **dict.fromkeys(("created_at", "expires_at"), _SECONDS),
            **dict.fromkeys(_TIMES, _COUNT_OR_NULL),
            "errors": {"anyOf": [{"type": "null"}, _FAULTS]},
            "request_counts": {"type": "object", "properties": _COUNTS, "required": list(_COUNTS)},
            "metadata": {"type": ["object", "null"], "additionalProperties": _TEXT},
        },
    ),
    "BatchList": _page("Batch"),
    "File": _shape(
        "file",
        {
            **dict.fromkeys(("id", "filename", "purpose", "status"), _TEXT),
            **dict.fromkeys(("created_at", "expires_at"), _SECONDS),
            "bytes": _COUNT,
            "status_details": _TEXT_OR_NULL,
        },
    ),
    "FileDeleted": _shape("file", {"id": _TEXT, "deleted": {"const": True}}),
    "FileList": _page("File"),
    **msgspec.json.schema_components([BatchFields], ref_template="#/components/schemas/{name}")[1],
}
_FORM: Final = {
    "type": "object",
    "required": ["purpose", "file"],
    "properties": {
        "purpose": {"const": "batch"},
        "file": {"type": "string", "format": "binary"},
        "expires_after[anchor]": {"const": "created_at"},
        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
    },
    "additionalProperties": False,
}


def _operation(summary: str, answer: Json, content: str = _CONTENT, **more: Json | list[Json]) -> Json:
    told = {"description": summary, "content": {content: {"schema": answer}}}
    return {"summary": summary, "tags": ["batches"], **more, "responses": {"200": told}}


def _query(*more: tuple[str, Json]) -> list[Json]:
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in (*_PAGE, *more)]


def paths() -> dict[str, Json]:
    """Return the operations by path and method."""
    order, purpose = ("order", {"enum": ["asc", "desc"]}), ("purpose", _TEXT)
    form = {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
    fields = {"required": True, "content": {_CONTENT: {"schema": _ref("BatchFields")}}}
    binary = {"type": "string", "format": "binary"}
    return {
        "/v1/batches": {
            "get": _operation("List batches", _ref("BatchList"), parameters=_query()),
            "post": _operation("Have the lines of a file served", _ref("Batch"), requestBody=fields),
        },
        "/v1/batches/{id}": {"get": _operation("Look at a batch", _ref("Batch"), parameters=[_ID])},
        "/v1/batches/{id}/cancel": {"post": _operation("End a batch early", _ref("Batch"), parameters=[_ID])},
        "/v1/files": {
            "get": _operation("List files", _ref("FileList"), parameters=_query(order, purpose)),
            "post": _operation("Upload the lines of a batch", _ref("File"), requestBody=form),
        },
        "/v1/files/{id}": {
            "get": _operation("Look at a file", _ref("File"), parameters=[_ID]),
            "delete": _operation("Delete a file", _ref("FileDeleted"), parameters=[_ID]),
        },
        "/v1/files/{id}/content": {
            "get": _operation("Read a file", binary, "application/octet-stream", parameters=[_ID]),
        },
    }
