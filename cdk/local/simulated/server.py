"""HTTP/1.1 straight on the socket.

A simulated provider has to be fast under a load run and able to break every rule of the protocol (a reset in
mid-body, a false length, a broken chunk), and no server framework offers the second. Requests are parsed by httptools;
one connection serves one request at a time, in order. Nothing is buffered: each `write` is handed to the kernel at once
(TCP_NODELAY).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import httptools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Headers = Iterable[tuple[str, str]]

LARGEST_BODY = 64 * 1024 * 1024
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Request(NamedTuple):
    """One parsed request; header names are lower case, the last of equal names wins."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


class Wire:
    """The answering half of one exchange: well-behaved unless a fault calls `raw`, `reset` or `close`."""

    def __init__(self, transport: asyncio.Transport, writable: asyncio.Event) -> None:
        self._transport = transport
        self._writable = writable
        self.status = 0

    async def send(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer whole."""
        self.status = status
        head = _head(status, [*headers, ("content-length", str(len(body)))])
        self._transport.write(head + body)
        await self._writable.wait()

    async def start(self, status: int, headers: Headers, *, length: int | None = None) -> None:
        """Begin a chunked answer, or one of a promised `length` that `raw` keeps or breaks; the head leaves now."""
        self.status = status
        framing = ("transfer-encoding", "chunked") if length is None else ("content-length", str(length))
        self._transport.write(_head(status, [*headers, framing]))

    async def write(self, data: bytes) -> None:
        """Send one chunk; waits while the reader is slower than the writer.

        Raises:
            ConnectionError: the client is gone.
        """
        if self._transport.is_closing():
            raise ConnectionResetError
        if data:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
            await self._writable.wait()

    async def end(self) -> None:
        """Finish a chunked answer."""
        self._transport.write(b"0\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        """Send bytes that need not be HTTP."""
        self._transport.write(data)
        await self._writable.wait()

    def close(self) -> None:
        """Close in the middle of things, with a FIN after what was written."""
        self._transport.close()

    def reset(self) -> None:
        """Close in the middle of things, with a RST."""
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self._transport.abort()


def _head(status: int, headers: Headers) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    phrase = _PHRASES.get(status, "Simulated")
    return f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode("latin-1")


class Connection(asyncio.Protocol):
    """One client connection; `answer` is cancelled when the client goes away."""

    def __init__(self, answer: Callable[[Request, Wire], Awaitable[None]], open_: set[Connection]) -> None:
        self._answer = answer
        self._open = open_
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way back."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type; listeners make no other
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = transport
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop working for a client that is gone."""
        del exc
        self._open.discard(self)
        self._writable.set()
        if self._task:
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the `on_...` methods."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.write(_BAD_REQUEST)
            self._transport.close()

    def on_message_begin(self) -> None:
        """Parser: a new request."""
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        """Parser: (part of) the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser: one header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Parser: a part of the body."""
        self._size += len(body)
        if self._size > LARGEST_BODY:
            self._transport.abort()
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Parser: the request is whole."""
        url = httptools.parse_url(self._url)
        method = self._parser.get_method().decode()
        query = (url.query or b"").decode("latin-1")
        path = (url.path or b"/").decode("latin-1")
        keep_alive = self._parser.should_keep_alive()
        self._waiting.append(Request(method, path, query, self._headers, b"".join(self._body), keep_alive))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        try:
            while self._waiting:
                request = self._waiting.popleft()
                await self._answer(request, Wire(self._transport, self._writable))
                if not request.keep_alive:
                    self._transport.close()
        except ConnectionError:  # the client left: the log has it, and there is nobody to tell
            self._transport.abort()
        except BaseException:
            self._transport.abort()
            raise
        finally:
            self._task = None

    def abort(self) -> None:
        """End the connection from this side, at shutdown."""
        self._transport.abort()


async def serve(
    answer: Callable[[Request, Wire], Awaitable[None]],
    host: str,
    port: int,
    stop: asyncio.Event,
    ready: Callable[[int], None],
) -> None:
    """Serve `answer` on `host:port` (0: a free one, told to `ready`) until `stop` is set; then end all connections.

    Raises:
        OSError: the port is taken.
    """
    open_: set[Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answer, open_), host, port, backlog=1024)
    ready(server.sockets[0].getsockname()[1])
    await stop.wait()
    server.close()
    for connection in list(open_):
        connection.abort()
    await server.wait_closed()
