"""Whether an answer is one of those that `GET /openapi.json` tells of."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

from functions.admin import described

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


@cache
def document() -> dict[str, Any]:
    """The description of everything."""
    found: dict[str, Any] = json.loads(described())
    return found


def undocumented(method: str, path: str, status: int, body: Any, document: dict[str, Any]) -> list[str]:
    """Say what the document does not tell of an answer; nothing of operations that it does not know at all."""
    for template, operations in document["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in operations:
            answers = operations[method.lower()]["responses"]
            answer = answers.get(str(status)) or (answers["default"] if status >= 400 else None)
            if answer is None:
                return [f"{method} {template} may answer with status {status}"]
            schema = answer["content"]["application/json"]["schema"]
            return [f"{method} {template} {status}: {one}" for one in unlike(body, schema, document)]
    return []


def unlike(value: Any, schema: dict[str, Any], document: dict[str, Any], place: str = "") -> list[str]:
    """Say where a value is unlike a schema, by as much of JSON Schema as the answers' schemas use."""
    if "$ref" in schema:
        return unlike(value, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, place)
    if several := schema.get("anyOf"):
        found = [unlike(value, one, document, place) for one in several]
        return [] if [] in found else min(found, key=len)
    if not _of_kind(value, schema.get("type", [])) or value != schema.get("const", value):
        return [f"{place} is {value!r}"]
    if isinstance(value, list):
        return [one for item in value for one in unlike(item, schema.get("items", {}), document, f"{place}[]")]
    return _members(value, schema, document, place) if isinstance(value, dict) else []


def _of_kind(value: Any, kinds: str | list[str]) -> bool:
    named = [kinds] if isinstance(kinds, str) else kinds
    return not named or any(type(value) in _KINDS[name] for name in named)


def _members(value: dict[str, Any], schema: dict[str, Any], document: dict[str, Any], place: str) -> list[str]:
    known = schema.get("properties", {})
    more = schema.get("additionalProperties", not known)
    wrong = [f"{place}.{name} is missing" for name in schema.get("required", ()) if name not in value]
    for name, part in value.items():
        if name not in known and more is False:
            wrong.append(f"{place}.{name} is not told of")
        else:
            wrong += unlike(part, known.get(name, more if isinstance(more, dict) else {}), document, f"{place}.{name}")
    return wrong
