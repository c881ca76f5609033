"""A connection is there within its seconds, or there is none: name, TCP and TLS together."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from shared.edge.resolver import Resolver
from shared.edge.wire import Wire, verifying
from tests.edge.test_http import self_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def served(act: Callable[[socket.socket], None]) -> Iterator[int]:
    """Have `act` done with each connection, on a thread; tells the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    act(listener.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def names(*hosts: str) -> Resolver:
    """Any name has these addresses."""
    return Resolver(lambda _host, port: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts])


def refused(seconds: float, act: Callable[[], Any]) -> None:
    """Expect no connection, long before a slow machine could be the reason."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        act()
    assert time.monotonic() - began < seconds + 8


def test_a_handshake_that_never_begins_ends() -> None:
    """The peer takes the connection, and says nothing."""
    held: list[socket.socket] = []
    with served(held.append) as port:
        refused(0.3, lambda: Wire.open("a.example", port, 0.3, verifying(), names("127.0.0.1")))
    for one in held:
        one.close()


def test_a_handshake_that_trickles_ends() -> None:
    """A byte now and then, of what begins as TLS should, is no reason to go on."""
    over = threading.Event()

    def trickle(far: socket.socket) -> None:
        with suppress(OSError), far:
            for byte in b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + bytes(10_000):
                far.sendall(bytes([byte]))
                if over.wait(0.02):
                    return

    with served(trickle) as port:
        refused(0.5, lambda: Wire.open("a.example", port, 0.5, verifying(), names("127.0.0.1")))
        over.set()


def test_an_address_that_swallows_connections_is_passed_over() -> None:
    """It costs its share of the time once: then the good one is asked first."""
    with socket.create_server(("127.0.0.2", 0), backlog=0) as hole:
        port = hole.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for one in fillers:  # which nobody accepts: what comes now is dropped
            one.setblocking(False)
            one.connect_ex(hole.getsockname())
        with socket.create_server(("127.0.0.3", port)):
            both = names("127.0.0.2", "127.0.0.3")
            Wire.open("a.example", port, 1.0, None, both).close()
            assert [place[-1][0] for place in both.addresses("a.example", port, 1)] == ["127.0.0.3", "127.0.0.2"]
            refused(0.3, lambda: Wire.open("b.example", port, 0.3, None, names("127.0.0.2")))
        for one in fillers:
            one.close()


def test_a_name_that_nobody_resolves_holds_no_request() -> None:
    """`getaddrinfo` may take half a minute."""
    over = threading.Event()

    def hang(_host: str, _port: int) -> list[Any]:
        over.wait(20)
        return []

    refused(0.2, lambda: Wire.open("a.example", 1, 0.2, None, Resolver(hang)))
    over.set()


def test_a_peer_is_spoken_to_once_it_has_proved_who_it_is(tmp_path: Path) -> None:
    """And then waits have an end as on any wire."""
    certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    over = threading.Event()

    def answer(far: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(far, server_side=True) as secure:
            secure.sendall(secure.recv(100))
            over.wait(20)

    ours = ssl.create_default_context(cafile=str(certificate))
    with served(answer) as port:
        wire = Wire.open("localhost", port, 10, ours)
        wire.send(b"ping", time.monotonic() + 10)
        assert wire.receive(100, time.monotonic() + 10, 10) == b"ping"
        with pytest.raises(TimeoutError):
            wire.receive(100, time.monotonic() + 0.05, 10)
        wire.close()
        over.set()
