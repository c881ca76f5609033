"""Server-sent events are the same events at any cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.sse import MAX_EVENT, Decoder, Event, EventTooLargeError, frame

RECORDED = (
    b"\xef\xbb\xbf: welcome\r\n\r\n"
    b'id: 7\nretry: 1000\nevent: first\ndata: {"a":\r\ndata: "\xc3\xa9\xf0\x9f\x98\x80"}\r\n\r\n'
    b"data:no space\r\rdata:  two spaces\n\ndata\n\n"
    b": ping\n\nevent: lonely\n\nunknown: x\ndata: a:b: c\n\n"
    b"data: [DONE]\n\ndata: unfinished"
)
EVENTS = [
    Event(b"first", b'{"a":\n"\xc3\xa9\xf0\x9f\x98\x80"}'),
    Event(b"", b"no space"),
    Event(b"", b" two spaces"),
    Event(b"", b""),
    Event(b"", b"a:b: c"),
    Event(b"", b"[DONE]"),
    Event(b"", b"unfinished"),
]


def decoded(*pieces: bytes, limit: int = MAX_EVENT) -> list[Event]:
    """Feed the pieces to one decoder, to the end."""
    decoder = Decoder(limit)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.end()


def test_a_recorded_stream() -> None:
    """All three line ends, a byte order mark, comments, several data lines, fields that do not matter."""
    assert decoded(RECORDED) == EVENTS


@pytest.mark.parametrize("cut", range(len(RECORDED) + 1))
def test_cut_anywhere(cut: int) -> None:
    """Two pieces say what one says."""
    assert decoded(RECORDED[:cut], RECORDED[cut:]) == EVENTS


@pytest.mark.parametrize("cut", range(5))
def test_a_byte_order_mark_before_the_first_field(cut: int) -> None:
    """It is no part of the field's name; a later one would be."""
    stream = b"\xef\xbb\xbfdata: x\n\n"
    assert decoded(stream[:cut], stream[cut:]) == [Event(b"", b"x")]
    assert decoded(b"data: x\n\n" + stream) == [Event(b"", b"x")]


def test_one_byte_at_a_time() -> None:
    """No state is lost between bytes."""
    assert decoded(*(RECORDED[at : at + 1] for at in range(len(RECORDED)))) == EVENTS


@given(
    st.lists(st.sampled_from([b"data", b"event", b":", b": ", b"\r", b"\n", b"\r\n", b"x", b"\xc3", b"\xef\xbb\xbf"]))
)
def test_any_bytes_at_any_cuts(pieces: list[bytes]) -> None:
    """How the bytes are cut never matters."""
    assert decoded(*pieces) == decoded(b"".join(pieces))


@given(st.lists(st.text(), max_size=4), st.sampled_from([b"\r", b"\n", b"\r\n"]))
def test_what_is_written_is_read(texts: list[str], end: bytes) -> None:
    """An object written as an event comes back, whatever the line ends become on the way."""
    stream = b"".join(frame({"text": text}) for text in texts).replace(b"\n", end)
    assert [json.loads(event.data)["text"] for event in decoded(stream)] == texts


def test_a_frame_is_one_data_line() -> None:
    """No id, no retry, no comment, no blank line inside: some SDKs die of those."""
    assert frame({"a": "x\ny\r", "b": "\ud83d"}) == b'data: {"a":"x\\ny\\r","b":"\\ud83d"}\n\n'


@pytest.mark.parametrize("filler", [b"data: x\n", b"data:\n", b"x", b"data: xxxx"], ids=repr)
def test_an_endless_event_is_bounded(filler: bytes) -> None:
    """Neither a line nor an event without an end fills the memory."""
    with pytest.raises(EventTooLargeError):
        decoded(*[filler] * 1001, limit=1000)


def test_what_is_finished_or_ignored_does_not_count() -> None:
    """Comments, however many, in pieces, are gone with the end of their line."""
    assert decoded(*[b": " + b"x" * 600, b"\n"] * 3, limit=1000) == []


def test_the_bound_is_per_event() -> None:
    """A long stream of small events passes; so does a single event below the bound, in pieces."""
    decoder = Decoder(limit=1000)
    for _ in range(100):
        assert len(decoder.feed(b"data: " + b"x" * 900 + b"\n\n")) == 1
    for _ in range(9):
        decoder.feed(b"x" * 100)
    assert decoder.feed(b"\n\ndata: y\n\n") == [Event(b"", b"y")]
