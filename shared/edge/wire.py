"""One socket, plain or under TLS, on which every wait has an end."""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import suppress
from functools import cache

EARLY_BYTES = 65_536


class Wire:
    """An open connection. Deadlines are monotonic seconds; past one, TimeoutError; other failures are OSErrors."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._poll = select.poll()
        self._poll.register(opened, select.POLLIN)
        self._early: bytes | None = None  # what `arrived` has taken in

    @classmethod
    def open(cls, host: str, port: int, seconds: float, tls: ssl.SSLContext | None) -> Wire:
        """Connect within `seconds`, the handshake not counted in; under TLS the peer must prove that it is `host`.

        A host of several addresses has them tried in turn, each for its share of what is left.

        Raises:
            OSError, ValueError: it cannot be reached, or is not who it should be.
        """
        plain = _connected(host, port, time.monotonic() + max(seconds, 0.001))
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return cls(tls.wrap_socket(plain, server_hostname=host) if tls else plain)
        except BaseException:
            plain.close()
            raise

    def send(self, data: bytes, end: float) -> None:
        """Send all of `data`."""
        self._allow(end - time.monotonic())
        self._socket.sendall(data)

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
                self._early = b""  # it has ended
        return True

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


def _connected(host: str, port: int, end: float) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, address) in enumerate(found):
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(max(0.001, (end - time.monotonic()) / (len(found) - number)))
            plain.connect(address)
        except OSError:
            plain.close()
            if number == len(found) - 1:
                raise
        else:
            return plain
    raise ConnectionError


@cache
def verifying() -> ssl.SSLContext:
    """Certificates are verified, against the system's authorities; reading those takes milliseconds, so once."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
