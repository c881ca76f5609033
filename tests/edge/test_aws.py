"""The signed client against moto over HTTP, and against servers that misbehave."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from shared.edge.aws import DYNAMODB, SECRETS, Aws, AwsError, AwsUnavailableError, credentials_from, valkey_login
from shared.edge.reaching import reach
from shared.edge.resolver import Resolver
from shared.edge.settings import AwsSettings, ValkeySettings
from shared.edge.sigv4 import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEYS = Credentials("AKIAEXAMPLE", "secret", "token")
Answers = list[tuple[int, bytes]]


@pytest.fixture
def scripted() -> Iterator[Callable[[Answers], tuple[str, list[dict[str, str]]]]]:
    """Starts an AWS that gives these answers in turn; returns its URL and the headers it was sent."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: Answers) -> tuple[str, list[dict[str, str]]]:
        seen: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                seen.append({name.lower(): value for name, value in self.headers.items()})
                status, body = answers.pop(0)
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", seen

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def client() -> Iterator[Callable[..., Aws]]:
    """Makes clients that do not pause, and closes them."""
    made: list[Aws] = []

    def make(url: str, pauses: list[float] | None = None) -> Aws:
        pause = (lambda _seconds: None) if pauses is None else pauses.append
        made.append(Aws(DYNAMODB, AwsSettings("us-east-1", url), lambda: KEYS, pause=pause))
        return made[-1]

    yield make
    for aws in made:
        aws.drop()


def _refusal(code: str, message: str = "why") -> bytes:
    return json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}).encode()


def test_calls_a_service_that_checks_it(moto: str) -> None:
    """A call that moto understands is answered, and its refusal keeps its own name."""
    aws = Aws(SECRETS, AwsSettings("us-east-1", moto), lambda: KEYS)
    with pytest.raises(AwsError, match="ResourceNotFoundException") as refused:
        aws.read("GetSecretValue", {"SecretId": "missing"})
    aws.drop()
    assert refused.value.code == "ResourceNotFoundException"
    assert not isinstance(refused.value, AwsUnavailableError)


def test_says_which_action_it_calls(scripted: Any, client: Callable[..., Aws]) -> None:
    """Target, content type, token and signature are there."""
    url, seen = scripted([(200, b"{}")])
    client(url).read("GetItem", {})
    assert seen[0]["x-amz-target"] == "DynamoDB_20120810.GetItem"
    assert seen[0]["content-type"] == "application/x-amz-json-1.0"
    assert seen[0]["x-amz-security-token"] == "token"
    assert "Credential=AKIAEXAMPLE/" in seen[0]["authorization"]


@pytest.mark.parametrize(
    "trouble",
    [
        (0, b""),
        (500, _refusal("InternalServerError")),
        (503, b"<html>"),
        (200, b"<html>"),
        (200, b"[]"),
        (400, _refusal("ThrottlingException")),
        (400, _refusal("ProvisionedThroughputExceededException")),
    ],
    ids=["hang-up", "500", "html-503", "html-200", "list", "throttled", "throughput"],
)
def test_tries_once_more_and_no_oftener(scripted: Any, client: Callable[..., Aws], trouble: tuple[int, bytes]) -> None:
    """What may pass is tried again after a short, random pause; the second failure is told."""
    pauses: list[float] = []
    url, seen = scripted([trouble, (200, b'{"a": 1}'), trouble, trouble])
    aws = client(url, pauses)
    assert aws.read("GetItem", {}) == {"a": 1}
    with pytest.raises(AwsUnavailableError):
        aws.read("GetItem", {})
    assert (len(seen), len(pauses)) == (4, 2)
    assert all(0 <= pause <= 0.1 for pause in pauses)


def test_does_not_repeat_what_was_refused(scripted: Any, client: Callable[..., Aws]) -> None:
    """Access denied will be denied again."""
    url, seen = scripted([(400, _refusal("AccessDeniedException", "not yours"))])
    with pytest.raises(AwsError, match=r"dynamodb: AccessDeniedException: not yours") as refused:
        client(url).read("GetItem", {})
    assert refused.value.code == "AccessDeniedException"
    assert len(seen) == 1


def test_an_unreachable_service_is_unavailable(client: Callable[..., Aws]) -> None:
    """A refused connection is translated, and keeps its cause."""
    with pytest.raises(AwsUnavailableError, match="ConnectionRefusedError") as refused:
        client("http://127.0.0.1:9").read("GetItem", {})
    assert isinstance(refused.value.__cause__, ConnectionRefusedError)


def test_a_peer_without_tls_is_unavailable(scripted: Any, client: Callable[..., Aws]) -> None:
    """A failed handshake is translated as well; nothing is sent in the clear."""
    url, seen = scripted([])
    with pytest.raises(AwsUnavailableError, match="SSL"):
        client(url.replace("http:", "https:")).read("GetItem", {})
    assert seen == []


def test_reads_credentials_when_it_needs_them() -> None:
    """They come from the environment each time; without them the error names the variable."""
    environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}
    read = credentials_from(environment)
    assert read() == ("a", "b", "c")
    environment["AWS_SESSION_TOKEN"] = ""
    assert read() == ("a", "b", None)
    del environment["AWS_SECRET_ACCESS_KEY"]
    with pytest.raises(AwsError, match="AWS_SECRET_ACCESS_KEY"):
        read()


def test_logs_in_to_valkey_only_where_it_asks() -> None:
    """Without a user there is nothing to say; with one, each call makes a token for that user and cache."""
    settings = AwsSettings("us-east-1", None)
    plain = ValkeySettings("h", 1, tls=False, user="", cache="")
    assert valkey_login(plain, settings, lambda: KEYS) is None
    times = iter([0.0, 60.0])
    login = valkey_login(plain._replace(user="nexus", cache="cache"), settings, lambda: KEYS, lambda: next(times))
    assert login is not None
    (user, first), (_, second) = login(), login()
    assert user == "nexus"
    assert first.startswith("cache/?Action=connect&ResourceType=ServerlessCache&User=nexus&")
    assert first != second


def test_a_name_that_nobody_resolves_is_an_outage() -> None:
    """The lookup counts into the time that a connection may take, wherever AWS is asked."""
    over = threading.Event()

    def hang(_host: str, _port: int) -> list[Any]:
        over.wait(20)
        return []

    names = Resolver(hang)
    settings = AwsSettings("eu-central-1", "http://aws.example:1")
    asked = Aws(
        SECRETS,
        settings,
        lambda: KEYS,
        pause=lambda _seconds: None,
        connect=lambda address, _seconds: reach(address, 0.1, names),
    )
    began = time.monotonic()
    with pytest.raises(AwsUnavailableError):
        asked.read("GetSecretValue", {})
    assert time.monotonic() - began < 8
    over.set()
