"""An HTTP request as API Gateway hands it to Lambda: the proxy event, the authorizer's event, and `$context`."""

from __future__ import annotations

import secrets
import time
import uuid
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from cdk.local.gateway_responses import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdk.local.api import Api, Match, Method

# A quota of API Gateway: see cdk.local.front.
MAX_HEADERS = 10_240
# Never passed on: they belong to one connection, or are the gateway's own word.
_DROPPED = {
    b"connection", b"content-length", b"expect", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
    b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"forwarded",
    b"x-amz-invocation-type", b"x-amz-client-context", b"x-amz-log-type",
}  # fmt: skip
_OURS = (b"x-amzn-", b"x-forwarded-")


class Request:
    """One request, from its ASGI scope."""

    def __init__(self, scope: Mapping[str, Any], api: Api) -> None:
        self.request_id = str(uuid.uuid4())
        self.trace_id = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"
        self.method: str = scope["method"]
        self.path: str = scope["raw_path"].decode("ascii")
        self.source_ip: str = scope["client"][0] if scope.get("client") else ""
        self.match: Match | None = api.match(self.method, self.path)
        self.raw_headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="replace")
        self._api = api
        self._headers = self._passed_on(scope)
        self.context = self._context(scope["http_version"])

    def header(self, name: bytes) -> bytes | None:
        """Return the last value of a header (name in lower case) as it came, those that are not passed on too."""
        return next((value for key, value in reversed(self.raw_headers) if key == name), None)

    @property
    def has_body(self) -> bool:
        """Whether its head announces one."""
        return self.header(b"transfer-encoding") is not None or self.header(b"content-length") not in {None, b"0"}

    def wanted(self) -> Method:
        """Return the method that the request is for.

        Raises:
            Refused: its headers are too long, or nothing is there.
        """
        size = len(self.path) + sum(len(name) + len(value) for name, value in self.raw_headers)
        if size > MAX_HEADERS:
            raise Refused("DEFAULT_4XX", status=431, message="Request Header Fields Too Large", reason=f"{size} bytes")
        if self.match is None:
            raise Refused("MISSING_AUTHENTICATION_TOKEN", reason="no such route")
        return self.match.method

    def authorizer_event(self) -> dict[str, Any]:
        """Return the event of a REQUEST authorizer.

        https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html
        """
        return {
            "type": "REQUEST",
            "methodArn": self._api.method_arn(self.method, self.path),
            **self._event(),
        }

    def proxy_event(self, body: bytes) -> dict[str, Any]:
        """Return the event of a proxy integration; a body that is not UTF-8 is mended as API Gateway does."""
        return {
            **self._event(),
            "body": body.decode("utf-8", "replace") if body else None,
            "isBase64Encoded": False,
        }

    def authorized(self, principal: str, context: Mapping[str, str]) -> None:
        """Make the authorizer's words part of `$context`; they are strings, whatever the authorizer returned."""
        self.context["authorizer"] = {**context, "principalId": principal}

    def value_of(self, source: str) -> str | None:
        """Return what an identity source such as `method.request.header.Authorization` stands for."""
        place, _, name = source.rpartition(".")
        if place == "method.request.header":
            return self._single(self._headers).get(_train_case(name.lower().encode()))
        if place == "method.request.querystring":
            return dict(self._query).get(name)
        if place == "stageVariables":
            return (self._api.stage.variables or {}).get(name)
        value: Any = self.context
        for part in source.split(".")[1:]:
            value = value.get(part) if isinstance(value, dict) else None
        return None if value is None else str(value)

    def _event(self) -> dict[str, Any]:
        query = self._query
        return {
            "resource": self.context["resourcePath"],
            "path": self.path,
            "httpMethod": self.method,
            "headers": self._single(self._headers),
            "multiValueHeaders": _multiple(self._headers),
            "queryStringParameters": dict(query) or None,
            "multiValueQueryStringParameters": _multiple(query) or None,
            "pathParameters": (self.match.path_parameters if self.match else None) or None,
            "stageVariables": self._api.stage.variables,
            "requestContext": self.context,
        }

    @staticmethod
    def _single(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
        return dict(pairs)

    def _passed_on(self, scope: Mapping[str, Any]) -> list[tuple[str, str]]:
        hop_by_hop = {
            name.strip().lower()
            for key, value in self.raw_headers
            if key == b"connection"
            for name in value.split(b",")
        }
        kept = [
            (_train_case(name), value.decode("latin-1"))
            for name, value in self.raw_headers
            if name not in _DROPPED and name not in hop_by_hop and not name.startswith(_OURS)
        ]
        port = str(scope["server"][1]) if scope.get("server") else ""
        ours = {"X-Amzn-Trace-Id": self.trace_id, "X-Forwarded-For": self.source_ip, "X-Forwarded-Port": port}
        return [*kept, *ours.items(), ("X-Forwarded-Proto", scope.get("scheme", "http"))]

    def _context(self, http_version: str) -> dict[str, Any]:
        api, now = self._api, time.time()
        method = self.match.method if self.match else None
        host = next((value for name, value in self._headers if name == "Host"), "")
        agent = next((value for name, value in self._headers if name == "User-Agent"), None)
        nobody = dict.fromkeys(("accessKey", "accountId", "caller", "user", "userArn", "apiKey", "apiKeyId"))
        return {
            "accountId": api.place.account,
            "apiId": api.place.api_id,
            "domainName": host,
            "domainPrefix": host.split(".")[0],
            "extendedRequestId": secrets.token_urlsafe(12),
            "httpMethod": self.method,
            "identity": {**nobody, "sourceIp": self.source_ip, "userAgent": agent},
            "path": f"/{api.stage.name}{self.path}",
            "protocol": f"HTTP/{http_version}",
            "requestId": self.request_id,
            "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "requestTimeEpoch": int(now * 1000),
            "resourceId": method.resource_id if method else None,
            "resourcePath": method.resource_path if method else None,
            "stage": api.stage.name,
        }


def _multiple(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


@lru_cache(maxsize=1024)
def _train_case(name: bytes) -> str:
    """Return `X-Api-Key` for `x-api-key`: so do most clients of HTTP/1.1 write it, and no function may rely on that."""
    return "-".join(word.capitalize() for word in name.decode("latin-1").split("-"))
