"""Anthropic's refusals, as the client may see them: its words for fields become those of the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import errors
from shared.providers import openai_errors

if TYPE_CHECKING:
    from shared.core.errors import GatewayError
    from shared.providers.adapter import Head

_NO_CREDIT = "credit balance"  # said with status 400, and of our account
_FIELDS = {
    "system": "messages",
    "stop_sequences": "stop",
    "output_config": "response_format",
}
_ALIKE = frozenset({"messages", "tools", "tool_choice", "max_tokens", "temperature", "top_p", "top_k", "thinking"})
_BAD_REQUEST, _PAYMENT = 400, 402


def from_answer(head: Head, body: bytes, provider: str, secret: str) -> GatewayError:
    """Translate an answer outside 2xx."""
    found = openai_errors.error_object(body)
    message = found.get("message")
    text = message if isinstance(message, str) else ""
    if head.status == _BAD_REQUEST and _NO_CREDIT in text:
        head = head._replace(status=_PAYMENT)
    field = text.partition(":")[0].partition(".")[0]
    param = _FIELDS.get(field) or (field if field in _ALIKE else None)
    return openai_errors.from_object(head, {**found, "param": param}, provider, secret)


def from_stream(found: dict[str, Any], provider: str, secret: str) -> GatewayError:
    """Translate an `error` event: the same kinds come there that have a status of their own elsewhere."""
    match found.get("type"):
        case "overloaded_error" | "timeout_error":
            return errors.UpstreamUnavailable(f"The provider '{provider}' is overloaded now.")
        case "rate_limit_error":
            return errors.UpstreamRateLimited(
                f"The provider '{provider}' limits this gateway now; this is not a limit of your key. Try again later."
            )
        case _:
            return openai_errors.from_stream(found, provider, secret)
