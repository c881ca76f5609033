"""Several answers waited for at once, over plain connections and under TLS, whose own messages are no answer."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

import pytest

from shared.core.errors import UpstreamError
from shared.edge.http import Http
from shared.edge.race import first_of
from shared.providers.adapter import HttpRequest
from tests.edge.test_http import self_signed
from tests.functions.plane.upstream import Upstream, head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shared.edge.answer import Answer
    from tests.functions.plane.upstream import Request, Wire

SOON = 0.2  # seconds that a test waits for nothing to come
LATE = 20.0


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A server that does what the path says."""
    server = Upstream(act)
    yield server
    server.stop()


@pytest.fixture
def client() -> Iterator[Http]:
    """What asks."""
    made = Http()
    yield made
    made.drop()


def act(wire: Wire, request: Request) -> None:
    """Answer, hang, begin only, refuse, or hang up."""
    match request.path:
        case "/answers":
            wire.answer(b"{}")
        case "/begins":
            wire.start_events()
            wire.hang()
        case "/refuses":
            wire.send(head("503 Service Unavailable", {"content-length": "5"}))
            wire.hang()
        case "/ends":
            wire.close()
        case _:
            wire.hang()


def begin(client: Http, upstream: Upstream, path: str) -> Answer:
    """Ask, beside whatever else is under way."""
    return client.begin(HttpRequest(f"{upstream.url}/{path}", {}, b"{}"), LATE, beside=True)


@pytest.mark.parametrize("path", ["hangs", "begins"])
def test_nothing_comes_until_something_of_the_body_has(client: Http, upstream: Upstream, path: str) -> None:
    """A head alone is no answer yet; waiting ends when it should."""
    answer = begin(client, upstream, path)
    began = time.monotonic()
    assert first_of([answer], began + SOON) is None
    assert SOON <= time.monotonic() - began < LATE / 2
    answer.close()


@pytest.mark.parametrize("path", ["answers", "refuses", "ends"])
def test_the_first_to_say_anything_is_told(client: Http, upstream: Upstream, path: str) -> None:
    """An answer, a refusal or the end; the other one is untouched, and can be cut off."""
    slow, fast = begin(client, upstream, "hangs"), begin(client, upstream, path)
    assert first_of([slow, fast], time.monotonic() + LATE) is fast
    assert (bool(fast.failure), fast.refused) == (path == "ends", 503 if path == "refuses" else 0)
    slow.close()
    if path == "answers":
        with fast.opened() as answer:
            assert (answer.head.status, answer.whole()) == (200, b"{}")
    elif path == "ends":
        with pytest.raises(UpstreamError):
            fast.opened()
    fast.close()


def test_a_connection_that_was_raced_serves_again(client: Http, upstream: Upstream) -> None:
    """What was taken in while waiting is not lost, and the next answer is whole."""
    for number in range(3):
        answer = begin(client, upstream, "answers")
        assert first_of([answer], time.monotonic() + LATE) is answer
        assert answer.reused == (number > 0)
        with answer.opened():
            assert answer.whole() == b"{}"
    assert upstream.connections == 1


def test_messages_of_tls_are_no_answer(tmp_path: Path) -> None:
    """A server sends session tickets at once, and its answer when it is asked to: only that counts."""
    certificate = self_signed(tmp_path)
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=certificate)
    serving.load_cert_chain(certificate)
    go = threading.Event()

    def serve() -> None:
        plain, _ = listener.accept()
        with serving.wrap_socket(plain, server_side=True) as secure:
            secure.recv(1000)
            assert go.wait(LATE)
            secure.sendall(head("200 OK", {"content-length": "2"}) + b"{}")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        client = Http(tls=lambda: trusting)
        answer = client.begin(HttpRequest(f"https://localhost:{listener.getsockname()[1]}/", {}, b"{}"), LATE)
        assert first_of([answer], time.monotonic() + SOON) is None
        go.set()
        assert first_of([answer], time.monotonic() + LATE) is answer
        with answer.opened():
            assert answer.whole() == b"{}"
        client.drop()
        thread.join(5)
