"""A minimal instance of a JSON schema: what the simulated model fills into tool arguments and structured output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cdk.local.simulated import Json

_DEEPEST = 24
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "simulated@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance(schema: Json) -> Json:
    """Return the same small valid value for the same `schema`. Patterns are not solved."""
    return _build(schema, schema, 0)


def _build(schema: Json, root: Json, depth: int) -> Json:
    schema = _resolved(schema, root)
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if schema.get("enum"):
        return schema["enum"][0]
    for word in ("anyOf", "oneOf"):
        if schema.get(word):
            return _build(_plainest(schema[word], root), root, depth + 1)
    if schema.get("allOf"):
        return _build(_joined(schema["allOf"], root), root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: dict[str, Any], root: Json, depth: int) -> Json:
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return _object(schema, root, depth)
    if kind == "array":
        return [_build(schema.get("items", {}), root, depth + 1) for _ in range(schema.get("minItems", 0))]
    if kind in {"number", "integer"}:
        return _number(schema)
    return {"boolean": True, "null": None}.get(kind) if kind != "string" else _string(schema)


def _object(schema: dict[str, Any], root: Json, depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", list(properties))
    return {name: _build(properties.get(name, {}), root, depth + 1) for name in required}


def _number(schema: dict[str, Any]) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 2) - 1)
    step = schema.get("multipleOf")
    value = 1 if low <= 1 <= high else low if low > 1 else high
    number: float = -(-value // step) * step if step else value
    return number


def _string(schema: dict[str, Any]) -> str:
    text = _FORMATS.get(schema.get("format", ""), "simulated")
    longest = schema.get("maxLength", len(text))
    return text.ljust(schema.get("minLength", 0), "x")[: max(longest, schema.get("minLength", 0))]


def _resolved(schema: Json, root: Json) -> Json:
    for _ in range(_DEEPEST):
        if not isinstance(schema, dict) or "$ref" not in schema:
            return schema
        schema = _pointed_at(str(schema["$ref"]), root)
    return None


def _pointed_at(reference: str, root: Json) -> Json:
    found = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if step and isinstance(found, dict) else found
    return found


def _plainest(choices: list[Any], root: Json) -> Json:
    """Prefer a branch that cannot recurse, so that trees end."""
    resolved = [_resolved(choice, root) for choice in choices]
    plain = [choice for choice in resolved if isinstance(choice, dict) and not _nests(choice)]
    return (plain or resolved)[0]


def _nests(schema: dict[str, Any]) -> bool:
    return any(word in schema for word in ("properties", "items", "anyOf", "oneOf", "allOf", "$ref"))


def _joined(parts: list[Any], root: Json) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for part in (_resolved(part, root) for part in parts):
        if isinstance(part, dict):
            properties = {**joined.get("properties", {}), **part.get("properties", {})}
            required = [*joined.get("required", []), *part.get("required", [])]
            joined = {**joined, **part, "properties": properties, "required": required}
    return joined
