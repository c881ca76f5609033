"""A request for a token in OAuth 2's words (RFC 6749): form or JSON in, one of two grants out, errors in its own form.

Errors of the grant itself are OAuth's `{"error": "...", "error_description": "..."}`, which its clients read. Others
(too many attempts, a store that is down) come in the envelope that all our errors have.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote_plus

from functions import arrival
from shared.core import body
from shared.core.errors import BadRequest, GatewayError
from shared.core.wire import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

FORM = "application/x-www-form-urlencoded"
MAX_BYTES = 16_384
MAX_FIELDS = 20
_STATUS = {"invalid_client": 401}
_BASIC = {"www-authenticate": 'Basic realm="ai-nexus"'}


class OAuthError(Exception):
    """The grant is refused; `error` is RFC 6749's word for why (5.2)."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.status = _STATUS.get(error, 400)

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of the answer."""
        return _BASIC if self.error == "invalid_client" else {}

    @property
    def body(self) -> bytes:
        """The body of the answer."""
        return encode({"error": self.error, "error_description": str(self)})


class Password(NamedTuple):
    """A user's grant."""

    org: str
    user: str
    password: str

    def __repr__(self) -> str:
        """Show no password."""
        return f"Password({self.org!r}, {self.user!r})"


class Client(NamedTuple):
    """A service's grant: the id of an API key, and the key."""

    id: str
    secret: str

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Client({self.id!r})"


def asked(event: Mapping[str, Any]) -> Password | Client:
    """Read what API Gateway's event asks for.

    Raises:
        OAuthError: it asks for nothing that can be granted.
    """
    fields = _fields(event)
    match fields.get("grant_type"):
        case "password":
            return Password(
                fields.get("organization", "default"), _needed(fields, "username"), _needed(fields, "password")
            )
        case "client_credentials":
            return _client(event, fields)
        case None:
            raise OAuthError("invalid_request", "The field grant_type is missing.")
        case _:
            raise OAuthError("unsupported_grant_type", "Use the grant_type password or client_credentials.")


def _client(event: Mapping[str, Any], fields: Mapping[str, str]) -> Client:
    basic = _basic(arrival.header(event, "authorization"))
    if basic and ("client_secret" in fields or fields.get("client_id", basic.id) != basic.id):
        raise OAuthError("invalid_request", "The client is named twice. Use the header or the body.")
    return basic or Client(_needed(fields, "client_id"), _needed(fields, "client_secret"))


def _basic(header: str) -> Client | None:
    """Read HTTP Basic as RFC 6749, 2.3.1 writes it: both halves are form-encoded first."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise OAuthError("invalid_client", "The header Authorization is no HTTP Basic.") from error
    if not colon:
        raise OAuthError("invalid_client", "The header Authorization is no HTTP Basic.")
    return Client(unquote_plus(name), unquote_plus(secret))


def _fields(event: Mapping[str, Any]) -> Mapping[str, str]:
    data = _bytes(event)
    if len(data) > MAX_BYTES:
        raise OAuthError("invalid_request", "The request is too large.")
    kind = arrival.header(event, "content-type").partition(";")[0].strip().lower()
    found = _form(data) if kind == FORM else _json(data)
    if not all(isinstance(value, str) for value in found.values()):
        raise OAuthError("invalid_request", "Each field must be text.")
    return found


def _form(data: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(data.decode(), strict_parsing=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise OAuthError("invalid_request", "The body is no form.") from error
    if len(dict(pairs)) != len(pairs):
        raise OAuthError("invalid_request", "A field stands twice.")
    return dict(pairs)


def _json(data: bytes) -> dict[str, Any]:
    try:
        return body.parse(data)
    except GatewayError as error:
        raise OAuthError("invalid_request", "The body is neither a form nor a JSON object.") from error


def _bytes(event: Mapping[str, Any]) -> bytes:
    try:
        return arrival.body(event)
    except BadRequest as error:
        raise OAuthError("invalid_request", "The body did not arrive intact.") from error


def _needed(fields: Mapping[str, str], name: str) -> str:
    if not fields.get(name):
        raise OAuthError("invalid_request", f"The field {name} is missing.")
    return fields[name]
