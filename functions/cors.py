"""Lets web pages of the allowed origins call: the preflight is answered here, and every answer says who may read it.

It wraps a function's handler, whichever that is, and only where the deployment names origins. Credentials travel in
headers that a page sets itself, so nothing is said of cookies.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.edge.response import Out

    Handler = Callable[..., Any]

VARIABLE = "CORS_ORIGINS"  # origins, with spaces between them
METHODS = "GET, POST, PUT, PATCH, DELETE"
KEPT_SECONDS = 7200  # that a browser remembers a preflight; none does for longer
_NAMES = re.compile(r"[A-Za-z0-9, -]{1,4000}")


def allowing(handler: Handler, environment: Mapping[str, str]) -> Handler:
    """Return `handler`, or what answers for it where origins are allowed."""
    origins = frozenset(environment.get(VARIABLE, "").split())
    if not origins:
        return handler
    wrapped = _streamed(handler, origins) if getattr(handler, "streams", False) else _whole(handler, origins)
    wrapped.streams = getattr(handler, "streams", False)  # type: ignore[attr-defined]
    return wrapped


class _Named:
    """An `Out` whose answer also says which origin may read it."""

    def __init__(self, out: Out, more: Mapping[str, str]) -> None:
        self._out = out
        self._more = more

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send status and headers."""
        self._out.start(status, {**headers, **self._more})

    def write(self, chunk: bytes) -> None:
        """Send a piece of the body."""
        self._out.write(chunk)


def _streamed(handler: Handler, origins: frozenset[str]) -> Handler:
    def serve(event: Mapping[str, Any], context: object, out: Out) -> None:
        if event.get("httpMethod") == "OPTIONS":
            out.start(204, _preflight(event, origins))
            return
        handler(event, context, _Named(out, _told(event, origins)))

    return serve


def _whole(handler: Handler, origins: frozenset[str]) -> Handler:
    def serve(event: Mapping[str, Any], context: object) -> Any:  # noqa: ANN401 - any JSON
        if event.get("httpMethod") == "OPTIONS":
            return {"statusCode": 204, "headers": _preflight(event, origins), "body": "", "isBase64Encoded": False}
        answer = handler(event, context)
        if "httpMethod" in event:
            answer["headers"] = {**(answer.get("headers") or {}), **_told(event, origins)}
        return answer

    return serve


def _preflight(event: Mapping[str, Any], origins: frozenset[str]) -> dict[str, str]:
    told = _told(event, origins)
    if "access-control-allow-origin" not in told:
        return told
    asked = _header(event, "access-control-request-headers")
    headers = {"access-control-allow-headers": asked} if _NAMES.fullmatch(asked) else {}
    return {**told, **headers, "access-control-allow-methods": METHODS, "access-control-max-age": str(KEPT_SECONDS)}


def _told(event: Mapping[str, Any], origins: frozenset[str]) -> dict[str, str]:
    origin = _header(event, "origin")
    if origin not in origins:
        return {"vary": "origin"}
    return {"vary": "origin", "access-control-allow-origin": origin, "access-control-expose-headers": "*"}


def _header(event: Mapping[str, Any], name: str) -> str:
    sent = event.get("headers") or {}
    return next((str(value) for known, value in sent.items() if known.lower() == name), "")
