"""The keys of identity providers: one address, verified TLS, bounded, kept, and asked for seldom."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from shared.edge import jwks_fetch
from shared.edge.jwks import FRESH_SECONDS, LARGEST, PAUSE_SECONDS, STALE_SECONDS, Jwks, JwksUnavailableError, keys_of
from shared.edge.resolver import Resolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GOOD = json.dumps({"keys": [{"kid": "a", "kty": "RSA"}]}).encode()


class Idp(BaseHTTPRequestHandler):
    """A server that answers by the path that is asked for."""

    seen: list[str]

    def do_GET(self) -> None:
        """Serve keys, a redirect to them, an error, or too much."""
        self.seen.append(self.path)
        answers: dict[str, tuple[int, bytes]] = {
            "/keys": (200, GOOD),
            "/moved": (302, b""),
            "/down": (503, GOOD),
            "/large": (200, b"x" * (LARGEST + 1)),
        }
        status, body = answers[self.path.partition("?")[0]]
        self.send_response(status)
        self.send_header("Location", "/keys")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed but itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "idp.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + built.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
def idp(certificate: Path) -> Iterator[str]:
    """The server's address; it speaks TLS."""
    Idp.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Idp) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up at the handshake
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def trusting(certificate: Path) -> Callable[[], ssl.SSLContext]:
    """What trusts that certificate, as the system's authorities are trusted elsewhere."""
    return lambda: ssl.create_default_context(cafile=str(certificate))


def test_fetches_over_tls(idp: str, trusting: Callable[[], ssl.SSLContext]) -> None:
    """What the configured address serves, its query included."""
    assert jwks_fetch.fetch(f"{idp}/keys?v=1", trusting) == GOOD
    assert Idp.seen == ["/keys?v=1"]


@pytest.mark.parametrize("path", ["/moved", "/down", "/large"])
def test_takes_nothing_but_a_plain_answer(idp: str, trusting: Callable[[], ssl.SSLContext], path: str) -> None:
    """No redirect is followed, no error page read, and no more than fits a set of keys."""
    with pytest.raises(JwksUnavailableError):
        jwks_fetch.fetch(f"{idp}{path}", trusting)
    assert Idp.seen == [path]


def test_trusts_no_certificate_that_nobody_signed(idp: str) -> None:
    """With the system's authorities the server above is a stranger, and is sent no request."""
    with pytest.raises(JwksUnavailableError, match="SSL"):
        jwks_fetch.fetch(f"{idp}/keys")
    assert Idp.seen == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/keys", "file:///etc/passwd", "ftp://127.0.0.1/keys", "https:///keys"]
)
def test_fetches_over_https_only(url: str) -> None:
    """Nothing else is even connected to."""
    with pytest.raises(JwksUnavailableError, match="https only"):
        jwks_fetch.fetch(url)


def test_a_name_that_nobody_resolves_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lookup counts into the patience with the provider."""
    over, asked = threading.Event(), []

    def hang(host: str, _port: int) -> list[Any]:
        asked.append(host)
        over.wait(60)
        return []

    names = Resolver(hang)
    monkeypatch.setattr("shared.edge.reaching.resolver", lambda: names)
    monkeypatch.setattr(jwks_fetch, "PATIENCE_SECONDS", 0.1)
    began = time.monotonic()
    with pytest.raises(JwksUnavailableError, match="cannot be reached"):
        jwks_fetch.fetch("https://slow.example/keys")
    over.set()
    assert time.monotonic() - began < 10
    assert asked == ["slow.example"]


class World:
    """A clock, and a provider that can be down."""

    def __init__(self) -> None:
        self.now = 1e9
        self.asked = 0
        self.document: bytes | None = GOOD
        self.keys = Jwks("https://idp", self.fetch, lambda: self.now)

    def fetch(self, url: str) -> bytes:
        """Serve the document, or be down."""
        assert url == "https://idp"
        self.asked += 1
        if self.document is None:
            raise JwksUnavailableError("down")
        return self.document


def test_asks_once_and_keeps_it_for_an_hour() -> None:
    """Known keys cost nothing until they are an hour old; then one fetch renews them."""
    world = World()
    assert [world.keys.find("a") is None for _ in range(3)] == [False] * 3
    world.now += FRESH_SECONDS
    assert world.keys.find("a")
    assert world.asked == 1
    world.now += 1
    assert world.keys.find("a")
    assert world.asked == 2


def test_unknown_ids_make_it_ask_once_a_minute() -> None:
    """A new key is found within a minute, and made-up ids cannot make us call more often."""
    world = World()
    for number in range(50):
        assert world.keys.find(f"made-up-{number}") is None
    assert world.asked == 1
    world.document = json.dumps({"keys": [{"kid": "b", "kty": "EC"}]}).encode()
    world.now += PAUSE_SECONDS
    assert world.keys.find("b")
    assert world.keys.find("a") is None
    assert world.asked == 2


def test_a_provider_that_is_down_does_not_lock_its_users_out() -> None:
    """Known keys serve for a day; after that nobody can say what is good, and that is an error and no verdict."""
    world = World()
    assert world.keys.find("a")
    world.document = None
    world.now += STALE_SECONDS
    assert world.keys.find("a")
    world.now += PAUSE_SECONDS + 1
    for _ in range(3):
        with pytest.raises(JwksUnavailableError):
            world.keys.find("a")
    assert world.asked == 3
    world.document = GOOD
    world.now += PAUSE_SECONDS
    assert world.keys.find("a")


def test_leaves_out_what_is_no_key_for_signatures() -> None:
    """Keys for encryption, without an id, or of no shape at all do not spoil the others."""
    entries = [
        {"kid": "a", "use": "sig"},
        {"kid": "b", "use": "enc"},
        {"kid": 1},
        {"use": "sig"},
        "c",
        None,
        {"kid": "d"},
    ]
    assert keys_of(json.dumps({"keys": entries}).encode()).keys() == {"a", "d"}


@pytest.mark.parametrize(
    "document",
    [b"", b"<html>", b"[]", b"{}", b'{"keys": {}}', b'{"keys": null}', b"[" * 100_000, b"\xff",
     json.dumps({"keys": [{"kid": "x"}] * 101}).encode()],
)  # fmt: skip
def test_what_is_no_set_of_keys_is_an_outage(document: bytes) -> None:
    """HTML, other JSON, a thousand brackets, too many keys: as if the provider were down."""
    with pytest.raises(JwksUnavailableError):
        keys_of(document)
