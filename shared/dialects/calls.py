"""What a model calls a tool with: JSON text that is one object, if it is all there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core.errors import UpstreamError
from shared.core.wire import decode

if TYPE_CHECKING:
    from collections.abc import Iterable


def arguments(text: str) -> dict[str, Any] | None:
    """Return the object that `text` is, {} for no text; None if it is none, or not whole."""
    try:
        found = decode(text.encode("utf-8", "surrogatepass")) if text.strip() else {}
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def complete(text: str) -> bool:
    """Tell whether no more is to come after `text`; where nothing has come yet, it may."""
    return bool(text.strip()) and arguments(text) is not None


def require_whole(texts: Iterable[str]) -> None:
    """Raise UpstreamError if one is no object: SDKs would take half of a call for all of it."""
    if any(arguments(text) is None for text in texts):
        raise UpstreamError("The provider called a tool with arguments that are no JSON object.")
