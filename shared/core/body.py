"""The door: bytes of a request in, a JSON object out that nothing later can choke on.

Everything behind it (policy, routing, billing, the provider) sees this one decoded object, re-encoded, never the bytes
again: a duplicate key cannot mean one thing to us and another to the provider.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared.core.errors import BadRequest, TooLarge
from shared.core.wire import too_deep

MAX_BYTES = 6 * 1024 * 1024
MAX_DEPTH = 64
RESERVED = frozenset({"api_base", "base_url", "api_key", "api_version", "extra_headers"})  # they steer other gateways

_decode = msgspec.json.Decoder().decode


def parse(data: bytes) -> dict[str, Any]:
    """Decode the JSON object of a request.

    Strict UTF-8, no byte order mark, no NaN or Infinity, no number beyond a double, no lone surrogate; the last of two
    members with one name counts.

    Raises:
        TooLarge: more than `MAX_BYTES`.
        BadRequest: not such an object; or it holds a field that only the gateway's owner may set.
    """
    if len(data) > MAX_BYTES:
        raise TooLarge(f"The request body has {len(data)} bytes; at most {MAX_BYTES} are read.")
    found = _decoded(data)
    if not isinstance(found, dict):
        raise BadRequest("The request body must be a JSON object.")
    if too_deep(data, found, MAX_DEPTH):
        raise _too_deep()
    refuse(found, RESERVED)
    return found


def refuse(found: dict[str, Any], names: frozenset[str]) -> None:
    """Refuse members that say what the gateway alone decides.

    Raises:
        BadRequest: there is one; `param` names it.
    """
    for name in names & found.keys():
        raise BadRequest(
            f"The field '{name}' is not accepted: the gateway chooses model, provider, address and key. Remove it.",
            param=name,
        )


def _decoded(data: bytes) -> object:
    try:
        found: object = _decode(data)
    except RecursionError as error:
        raise _too_deep() from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The request body is not valid JSON in UTF-8: {_reason(data, error)}.") from error
    return found


def _reason(data: bytes, error: Exception) -> str:
    if not data.strip():
        return "it is empty"
    if data[:3] == b"\xef\xbb\xbf" or data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "it starts with a byte order mark; send plain UTF-8 without one"
    if isinstance(error, UnicodeDecodeError):
        return "a string holds bytes that are not UTF-8"
    if b"\\ud" in data.lower():
        return f"{error}, perhaps at half of a surrogate pair in a string"
    return str(error)


def _too_deep() -> BadRequest:
    return BadRequest(f"The request body nests more than {MAX_DEPTH} levels of arrays and objects.")
