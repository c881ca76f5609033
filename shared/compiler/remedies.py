"""What pydantic found wrong, in the words of somebody who wants it put right."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from shared.core.nearest import no_field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails


def remedy(details: ErrorDetails, fields: Iterable[str]) -> str:
    """Say what is wrong and what to do; `fields` are those that there are where one is unknown."""
    kind, context, given = details["type"], details.get("ctx", {}), details["input"]
    match kind:
        case "missing":
            return "is missing; add it"
        case "extra_forbidden":
            return no_field(str(details["loc"][-1]), fields)
        case "literal_error":
            return f"must be {context['expected']}, not {_shown(given)}"
        case "string_pattern_mismatch":
            return f"{_shown(given)} does not match {context['pattern']}"
        case "value_error":
            return str(context["error"])
        case _:
            what = details["msg"].partition(" should ")[2] or details["msg"]
            return f"{_shown(given)} is wrong: it must {what}"


def _shown(value: Any) -> str:  # noqa: ANN401, it comes from a file
    if isinstance(value, Decimal):
        return str(value)
    return msgspec.json.encode(value).decode() if isinstance(value, str | int | float) else f"a {type(value).__name__}"
