"""What a provider answers, read as it arrives, under one deadline for all of it: head, body and trailers."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from shared.core.errors import (
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreadable,
)
from shared.providers.adapter import Head

if TYPE_CHECKING:
    from shared.edge.wire import Wire

SILENCE_SECONDS = 290.0  # API Gateway ends a stream after 300 s without a byte
SEND_SECONDS = 5.0  # for a body of at most 6 MB
DRAIN_SECONDS = 0.02
WHOLE_BYTES = 20_000_000
STREAM_BYTES = 100_000_000
ERROR_BYTES = 65_536
ERROR_SECONDS = 2.0  # from the head of a refusal to the end of what is read of it
HEAD_BYTES = 65_536
CHUNK_BYTES = 65_536
WIRE_BYTES = 4 * STREAM_BYTES  # with all that is around the body

_FRAMINGS = frozenset({"chunked", "identity"})
_INTERIM, _SUCCESS, _ERRORS = range(100, 200), range(200, 300), 400


class HungUpError(UpstreamUnavailable):
    """The peer ended the connection before it had all of the request: nobody has acted upon it, or bills it."""


class Answer:
    """What comes back on a wire. Leaving its `with` early closes the connection.

    `head` is there once `opened` has returned; `failure` once `advanced` has found one, which reading then raises.
    """

    head: Head

    def __init__(self, wire: Wire, end: float, first_end: float, idle: list[Wire]) -> None:
        """Expect the answer to what was sent; `idle` gets the wire once another request can follow.

        `end` is when the answer must have ended, `first_end` when its body must have begun; both are monotonic seconds.
        """
        self._wire = wire
        self._end = end
        self._until = min(first_end, end)  # what is waited for must have come: the first of the body, then the end
        self._idle = idle
        self._message = _Message()
        self._read = 0
        self._received = 0
        self._bare = 0  # bytes since the last of the body: of a head, of trailers, of what stands around a chunk
        self._closed = False
        self.failure: UpstreamFailed | None = None
        self.reused = False  # the connection has served before
        self.partial = False  # the request was not sent to its end

    def opened(self) -> Self:
        """Wait for the head.

        Raises:
            HungUpError: nothing came, and the request had not arrived.
            UpstreamTimeout: it did not come in time.
            UpstreamError: the connection broke, or what came is no HTTP, or a redirect, or compressed.
        """
        try:
            self.head = self._head()
        except BaseException:
            self._wire.close()
            raise
        return self

    def advanced(self) -> bool:
        """Take in what has come, without waiting; tell whether that is something of the body, a refusal, or the end."""
        message = self._message
        try:
            while not message.pieces and not message.ended and self._wire.arrived():
                self._pump()
        except UpstreamFailed as error:
            self.failure = error
        return bool(self.failure or message.pieces or message.ended or self.refused)

    @property
    def refused(self) -> int:
        """The status, where the head is here and says that there is no answer; else 0."""
        status = self._message.status
        return status if status >= _ERRORS else 0

    @property
    def until(self) -> float:
        """When the next thing that is waited for must have come, in monotonic seconds."""
        return self._until

    def fileno(self) -> int:
        """Return what can be waited on for something to come."""
        return self._wire.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_error: object) -> None:
        if kind is None:
            self._drain()
        self.close()

    def close(self) -> None:
        """Close the connection, unless the answer was read to its end: then it serves the next request."""
        if self._closed:
            return
        self._closed = True
        if self._message.clean and not self.partial:
            self._idle.append(self._wire)
        else:
            self._wire.close()
        self._message.release()

    def read(self, limit: int = STREAM_BYTES) -> bytes:
        """Return the next bytes as soon as there are any, b"" at the end.

        Raises:
            UpstreamTimeout: the patience is over.
            UpstreamError: the answer was cut, or is longer than `limit` bytes in all.
        """
        message = self._message
        while not message.pieces and not message.ended:
            self._pump()
        data = b"".join(message.pieces)
        message.pieces.clear()
        self._until = self._end
        self._read += len(data)
        if self._read > limit:
            raise UpstreamUnreadable(f"The provider's answer is longer than {limit} bytes.")
        return data

    def whole(self, limit: int = WHOLE_BYTES) -> bytes:
        """Return all of the body; raises as `read` does."""
        return b"".join(iter(lambda: self.read(limit), b""))

    def start_of(self, limit: int = ERROR_BYTES) -> bytes:
        """Return at least the first `limit` bytes of a refusal's body, or what of it comes soon.

        What the head says holds without it: a body that is cut, or does not come, takes nothing of that away.
        """
        self._end = self._until = min(self._end, time.monotonic() + ERROR_SECONDS)
        found = b""
        with suppress(UpstreamError, UpstreamTimeout):
            while len(found) < limit and (data := self.read()):
                found += data
        return found

    def _head(self) -> Head:
        while not self._message.begun:
            self._pump()
        return _acceptable(Head(self._message.status, self._message.headers))

    def _pump(self) -> None:
        """Take in what arrives next. What preceded a fault was read before it is told."""
        first = not self._received
        message = self._message
        if message.fault:
            raise UpstreamUnreadable("The provider answered with what is not HTTP.") from message.fault
        try:
            data = self._wire.receive(CHUNK_BYTES, self._until, SILENCE_SECONDS)
        except TimeoutError as error:
            raise UpstreamTimeout("The provider did not answer in time.") from error
        except OSError as error:
            raise (HungUpError if first and self.partial else UpstreamError)(_BROKE) from error
        if data:
            message.feed(data)
        elif first:
            raise (HungUpError if self.partial or self._wire.untaken() else UpstreamError)(_BROKE)
        else:
            message.cut()
        self._received += len(data)
        self._bare = 0 if message.pieces or message.ended else self._bare + len(data)
        if self._bare > HEAD_BYTES:
            what = "What is around a piece" if message.begun else "The head"
            raise UpstreamError(f"{what} of the provider's answer is longer than {HEAD_BYTES} bytes.")
        if self._received > WIRE_BYTES:
            raise UpstreamUnreadable(f"The provider's answer takes more than {WIRE_BYTES} bytes.")

    def _drain(self) -> None:
        """Read what is left if it is here, or nearly so: behind the last event there is but the end of the body."""
        self._end = self._until = min(self._end, time.monotonic() + DRAIN_SECONDS)
        with suppress(UpstreamError, UpstreamTimeout):  # not here, or broken: the connection closes, nothing is lost
            while self.read():
                pass


_BROKE = "The connection to the provider broke before the answer was complete."


class _Message:
    """An HTTP message as llhttp takes it apart. Interim ones (1xx) are passed over."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.begun = self.ended = self.clean = False  # `clean`: it ended where the next one may begin
        self.fault: Exception | None = None
        self._counted = False  # the message says itself where it ends
        self._parser = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take in what came; where it is no HTTP, `fault` says so."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.clean = False
            self.fault = error

    def cut(self) -> None:
        """Take note that no more comes.

        Raises:
            UpstreamError: it should have.
        """
        if not self.begun or self._counted:
            raise UpstreamError(_BROKE)
        self.ended = True

    def release(self) -> None:
        """Let go of the parser, which refers back to this: else only the garbage collector would end both."""
        del self._parser

    def on_message_begin(self) -> None:
        """Nothing was asked for that could answer with a second message."""
        if self.begun:
            self.clean = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; those after the body (trailers) are of no use."""
        if not self.begun:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """Begin the body, unless this is only a sign that the answer will come."""
        status = self._parser.get_status_code()
        if status in _INTERIM:
            self.headers.clear()
        elif not self.begun:
            self.begun, self.status = True, status
            chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
            self._counted = chunked or "content-length" in self.headers

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        if not self.ended:
            self.pieces.append(data)

    def on_message_complete(self) -> None:
        """End the body; without "close" and the like another answer may follow on this connection."""
        if self.begun and not self.ended:
            self.ended, self.clean = True, self._parser.should_keep_alive()


def _acceptable(head: Head) -> Head:
    """Refuse what would have to be followed or unpacked."""
    fault = ""
    if head.status not in _SUCCESS and head.status < _ERRORS:
        fault = f"with status {head.status}, which is not followed"
    elif head.headers.get("content-encoding", "identity").lower() != "identity":
        fault = "compressed, which it was asked not to do"
    elif head.headers.get("transfer-encoding", "identity").lower() not in _FRAMINGS:
        fault = "in a coding that was not asked for"
    if fault:
        raise UpstreamError(f"The provider answered {fault}.")
    return head
