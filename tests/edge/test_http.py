"""The client of the providers where the pipeline's tests do not look: framing, sizes, TLS, environment, idleness."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from shared.edge import answer as answers
from shared.edge.http import Http
from shared.providers.adapter import HttpRequest
from tests.functions.plane.upstream import Upstream, head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.functions.plane.upstream import Request, Wire


def ok(wire: Wire, _request: Request) -> None:
    """Answer two bytes."""
    wire.answer(b"{}")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A server that answers."""
    server = Upstream(ok)
    yield server
    server.stop()


@pytest.fixture
def client() -> Iterator[Http]:
    """What is tested; its idle connections are closed in the end."""
    made = Http()
    yield made
    made.drop()


def request(upstream: Upstream, body: bytes = b"{}") -> HttpRequest:
    """A POST to it."""
    return HttpRequest(f"{upstream.url}/v1/x", {"content-type": "application/json"}, body)


def pieces(*data: bytes) -> bytes:
    """Render chunks of a chunked body, without its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in data)


@pytest.mark.parametrize(
    ("headers", "first"),
    [
        ({"transfer-encoding": "chunked"}, pieces(b"one")),
        ({"content-length": "6"}, b"one"),
        ({"connection": "close"}, b"one"),
    ],
    ids=["chunked", "counted", "until closed"],
)
def test_bytes_are_there_when_they_arrive(
    upstream: Upstream, client: Http, headers: dict[str, str], first: bytes
) -> None:
    """However the body is framed: the rest is sent only after the first part was read."""
    read = threading.Event()

    def act(wire: Wire, _request: Request) -> None:
        wire.send(head("200 OK", headers) + first)
        assert read.wait(10)
        wire.send(pieces(b"two") + b"0\r\n\r\n" if "transfer-encoding" in headers else b"two")
        if "connection" in headers:
            wire.close()

    upstream.default = act
    with client.post(request(upstream), 10) as answer:
        assert answer.read() == b"one"
        read.set()
        assert answer.whole() == b"two"


def test_a_body_that_is_too_large_is_left(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole or streamed, what is longer than the cap is an error, however much was announced."""
    monkeypatch.setattr(answers, "CHUNK_BYTES", 1000)

    def endless(wire: Wire, _request: Request) -> None:
        wire.send(head("200 OK", {"transfer-encoding": "chunked"}))
        with suppress(OSError):
            while True:
                wire.send(pieces(bytes(10_000)))

    upstream.default = endless
    with pytest.raises(UpstreamError, match="longer than 50000 bytes"), Http().post(request(upstream), 10) as answer:
        answer.whole(limit=50_000)
    with Http().post(request(upstream), 10) as answer:
        assert len(answer.start_of(limit=20_000)) <= 30_000


def test_a_shorter_body_than_announced_is_an_error(upstream: Upstream) -> None:
    """A cut never looks like an end."""

    def act(wire: Wire, _request: Request) -> None:
        wire.send(head("200 OK", {"content-length": "100"}) + b"short")
        wire.close()

    upstream.default = act
    with pytest.raises(UpstreamError), Http().post(request(upstream), 10) as answer:
        answer.whole()


def test_a_provider_that_does_not_read_is_a_timeout() -> None:
    """Sending is bounded as well."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/x"

    with pytest.raises(UpstreamTimeout):
        Http().post(HttpRequest(url, {}, bytes(20_000_000)), 0.3)
    listener.close()


def test_patience_begins_with_the_request() -> None:
    """What a provider that reads slowly takes to receive it is not granted once more for its answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def receive_slowly() -> None:
            with suppress(OSError), listener.accept()[0] as client:
                time.sleep(1)
                while client.recv(1 << 20):
                    pass

        reader = threading.Thread(target=receive_slowly)
        reader.start()
        began = time.monotonic()
        http_ = Http()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/x"
        with pytest.raises(UpstreamTimeout):
            http_.post(HttpRequest(url, {}, bytes(20_000_000)), 1.5)
        assert time.monotonic() - began < 2.3
        http_.drop()
        reader.join()


def test_tls_is_spoken_and_verified(tmp_path: Path) -> None:
    """A server that speaks plainly, or shows a certificate nobody vouches for, is not reached, and told nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    listener = socket.create_server(("127.0.0.1", 0))
    received: list[bytes] = []

    def accept() -> None:
        with suppress(OSError):
            plain, _ = listener.accept()
            plain.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            plain.close()
            unknown, _ = listener.accept()
            received.append(context.wrap_socket(unknown, server_side=True).recv(100))

    thread = threading.Thread(target=accept)
    thread.start()
    asked = HttpRequest(f"https://localhost:{listener.getsockname()[1]}/v1/x", {}, b"{}")
    for _ in range(2):
        with pytest.raises(UpstreamUnavailable):
            Http().post(asked, 5)
    thread.join(5)
    listener.close()
    assert received == []


def self_signed(folder: Path) -> Path:
    """Make a certificate for localhost that no authority has signed; returns the file with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "certificate.pem"
    file.write_bytes(secret + certificate.public_bytes(encoding))
    return file


def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    """As is a port where nobody listens."""
    for url in ("http://nowhere.invalid/v1/x", "http://127.0.0.1:1/v1/x"):
        with pytest.raises(UpstreamUnavailable):
            Http().post(HttpRequest(url, {}, b"{}"), 5)


def test_the_environment_steers_nothing(upstream: Upstream, client: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy named there would see every prompt."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    with client.post(request(upstream), 5) as answer:
        assert answer.whole() == b"{}"


def test_a_connection_that_was_idle_for_long_is_not_used(upstream: Upstream) -> None:
    """After a freeze it may be dead without a sign; the wall clock tells."""
    now = [1000.0]
    client = Http(lambda: now[0])
    for step, connections in ((0, 1), (49, 1), (51, 2)):
        now[0] += step
        with client.post(request(upstream), 5) as answer:
            answer.whole()
        assert upstream.connections == connections
    client.drop()


def test_only_an_idle_connection_is_replaced_silently(upstream: Upstream) -> None:
    """A new one that breaks before an answer may have been billed: that is the pipeline's to decide."""
    upstream.default = lambda wire, _request: wire.close()

    with pytest.raises(UpstreamError):
        Http().post(request(upstream), 5)

    assert len(upstream.requests) == 1


def test_the_whole_address_is_asked(upstream: Upstream, client: Http) -> None:
    """Path and query; a path that is missing is the root."""
    for target in ("/v1/x?alt=sse&v=1", "/"):
        with client.post(HttpRequest(upstream.url + target.rstrip("/"), {}, b""), 5) as answer:
            answer.whole()
        assert upstream.requests[-1].path == target


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/x HTTP/1.1\r\nx: y", {}),
        ("/v1/ x", {}),
        ("/v1/\u00e9", {}),
        ("/v1/x", {"authorization": "Bearer a\r\nx-other: b"}),
        ("/v1/x", {"authorization": "Bearer a\nb"}),
        ("/v1/x", {"authorization": "Bearer \u20ac"}),
    ],
)
def test_nothing_breaks_out_of_its_line(upstream: Upstream, client: Http, path: str, headers: dict[str, str]) -> None:
    """What holds a line break, or is no ASCII, is not sent at all."""
    with pytest.raises(UpstreamUnavailable):
        client.post(HttpRequest(f"{upstream.url}{path}", headers, b"{}"), 5)
    assert upstream.requests == []


def test_an_answer_that_comes_before_the_body_was_read_counts(client: Http) -> None:
    """A server that refuses a large body hangs up in the middle of it, and has said why."""
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        accepted, _ = listener.accept()
        with accepted:
            accepted.recv(100)
            accepted.sendall(head("413 Too Large", {"content-length": "2"}) + b"{}")
            accepted.shutdown(socket.SHUT_WR)
            with suppress(OSError):
                while accepted.recv(1 << 20):
                    pass

    thread = threading.Thread(target=refuse)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/x"
    with client.post(HttpRequest(url, {}, bytes(5_000_000)), 5) as answer:
        assert answer.head.status == 413
    client.drop()
    thread.join(5)
    listener.close()
