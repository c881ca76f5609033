"""JSON that crosses the wire, in both directions, with one answer to what JSON allows and UTF-8 does not.

Providers cut emoji in half and send a lone surrogate as an escape. msgspec refuses it; it must reach the client all the
same, as the escape it was, so the standard library steps in for exactly those documents.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def encode(value: object) -> bytes:
    """Render `value` as compact JSON; lone surrogates leave as escapes."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def decode(data: bytes) -> Any:  # noqa: ANN401, a document has any type until somebody has looked
    """Parse what a provider sent.

    Raises:
        ValueError: it is not JSON, nests too deeply, or holds a number that no JSON text could give back (NaN, 1e999).
    """
    try:
        return _decode(data)
    except RecursionError as error:
        raise ValueError("The JSON nests too deeply.") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        if b"\\ud" not in data.lower():
            raise
        return _decode_with_surrogates(data)


def _decode_with_surrogates(data: bytes) -> Any:  # noqa: ANN401, as above
    """Parse as msgspec would, except that a lone surrogate is let through."""
    try:
        value = json.loads(data, parse_constant=_refuse)
        json.dumps(value, allow_nan=False)
    except RecursionError as error:
        raise ValueError("The JSON nests too deeply.") from error
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON knows no {constant}.")
