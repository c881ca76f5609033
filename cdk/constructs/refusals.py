"""What a client reads when API Gateway itself refuses: the same error envelope as from our own functions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aws_cdk import aws_apigateway as apigateway

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST_ID: Final = dict.fromkeys(("x-request-id", "request-id"), "context.requestId")  # OpenAI's SDKs', Anthropic's


@dataclass(frozen=True, slots=True)
class Refusal:
    """One of API Gateway's response types in our words; `status` None keeps the one that it arose with."""

    response: str
    status: int | None
    type: str
    code: str
    message: str
    retry_after_s: int | None = None


_KEY = ("authentication_error", "invalid_api_key")
_URL = ("not_found_error", "unknown_url")
_BAD = ("invalid_request_error", "invalid_request")
_LARGE = ("request_too_large", "request_too_large")
_OURS = ("api_error", "internal_error")
_RATE = ("rate_limit_error", "rate_limit_exceeded")
_NO_KEY = "The API key is missing or wrong: send it as 'Authorization: Bearer nexus_...' or as 'x-api-key'."
_NO_URL = (
    "There is no such URL, or not with this method. An SDK's base URL ends with /v1 for OpenAI and has no /v1 for "
    "Anthropic; GET /openapi.json tells all URLs."
)
_TOO_LARGE = (
    "The request is larger than the 6 MB that the gateway takes, in which a quotation mark counts as two bytes. "
    "Refer to large images and files by their URL."
)
_FAULT = "The gateway failed to answer; the request may be tried again."

REFUSALS: Final = (
    Refusal(
        "ACCESS_DENIED", 401, *_KEY, "$context.authorizer.message"
    ),  # the authorizer says which of its checks failed
    Refusal("UNAUTHORIZED", 401, *_KEY, _NO_KEY),
    Refusal("EXPIRED_TOKEN", 401, *_KEY, _NO_KEY),  # these two arise where someone signs the request for IAM
    Refusal("INVALID_SIGNATURE", 401, *_KEY, _NO_KEY),
    Refusal("INVALID_API_KEY", 403, "permission_error", "permission_denied", "The tier of this key has no usage plan."),
    Refusal("WAF_FILTERED", 403, "permission_error", "permission_denied", "The request was blocked by the firewall."),
    Refusal("MISSING_AUTHENTICATION_TOKEN", 404, *_URL, _NO_URL),  # its name for a URL that no route has
    Refusal("RESOURCE_NOT_FOUND", 404, *_URL, _NO_URL),
    Refusal("REQUEST_TOO_LARGE", 413, *_LARGE, _TOO_LARGE),
    Refusal("UNSUPPORTED_MEDIA_TYPE", 415, *_BAD, "The content type is not supported: send application/json."),
    Refusal("BAD_REQUEST_BODY", 400, *_BAD, "The body of the request is not valid."),
    Refusal("BAD_REQUEST_PARAMETERS", 400, *_BAD, "The parameters of the request are not valid."),
    Refusal("THROTTLED", 429, *_RATE, "Too many requests for this tier at the moment.", retry_after_s=1),
    Refusal("QUOTA_EXCEEDED", 429, *_RATE, "The quota of this tier is used up.", retry_after_s=3600),
    Refusal("AUTHORIZER_FAILURE", 500, *_OURS, _FAULT),
    Refusal("AUTHORIZER_CONFIGURATION_ERROR", 500, *_OURS, _FAULT),
    Refusal("API_CONFIGURATION_ERROR", 500, *_OURS, _FAULT),
    Refusal("INTEGRATION_FAILURE", 502, *_OURS, _FAULT),
    Refusal("INTEGRATION_TIMEOUT", 504, "api_error", "upstream_timeout", "The answer took too long."),
    Refusal("DEFAULT_4XX", None, *_BAD, "The request was refused before it reached the gateway."),
    Refusal("DEFAULT_5XX", None, *_OURS, _FAULT),
)


def add_refusals(api: apigateway.RestApi, origins: Sequence[str] = ()) -> None:
    """Give `api` every refusal of the table, each with the request's id.

    Pages of `origins` may read them; of several, all may: API Gateway cannot choose, and nothing in them is secret.
    """
    allowed = {"access-control-allow-origin": f"'{origins[0] if len(origins) == 1 else '*'}'"} if origins else {}
    readable = {**allowed, "access-control-expose-headers": "'*'"} if origins else {}
    for refusal in REFUSALS:
        wait = {} if refusal.retry_after_s is None else {"retry-after": f"'{refusal.retry_after_s}'"}
        api.add_gateway_response(
            refusal.response.title().replace("_", ""),
            type=apigateway.ResponseType.of(refusal.response),
            status_code=None if refusal.status is None else str(refusal.status),
            response_headers={**REQUEST_ID, **wait, **readable},
            templates={"application/json": envelope(refusal)},
        )


def envelope(refusal: Refusal) -> str:
    """Render the body: what `shared.core.errors` would say, as an API Gateway template."""
    error = {"type": refusal.type, "message": refusal.message, "code": refusal.code, "param": None}
    return json.dumps({"type": "error", "error": error}, separators=(",", ":"))
