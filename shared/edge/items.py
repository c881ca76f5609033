"""DynamoDB's own JSON, in which each value carries its type, from and to plain values. Numbers are whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def encoded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap text, whole numbers and sets of text.

    Raises:
        TypeError: a value is of another type.
    """
    return {name: _wrapped(value) for name, value in values.items()}


def decoded(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Unwrap what `encoded` wraps.

    Raises:
        TypeError: a value is of another type.
    """
    return {name: _plain(value) for name, value in item.items()}


def _wrapped(value: object) -> dict[str, Any]:
    match value:
        case str():
            return {"S": value}
        case int() if not isinstance(value, bool):
            return {"N": str(value)}
        case frozenset():
            return {"SS": sorted(value)}
        case _:
            raise TypeError(f"A value of type {type(value).__name__} is not stored.")


def _plain(attribute: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever was stored
    [(kind, value)] = attribute.items()
    match kind:
        case "S":
            return value
        case "N":
            return int(value)
        case "SS":
            return frozenset(value)
        case _:
            raise TypeError(f"A value of type {kind} is never stored.")
