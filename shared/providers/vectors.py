"""Vectors on the wire: base64 of little-endian 32-bit floats, or a JSON array of numbers."""

from __future__ import annotations

import binascii
import math
import struct
from typing import Any

from shared.core.errors import UpstreamError

FLOAT = 4  # bytes


def pack(found: Any) -> bytes:  # noqa: ANN401, it comes from outside
    """Return the bytes of a vector that came in either form.

    Raises:
        UpstreamError: it is neither, it is empty, or holds what is no finite number.
    """
    try:
        packed = binascii.a2b_base64(found, strict_mode=True) if isinstance(found, str) else _packed(found)
        numbers = struct.unpack(f"<{len(packed) // FLOAT}f", packed)
    except (binascii.Error, ValueError, struct.error, OverflowError, TypeError) as error:
        raise UpstreamError("The provider sent a vector that cannot be read.") from error
    if not numbers or not math.isfinite(sum(numbers)):  # one that is not finite makes the sum so
        raise UpstreamError("The provider sent a vector without numbers, or with ones that are not finite.")
    return packed


def _packed(found: Any) -> bytes:  # noqa: ANN401, as above
    return struct.pack(f"<{len(found)}f", *found)


def text(packed: bytes) -> str:
    """Return the base64 form."""
    return binascii.b2a_base64(packed, newline=False).decode()


def floats(packed: bytes, given: Any) -> list[float]:  # noqa: ANN401, as above
    """Return the array form; numbers that came as such are `given` on untouched."""
    return given if isinstance(given, list) else list(struct.unpack(f"<{len(packed) // FLOAT}f", packed))
