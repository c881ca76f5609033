"""Identity tokens of Google for the gateway's own role: as google-auth gets them, kept, renewed by one thread."""

from __future__ import annotations

import calendar
import json
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from google.auth import aws as theirs

from shared.core.catalog import Identity, Provider
from shared.core.errors import GatewayError, UpstreamError, UpstreamKeyRefused, UpstreamUnavailable
from shared.edge.aws import AwsError
from shared.edge.identity import RENEW_SECONDS, RETRY_SECONDS, SPARE_SECONDS, Identities, subject_token
from shared.edge.settings import GoogleSettings
from shared.edge.sigv4 import Credentials
from tests.fakes.google import ACCOUNT, POOL, TARGET, Google
from tests.functions.plane.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.functions.plane.upstream import Request, Wire

REGION = "eu-central-1"
SIGNER = Credentials("a", "s", "t")
IDENTITY = Identity(POOL, ACCOUNT)
PROVIDER = Provider("run", "openai", "https://service-1.a.run.app/v1", identity=IDENTITY)


class Situation:
    """Google on loopback, and what is tested, on one clock."""

    def __init__(self) -> None:
        self.google = Google()
        self.server = Upstream(self.google.answer)
        self.identities = Identities(
            GoogleSettings(self.server.url, self.server.url), REGION, lambda: SIGNER, lambda: self.google.now
        )

    def exchanges(self) -> int:
        """How often a token was asked for."""
        return self.google.asked.count("/v1/token")

    def fails(self, status: str = "503 Service Unavailable", body: bytes = b"{}") -> None:
        """Let the next call to Google fail."""
        self.server.script.append(lambda wire, _request: wire.answer(body, status))


@pytest.fixture
def situation() -> Iterator[Situation]:
    """Google, and nobody has asked yet."""
    made = Situation()
    yield made
    made.identities.drop()
    made.server.stop()
    assert made.google.faults == []


def their_subject_token() -> str:
    """Let google-auth make one."""
    known: Any = theirs.AwsSecurityCredentials(*SIGNER)

    class Supplier(theirs.AwsSecurityCredentialsSupplier):  # type: ignore[no-untyped-call, misc, unused-ignore]
        """Our role."""

        def get_aws_security_credentials(self, _context: Any, _request: Any) -> Any:
            """Return its credentials."""
            return known

        def get_aws_region(self, _context: Any, _request: Any) -> str:
            """Return the function's region."""
            return REGION

    made: Any = theirs.Credentials(  # type: ignore[no-untyped-call, unused-ignore]
        audience=TARGET,
        subject_token_type="urn:ietf:params:aws:token-type:aws4_request",
        token_url="https://sts.googleapis.com/v1/token",
        aws_security_credentials_supplier=Supplier(),
    )
    return str(made.retrieve_subject_token(None))


def lines(token: str) -> dict[str, str]:
    """Return the headers in a subject token."""
    return {line["key"]: line["value"] for line in json.loads(unquote(token))["headers"]}


def request(token: str) -> dict[str, Any]:
    """Return what a subject token asks of whom, without the headers."""
    found: dict[str, Any] = json.loads(unquote(token))
    return {name: value for name, value in found.items() if name != "headers"}


def moment(headers: dict[str, str]) -> int:
    """Return when they were signed, in epoch seconds."""
    return calendar.timegm(time.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ"))


def test_the_role_is_proved_as_google_auth_proves_it() -> None:
    """The same request in the same writing; the target, which it only adds, is signed here as Google recommends."""
    their = their_subject_token()
    ours = subject_token(IDENTITY, REGION, SIGNER, now=moment(lines(their)))
    assert request(ours) == request(their)
    assert lines(ours).keys() == lines(their).keys()
    assert {name for name, value in lines(ours).items() if value != lines(their)[name]} == {"Authorization"}
    signer: Any = theirs.RequestSigner(REGION)  # type: ignore[no-untyped-call, unused-ignore]
    url, bound = request(their)["url"], {"x-goog-cloud-target-resource": TARGET}
    signed = signer.get_request_options(theirs.AwsSecurityCredentials(*SIGNER), url, "POST", "", bound)["headers"]
    assert lines(subject_token(IDENTITY, REGION, SIGNER, now=moment(signed))) == signed


def test_a_token_is_kept_until_shortly_before_its_end(situation: Situation) -> None:
    """Two calls the first time, none after; it is for the service's address, without the path."""
    first = situation.identities.token(PROVIDER)
    situation.google.now += 3600 - RENEW_SECONDS - SPARE_SECONDS - 1
    assert situation.identities.token(PROVIDER) == first == situation.google.issued[0]
    assert len(situation.google.asked) == 2
    assert situation.server.requests[1].json["audience"] == "https://service-1.a.run.app"
    situation.google.now += 2
    assert situation.identities.token(PROVIDER) == situation.google.issued[1] != first


def test_each_audience_has_its_own(situation: Situation) -> None:
    """One that the catalog names is taken as it stands."""
    named = Provider("run", "openai", "https://x.run.app/v1", identity=Identity(POOL, ACCOUNT, "my-audience"))
    assert situation.identities.token(PROVIDER) != situation.identities.token(named)
    assert situation.server.requests[-1].json["audience"] == "my-audience"


def test_an_old_token_serves_while_google_fails(situation: Situation) -> None:
    """To its end, and Google is asked once in a while; then there is none, and not everybody waits for that."""
    first = situation.identities.token(PROVIDER)
    situation.google.now += 3600 - RENEW_SECONDS
    situation.fails()
    assert [situation.identities.token(PROVIDER) for _ in range(3)] == [first] * 3
    assert len(situation.server.requests) == 3
    situation.google.now += RENEW_SECONDS
    situation.fails()
    for _ in range(3):
        with pytest.raises(UpstreamUnavailable):
            situation.identities.token(PROVIDER)
    assert len(situation.server.requests) == 4
    situation.google.now += RETRY_SECONDS
    assert situation.identities.token(PROVIDER) == situation.google.issued[1]


def test_one_thread_asks_and_the_others_have_its_token(situation: Situation) -> None:
    """At the start they wait for it; later the old one serves them meanwhile."""
    asked, go = threading.Event(), threading.Event()

    def slowly(wire: Wire, request: Request) -> None:
        asked.set()
        assert go.wait(10)
        situation.google.answer(wire, request)

    situation.server.script.append(slowly)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(situation.identities.token(PROVIDER))) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert asked.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert (found, situation.exchanges()) == ([situation.google.issued[0]] * 5, 1)
    situation.google.now += 3600 - RENEW_SECONDS
    asked.clear()
    go.clear()
    situation.server.script.append(slowly)
    renewing = threading.Thread(target=lambda: found.append(situation.identities.token(PROVIDER)))
    renewing.start()
    assert asked.wait(10)
    assert situation.identities.token(PROVIDER) == situation.google.issued[0]
    go.set()
    renewing.join(10)
    assert found[-1] == situation.google.issued[1]


def test_a_token_that_was_refused_is_replaced_once_in_a_while(situation: Situation) -> None:
    """A service that refuses every token does not have us call Google each time."""
    first = situation.identities.token(PROVIDER)
    assert situation.identities.another(PROVIDER, [first]) == ""
    situation.google.now += RETRY_SECONDS
    second = situation.identities.another(PROVIDER, [first])
    assert second == situation.google.issued[1]
    assert situation.identities.another(PROVIDER, [first]) == second == situation.identities.token(PROVIDER)
    situation.google.now += RETRY_SECONDS
    situation.fails()
    assert situation.identities.another(PROVIDER, [first, second]) == ""


@pytest.mark.parametrize(
    ("status", "body", "said", "kind"),
    [
        (
            "400 Bad Request",
            b'{"error":"invalid_grant","error_description":"t 123"}',
            "invalid_grant",
            UpstreamKeyRefused,
        ),
        (
            "403 Forbidden",
            b'{"error":{"status":"PERMISSION_DENIED","message":"t"}}',
            "PERMISSION_DENIED",
            UpstreamKeyRefused,
        ),
        ("403 Forbidden", b'{"error":{"status":"see t"}}', "status 403", UpstreamKeyRefused),
        ("429 Too Many Requests", b"{}", "status 429", UpstreamUnavailable),
        ("500 Internal Server Error", b"<html>t</html>", "status 500", UpstreamUnavailable),
        ("200 OK", b"[]", "status 200", UpstreamUnavailable),
        ("200 OK", b'{"access_token": 1}', "status 200", UpstreamUnavailable),
        ("302 Found", b"", "could not be reached", UpstreamUnavailable),
    ],
)
def test_a_refusal_is_told_by_its_code(
    situation: Situation, status: str, body: bytes, said: str, kind: type[GatewayError]
) -> None:
    """Google's own words may name accounts and what was sent."""
    situation.fails(status, body)
    with pytest.raises(kind, match=said) as caught:
        situation.identities.token(PROVIDER)
    assert "123" not in caught.value.message
    assert "'run'" in caught.value.message


@pytest.mark.parametrize("text", ["none", "a.b.c", "e30.e30.e30", "a.W10.c", "a b.e30.c\n", "a.eyJleHAiOiJ4In0.c"])
def test_what_is_no_token_is_not_used(situation: Situation, text: str) -> None:
    """It must at least say until when it is good."""
    situation.server.script.append(situation.google.answer)
    situation.fails("200 OK", json.dumps({"token": text}).encode())
    with pytest.raises(UpstreamError, match="is none"):
        situation.identities.token(PROVIDER)


def test_a_request_in_a_hurry_waits_no_longer(situation: Situation) -> None:
    """And the next one, which has time, asks again."""
    over = threading.Event()

    def hang(_wire: Wire, _request: Request) -> None:
        over.wait(20)

    situation.server.script.append(hang)
    began = time.monotonic()
    with pytest.raises(UpstreamUnavailable):
        situation.identities.token(PROVIDER, 0.2)
    assert time.monotonic() - began < 4
    over.set()
    assert situation.identities.token(PROVIDER) == situation.google.issued[0]


def test_without_a_role_nobody_is_asked() -> None:
    """Nor where Google cannot be reached is anything said of what would have been sent."""

    def nobody() -> Credentials:
        raise AwsError("credentials", "Missing", "none")

    nowhere = GoogleSettings("http://127.0.0.1:1", "http://127.0.0.1:1")
    for credentials in (nobody, lambda: SIGNER):
        with pytest.raises(UpstreamUnavailable):
            Identities(nowhere, REGION, credentials).token(PROVIDER)
