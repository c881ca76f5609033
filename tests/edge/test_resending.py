"""What went over an idle connection that the peer closes is sent again only if the peer cannot have had all of it."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from shared.core.errors import UpstreamError, UpstreamUnavailable
from shared.edge.http import Http
from shared.providers.adapter import HttpRequest
from tests.edge.test_http import self_signed
from tests.functions.plane.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from shared.edge.wire import Wire as Ours
    from tests.functions.plane.upstream import Request, Wire

LARGE = bytes(20_000_000)  # more than sockets' buffers take


class Situation:
    """A client with an idle connection, of whose end it does not know yet."""

    def __init__(self) -> None:
        self.server = Upstream(lambda wire, _request: wire.answer(b"{}"))
        self.http = Http()
        self.ask()

    def ask(self, body: bytes = b"{}") -> bytes:
        """Send a request."""
        with self.http.post(HttpRequest(f"{self.server.url}/x", {}, body), 20) as answer:
            return answer.whole()

    def idle(self) -> Ours:
        """Return the idle connection, which says that nothing has come, as it does if the end is still on its way."""
        [[wire]] = self.http._idle.values()
        wire.readable = lambda: False  # type: ignore[method-assign]
        return wire

    def seen(self) -> int:
        """How many requests arrived whole."""
        return len(self.server.requests)


@pytest.fixture
def situation() -> Iterator[Situation]:
    """One exchange is over."""
    made = Situation()
    yield made
    made.http.drop()
    made.server.stop()


def test_a_request_that_meets_a_closed_connection_is_sent_again(situation: Situation) -> None:
    """Its end is there, without having acknowledged the request: nobody has read that."""
    [far] = situation.server._sockets
    far.shutdown(socket.SHUT_RDWR)
    situation.server._threads[1].join(10)
    situation.idle()
    assert situation.ask() == b"{}"
    assert (situation.seen(), situation.server.connections) == (2, 2)


def test_a_request_that_was_cut_short_is_sent_again() -> None:
    """The peer goes in the middle of it."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as first:
                first.recv(1000)
                first.sendall(answer)
                first.recv(1000)  # the beginning of the second one
            with listener.accept()[0] as second:
                left = len(LARGE)
                while left > 0:
                    left -= len(second.recv(1 << 20))
                second.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        client, url = Http(), f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        for body in (b"{}", LARGE):
            with client.post(HttpRequest(url, {}, body), 20) as said:
                assert said.whole() == b"{}"
        client.drop()
        thread.join(10)


def by_end(wire: Wire) -> None:
    """Close in good order."""
    wire.close()


def by_reset(wire: Wire) -> None:
    """Break off."""
    wire.reset()


@pytest.mark.parametrize("end", [by_end, by_reset])
def test_a_request_that_arrived_is_not_sent_again(situation: Situation, end: Callable[[Wire], None]) -> None:
    """It may have been acted upon, and be billed: that is for the pipeline to decide."""

    def act(wire: Wire, _request: Request) -> None:
        end(wire)

    situation.server.script.append(act)
    with pytest.raises(UpstreamError):
        situation.ask()
    assert (situation.seen(), situation.server.connections) == (2, 1)


def test_a_new_connection_that_takes_nothing_was_not_used(situation: Situation) -> None:
    """So nothing is billed; and nothing is tried again here."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            accepted = listener.accept()[0]
            accepted.recv(1000)
            accepted.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        with pytest.raises(UpstreamUnavailable):
            situation.http.post(HttpRequest(url, {}, LARGE), 20)
        thread.join(10)


@pytest.mark.parametrize("taken", [True, False])
def test_under_tls_it_is_the_same(tmp_path: Path, taken: bool) -> None:  # noqa: FBT001 - a parameter
    """The last record is not whole where its last byte is missing."""
    certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    ours = ssl.create_default_context(cafile=str(certificate))
    requests: list[bytes] = []
    go, gone = threading.Event(), threading.Event()

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for number in range(1 if taken else 2):
                with context.wrap_socket(listener.accept()[0], server_side=True) as far:
                    requests.append(far.recv(10_000))
                    far.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                    if taken:
                        requests.append(far.recv(10_000))
                    elif not number:
                        assert go.wait(20)
                gone.set()

        thread = threading.Thread(target=serve)
        thread.start()
        client = Http(tls=lambda: ours)
        request = HttpRequest(f"https://localhost:{listener.getsockname()[1]}/x", {}, b"{}")
        with client.post(request, 20) as answer:
            answer.whole()
        [[wire]] = client._idle.values()
        wire.readable = lambda: False  # type: ignore[method-assign]
        go.set()
        if taken:
            with pytest.raises(UpstreamError):
                client.post(request, 20)
        else:
            assert gone.wait(20)
            with client.post(request, 20) as answer:
                assert answer.whole() == b"{}"
        client.drop()
        thread.join(20)
    assert len(requests) == 2
