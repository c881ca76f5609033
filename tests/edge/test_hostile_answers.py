"""Servers that mean harm, or are badly broken: nothing of theirs grows, lasts, or passes for another answer."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from shared.core.errors import UpstreamError, UpstreamTimeout
from shared.edge import answer as answers
from shared.edge import http as https
from shared.edge.http import Http
from shared.providers.adapter import HttpRequest
from tests.edge.test_answer import connected
from tests.functions.plane.upstream import head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.edge.test_answer import Peer

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
REST = b"\r\n2\r\n{}\r\n0\r\n\r\n"


@contextmanager
def flooded(beginning: bytes, more: bytes) -> Iterator[tuple[Peer, list[int]]]:
    """Send a beginning, and then the same again and again, as fast as it is taken; counts the bytes."""
    with connected() as peer:
        sent = [0]

        def flood() -> None:
            with suppress(OSError):
                peer.far.sendall(beginning)
                while True:
                    peer.far.sendall(more)
                    sent[0] += len(more)

        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        yield peer, sent
        peer.far.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize(
    ("beginning", "more"),
    [
        (OK, b"a:b\r\n" * 1000),
        (OK + b"x:", b"y" * 9999),
        (b"HTTP/1.1 200 ", b"x" * 9999),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100),
        (b"", b"\r\n" * 5000),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"x:" + b"y" * 9999 + b"\r\n"),
        (CHUNKED + b"2\r\n{}\r\n0\r\nx:", b"y" * 9999),
        (CHUNKED + b"2;", b"y" * 9999),
        (CHUNKED, b"0" * 9999),
    ],
    ids=["headers", "a header", "a reason", "hints", "empty lines", "trailers", "a trailer", "an extension", "zeros"],
)
def test_what_is_around_a_body_has_an_end(beginning: bytes, more: bytes) -> None:
    """However it is made long, it is left long before the patience is over, and before it fills the memory."""
    with flooded(beginning, more) as (peer, sent):
        with pytest.raises(UpstreamError, match="longer than 65536 bytes"), peer.answer() as answer:
            answer.whole()
        assert sent[0] < 10_000_000
        assert not peer.idle


def test_so_has_what_is_around_each_piece_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte of body for each kilobyte is no answer."""
    monkeypatch.setattr(answers, "WIRE_BYTES", 100_000)
    with (
        flooded(CHUNKED, b"1;" + b"y" * 1000 + b"\r\nz\r\n") as (peer, _),
        pytest.raises(UpstreamError, match="100000"),
    ):
        peer.answer().whole()


@pytest.mark.parametrize(
    "length",
    [b"2, 2", b"2\r\nContent-Length: 2", b"+2", b"-2", b"0x2", b"18446744073709551618", b"", b"2 2", b"\xb2"],
)
def test_a_length_is_one_number(length: bytes) -> None:
    """Two readers may not find two ends."""
    with connected() as peer, pytest.raises(UpstreamError):
        peer.answer(OK + b"Content-Length: " + length + b"\r\n\r\n{}").whole()


@pytest.mark.parametrize(
    "coding", [b"gzip", b"gzip, chunked", b"chunked, gzip", b"xchunked", b"chunked\r\nTransfer-Encoding: chunked"]
)
def test_a_framing_is_one_that_is_known(coding: bytes) -> None:
    """What is compressed on its way was not asked for; what is chunked twice has no one end."""
    with connected() as peer, pytest.raises(UpstreamError):
        peer.answer(OK + b"Transfer-Encoding: " + coding + b"\r\n" + REST, end=True)


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked ", b"\tchunked"])
def test_spelled_in_any_way(coding: bytes) -> None:
    """As far as HTTP allows it."""
    with connected() as peer, peer.answer(OK + b"Transfer-Encoding: " + coding + b"\r\n" + REST) as answer:
        assert answer.whole() == b"{}"


@pytest.mark.parametrize(
    "size", [b"10000000000000002", b"-2", b"+2", b"0x2", b"2 ", b"", b"g", b"2\n{}\n0\n\n"], ids=repr
)
def test_the_size_of_a_chunk_is_a_number_that_fits(size: bytes) -> None:
    """One that overflows would make a short chunk of a long one."""
    with connected() as peer, pytest.raises(UpstreamError):
        peer.answer(CHUNKED + size + REST).whole()


@pytest.mark.parametrize(
    "line",
    [b"Content-Encoding: gzip", b"Content-Encoding: identity, GZIP", b"Content-Encoding: br"],
)
def test_what_is_compressed_unasked_is_refused(line: bytes) -> None:
    """It would be shown as it is."""
    with connected() as peer, pytest.raises(UpstreamError, match="compressed"):
        peer.answer(OK + line + b"\r\nContent-Length: 2\r\n\r\n{}")


@pytest.mark.parametrize("status", [b"300", b"301", b"302", b"303", b"304", b"307", b"308", b"099", b"000"])
def test_nothing_is_followed(status: bytes) -> None:
    """Wherever it points."""
    with connected() as peer, pytest.raises(UpstreamError, match="not followed"):
        peer.answer(b"HTTP/1.1 " + status + b" X\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\nhello" + OK + b"Content-Length: 2\r\n\r\n{}",
        OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"X: a\rContent-Length: 9\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Content-Length : 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
        b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["hints with a body", "a folded header", "a bare CR", "a NUL", "a space", "bare LFs", "another version"],
)
def test_what_two_readers_may_read_in_two_ways_is_refused(said: bytes) -> None:
    """So no answer can be hidden in another."""
    with connected() as peer, pytest.raises(UpstreamError):
        peer.answer(said).whole()


def served(act: Callable[[socket.socket], None]) -> tuple[HttpRequest, threading.Thread, socket.socket]:
    """Have a connection served so; returns what to send there."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError), listener.accept()[0] as far:
            act(far)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return HttpRequest(f"http://127.0.0.1:{listener.getsockname()[1]}/x", {}, bytes(20_000_000)), thread, listener


def test_an_answer_that_comes_instead_of_reading_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that refuses a large body and reads no more of it has said why; the connection is of no further use."""
    monkeypatch.setattr(https, "SEND_SECONDS", 0.3)
    over = threading.Event()

    def refuse(far: socket.socket) -> None:
        far.recv(1000)
        far.sendall(head("413 Too Large", {"content-length": "2"}) + b"{}")
        over.wait(20)

    request, thread, listener = served(refuse)
    client = Http()
    with client.post(request, 20) as answer:
        assert (answer.head.status, answer.whole()) == (413, b"{}")
    assert not any(client._idle.values())
    over.set()
    thread.join(10)
    listener.close()


def test_an_answer_before_the_request_is_no_answer_to_the_next() -> None:
    """It may be taken for the first one's; what it leaves behind is for nobody."""
    over = threading.Event()

    def hasty(far: socket.socket) -> None:
        far.sendall((OK + b"Content-Length: 2\r\n\r\n{}") * 2)
        over.wait(20)

    request, thread, listener = served(hasty)
    client, small = Http(), request._replace(body=b"{}")
    with client.post(small, 20) as answer:
        assert answer.whole() == b"{}"
    assert not any(client._idle.values())
    over.set()
    thread.join(10)
    listener.close()


@pytest.mark.parametrize("end", [True, False], ids=["cut", "held back"])
def test_a_refusal_holds_without_its_body(monkeypatch: pytest.MonkeyPatch, end: bool) -> None:  # noqa: FBT001
    """What has come of it is there soon; nobody waits for the rest as for an answer."""
    monkeypatch.setattr(answers, "ERROR_SECONDS", 0.1)
    said = b"HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nContent-Length: 99\r\n\r\nslow"
    began = time.monotonic()
    with connected() as peer, peer.answer(said, end=end) as answer:
        assert (answer.head.status, answer.head.headers["retry-after"], answer.start_of()) == (429, "7", b"slow")
        assert not peer.idle
    assert time.monotonic() - began < 5


def test_an_answer_that_trickles_ends_with_the_patience() -> None:
    """A byte now and then does not begin it anew, in the head or in the body."""
    over = threading.Event()
    whole = OK + b"Content-Length: 9999\r\n\r\n" + bytes(9999)
    for at_once in (1, 60):

        def trickle(far: socket.socket, at_once: int = at_once) -> None:
            far.recv(1000)
            far.sendall(whole[:at_once])
            for byte in whole[at_once:]:
                far.sendall(bytes([byte]))
                if over.wait(0.01):
                    return

        request, thread, listener = served(trickle)
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout), Http().post(request._replace(body=b"{}"), 0.2) as answer:
            answer.whole()
        assert time.monotonic() - began < 8
        over.set()
        thread.join(10)
        listener.close()
        over.clear()
