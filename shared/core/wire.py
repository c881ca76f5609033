"""JSON that crosses the wire, in both directions, with one answer to what JSON allows and UTF-8 does not.

Providers cut emoji in half and send a lone surrogate as an escape. msgspec refuses it; it must reach the client all the
same, as the escape it was, so the standard library steps in for exactly those documents.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import msgspec

MAX_DEPTH = 128  # of what a provider sends: far from where anything that handles it runs out of stack
_TOO_DEEP = "The JSON nests too deeply."

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
        value = _decode(data)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        if b"\\ud" not in data.lower():
            raise
        value = _decode_with_surrogates(data)
    if too_deep(data, value, MAX_DEPTH):
        raise ValueError(_TOO_DEEP)
    return value


def too_deep(data: bytes, value: object, levels: int) -> bool:
    """Tell whether `value`, decoded from `data`, nests more than `levels` arrays and objects."""
    return data.count(b"[") + data.count(b"{") > levels and _deeper(value, levels)


def _deeper(value: object, levels: int) -> bool:
    """Tell whether `value` nests deeper; looks no further than that itself."""
    if levels == 0:
        return True
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_deeper(child, levels - 1) for child in children if isinstance(child, dict | list))


def _decode_with_surrogates(data: bytes) -> Any:  # noqa: ANN401, as above
    """Parse as msgspec would, except that a lone surrogate is let through."""
    try:
        value = json.loads(data, parse_constant=_refuse)
        json.dumps(value, allow_nan=False)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON knows no {constant}.")
