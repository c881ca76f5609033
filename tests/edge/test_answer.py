"""How answers are taken apart: any cut, any framing, interim messages, and what else may stand on the wire."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from shared.core.errors import UpstreamError
from shared.edge.answer import HEAD_BYTES, Answer
from shared.edge.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Two: a\r\nX-Two: b\r\n\r\n"
CHUNKED = HEAD + b"4\r\nbody\r\n3;x=y\r\n is\r\n0\r\nT: 1\r\n\r\n"
COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nbody is"


class Peer:
    """The other end of a connection, and those that wait for the next request."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self.wire = Wire(ours)
        self.far = theirs
        self.idle: list[Wire] = []

    def answer(self, *pieces: bytes, end: bool = False) -> Answer:
        """Send `pieces`, perhaps hang up, and read the head."""
        for piece in pieces:
            self.far.sendall(piece)
        if end:
            self.far.shutdown(socket.SHUT_WR)
        late = time.monotonic() + 10
        return Answer(self.wire, late, late, self.idle).opened()


@contextmanager
def connected() -> Iterator[Peer]:
    """Make a connection of which the test holds the far end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Peer(ours, theirs)


@pytest.mark.parametrize("message", [CHUNKED, COUNTED], ids=["chunked", "counted"])
def test_a_cut_anywhere_is_never_an_end(message: bytes) -> None:
    """Wherever the connection ends before the message does, there is an error, and the connection is not used again."""
    for length in range(len(message)):
        with connected() as peer, pytest.raises(UpstreamError), peer.answer(message[:length], end=True) as answer:
            answer.whole()
        assert not peer.idle


@pytest.mark.parametrize("message", [CHUNKED, COUNTED], ids=["chunked", "counted"])
def test_how_it_is_cut_into_packets_means_nothing(message: bytes) -> None:
    """Read byte by byte or at once, it says the same, and the connection serves the next request."""
    for pieces in ([message], [bytes([byte]) for byte in message]):
        with connected() as peer:
            with peer.answer(*pieces) as answer:
                assert answer.whole() == b"body is"
            assert peer.idle == [peer.wire]


def test_a_header_that_comes_twice_is_one() -> None:
    """Its values are joined; trailers are none."""
    with connected() as peer, peer.answer(CHUNKED) as answer:
        answer.whole()
        assert answer.head.headers == {"transfer-encoding": "chunked", "x-two": "a, b"}


def test_interim_answers_are_passed_over() -> None:
    """Signs of life before the answer are not the answer, and their headers not its."""
    signs = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    with connected() as peer, peer.answer(signs + COUNTED) as answer:
        assert answer.head == (200, {"content-length": "7"})
        assert answer.whole() == b"body is"


def test_what_ends_with_the_connection_ends_with_it() -> None:
    """Without a length the end is the end; no other request can follow."""
    with connected() as peer:
        with peer.answer(b"HTTP/1.1 200 OK\r\n\r\nall of it", end=True) as answer:
            assert answer.whole() == b"all of it"
        assert not peer.idle


@pytest.mark.parametrize("rest", [b"garbage", COUNTED, b"\x00"], ids=["garbage", "another answer", "a NUL"])
def test_what_follows_an_answer_is_not_the_next_one(rest: bytes) -> None:
    """It would be taken for the answer to the next request, which is another caller's."""
    with connected() as peer:
        with peer.answer(COUNTED + rest) as answer:
            assert answer.whole() == b"body is"
        assert not peer.idle


@pytest.mark.parametrize("close", ["HTTP/1.1 200 OK\r\nConnection: close", "HTTP/1.0 200 OK"])
def test_a_peer_that_will_close_is_not_asked_again(close: str) -> None:
    """It says so in a header, or by its version."""
    with connected() as peer:
        with peer.answer(f"{close}\r\nContent-Length: 2\r\n\r\n{{}}".encode()) as answer:
            assert answer.whole() == b"{}"
        assert not peer.idle


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (HEAD_BYTES + 1),
    ],
    ids=["no HTTP", "no status", "another protocol", "two lengths", "two framings", "no header", "an endless head"],
)
def test_what_is_no_answer_is_refused(nonsense: bytes) -> None:
    """Also where two readers could differ on where the message ends."""
    with connected() as peer, pytest.raises(UpstreamError):
        peer.answer(nonsense)


def test_what_precedes_a_fault_is_read_before_it_is_told() -> None:
    """It was billed, and a client may want it."""
    with connected() as peer, peer.answer(HEAD + b"4\r\nbody\r\nzz\r\n") as answer:
        assert answer.read() == b"body"
        with pytest.raises(UpstreamError):
            answer.read()
