"""How API Gateway hands a request's path, headers and body to a function."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, TypeVar

from shared.core.errors import BadRequest, MethodNotAllowed, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.edge.telemetry import Event

T = TypeVar("T")


def route(event: Mapping[str, Any], routes: Mapping[str, Mapping[str, T]], told: Event) -> T:
    """Find who answers; API Gateway has matched the path already, so `resource` is the path of the route.

    Raises:
        NotFound: nobody does.
        MethodNotAllowed: nobody does by this method.
    """
    resource, method = event.get("resource", ""), event.get("httpMethod", "")
    methods = routes.get(resource)
    if methods is None:
        raise NotFound("There is nothing at this path.")
    if method not in methods:
        raise MethodNotAllowed(f"Use {' or '.join(methods)} here.", headers={"allow": ", ".join(methods)})
    told.route = f"{method} {resource}"
    return methods[method]


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
