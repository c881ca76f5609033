"""Frames are read as botocore reads them, in any cut; what is not one is refused."""

from __future__ import annotations

import struct
from binascii import crc32
from itertools import pairwise
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from shared.core.eventstream import BrokenStreamError, Decoder, Message
from tests.providers.wires.bedrock import frame, stream
from tests.providers.wires.wire import Story

STREAM = b"".join(stream(Story(texts=("Hello wörld",), calls=(("c1", "f", {"a": [1]}),), finish="tool_calls")))


def test_botocore_reads_the_same() -> None:
    """Headers and payloads, in order."""
    buffer = EventStreamBuffer()
    buffer.add_data(STREAM)
    theirs: list[Any] = [(event.headers, event.payload) for event in buffer]
    assert [(message.headers, message.payload) for message in Decoder().feed(STREAM)] == theirs


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cut_is_the_same_stream(cuts: list[int]) -> None:
    """Also within a length, or a checksum."""
    decoder = Decoder()
    edges = [0, *sorted(cuts), len(STREAM)]
    found = [one for start, end in pairwise(edges) for one in decoder.feed(STREAM[start:end])]
    assert found == list(Decoder().feed(STREAM))
    assert decoder.end() == ()


@given(at=st.integers(0, len(STREAM) - 1), change=st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, change: int) -> None:
    """Whatever it belongs to, nothing of its message is believed; those before it are."""
    broken = bytearray(STREAM)
    broken[at] ^= change
    found: list[Message] = []
    decoder = Decoder()
    with pytest.raises(BrokenStreamError):
        found.extend(decoder.feed(bytes(broken)))
    whole = list(Decoder().feed(STREAM))
    assert found == whole[: len(found)]
    assert len(found) < len(whole)


def message(headers: bytes, payload: bytes = b"") -> bytes:
    """Write a message with these headers, its checksums right."""
    start = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    told = start + struct.pack(">I", crc32(start)) + headers + payload
    return told + struct.pack(">I", crc32(told))


def test_headers_of_other_types_are_passed_over() -> None:
    """All of the format's ten."""
    others = [(0, b""), (1, b""), (2, b"1"), (3, b"12"), (4, b"1234"), (5, b"1" * 8), (8, b"1" * 8), (9, b"1" * 16)]
    packed = b"".join(b"\x01x" + bytes([kind]) + value for kind, value in others)
    packed += b"\x01b\x06\x00\x03abc" + b"\x04text\x07\x00\x02hi"
    assert list(Decoder().feed(message(packed, b"p"))) == [Message({"text": "hi"}, b"p")]


@pytest.mark.parametrize(
    "headers", [b"\x09x", b"\x01x\x0a", b"\x01x\x07\x00\x09short", b"\x01x\x07\x00\x01\xff", b"\x01x"]
)
def test_headers_that_cannot_be_read_break_the_stream(headers: bytes) -> None:
    """Their checksums are right, and they are wrong."""
    with pytest.raises(BrokenStreamError):
        list(Decoder().feed(message(headers)))


def test_lengths_are_bounded() -> None:
    """Nobody is waited for who announces more than is read, or less than there must be."""
    for total, headers in ((2**31, 0), (15, 0), (20, 8)):
        start = struct.pack(">II", total, headers)
        with pytest.raises(BrokenStreamError, match="length"):
            list(Decoder().feed(start + struct.pack(">I", crc32(start))))
    with pytest.raises(BrokenStreamError):
        list(Decoder(limit=20).feed(frame({"long": "x" * 20}, message_type="event")))
