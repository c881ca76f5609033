"""A provider's refusal, as the client may see it.

That our key is bad is our trouble, not the caller's: it must not look like a 401 of theirs. What the provider finds
wrong with the request itself is theirs to know, in the provider's own words, redacted. HTML is never shown.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from shared.core import errors, wire
from shared.providers.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.errors import GatewayError
    from shared.providers.adapter import Head

LONGEST_WAIT = 3600.0  # seconds; a provider that wants more than an hour, or 1e308 seconds, is not taken at its word
_LONGEST_CODE = 64
_OUR_KEY = frozenset({401, 402, 403, 407})
_LATE = frozenset({408, 504})
_BUSY = frozenset({409, 425, 503, 529})
_RATE_LIMITED = 429
_FIRST_SERVER_ERROR = 500
_OF_THE_TARGET = frozenset({404, 405, 410, 413})  # no such model or path there; more than it takes
_UNSUITED = frozenset({"unsupported_parameter", "unsupported_value", "model_not_found", "context_length_exceeded"})
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "credit_balance_exhausted"})


def from_answer(head: Head, body: bytes, provider: str, secret: str) -> GatewayError:
    """Translate an answer outside 2xx."""
    return from_object(head, error_object(body), provider, secret)


def from_object(head: Head, found: dict[str, Any], provider: str, secret: str) -> GatewayError:
    """Translate an answer outside 2xx whose body holds `found`: `message`, and perhaps `type`, `code` and `param`."""
    said = _said(found, secret)
    wait = retry_after(head.headers)
    status = head.status
    if status in _OUR_KEY:
        return errors.UpstreamKeyRefused(
            f"The provider '{provider}' refuses this gateway's own credentials; its owner must see to it."
        )
    if status == _RATE_LIMITED:
        return _rate_limited(found, provider, wait)
    if status in _LATE:
        return errors.UpstreamTimeout(f"The provider '{provider}' did not answer in time{said}.", retry_after=wait)
    if status in _BUSY:
        return errors.UpstreamUnavailable(f"The provider '{provider}' is not available now{said}.", retry_after=wait)
    if 400 <= status < _FIRST_SERVER_ERROR:  # noqa: PLR2004 - HTTP's own border
        return _refused(status, found, provider, secret)
    return errors.UpstreamError(f"The provider '{provider}' failed with status {status}{said}.", retry_after=wait)


def from_stream(found: object, provider: str, secret: str) -> GatewayError:
    """Translate an `error` member that came with status 200, whole or within a stream."""
    said = _said(found if isinstance(found, dict) else {"message": found}, secret)
    return errors.UpstreamError(f"The provider '{provider}' reported an error instead of an answer{said}.")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds the provider wants us to wait, within 0 and an hour; None if it says nothing readable.

    A date is read against the provider's own `date`: the difference needs no clock of ours.
    """
    wait = _number(headers.get("retry-after-ms", ""), 1000) or _number(headers.get("retry-after", ""), 1)
    if wait is None:
        wait = _between(headers.get("date", ""), headers.get("retry-after", ""))
    return None if wait is None else min(max(0.0, wait), LONGEST_WAIT)


def _number(text: str, per_second: int) -> float | None:
    try:
        number = float(text) / per_second
    except ValueError:
        return None
    return number if number == number else None  # noqa: PLR0124 - NaN


def _between(now: str, then: str) -> float | None:
    try:
        return (parsedate_to_datetime(then) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):  # what it raises for text that is no date
        return None


def error_object(body: bytes) -> dict[str, Any]:
    """Return the `error` member of a JSON body, or what stands for it elsewhere; {} for HTML and anything else."""
    try:
        found = wire.decode(body)
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    inner = found.get("error")
    if isinstance(inner, dict):
        return inner
    return {"message": inner or found.get("message") or found.get("detail"), "code": found.get("code")}


def _message(found: dict[str, Any], secret: str) -> str:
    message = found.get("message")
    return redact(message, secret) if isinstance(message, str) else ""


def _said(found: dict[str, Any], secret: str) -> str:
    message = _message(found, secret).rstrip(". ")
    return f": {message}" if message else ""


def _rate_limited(found: dict[str, Any], provider: str, wait: float | None) -> GatewayError:
    """Tell a limit that passes from an account that is empty. Neither is the caller's own limit."""
    if any(found.get(member) in _SPENT for member in ("code", "type") if isinstance(found.get(member), str)):
        return errors.UpstreamKeyRefused(
            f"The account of this gateway at '{provider}' has no credit left; its owner must see to it."
        )
    return errors.UpstreamRateLimited(
        f"The provider '{provider}' limits this gateway now; this is not a limit of your key. Try again later.",
        retry_after=wait,
    )


def _refused(status: int, found: dict[str, Any], provider: str, secret: str) -> GatewayError:
    message = _message(found, secret) or f"with status {status}"
    code = _name(found.get("code"), secret)
    unsuited = status in _OF_THE_TARGET or code in _UNSUITED or _unsuited().search(message)
    refusal = errors.UpstreamUnsuited if unsuited else errors.UpstreamRefused
    return refusal(
        f"The provider '{provider}' refused the request: {message}",
        status=status,
        code=code or "upstream_refused",
        param=_name(found.get("param"), secret) or None,
    )


@cache
def _unsuited() -> re.Pattern[str]:
    """Compile how providers say that a model cannot do what it is asked, most of them without a code for it.

    Gemini: "Logprobs is not enabled for models/...", "The input token count (5) exceeds the maximum number of tokens";
    Claude: "`temperature` is deprecated for this model", "prompt is too long: 5 tokens > 4 maximum"; Bedrock: "This
    model doesn't support tool use"; vLLM: "This model's maximum context length is 4 tokens". Where that is said of a
    content (an image of a kind that is not supported) another target is asked in vain, and bills nothing for it.
    """
    return re.compile(
        r"n(?:o|'|\u2019)t (?:currently |yet )?(?:enabled|support(?:ed)?|available)\b|\bunsupported\b"
        r"|\bdeprecated for this model|\bmaximum (?:context length|number of tokens)|\bprompt is too long",
        re.IGNORECASE,
    )


def _name(value: object, secret: str) -> str:
    return redact(value, secret)[:_LONGEST_CODE] if isinstance(value, str) else ""
