"""Talking to providers: one pooled, keep-alive connection each, and nothing waited for past the request's deadline.

urllib3's read timeout is per `recv`: an upstream that trickles one byte a second never meets it. Here the response
class of the connection turns it into one for the whole answer, head and trailers included. What urllib3 and
http.client raise becomes one of the core's `Upstream...` errors before it leaves this file. Nothing is unpacked, and
no redirect followed.
"""

from __future__ import annotations

import http.client
import io
import ssl
import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from shared.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from shared.providers.adapter import Head

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from _typeshed import WriteableBuffer
    from urllib3.response import BaseHTTPResponse

    from shared.core.errors import UpstreamFailed
    from shared.providers.adapter import HttpRequest

CONNECT_SECONDS = 5.0  # for connecting, and again for sending a body of at most 6 MB
SILENCE_SECONDS = 290.0  # API Gateway ends a stream after 300 s without a byte
IDLE_SECONDS = 50.0  # of wall time: NAT forgets a connection after 350 s, many servers after 60 s
DRAIN_SECONDS = 0.02
WHOLE_BYTES = 20_000_000
STREAM_BYTES = 100_000_000
ERROR_BYTES = 65_536
CHUNK_BYTES = 65_536


class Http:
    """Sends requests, one at a time. Not for two threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` is wall time: a monotonic one stands still while Lambda has frozen the process."""
        self._clock = clock
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}
        self._used = 0.0

    def post(self, request: HttpRequest, patience: float) -> Answer:
        """Send `request` and return once the head of the answer is here; the whole of it may take `patience` seconds.

        Raises:
            UpstreamUnavailable: nothing was sent, so nothing was billed.
            UpstreamTimeout: the head did not come in time.
            UpstreamError: the connection broke, or what came is no HTTP answer, or a redirect, or compressed.
        """
        if self._clock() - self._used > IDLE_SECONDS:
            self.drop()
        address = urlsplit(request.url)
        pool = self._pool(address.scheme, address.netloc)
        answer = Answer(_send(pool, address.path, request, patience))
        self._used = self._clock()
        return answer

    def drop(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _pool(self, scheme: str, netloc: str) -> urllib3.HTTPConnectionPool:
        origin = f"{scheme}://{netloc}"
        if origin not in self._pools:
            host, port = (at := urlsplit(origin)).hostname or "", at.port
            self._pools[origin] = _TlsPool(host, port, ssl_context=_tls()) if scheme == "https" else _Pool(host, port)
        return self._pools[origin]


class Answer:
    """What a provider answers, read as it arrives. Leaving its `with` early closes the connection."""

    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response
        self._read = 0
        self.head = Head(response.status, {name.lower(): value for name, value in response.headers.items()})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_error: object) -> None:
        if kind is None:
            self._drain()
        self.close()

    def close(self) -> None:
        """Close the connection, unless the body was read to its end: then it serves the next request."""
        self._response.close()

    def read(self, limit: int = STREAM_BYTES) -> bytes:
        """Return the next bytes as soon as there are any, b"" at the end.

        Raises:
            UpstreamTimeout: the patience is over.
            UpstreamError: the answer was cut, or is longer than `limit` bytes in all.
        """
        try:
            data = self._response.read1(CHUNK_BYTES)
        except HTTPError as error:
            raise _translated(error) from error
        self._read += len(data)
        if self._read > limit:
            raise UpstreamError(f"The provider's answer is longer than {limit} bytes.")
        return data

    def whole(self, limit: int = WHOLE_BYTES) -> bytes:
        """Return all of the body; raises as `read` does."""
        return b"".join(iter(lambda: self.read(limit), b""))

    def _drain(self) -> None:
        """Read what is left if it is here, or nearly so: behind the last event there is but the end of the body."""
        original = self._response._original_response  # type: ignore[attr-defined]  # noqa: SLF001 - made in this file
        original.patience.shorten(DRAIN_SECONDS)
        with suppress(HTTPError):  # it is not here, or broken: the connection is closed, nothing else is lost
            while self._response.read1(CHUNK_BYTES):
                pass

    def start_of(self, limit: int = ERROR_BYTES) -> bytes:
        """Return at least the first `limit` bytes of the body, less if it ends before; raises as `read` does."""
        found = b""
        while len(found) < limit and (data := self.read()):
            found += data
        return found


class _Patience(io.RawIOBase):
    """The bytes of a socket, waited for no longer, all in all, than the timeout that the socket has now."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._bytes = sock.makefile("rb", buffering=0)
        self._end = time.monotonic() + (sock.gettimeout() or SILENCE_SECONDS)

    def shorten(self, seconds: float) -> None:
        """Wait at most `seconds` from now on."""
        self._end = min(self._end, time.monotonic() + seconds)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left, SILENCE_SECONDS))
        return self._bytes.readinto(buffer)

    def close(self) -> None:
        self._bytes.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
        super().__init__(sock, debuglevel, method)
        self.fp.close()
        self.patience = _Patience(sock)
        self.fp = io.BufferedReader(self.patience)


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


@cache
def _tls() -> ssl.SSLContext:
    """Certificates are verified, against the system's authorities; reading those takes milliseconds, so once."""
    return ssl.create_default_context()


def _send(pool: urllib3.HTTPConnectionPool, path: str, request: HttpRequest, patience: float) -> BaseHTTPResponse:
    opened = pool.num_connections
    try:
        response = _urlopen(pool, path, request, patience)
    except HTTPError as error:
        if pool.num_connections > opened or not _hung_up(error):
            raise _translated(error) from error
        response = _again(pool, path, request, patience)  # an idle connection, closed while this request was on its way
    return _acceptable(response)


def _again(pool: urllib3.HTTPConnectionPool, path: str, request: HttpRequest, patience: float) -> BaseHTTPResponse:
    try:
        return _urlopen(pool, path, request, patience)
    except HTTPError as error:
        raise _translated(error) from error


def _urlopen(pool: urllib3.HTTPConnectionPool, path: str, request: HttpRequest, patience: float) -> BaseHTTPResponse:
    return pool.urlopen(
        "POST",
        path,
        body=request.body,
        headers={**request.headers, "accept-encoding": "identity"},
        retries=False,
        redirect=False,
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, total=patience),  # what connecting takes is not there to read
        preload_content=False,
        decode_content=False,
    )


def _acceptable(response: BaseHTTPResponse) -> BaseHTTPResponse:
    """Refuse what would have to be followed or unpacked."""
    fault = ""
    if not 200 <= response.status < 300 and response.status < 400:  # noqa: PLR2004 - neither success nor error
        fault = f"with status {response.status}, which is not followed"
    elif response.headers.get("content-encoding", "identity").lower() != "identity":
        fault = "compressed, which it was asked not to do"
    if fault:
        response.close()
        raise UpstreamError(f"The provider answered {fault}.")
    return response


def _hung_up(error: HTTPError) -> bool:
    """Say whether the connection ended before the first byte of an answer."""
    return isinstance(error, ProtocolError) and isinstance(error.args[-1], ConnectionResetError | BrokenPipeError)


def _translated(error: HTTPError) -> UpstreamFailed:
    """Return what the client is told; the details of our connections are none of its business."""
    if isinstance(error, NewConnectionError | ConnectTimeoutError | SSLError):
        return UpstreamUnavailable("The provider could not be reached.")
    if isinstance(error, ReadTimeoutError) or isinstance(error.args[-1], TimeoutError):
        return UpstreamTimeout("The provider did not answer in time.")
    return UpstreamError("The connection to the provider broke before the answer was complete.")
