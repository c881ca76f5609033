"""One keep-alive HTTP/1.1 connection to a peer we trust: the Lambda Runtime API, or an AWS endpoint.

`http.client` parses headers with the e-mail package: measured, 7 ms more of import (15 where no TLS is needed) and two
to four times the CPU per exchange, which every request would pay. Providers are not trusted: `shared.edge.http`.
"""

from __future__ import annotations

import select
import socket
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    Connect = Callable[[tuple[str, int], float | None], socket.socket]

_LINE = 65536  # bytes of one header line


class Answer(NamedTuple):
    """One whole response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class BrokenAnswerError(ConnectionError):
    """The peer's bytes are not a whole HTTP response."""


class Connection:
    """Opens itself when first used, and again after it was dropped. Not for two threads at a time.

    `send`, `push`, `receive` raise `OSError` (timeouts and TLS failures are kinds of it), with the connection dropped.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        connect_timeout: float | None = None,
        timeout: float | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
        connect: Connect = socket.create_connection,
    ) -> None:
        """Timeouts are in seconds, `timeout` that of one read or write; `tls` makes a context for each connection.

        `connect` makes one to host and port, within seconds if it is given any.
        """
        self._address = (host, port)
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._tls = tls
        self._connect = connect
        self._wire: _Wire | None = None

    def send(self, data: bytes) -> None:
        """Send a request or its beginning; a connection on which the idle peer has hung up is replaced first."""
        if self._wire is None or self._wire.readable():
            self.drop()
            self._wire = self._open()
        self._transmit(self._wire, data)

    def push(self, data: bytes) -> None:
        """Send more of a request, unless the peer has answered already or hung up: it would not read it."""
        if self._wire is None or self._wire.readable():
            self.drop()
            raise ConnectionAbortedError("The peer ended the exchange early.")
        self._transmit(self._wire, data)

    def receive(self) -> Answer:
        """Wait for the response to what was sent."""
        if self._wire is None:
            raise ConnectionAbortedError("Nothing was sent.")
        try:
            answer = _answer(self._wire.reader)
        except BaseException:
            self.drop()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.drop()
        return answer

    def drop(self) -> None:
        """Close the connection; the next `send` opens another."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _open(self) -> _Wire:
        plain = self._connect(self._address, self._connect_timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(self._connect_timeout)  # for the handshake: what `connect` left may be next to nothing
            secure = self._tls().wrap_socket(plain, server_hostname=self._address[0]) if self._tls else plain
            secure.settimeout(self._timeout)
            return _Wire(secure)
        except BaseException:
            plain.close()
            raise

    def _transmit(self, wire: _Wire, data: bytes) -> None:
        try:
            wire.socket.sendall(data)
        except BaseException:
            self.drop()
            raise


class _Wire:
    """An open socket with its buffered reader and its poll."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.reader = opened.makefile("rb")
        self._poll = select.poll()
        self._poll.register(opened, select.POLLIN)

    def readable(self) -> bool:
        """Between responses nothing should come; what comes is an early answer, or the end."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        self.reader.close()
        self.socket.close()


def _answer(reader: IO[bytes]) -> Answer:
    protocol, _, rest = reader.readline(_LINE).partition(b" ")
    if not protocol.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise BrokenAnswerError("No HTTP status line came back.")
    headers = _headers(reader)
    return Answer(int(rest[:3]), headers, _body(reader, headers, empty=rest[:3] == b"204"))


def _headers(reader: IO[bytes]) -> dict[str, str]:
    headers = {}
    while (line := reader.readline(_LINE)) not in {b"\r\n", b"\n"}:
        name, colon, value = line.partition(b":")
        if not colon or not line.endswith(b"\n"):
            raise BrokenAnswerError("The response headers are cut short.")
        headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
    return headers


def _body(reader: IO[bytes], headers: Mapping[str, str], *, empty: bool) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return b"".join(iter(lambda: _chunk(reader), b""))
    if "content-length" in headers:
        return _exactly(reader, headers["content-length"].encode(), 10)
    return b"" if empty else reader.read()


def _chunk(reader: IO[bytes]) -> bytes:
    data = _exactly(reader, reader.readline(_LINE).partition(b";")[0].strip(), 16)
    if data:
        reader.readline(_LINE)
    else:
        _headers(reader)  # the trailers, of which we expect none
    return data


def _exactly(reader: IO[bytes], digits: bytes, base: int) -> bytes:
    try:
        size = int(digits, base)
    except ValueError as error:
        raise BrokenAnswerError("The size of the body is no number.") from error
    if size < 0 or len(data := reader.read(size)) < size:
        raise BrokenAnswerError(f"The body is not the {size} bytes that were announced.")
    return data
