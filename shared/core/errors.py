"""What goes wrong, and what the client sees of it.

    GatewayError
    ├── BadRequest              400  a field of the request is wrong; `param` names it
    │   ├── Untranslatable      400  the provider's dialect cannot say it; `param` is OpenAI's name for the field
    │   ├── UnpricedModel       400  a budget applies, and nobody knows what this may cost
    │   ├── Unsupported         400  the model cannot do what `param` asks for
    │   └── ContextTooLong      400  the prompt and the answer do not fit into the model's context
    ├── Unauthorized            401  no key, a wrong key, a revoked key
    ├── Forbidden               403  a good key that may not do this
    ├── NotFound                404  no such path
    │   └── UnknownModel        404  no such model, or not for this key
    ├── MethodNotAllowed        405
    ├── TooLarge                413
    ├── RateLimited             429  the caller's own limit; `details` say which, how much and until when
    ├── BudgetExhausted         429  money is spent; SDKs must not try again
    ├── InternalError           500  our mistake: whatever is not in this tree
    ├── StoreUnavailable        503  the admission script could not run
    │   └── StoreRebuilding     503  it ran, and the books are not complete yet
    └── UpstreamFailed               the provider's doing: another target may do better (`failover`)
        ├── UpstreamError       502  it answered with what is no answer
        │   ├── UpstreamUnreadable   502  in no way that can be read: who knows what it said, and charges
        │   └── UpstreamKeyRefused   502  it refuses *our* key, or has no credit left for us
        ├── UpstreamTimeout     504  it did not answer in time
        ├── UpstreamUnavailable 503  it is down, overloaded, or not configured here
        │   └── TargetsResting  503  every target has failed too often to be asked now
        ├── UpstreamRateLimited 429  it limits *us*
        └── UpstreamRefused     4xx  it finds fault with the request itself: no other target is tried
            └── UpstreamUnsuited  4xx  it is not made for the request: no such model, field or length there; others are

One envelope renders all of them; OpenAI's SDKs read it (`error.message/type/param/code`), and so do Anthropic's
(`type: error`).
"""

# ruff: noqa: N818, the tree names what happened, and every name in it is an error
from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from shared.core.wire import encode

if TYPE_CHECKING:
    from collections.abc import Mapping


class GatewayError(Exception):
    """What is told to the client instead of an answer.

    Args:
        message: for a person: what was wrong, and what to do about it. It never holds a secret.
        param: the field of the request that is to blame, as OpenAI writes it: `messages[0].role`.
        retry_after: seconds until a further try may succeed.
        details: further members of the error object (`scope`, `limit`, `used`, `reserved`, `resets_at`).
        headers: further headers of the response.
    """

    status: int = 500
    type: str = "api_error"
    code: str = "internal_error"
    should_retry: bool | None = None  # None leaves it to the SDK, which tries 408, 409, 429 and 5xx again
    failover: ClassVar[bool] = False  # may another target succeed where this one failed?
    breaks: ClassVar[bool] = False  # does it count against the target, so that it rests after some?

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        details: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.details = dict(details or {})
        self.headers = dict(headers or {})


class BadRequest(GatewayError):
    """The request cannot be served as it is; `param` names the field."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class Untranslatable(BadRequest):
    """The dialect of a provider cannot say what `param` asks for, by whichever name the client calls it."""


class UnpricedModel(BadRequest):
    """Nothing bounds what this may cost, and a budget applies."""

    code = "unpriced_model"


class Unsupported(BadRequest):
    """No target of the model can do what the field `param` asks for."""

    code = "unsupported_parameter"


class ContextTooLong(BadRequest):
    """Prompt and answer do not fit into the context of any target of the model; the code is OpenAI's."""

    code = "context_length_exceeded"


class Unauthorized(GatewayError):
    """There is no key, or it opens nothing."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class Forbidden(GatewayError):
    """The key is good, and may not do this."""

    status = 403
    type = "permission_error"
    code = "permission_denied"


class NotFound(GatewayError):
    """There is nothing at this path."""

    status = 404
    type = "not_found_error"
    code = "unknown_url"


class UnknownModel(NotFound):
    """The model does not exist, or not for this key: the two look the same on purpose."""

    code = "model_not_found"


class MethodNotAllowed(GatewayError):
    """The path exists, the method does not."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class TooLarge(GatewayError):
    """The body is larger than what is read."""

    status = 413
    type = code = "request_too_large"


class RateLimited(GatewayError):
    """One of the caller's own limits is reached."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class BudgetExhausted(GatewayError):
    """The money of one scope (key, user, team, organization, model) is spent, or does not suffice for this request."""

    status = 429
    type = code = "insufficient_quota"
    should_retry = False


class InternalError(GatewayError):
    """Our own mistake. The client learns nothing of it but that it is ours."""


class StoreUnavailable(GatewayError):
    """The admission script could not run."""

    status = 503
    code = "store_unavailable"


class StoreRebuilding(StoreUnavailable):
    """What was spent is being read back from the ledger; until then nothing is spent."""

    code = "store_rebuilding"


class UpstreamFailed(GatewayError):
    """The provider's doing."""

    failover = breaks = True
    status = 502
    code = "upstream_error"


class UpstreamError(UpstreamFailed):
    """The provider answered with what is no answer."""


class UpstreamUnreadable(UpstreamError):
    """It answered in no way that can be read, so nobody knows how much it said."""


class UpstreamKeyRefused(UpstreamError):
    """The provider refuses this gateway's own credentials, or their account is empty: not the caller's doing."""

    should_retry = False


class UpstreamTimeout(UpstreamFailed):
    """The provider did not answer in time."""

    status = 504
    code = "upstream_timeout"


class UpstreamUnavailable(UpstreamFailed):
    """The provider is down, overloaded, or not configured here."""

    status = 503
    code = "upstream_unavailable"


class TargetsResting(UpstreamUnavailable):
    """The breakers of all targets are open; `retry_after` is when the first of them may be asked again."""


class UpstreamRateLimited(UpstreamFailed):
    """The provider limits this gateway."""

    breaks = False
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class UpstreamRefused(UpstreamFailed):
    """The provider finds fault with the request itself: its own status (4xx), code, param and (redacted) message."""

    failover = breaks = False
    type = "invalid_request_error"
    code = "upstream_refused"

    def __init__(self, message: str, *, status: int, code: str, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.status = status
        self.code = code


class UpstreamUnsuited(UpstreamRefused):
    """This target cannot serve the request, with which nothing is wrong: another one perhaps can."""

    failover = True


def translate(error: Exception) -> GatewayError:
    """Return `error` as the client may see it: whatever is not in the tree becomes a 500 that tells nothing."""
    if isinstance(error, GatewayError):
        return error
    return InternalError("The gateway failed on this request. Please try again; if it stays, quote the x-request-id.")


def outcome(error: Exception) -> str:
    """Return what counters and metrics call `error`: a code of the tree, never one that a provider made up."""
    return type(translate(error)).code


def body(error: Exception) -> dict[str, object]:
    """Return the error object alone, all four members present: what follows `error:` in an envelope or a stream."""
    known = translate(error)
    members: dict[str, object] = {
        "type": known.type,
        "message": known.message,
        "code": known.code,
        "param": known.param,
    }
    return members | known.details | members


def envelope(error: Exception) -> bytes:
    """Render the response body of `error`."""
    return encode({"type": "error", "error": body(error)})


def headers(error: Exception) -> dict[str, str]:
    """Return the response headers of `error`, names in lower case, without `x-request-id`."""
    known = translate(error)
    found = {"content-type": "application/json"}
    if known.retry_after is not None:
        found["retry-after"] = str(max(0, math.ceil(known.retry_after)))
    if known.should_retry is not None:
        found["x-should-retry"] = "true" if known.should_retry else "false"
    return found | known.headers
