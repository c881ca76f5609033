"""Gemini's refusals, as the client may see them. A key that is wrong is status 400 there, and a wait is in the body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import errors, wire
from shared.providers import openai_errors
from shared.providers.translated import items, word

if TYPE_CHECKING:
    from shared.core.errors import GatewayError
    from shared.providers.adapter import Head

_OUR_KEY = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED"})
_UNAUTHORIZED = 401


def key(secret: str) -> dict[str, str]:
    """Return the header that carries the key; none for a server that needs none."""
    return {"x-goog-api-key": secret} if secret else {}


def from_answer(head: Head, body: bytes, provider: str, secret: str) -> GatewayError:
    """Translate an answer outside 2xx."""
    found = _error_object(body)
    reasons = {word(detail, "reason") for detail in items(found, "details")}
    if reasons & _OUR_KEY:
        head = head._replace(status=_UNAUTHORIZED)
    waits = [word(detail, "retryDelay").removesuffix("s") for detail in items(found, "details")]
    if wait := next((wait for wait in waits if wait), ""):
        head = head._replace(headers={"retry-after": wait, **head.headers})
    return openai_errors.from_object(head, {"message": found.get("message")}, provider, secret)


def from_stream(found: object, provider: str, secret: str) -> GatewayError:
    """Translate an error that came with status 200."""
    match word(found, "status"):
        case "UNAVAILABLE":
            return errors.UpstreamUnavailable(f"The provider '{provider}' is overloaded now.")
        case "RESOURCE_EXHAUSTED":
            return errors.UpstreamRateLimited(
                f"The provider '{provider}' limits this gateway now; this is not a limit of your key. Try again later."
            )
        case _:
            return openai_errors.from_stream(found, provider, secret)


def _error_object(body: bytes) -> dict[str, Any]:
    """Return the `error` of a body, which for streams may be an array around it."""
    try:
        found = wire.decode(body)
    except ValueError:
        return {}
    inner = found[0] if isinstance(found, list) and found else found
    error = inner.get("error") if isinstance(inner, dict) else None
    return error if isinstance(error, dict) else openai_errors.error_object(body)
