"""One thing that a client can ask for, with marks by which it is found again in what is sent on."""

from __future__ import annotations

from typing import Any, NamedTuple

Mark = tuple[object, ...]  # any of these values or names stands for it

PIXEL, SHEET = "iVBORw0KGgoAMARK", "JVBERi0xLjQKMARK"
SCHEMA = {"type": "object", "properties": {"mark_property": {"type": "string", "description": "mark-described"}}}


class Feature(NamedTuple):
    """Members of a request, those of its conversation apart, and what must be found of them."""

    fields: dict[str, Any]
    said: tuple[Any, ...]
    marks: tuple[Mark, ...]


def asks(*marks: object, **fields: Any) -> Feature:
    """Return a feature that is a member of the request; a mark that is no tuple stands for itself."""
    return Feature(fields, (), tuple(mark if isinstance(mark, tuple) else (mark,) for mark in marks))


def says(*marks: object, said: Any) -> Feature:
    """Return one that is part of the conversation: a message, or several."""
    turns = tuple(said) if isinstance(said, list) else (said,)
    return Feature({}, turns, tuple(mark if isinstance(mark, tuple) else (mark,) for mark in marks))


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    """Say something in parts."""
    return {"role": "user", "content": list(parts)}


TOOL = {"name": "mark_tool", "description": "mark-tool-described", "parameters": SCHEMA}
