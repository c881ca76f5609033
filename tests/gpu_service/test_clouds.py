"""What SageMaker, Cloud Run and Eventarc promise and expect of a container, held on real processes."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.gpu_service import tiny
from tests.gpu_service.generation import llama
from tests.gpu_service.process import Server
from tests.gpu_service.test_functions_framework import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVE = [sys.executable, "-m", "gpu_service", "serve"]
EVERYWHERE = {"GPU_SERVICE_HOST": "0.0.0.0", "GPU_SERVICE_AUTH": "platform"}  # noqa: S104 - as in the image
EVENT = {
    "specversion": "1.0",
    "id": "1",
    "type": "google.cloud.storage.object.v1.finalized",
    "source": "//storage.googleapis.com/projects/_/buckets/b",
}


@pytest.fixture(scope="module")
def sagemaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A container with a tiny Llama, as SageMaker starts it: the argument `serve`, and where to listen."""
    root, port = tmp_path_factory.mktemp("sagemaker"), free_port()
    size = llama.TINY._replace(hidden=256, layers=4, wide=1024)
    sums = llama.write(root / "m", context=4096, size=size)
    entry = {"task": "generation", "source": "m", "sha256": sums, "eos": [llama.END], "max_tokens": 4096, "slots": 2}
    models = tiny.models_toml(root / "models.toml", m=entry)
    given: dict[str, Any] = {"MODELS": str(models), "SAGEMAKER_BIND_TO_PORT": str(port), "PORT": "1", **EVERYWHERE}
    with Server(None, command=SERVE, port=port, **given) as server:
        server.wait_until_ready()
        yield server


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/csv;q=0.1, application/json;verbose", "x"])
def test_sagemaker_may_ask_for_any_kind(accept: str | None, sagemaker: Server) -> None:
    """What it accepts and sends says nothing here: JSON goes in and comes out, whatever the two headers say."""
    headers = {"content-type": "application/x-image"} | ({"accept": accept} if accept else {})
    answer = sagemaker.ask("POST", "/invocations", {"prompt": "a", "max_tokens": 2}, headers)

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["usage"]["completion_tokens"] == 2


def test_sagemaker_passes_an_id_in_custom_attributes(sagemaker: Server) -> None:
    """The only header that gets through comes back, on answers, errors and streams; what is no id is replaced."""
    body = {"prompt": "a", "max_tokens": 1}
    name = "X-Amzn-SageMaker-Custom-Attributes"
    beside = {"X-Amzn-SageMaker-Inference-Id": "7", "X-Amzn-SageMaker-Target-Variant": "blue"}
    good = [
        sagemaker.ask("POST", "/invocations", asked, {name: "trace-1", **beside})
        for asked in (body, {"max_tokens": 1}, body | {"stream": True})
    ]
    other = sagemaker.ask("POST", "/invocations", body, {name: "tenant=a b; c"})
    without = sagemaker.ask("POST", "/invocations", body)

    assert [answer.status for answer in good] == [200, 400, 200]
    assert {(answer.headers[name.lower()], answer.headers["x-request-id"]) for answer in good} == {("trace-1",) * 2}
    assert other.headers[name.lower()] == other.headers["x-request-id"] != "tenant=a b; c"
    assert name.lower() not in without.headers


def test_sagemaker_streams_as_it_comes(sagemaker: Server) -> None:
    """InvokeEndpointWithResponseStream passes chunks on: the first event is here long before the last token is made."""
    connection = http.client.HTTPConnection("127.0.0.1", sagemaker.port, timeout=60)
    body = {"prompt": "a", "max_tokens": 4000, "temperature": 0, "stream": True}
    connection.request("POST", "/invocations", json.dumps(body))
    answer = connection.getresponse()
    first = answer.readline()
    still = sagemaker.ask("GET", "/metrics").body.decode()
    connection.close()

    assert (answer.status, answer.headers["transfer-encoding"]) == (200, "chunked")
    assert answer.headers["content-type"] == "text/event-stream"
    assert first.startswith(b'data: {"id":"cmpl-')
    assert 'gpu_service_generating{model="m"} 1' in still


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/ping", 200), ("GET", "/invocations", 405), ("POST", "/ping", 405)]
)
def test_sagemakers_paths_take_their_methods(method: str, path: str, status: int, sagemaker: Server) -> None:
    """Health by GET, work by POST."""
    assert sagemaker.ask(method, path).status == status


@pytest.fixture(scope="module")
def cloud_run(model_dir: Path) -> Iterator[Server]:
    """A container as Cloud Run starts it: PORT and its own variables."""
    port = free_port()
    given: dict[str, Any] = {
        "PORT": str(port),
        "K_SERVICE": "s",
        "K_REVISION": "s-1",
        "TARGET_LATENCY_MS": "20000",
        **EVERYWHERE,
    }
    with Server(model_dir, command=SERVE, port=port, **given) as server:
        server.wait_until_ready()
        yield server


def test_cloud_run_sends_many_at_once(cloud_run: Server) -> None:
    """Eighty at a time, its default: each gets the vector of its own text, and none is turned away."""

    def ask(number: int) -> tuple[int, int]:
        body = {"model": "all-MiniLM-L6-v2", "input": "word " * (number + 1)}
        answer = cloud_run.ask("POST", "/v1/embeddings", body)
        return answer.status, answer.json["usage"]["prompt_tokens"]

    with ThreadPoolExecutor(80) as pool:
        assert list(pool.map(ask, range(80))) == [(200, number + 3) for number in range(80)]


def test_cloud_run_speaks_http_1(cloud_run: Server) -> None:
    """End-to-end HTTP/2 is off: its preface is refused at once, and an offer to change to it is passed over."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
    offer = (
        b"GET /health/ready HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
        b"http2-settings: AAMAAABkAAQAAP__\r\n\r\n"
    )
    answers = []
    for sent in (preface, offer):
        with socket.create_connection(("127.0.0.1", cloud_run.port), timeout=30) as client:
            client.sendall(sent)
            answers.append(client.recv(65_536))

    assert answers[0].startswith(b"HTTP/1.1 400 ")
    assert answers[1].startswith(b"HTTP/1.1 200 ")


def test_cloud_run_ends_it_in_the_midst_of_work(model_dir: Path) -> None:
    """SIGTERM while twenty clients wait: those who had asked get their answers, and the status is 0."""
    body = json.dumps({"model": "all-MiniLM-L6-v2", "input": ["word " * 100] * 4}).encode()
    with Server(model_dir, TARGET_LATENCY_MS="20000") as server:
        server.wait_until_ready()
        connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(20)]
        for connection in connections:
            connection.request("POST", "/v1/embeddings", body)
        server.ask("GET", "/ping")  # what was sent before has been read
        server.terminate()
        answers = [connection.getresponse() for connection in connections]
        statuses = {(answer.status, len(answer.read()) > 1000) for answer in answers}
        for connection in connections:
            connection.close()
        assert server.ended() == 0

    assert statuses == {(200, True)}


def test_eventarc_comes_again_after_a_failure_alone(model_dir: Path) -> None:
    """Structured events count like binary ones; what is no event is refused; a bucket that is away is a 500."""
    port = free_port()
    program = str(Path(sys.executable).with_name("functions-framework"))
    options = ["--target", "on_object", "--signature-type", "cloudevent", "--source", "gpu_service/main.py"]
    command = [program, *options, "--host", "127.0.0.1", "--port", str(port)]
    structured = {"content-type": "application/cloudevents+json"}
    mine, others = ({"bucket": "b", "name": f"{folder}/x.jsonl"} for folder in ("batch-input", "elsewhere"))
    with Server(model_dir, command=command, port=port, STORAGE_EMULATOR_HOST="127.0.0.1:1") as server:
        while True:
            try:
                passed = server.ask("POST", "/", EVENT | {"data": others}, structured).status
            except ConnectionError:
                continue  # it does not listen yet
            break
        nonsense = server.ask("POST", "/", b"no event").status
        away = server.ask("POST", "/", EVENT | {"data": mine}, structured).status
        server.terminate()
        assert server.ended() == 0

    assert (passed, nonsense, away) == (200, 400, 500)
