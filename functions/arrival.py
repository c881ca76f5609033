"""How API Gateway hands a request's headers and body to a function."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping


def header(event: Mapping[str, Any], name: str) -> str:
    """Return a header of the request, "" if it has none; `name` is in lower case."""
    found = event.get("headers") or {}
    return next((str(value) for known, value in found.items() if known.lower() == name), "")


def body(event: Mapping[str, Any]) -> bytes:
    """Return the bytes that the client sent.

    Raises:
        BadRequest: they are said to be base64 and are not.
    """
    text = str(event.get("body") or "")
    if not event.get("isBase64Encoded"):
        return text.encode(errors="surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadRequest("The request body did not arrive intact.") from error
