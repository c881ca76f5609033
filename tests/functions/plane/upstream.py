"""A provider on loopback that does, request by request, what a test tells it to, misbehaviour included."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass
class Request:
    """What the provider was asked, and over which of its connections."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    method: str = "POST"

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


class Wire:
    """One connection, as the server sees it; `alive` turns false when the test is over."""

    def __init__(self, sock: socket.socket, over: threading.Event) -> None:
        self._socket = sock
        self._over = over

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self._socket.sendall(data)

    def answer(self, body: bytes, status: str = "200 OK", kind: str = "application/json", **headers: str) -> None:
        """Send a whole response and keep the connection."""
        lines = {"content-type": kind, "content-length": str(len(body)), **headers}
        self.send(head(status, lines) + body)

    def start_events(self) -> None:
        """Send the head of a chunked event stream."""
        self.send(head("200 OK", {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))

    def event(self, data: bytes) -> None:
        """Send one event, as one chunk."""
        frame = b"data: " + data + b"\n\n"
        self.send(b"%x\r\n%b\r\n" % (len(frame), frame))

    def end_events(self) -> None:
        """End a chunked body."""
        self.send(b"0\r\n\r\n")

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self._socket.detach())  # `close` would wait for the reader to be closed as well

    def close(self) -> None:
        """Close the connection."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def hang(self, seconds: float = 60) -> None:
        """Do nothing until the test is over."""
        self._over.wait(seconds)

    def pause(self, seconds: float) -> None:
        """Do nothing for a moment."""
        self._over.wait(seconds)


def head(status: str, headers: Mapping[str, str]) -> bytes:
    """Render the head of a response."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


class Upstream:
    """Answers each request by the next of `script`, or else by `default`."""

    def __init__(self, default: Callable[[Wire, Request], None]) -> None:
        self.default = default
        self.script: list[Callable[[Wire, Request], None]] = []
        self.requests: list[Request] = []
        self.connections = 0
        self._over = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Forget what was asked and told."""
        self.script.clear()
        self.requests.clear()

    def stop(self) -> None:
        """Close everything."""
        self._over.set()
        for sock in [self._listener, *self._sockets]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(sock)
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with suppress(OSError), sock, sock.makefile("rb") as reader:
            while request := _read(reader, number):
                self.requests.append(request)
                act = self.script.pop(0) if self.script else self.default
                act(Wire(sock, self._over), request)


def _read(reader: Any, number: int) -> Request | None:
    line = reader.readline()
    if not line:
        return None
    headers = {}
    while field := reader.readline().strip():
        name, _, value = field.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", "0")))
    method, path, _ = line.decode().split()
    return Request(path, headers, body, number, method)
