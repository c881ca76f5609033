"""Typed reading of a request, with complaints that name the field the way OpenAI names it: `messages[0].content`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_MISSING = "Object missing required field `"


def typed(raw: Mapping[str, Any], shape: type[T], at: str = "") -> T:
    """Read `raw` as `shape`, strictly: no text becomes a number, members it does not know are passed over.

    `at` is where `raw` stands in the request: `messages[0].content[1]`.

    Raises:
        BadRequest: a member does not fit; `param` is its path.
    """
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        raise _complaint(str(error), at) from error


def _complaint(text: str, at: str) -> BadRequest:
    """Turn msgspec's "Expected `int`, got `str` - at `$.n`" into an error that names the field."""
    reason, _, place = text.partition(" - at `$")
    path = place.rstrip("`").partition("[...]")[0]  # a member of a free-form object: the object is named
    path = f"{at}{path}".lstrip(".")
    if reason.startswith(_MISSING):
        name = reason[len(_MISSING) : -1]
        path = f"{path}.{name}" if path else name
        return BadRequest(f"The required field '{path}' is missing.", param=path)
    return BadRequest(f"The field '{path}' is wrong: {_plain(reason)}.", param=path or None)


def _plain(reason: str) -> str:
    """Say it without the backquotes, the first letter small."""
    return (reason[:1].lower() + reason[1:]).replace("`", "")
