"""A provider's whole answer as the JSON object that it has to be, in whichever dialect."""

from __future__ import annotations

from typing import Any

from shared.core import wire
from shared.core.errors import UpstreamUnreadable


def document(body: bytes) -> dict[str, Any]:
    """Parse a whole answer.

    Raises:
        UpstreamUnreadable: it is no JSON object.
    """
    try:
        found = wire.decode(body)
    except ValueError as error:
        raise UpstreamUnreadable("The provider answered with what is not JSON.") from error
    if not isinstance(found, dict):
        raise UpstreamUnreadable("The provider answered with JSON that is no object.")
    return found
