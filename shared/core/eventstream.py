"""Amazon's event stream: bytes in any cut -> messages of headers and a payload.

A message is its length, that of its headers, a checksum of these two, the headers, the payload, and a checksum of all
that (big-endian, CRC-32). A stream whose sums are wrong is not believed from there on.
"""

from __future__ import annotations

import struct
from binascii import crc32
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MESSAGE = 24 * 1024 * 1024  # bytes; no service sends more
_PRELUDE, _SUM = 12, 4  # bytes
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # header types that are no text: bytes of their values
_BYTES, _TEXT = 6, 7


class Message(NamedTuple):
    """One message; of the headers only those are kept that are text."""

    headers: dict[str, str]
    payload: bytes


class BrokenStreamError(ValueError):
    """These bytes are no event stream, or not any more."""


class Decoder:
    """Takes a stream apart: `feed` it until it ends, then `end` it."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take the next bytes; yield the messages that are complete now.

        Raises:
            BrokenStreamError: a checksum or a length is wrong; all that is complete before it has been yielded.
        """
        self._rest += data
        while len(self._rest) >= _PRELUDE:
            total, headers, checksum = struct.unpack_from(">III", self._rest)
            if crc32(self._rest[:8]) != checksum:
                raise BrokenStreamError("the checksum of a message's beginning is wrong")
            if not _PRELUDE + headers + _SUM <= total <= self._limit:
                raise BrokenStreamError("a message has an impossible length")
            if len(self._rest) < total:
                break
            message = bytes(self._rest[:total])
            del self._rest[:total]
            yield _message(message, headers)

    def end(self) -> tuple[Message, ...]:
        """Return nothing: the end completes no message."""
        return ()


def _message(data: bytes, length: int) -> Message:
    (checksum,) = struct.unpack_from(">I", data, len(data) - _SUM)
    if crc32(data[:-_SUM]) != checksum:
        raise BrokenStreamError("the checksum of a message is wrong")
    try:
        headers = _headers(data[_PRELUDE : _PRELUDE + length])
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise BrokenStreamError("the headers of a message cannot be read") from error
    return Message(headers, data[_PRELUDE + length : -_SUM])


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        named = at + 1 + data[at]
        name, kind, at = data[at + 1 : named].decode(), data[named], named + 1
        if kind in _FIXED:
            at += _FIXED[kind]
            continue
        if kind not in {_BYTES, _TEXT}:
            raise BrokenStreamError("a header has an unknown type")
        (size,) = struct.unpack_from(">H", data, at)
        at += 2
        if at + size > len(data):
            raise IndexError
        if kind == _TEXT:
            found[name] = data[at : at + size].decode()
        at += size
    return found
