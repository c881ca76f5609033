"""A Lambda Runtime API of our own: real sockets, every byte and trailer kept, nothing answered that was not told."""

from __future__ import annotations

import json
import os
import queue
import select
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.fakes.aws import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
HANDLERS = Path(__file__).parent / "handlers"


@dataclass
class Post:
    """One request of the loop, as it came in; `chunks` are the pieces in which a streamed body arrived."""

    path: str
    headers: dict[str, str]
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)
    connection: int = 0

    @property
    def prelude(self) -> dict[str, Any]:
        """The metadata of a streamed answer."""
        prelude: dict[str, Any] = json.loads(self.body.partition(bytes(8))[0])
        return prelude

    @property
    def payload(self) -> bytes:
        """What comes after the metadata of a streamed answer."""
        return self.body.partition(bytes(8))[2]


class RuntimeServer:
    """Hands out the events that `put` got, and keeps what the loop posts."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.posts: queue.Queue[Post] = queue.Queue()
        self.gets: list[tuple[str, int]] = []
        self.on_chunk: Callable[[bytes], bool] = lambda _chunk: True  # False: hang up
        self.statuses: dict[str, int] = defaultdict(lambda: 202)
        self.chunked_events = False
        self.connections = 0
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._closing = False
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def put(self, event: object, request_id: str = "r-1", **headers: str) -> None:
        """Queue an event; `headers` have underscores for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.events.put(({"Lambda-Runtime-Aws-Request-Id": request_id, **named}, json.dumps(event).encode()))

    def put_raw(self, body: bytes, request_id: str = "r-1") -> None:
        """Queue an event of any bytes."""
        self.events.put(({"Lambda-Runtime-Aws-Request-Id": request_id}, body))

    def take(self) -> Post:
        """Wait for the next thing that the loop posts."""
        return self.posts.get(timeout=10)

    def close(self) -> None:
        """Hang up on everybody."""
        self._closing = True
        for opened in [self._listener, *self._sockets]:
            with suppress(OSError):  # it may have been closed already
                opened.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)
        self._listener.close()

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                opened, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(opened)
            self._run(self._serve, opened, self.connections)

    def _serve(self, opened: socket.socket, number: int) -> None:
        with opened, opened.makefile("rb") as reader, suppress(ConnectionError, _CutError):
            while self._exchange(opened, reader, number):
                pass

    def _exchange(self, opened: socket.socket, reader: IO[bytes], number: int) -> bool:
        line = reader.readline()
        if not line:
            return False
        method, path, _ = line.decode().split(" ")
        path = path.removeprefix("/2018-06-01/runtime")
        headers = _headers(reader)
        if method == "GET":
            self.gets.append((path, number))
            return self._hand_out(opened, path)
        post = Post(path, headers, connection=number)
        whole = self._take_in(reader, post)
        self.posts.put(post)
        if whole:
            opened.sendall(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % self.statuses[path])
        return whole

    def _hand_out(self, opened: socket.socket, path: str) -> bool:
        event = ({}, b"{}") if path == "/restore/next" else self._next(opened)
        if event is None:
            return False
        headers, body = event
        if self.chunked_events:
            headers = {**headers, "Transfer-Encoding": "chunked"}
            parts = body[: len(body) // 2], body[len(body) // 2 :], b""
            body = b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts)
        else:
            headers = {**headers, "Content-Length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
        opened.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body)
        return True

    def _next(self, opened: socket.socket) -> tuple[dict[str, str], bytes] | None:
        """Wait for an event, or for the loop to leave: an event must not be handed to nobody."""
        while not self._closing:
            with suppress(queue.Empty):
                return self.events.get(timeout=0.02)
            if select.select([opened], [], [], 0)[0]:
                break
        return None

    def _take_in(self, reader: IO[bytes], post: Post) -> bool:
        if post.headers.get("transfer-encoding") != "chunked":
            post.body = reader.read(int(post.headers["content-length"]))
            return True
        while size := int(_line(reader), 16):
            chunk = reader.read(size)
            reader.readline()
            post.chunks.append(chunk)
            post.body += chunk
            if not self.on_chunk(chunk):
                return False
        post.trailers = _headers(reader)
        return True


class _CutError(Exception):
    """The loop hung up in the middle of a request."""


def _line(reader: IO[bytes]) -> str:
    line = reader.readline()
    if not line:
        raise _CutError
    return line.decode().strip()


def _headers(reader: IO[bytes]) -> dict[str, str]:
    headers = {}
    while line := _line(reader):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return headers


class Process:
    """The loop in a process of its own, as Lambda starts it."""

    def __init__(self, server: RuntimeServer, handler: str, environment: Mapping[str, str], command: list[str]) -> None:
        self.started = subprocess.Popen(
            command or [sys.executable, "-S", "-m", "functions.runtime"],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{ROOT}:{HANDLERS}",
                "AWS_LAMBDA_RUNTIME_API": server.address,
                "_HANDLER": handler,
                **environment,
            },
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def end(self) -> tuple[int, str]:
        """Wait for the process to end by itself; its exit code and what it wrote to stderr."""
        _, errors = self.started.communicate(timeout=10)
        return self.started.returncode, errors.decode()

    def terminate(self) -> tuple[int, str]:
        """Ask it to end, and wait."""
        self.started.terminate()
        return self.end()


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """DynamoDB and Secrets Manager over HTTP on loopback; the fixture is their URL."""
    with serving() as url:
        yield url


@pytest.fixture
def server() -> Iterator[RuntimeServer]:
    """A Runtime API that nobody has called yet."""
    server = RuntimeServer()
    yield server
    server.close()


@pytest.fixture
def start(server: RuntimeServer) -> Iterator[Callable[..., Process]]:
    """Starts the loop with a handler of `handlers/`; whatever still runs at the end is killed."""
    processes: list[Process] = []

    def begin(handler: str, *command: str, **environment: str) -> Process:
        process = Process(server, handler, environment, list(command))
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.started.poll() is None:
            process.started.kill()
        with process.started:
            pass


def eventually(fact: Callable[[], object], seconds: float = 10) -> None:
    """Wait until `fact` holds."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
