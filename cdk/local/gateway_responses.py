"""API Gateway's own answers: the ones a request gets when no function answered it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from cdk.local.api import TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Type: (status, message); both as API Gateway has them.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
DEFAULTS: dict[str, tuple[int, str]] = {
    "ACCESS_DENIED": (403, "User is not authorized to access this resource"),
    "API_CONFIGURATION_ERROR": (500, "Internal server error"),
    "AUTHORIZER_CONFIGURATION_ERROR": (500, "Internal server error"),
    "AUTHORIZER_FAILURE": (500, "Internal server error"),
    "BAD_REQUEST_BODY": (400, "Invalid request body"),
    "BAD_REQUEST_PARAMETERS": (400, "Invalid request parameters"),
    "DEFAULT_4XX": (400, "Bad Request"),
    "DEFAULT_5XX": (500, "Internal server error"),
    "EXPIRED_TOKEN": (403, "The security token included in the request is expired"),
    "INTEGRATION_FAILURE": (504, "Network error communicating with endpoint"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out"),
    "INVALID_API_KEY": (403, "Forbidden"),
    "INVALID_SIGNATURE": (403, "The request signature does not match"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
    "QUOTA_EXCEEDED": (429, "Limit Exceeded"),
    "REQUEST_TOO_LARGE": (413, "Request Too Long"),
    "RESOURCE_NOT_FOUND": (404, "Not Found"),
    "THROTTLED": (429, "Too Many Requests"),
    "UNAUTHORIZED": (401, "Unauthorized"),
    "UNSUPPORTED_MEDIA_TYPE": (415, "Unsupported Media Type"),
    "WAF_FILTERED": (403, "Forbidden"),
}
_HEADER = "gatewayresponse.header."
_PLAIN_TEMPLATE = '{"message":$context.error.messageString}'
_VARIABLE = re.compile(r"\$(?:context|stageVariables)\.[A-Za-z0-9_.]*[A-Za-z0-9_]")
_KNOWN = re.compile(
    r"\$context\.(?:requestId|extendedRequestId|requestTime|requestTimeEpoch|stage|path|resourcePath|httpMethod|apiId"
    r"|accountId|protocol|error\.(?:message|messageString|responseType)|identity\.(?:sourceIp|userAgent)"
    r"|authorizer\.\w+)"
)
_STATIC = re.compile(r"'[^']*'")
_CONTEXT_SOURCE = re.compile(r"context\.[\w.]+")


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """The request ends here, with the gateway response called `name`; `reason` is for the log alone."""

    def __init__(self, name: str, *, status: int | None = None, message: str | None = None, reason: str = "") -> None:
        super().__init__(reason or name)
        self.name = name
        self.status = status
        self.message = message


class Answer(NamedTuple):
    """A rendered gateway response; header names in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class GatewayResponse:
    """One customised response; `headers` maps a name to `context.x` or a quoted static."""

    name: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    template: str = _PLAIN_TEMPLATE

    def __post_init__(self) -> None:
        """Refuse what could not be rendered later.

        Raises:
            TemplateError: an unknown response type, variable or header source.
        """
        if self.name not in DEFAULTS:
            raise TemplateError(f"GatewayResponse {self.name}: no such response type.")
        wanted = _VARIABLE.findall(self.template)
        wanted += [f"${source}" for source in self.headers.values() if _CONTEXT_SOURCE.fullmatch(source)]
        if unknown := [name for name in wanted if not _KNOWN.fullmatch(name)]:
            raise TemplateError(f"GatewayResponse {self.name}: {unknown[0]} is not emulated.")
        for source in self.headers.values():
            if not (_STATIC.fullmatch(source) or _CONTEXT_SOURCE.fullmatch(source)):
                raise TemplateError(f"GatewayResponse {self.name}: header source {source} is not emulated.")


class GatewayResponses:
    """All of them, with the defaults that an API falls back to."""

    def __init__(self, customised: Mapping[str, GatewayResponse]) -> None:
        self._customised = dict(customised)

    @classmethod
    def read(cls, name: str, properties: Mapping[str, Any]) -> GatewayResponse:
        """Read one `AWS::ApiGateway::GatewayResponse` (intrinsics already resolved).

        Raises:
            TemplateError: it cannot be rendered as deployed.
        """
        templates = properties.get("ResponseTemplates", {})
        if set(templates) - {"application/json"}:
            raise TemplateError(f"GatewayResponse {name}: only application/json templates are emulated.")
        return GatewayResponse(
            name=name,
            status=int(properties["StatusCode"]) if "StatusCode" in properties else None,
            headers=dict(_header_sources(name, properties.get("ResponseParameters", {}))),
            template=templates.get("application/json", _PLAIN_TEMPLATE),
        )

    def render(
        self, name: str, context: Mapping[str, Any], *, status: int | None = None, message: str | None = None
    ) -> Answer:
        """Write the response called `name`, from the request's `$context`.

        `status` and `message` are what API Gateway itself would say; a customised status wins.
        """
        status = status or DEFAULTS[name][0]
        family = "DEFAULT_4XX" if status < 500 else "DEFAULT_5XX"  # noqa: PLR2004 - the class of the status
        response = self._customised.get(name) or self._customised.get(family) or GatewayResponse(name)
        words = DEFAULTS[name][1] if message is None else message
        error = {"message": words, "messageString": json.dumps(words), "responseType": name}
        known = {**context, "error": error}
        headers = {"content-type": "application/json", "x-amzn-errortype": _error_type(name)}
        for header, source in response.headers.items():
            headers[header] = source[1:-1] if source.startswith("'") else _look_up(f"${source}", known)
        body = _VARIABLE.sub(lambda found: _look_up(found[0], known), response.template)
        return Answer(response.status or status, list(headers.items()), body.encode("utf-8", "replace"))


def _header_sources(name: str, parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for parameter, source in parameters.items():
        if not parameter.startswith(_HEADER):
            raise TemplateError(f"GatewayResponse {name}: {parameter} is not emulated.")
        yield parameter.removeprefix(_HEADER).lower(), source


def _look_up(variable: str, context: Mapping[str, Any]) -> str:
    """Return the value of `$context.a.b`; what is not there is empty."""
    value: Any = context
    for part in variable.split(".")[1:]:
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)


def _error_type(name: str) -> str:
    """Return e.g. `MissingAuthenticationTokenException`, as the `x-amzn-errortype` header has it."""
    if name.startswith("DEFAULT_"):
        return "BadRequestException" if name.endswith("4XX") else "InternalServerErrorException"
    return "".join(word.capitalize() for word in name.split("_")) + "Exception"
