"""What answers by way of S3: laid down, told of, looked for ever less often, and taken away whatever happened."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from shared.core.errors import GatewayError, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from shared.edge.deferred import LONGEST_PAUSE, MISHAPS, TIDY_SECONDS, Later, Told
from shared.edge.http import Http
from shared.edge.signer import Signer
from shared.edge.sigv4 import Credentials
from shared.providers.adapter import Deferred, HttpRequest, Signing
from tests.fakes.sagemaker import FAILURE, INPUT, OUTPUT, SageMaker
from tests.functions.plane.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.functions.plane.upstream import Request, Wire

BODY = b'{"input": "x"}'


class Situation:
    """An endpoint, and who asks it."""

    def __init__(self) -> None:
        self.sagemaker = SageMaker(compute=lambda asked: json.dumps({"said": asked["input"]}).encode())
        self.server = Upstream(self.sagemaker.answer)
        self.http = Http()
        self.pauses: list[float] = []
        signer = Signer("eu-central-1", lambda: Credentials(*self.sagemaker.credentials))
        self.later = Later(self.http, signer, self.pauses.append)

    def ask(self, seconds: float = 20, folders: tuple[str, ...] = (OUTPUT, FAILURE)) -> Told:
        """Ask it."""
        headers = {"content-type": "application/json", "accept": "application/json"}
        place = Deferred(self.server.url, INPUT, folders)
        url = f"{self.server.url}/endpoints/mine/async-invocations"
        asked = HttpRequest(url, headers, BODY, signing=Signing("sagemaker", ""), deferred=place)
        return self.later.post(asked, seconds, 2)


@pytest.fixture
def situation() -> Iterator[Situation]:
    """All is well, and every signature is right."""
    made = Situation()
    yield made
    made.http.drop()
    made.server.stop()
    assert made.sagemaker.faults == []
    assert made.sagemaker.objects == {}


def refuse(on: str, status: str, body: bytes, times: int = 99) -> Any:
    """Answer calls that begin with `on` by a refusal, so many times."""
    left = [times]

    def act(wire: Wire, request: Request) -> bool:
        if not f"{request.method} {request.path}".startswith(on) or not left[0]:
            return False
        left[0] -= 1
        wire.answer(body, status)
        return True

    return act


def test_an_answer_is_fetched_when_it_is_there(situation: Situation) -> None:
    """With longer and longer pauses; nothing stays behind in either place."""
    situation.sagemaker.looks = 12
    with situation.ask() as answer:
        assert (answer.head.status, answer.whole(), answer.read()) == (200, b'{"said": "x"}', b"")
    assert situation.pauses == sorted(situation.pauses)
    assert (situation.pauses[0], situation.pauses[-1], len(situation.pauses)) == (0.25, LONGEST_PAUSE, 11)
    [said] = situation.sagemaker.invocations
    assert said["content-type"] == said["accept"] == "application/json"
    assert (said["requestttlseconds"], said["invocationtimeoutseconds"]) == ("60", "19")


class KeptError(Exception):
    """It is kept, and not sent."""


def theirs(service: Any, action: str, **asked: Any) -> tuple[str, str, dict[str, str]]:
    """Return what boto3 would send: method, path, and SageMaker's own headers."""
    sent: list[Any] = []
    known: Any = {"aws_access_key_id": "a", "aws_secret_access_key": "s", "region_name": "eu-central-1"}
    client: Any = boto3.client(service, config=Config(s3={"addressing_style": "path"}), **known)

    def keep(request: Any, **_: Any) -> None:
        sent.append(request)
        raise KeptError

    client.meta.events.register("before-send", keep)
    with pytest.raises(KeptError):
        getattr(client, action)(**asked)
    client.close()
    own = {name.lower(): value for name, value in sent[0].headers.items() if name.lower().startswith("x-amzn-sage")}
    said = {name: value.decode() if isinstance(value, bytes) else value for name, value in own.items()}
    return sent[0].method, urlsplit(sent[0].url).path, said


def test_the_calls_are_those_that_boto3_makes(situation: Situation) -> None:
    """To S3 by the path, to SageMaker with what it has headers for."""
    situation.sagemaker.looks = 1
    situation.ask()
    requests = situation.server.requests
    made = [
        (one.method, one.path, {name: value for name, value in one.headers.items() if name.startswith("x-amzn-sage")})
        for one in requests
    ]
    laid, told = requests[0].path.removeprefix("/bucket-1/"), requests[2].path.removeprefix("/bucket-2/")
    asked = {
        "EndpointName": "mine", "InputLocation": f"s3://bucket-1/{laid}", "ContentType": "application/json",
        "Accept": "application/json", "RequestTTLSeconds": 60, "InvocationTimeoutSeconds": 19,
    }  # fmt: skip
    assert made == [
        theirs("s3", "put_object", Bucket="bucket-1", Key=laid, Body=BODY),
        theirs("sagemaker-runtime", "invoke_endpoint_async", **asked),
        theirs("s3", "get_object", Bucket="bucket-2", Key=told),
        theirs("s3", "delete_object", Bucket="bucket-2", Key=told),
        theirs("s3", "delete_object", Bucket="bucket-1", Key=laid),
    ]


def test_a_failure_is_told_as_one(situation: Situation) -> None:
    """Its text is the adapter's to read."""
    situation.sagemaker.compute, situation.sagemaker.failure = None, b"CUDA out of memory"
    answer = situation.ask()
    assert (answer.head.status, answer.start_of()) == (500, b"CUDA out of memory")


def test_what_does_not_come_in_time_is_a_timeout(situation: Situation) -> None:
    """And the request is taken away, so that nobody computes it any more."""
    situation.sagemaker.compute = None
    situation.later._pause = time.sleep
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        situation.ask(TIDY_SECONDS + 0.5)
    assert time.monotonic() - began < 5
    assert situation.sagemaker.asked[-1] == "DELETE /bucket-1/nexus/in"


@pytest.mark.parametrize(
    ("on", "status", "body", "seen"),
    [
        ("PUT", "403 Forbidden", b"<Code>AccessDenied</Code>", (UpstreamUnavailable, "AccessDenied")),
        ("PUT", "503 Slow Down", b"<Code>acc 1</Code>", (UpstreamUnavailable, "status 503")),
        ("PUT", "301 Moved Permanently", b"", (UpstreamUnavailable, "took no request")),
        ("GET", "403 Forbidden", b"<Code>AccessDenied</Code>", (UpstreamError, "AccessDenied")),
        ("GET", "404 Not Found", b"<Code>NoSuchBucket</Code>", (UpstreamError, "NoSuchBucket")),
        ("POST", "200 OK", b"{}", (UpstreamError, "does not say where")),
    ],
)
def test_storage_that_refuses_is_told_by_its_code(
    situation: Situation, on: str, status: str, body: bytes, seen: tuple[type[GatewayError], str]
) -> None:
    """What was not laid down was not asked, and is not charged; what was is taken away."""
    situation.sagemaker.after = refuse(on, status, body)
    with pytest.raises(seen[0], match=seen[1]) as caught:
        situation.ask()
    assert type(caught.value) is seen[0]
    situation.sagemaker.objects = {name: one for name, one in situation.sagemaker.objects.items() if INPUT in name}


def test_an_endpoint_that_refuses_is_told_in_its_own_words(situation: Situation) -> None:
    """And nothing is looked for."""
    situation.sagemaker.after = refuse("POST", "400 Bad Request", b'{"message": "no such endpoint"}')
    answer = situation.ask()
    assert (answer.head.status, answer.whole()) == (400, b'{"message": "no such endpoint"}')
    assert not [asked for asked in situation.sagemaker.asked if asked.startswith("GET")]


def test_a_look_may_fail_and_the_answer_come(situation: Situation) -> None:
    """S3 has its moments."""
    situation.sagemaker.after = refuse("GET", "503 Slow Down", b"", times=MISHAPS)
    assert situation.ask().head.status == 200


def test_an_answer_elsewhere_is_not_fetched(situation: Situation) -> None:
    """What the gateway may read is what the catalog names."""
    with pytest.raises(UpstreamError, match="storage"):
        situation.ask(folders=("s3://bucket-2/ou", FAILURE))
    situation.sagemaker.objects.clear()


def test_what_is_given_up_is_taken_away(situation: Situation) -> None:
    """By a connection of its own: the others are cut."""
    waiting = threading.Event()
    situation.sagemaker.compute = None

    def pause(_seconds: float) -> None:
        waiting.set()
        time.sleep(0.01)

    situation.later._pause = pause
    raised: list[GatewayError] = []

    def ask() -> None:
        try:
            situation.ask()
        except GatewayError as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert waiting.wait(10)
    situation.http.abort()
    thread.join(10)
    assert len(raised) == 1
