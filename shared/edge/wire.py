"""One socket, plain or under TLS, on which every wait has an end."""

from __future__ import annotations

import select
import socket
import ssl
import sys
import time
from array import array
from contextlib import suppress
from fcntl import ioctl
from functools import cache
from termios import TIOCOUTQ
from typing import TYPE_CHECKING

from shared.edge.reaching import reach

if TYPE_CHECKING:
    from shared.edge.resolver import Resolver

EARLY_BYTES = 65_536
_ACKNOWLEDGED = slice(120, 128)  # `tcpi_bytes_acked` in Linux's struct tcp_info, since 4.1
_SHORTEST = 0.001  # seconds


class Wire:
    """An open connection. Deadlines are monotonic seconds; past one, TimeoutError; other failures are OSErrors."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._poll = select.poll()
        self._poll.register(opened, select.POLLIN)
        self._early: bytes | None = None  # what `arrived` has taken in
        self._reset = False  # found by it
        self._sent: int | None = None  # bytes that are acknowledged once all is that was sent; None: nobody knows

    @classmethod
    def open(
        cls, host: str, port: int, seconds: float, tls: ssl.SSLContext | None, names: Resolver | None = None
    ) -> Wire:
        """Connect within `seconds`: name, connection and handshake. Under TLS the peer must prove that it is `host`.

        A host of several addresses has them tried in turn, each for its share of what is left.

        Raises:
            OSError, ValueError: it cannot be reached in time, or is not who it should be.
        """
        end = time.monotonic() + max(seconds, _SHORTEST)
        plain = reach((host, port), end - time.monotonic(), names)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return cls(_secured(plain, host, end, tls) if tls else plain)
        except BaseException:
            plain.close()
            raise

    def send(self, data: bytes, end: float) -> None:
        """Send all of `data`."""
        self._allow(end - time.monotonic())
        self._socket.sendall(data)
        acknowledged = _acknowledged(self._socket)
        self._sent = None if acknowledged is None else acknowledged + _outstanding(self._socket)

    def receive(self, size: int, end: float, longest: float) -> bytes:
        """Return the next bytes, at most `size`, b"" at the end; no silence may last longer than `longest` seconds."""
        if self._early is not None:
            early, self._early = self._early, None
            return early
        self._allow(min(end - time.monotonic(), longest))
        return self._socket.recv(size)

    def arrived(self) -> bool:
        """Take in what has come, without waiting; tell whether it is anything: messages of TLS itself are not."""
        if self._early is None:
            self._socket.settimeout(0)
            try:
                self._early = self._socket.recv(EARLY_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            except OSError:
                self._early, self._reset = b"", True
        return True

    def untaken(self) -> bool:
        """Tell, once the peer has ended the connection, whether its system had not got all that was sent by then.

        Then nobody there has seen the whole of it: the end acknowledges all that came before. A reset tells nothing: it
        may overtake acknowledgements.
        """
        acknowledged = _acknowledged(self._socket)
        return not (self._reset or self._sent is None or acknowledged is None) and acknowledged < self._sent

    def fileno(self) -> int:
        """Return what can be waited on for something to come."""
        return self._socket.fileno()

    def readable(self) -> bool:
        """Tell whether something has come, be it the end."""
        return bool(self._poll.poll(0))

    def cut(self) -> None:
        """Break the connection off, also under a thread that waits on it."""
        with suppress(OSError):  # it is closed already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _allow(self, seconds: float) -> None:
        if seconds <= 0:
            raise TimeoutError
        self._socket.settimeout(seconds)


def _secured(plain: socket.socket, host: str, end: float, tls: ssl.SSLContext) -> ssl.SSLSocket:
    """Shake hands until `end`: a timeout of the socket would begin anew with every byte."""
    plain.setblocking(False)
    secure = tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    try:
        while wanted := _wanted(secure):
            _await(secure, wanted, end)
    except BaseException:
        secure.close()
        raise
    return secure


def _wanted(secure: ssl.SSLSocket) -> int:
    """Take the handshake one step on; returns for what it waits, 0 if it is done."""
    try:
        secure.do_handshake()
    except ssl.SSLWantReadError:
        return select.POLLIN
    except ssl.SSLWantWriteError:
        return select.POLLOUT
    return 0


def _await(secure: ssl.SSLSocket, wanted: int, end: float) -> None:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("The handshake took too long.")
    poll = select.poll()
    poll.register(secure, wanted)
    poll.poll(left * 1000)


def _acknowledged(opened: socket.socket) -> int | None:
    """Return how many bytes the peer's system has got, None where that is not known (on what is no TCP of Linux)."""
    try:
        known = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED.stop)
    except (OSError, AttributeError):
        return None
    return int.from_bytes(known[_ACKNOWLEDGED], sys.byteorder) if len(known) == _ACKNOWLEDGED.stop else None


def _outstanding(opened: socket.socket) -> int:
    """Return how many bytes are on their way, those of TLS itself included."""
    count = array("i", [0])
    ioctl(opened.fileno(), TIOCOUTQ, count)
    return count[0]


@cache
def verifying() -> ssl.SSLContext:
    """Certificates are verified, against the system's authorities; reading those takes milliseconds, so once."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
