"""The connection to trusted peers: whole answers or an error, and a hang-up is noticed."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from shared.edge.http1 import BrokenAnswerError, Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., tuple["Peer", Connection]]

REQUEST = b"GET / HTTP/1.1\r\n\r\n"
CHUNKS = b"1\r\na\r\n0A;x=y\r\n0123456789\r\n0\r\nt: v\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
LAST = b"HTTP/1.1 201 OK\r\nContent-Length: 2\r\n\r\nab"  # the peer hangs up after anything but a 200


class Peer:
    """Answers each request on a connection with the next of its `answers`; an empty one hangs up, None says nothing."""

    def __init__(self, *answers: bytes | None) -> None:
        self.connections = 0
        self.hung_up = threading.Semaphore(0)
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=10)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while self._answers:
                opened, _ = self._listener.accept()
                self.connections += 1
                with opened:
                    self._serve(opened)
                self.hung_up.release()

    def _serve(self, opened: socket.socket) -> None:
        while self._answers and opened.recv(65536):
            answer = self._answers.pop(0)
            if answer is None:
                opened.recv(65536)
                return
            opened.sendall(answer)
            if not answer.startswith(b"HTTP/1.1 200") or b"\r\n\r\n" not in answer or answer.endswith(b"cut"):
                return


@pytest.fixture
def peer() -> Iterator[Callable[..., tuple[Peer, Connection]]]:
    """Starts a peer with its answers, and a connection to it."""
    made: list[tuple[Peer, Connection]] = []

    def start(*answers: bytes | None) -> tuple[Peer, Connection]:
        peer = Peer(*answers)
        made.append((peer, Connection("127.0.0.1", peer.port, connect_timeout=5, timeout=0.5)))
        return made[-1]

    yield start
    for peer, connection in made:
        connection.drop()
        peer.close()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (WHOLE, b"ab"),
        (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n" + CHUNKS, b"a0123456789"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
    ],
    ids=["length", "empty", "chunked", "no-content", "until-close"],
)
def test_reads_a_body_however_it_is_framed(peer: Start, answer: bytes, body: bytes) -> None:
    """Length, chunks with extensions and trailers, nothing at all, or all there is."""
    _, connection = peer(answer)
    connection.send(REQUEST)
    assert connection.receive().body == body


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\ncut",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ncut",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncut",
    ],
)
def test_refuses_what_is_no_whole_answer(peer: Start, answer: bytes) -> None:
    """Garbage and every kind of truncation is an error, never a shorter answer."""
    _, connection = peer(answer)
    connection.send(REQUEST)
    with pytest.raises(BrokenAnswerError):
        connection.receive()


def test_waits_no_longer_than_it_was_told(peer: Start) -> None:
    """A peer that says nothing is a timeout, and the connection is not used again."""
    made, connection = peer(None, WHOLE)
    connection.send(REQUEST)
    with pytest.raises(TimeoutError):
        connection.receive()
    connection.send(REQUEST)
    assert (connection.receive().body, made.connections) == (b"ab", 2)


def test_keeps_the_connection_until_the_peer_wants_it_closed(peer: Start) -> None:
    """Two answers come on one connection; after `Connection: close`, the third comes on another."""
    made, connection = peer(WHOLE, WHOLE[:17] + b"Connection: close\r\n" + WHOLE[17:], WHOLE)
    for _ in range(3):
        connection.send(REQUEST)
        assert connection.receive().body == b"ab"
    assert made.connections == 2


def test_replaces_a_connection_that_died_while_idle(peer: Start) -> None:
    """A peer may hang up between requests; nobody notices."""
    made, connection = peer(LAST, WHOLE)
    connection.send(REQUEST)
    assert connection.receive().body == b"ab"
    assert made.hung_up.acquire(timeout=10)
    connection.send(REQUEST)
    assert connection.receive().body == b"ab"
    assert made.connections == 2


def test_pushes_nothing_to_a_peer_that_hung_up(peer: Start) -> None:
    """More of a request is refused at the first piece after the end, not when the kernel notices."""
    made, connection = peer(b"bye")
    connection.send(b"POST / HTTP/1.1\r\n")
    assert made.hung_up.acquire(timeout=10)
    with pytest.raises(ConnectionAbortedError):
        connection.push(b"more")
    with pytest.raises(ConnectionAbortedError):
        connection.receive()
