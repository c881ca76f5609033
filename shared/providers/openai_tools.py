"""Tool calls, repaired: what SDKs add up without looking must add up to what the model said.

A stream tells each call in fragments. SDKs put fragments with one `index` together and join every string in them, so
an id or a name that a provider repeats becomes "get_weatherget_weather", two calls on one index become one, and a
fragment without an index is an exception. None of that raises where it happens.

Which call does a fragment belong to? The one with its id; else the latest on its index; else the latest. It begins a
new one when it brings another id together with a name (some providers make up an id per fragment: those come without),
when it brings another name after arguments have begun, or when it brings whole arguments after others.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from shared.core.wire import encode

_TEXT = {"function": "arguments", "custom": "input"}  # the member that holds what the tool is given


class _Call(Struct):
    index: int
    id: str
    name: str = ""
    told: bool = False  # arguments have begun


class ToolCalls:
    """The calls of one choice of one stream. `prefix` begins the ids that are made up where a provider sends none."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._calls: list[_Call] = []
        self._on_index: dict[int, _Call] = {}

    def repair(self, deltas: list[Any]) -> list[dict[str, Any]]:
        """Return the fragments with dense indices, each id, type and name told once, arguments as text."""
        return [self._fragment(delta) for delta in deltas if isinstance(delta, dict)]

    def _fragment(self, delta: dict[str, Any]) -> dict[str, Any]:
        kind, part = _part(delta)
        given, name, text = _word(delta.get("id")), _word(part.get("name")), part.get(_TEXT[kind])
        index = delta.get("index")
        call = self._find(given, index)
        if call is None or _begins_another(call, given, name, text):
            return self._begin(delta, index, given)
        if isinstance(index, int):
            self._on_index[index] = call
        fresh = name and not call.told and name != call.name  # a name that comes in pieces
        call.name += name if fresh else ""
        call.told = call.told or bool(text)
        kept = {key: value for key, value in part.items() if key != "name" or fresh} | _told(kind, text)
        rest = {key: value for key, value in delta.items() if key not in {"id", "type"}}
        return {**rest, "index": call.index, kind: kept}

    def _find(self, given: str, index: object) -> _Call | None:
        for call in self._calls if given else ():
            if call.id == given:
                return call
        if isinstance(index, int):
            return self._on_index.get(index)
        return self._calls[-1] if self._calls else None

    def _begin(self, delta: dict[str, Any], index: object, given: str) -> dict[str, Any]:
        kind, part = _part(delta)
        text = part.get(_TEXT[kind])
        number = len(self._calls)
        call = _Call(number, given or f"{self._prefix}_{number}", _word(part.get("name")), bool(text))
        self._calls.append(call)
        if isinstance(index, int):
            self._on_index[index] = call
        told = _told(kind, text) or {_TEXT[kind]: ""}
        return {**delta, "index": number, "id": call.id, "type": kind, kind: {**part, "name": call.name, **told}}


def whole(calls: list[Any], prefix: str) -> list[dict[str, Any]]:
    """Repair the tool calls of a whole message."""
    return [_whole(call, f"{prefix}_{number}") for number, call in enumerate(calls) if isinstance(call, dict)]


def _whole(call: dict[str, Any], made_up: str) -> dict[str, Any]:
    kind, part = _part(call)
    told = _told(kind, part.get(_TEXT[kind])) or {_TEXT[kind]: ""}
    kept = {key: value for key, value in call.items() if key != "index"}
    return {
        **kept,
        "id": _word(call.get("id")) or made_up,
        "type": kind,
        kind: {**part, "name": _word(part.get("name")), **told},
    }


def _begins_another(call: _Call, given: str, name: str, text: object) -> bool:
    if not name:
        return False
    if given and given != call.id:
        return True
    return call.told and not given and (name != call.name or isinstance(text, dict))


def _part(delta: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    kind = "custom" if isinstance(delta.get("custom"), dict) else "function"
    part = delta.get(kind)
    return kind, part if isinstance(part, dict) else {}


def _told(kind: str, text: object) -> dict[str, str]:
    """Return the member that holds the arguments, as text: some providers send the object itself."""
    if text is None:
        return {}
    return {_TEXT[kind]: text if isinstance(text, str) else encode(text).decode()}


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""
