"""Server-sent events: bytes in any cut -> events; an object -> the bytes of one event.

Lines end in LF, CR or CRLF; the cut may fall between the CR and the LF of one end, inside the byte order mark, or in
a UTF-8 character, so nothing is decoded here and a line is looked at only when its end has come. A bound keeps an
endless line or an endless event from filling the memory.

Only `data:` and `event:` lines are ever written. An `id:` or `retry:` line beside a comment makes OpenAI's Python SDK
(up to 3.52 at least) parse an empty event and die; a comment frame kills its Go SDK.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.core.wire import encode

MAX_EVENT = 4 * 1024 * 1024  # bytes of one event's lines
DONE = b"[DONE]"
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event. `name` is that of its `event:` line, b"" without one; `data` joins its `data:` lines with LF."""

    name: bytes
    data: bytes


class EventTooLargeError(ValueError):
    """One event has more than `MAX_EVENT` bytes."""


def frame(value: object) -> bytes:
    """Render `value` as one event."""
    return b"data: " + encode(value) + b"\n\n"


def named(name: str, value: object) -> bytes:
    """Render `value` as one event with a name."""
    return b"event: " + name.encode() + b"\ndata: " + encode(value) + b"\n\n"


class Decoder:
    """Takes a stream apart: `feed` it until it ends, then `end` it."""

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._rest: list[bytes] = []  # pieces of a line whose end has not come
        self._after_cr = False  # an LF that comes now belongs to the CR before it
        self._first = True  # no line has been looked at yet
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0  # of the event's finished lines
        self._waiting = 0  # of the unfinished line

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes; return the events that are complete now.

        Raises:
            EventTooLargeError: what is kept for the next event has grown past the limit.
        """
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if b"\n" not in data and b"\r" not in data:
            self._keep(data)
            return []
        lines = b"".join((*self._rest, data)).splitlines(keepends=True)
        self._rest.clear()
        self._waiting = 0
        last = b"" if lines[-1][-1:] in {b"\n", b"\r"} else lines.pop()
        self._after_cr = data[-1:] == b"\r"
        events = [event for line in lines if (event := self._line(line.rstrip(b"\r\n")))]
        self._keep(last)
        return events

    def end(self) -> list[Event]:
        """Return the event that the stream forgot to finish with a blank line, if there is one."""
        lines = [b"".join(self._rest), b""]
        self._rest.clear()
        return [event for line in lines if (event := self._line(line))]

    def _keep(self, piece: bytes) -> None:
        """Put aside the beginning of a line."""
        if piece:
            self._rest.append(piece)
            self._waiting += len(piece)
            self._check()

    def _check(self) -> None:
        if self._size + self._waiting > self._limit:
            raise EventTooLargeError(f"One event of the stream has more than {self._limit} bytes.")

    def _line(self, line: bytes) -> Event | None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatched()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value) + 1  # the LF that joins it
            self._check()
        elif field == b"event":
            self._name = value
        return None

    def _dispatched(self) -> Event | None:
        """End the event; one without `data:` lines is none."""
        name, data = self._name, self._data
        self._name, self._data, self._size = b"", [], 0
        return Event(name, b"\n".join(data)) if data else None
