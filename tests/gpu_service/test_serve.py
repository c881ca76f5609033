"""The service as a process on a real socket: start, serve, stop."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.gpu_service.conftest import TOKEN
from tests.gpu_service.process import ROOT, Server
from tests.gpu_service.test_functions_framework import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from gpu_service.engine import Engine

BODY = {"model": "all-MiniLM-L6-v2", "input": "hello world"}
BEARER = {"authorization": f"Bearer {TOKEN}"}


def serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a `serve` that is expected to end by itself."""
    command = [sys.executable, "-m", "gpu_service", "serve", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("path", ["/v1/embeddings", "/invocations"])
def test_vectors_come_over_the_wire(path: str, server: Server, engine: Engine) -> None:
    """The process answers with the vectors that the engine computes here."""
    answer = server.ask("POST", path, BODY, BEARER)

    vector = answer.json["data"][0]["embedding"]
    assert answer.status == 200
    assert np.allclose(vector, engine.embed(["hello world"]).vectors[0], atol=1e-6)


def test_paths_behind_functions_framework_answer_like_the_others(server: Server) -> None:
    """Health, models and unknown paths go through functions-framework, and have our shapes and our request id."""
    ids = {"x-request-id": "mine"}
    live = server.ask("GET", "/health/live", headers=ids)
    models = server.ask("GET", "/v1/models", headers=ids | BEARER)
    nowhere = server.ask("GET", "/nowhere", headers=ids | BEARER)

    assert [answer.status for answer in (live, models, nowhere)] == [200, 200, 404]
    assert {answer.headers["x-request-id"] for answer in (live, models, nowhere)} == {"mine"}
    assert nowhere.json["error"]["code"] == "unknown_url"


def test_a_connection_lives_through_errors(server: Server) -> None:
    """400, 401, 404 and 405 in a row on one connection, and then an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    good = json.dumps(BODY)
    requests = [
        ("POST", "/v1/embeddings", "{", BEARER),
        ("POST", "/v1/embeddings", good, {}),
        ("GET", "/nowhere", None, BEARER),
        ("PUT", "/v1/embeddings", good, BEARER),
        ("POST", "/v1/embeddings", good, BEARER),
    ]

    def ask(method: str, path: str, body: str | None, headers: dict[str, str]) -> int:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
        return response.status

    with contextlib.closing(connection):
        connection.connect()
        own = connection.sock.getsockname()
        assert [ask(*request) for request in requests] == [400, 401, 404, 405, 200]
        assert connection.sock.getsockname() == own


def test_a_large_body_is_refused_and_not_cut_off(server: Server) -> None:
    """40 MB get their 413 although the limit is 6: the client may finish sending."""
    answer = server.ask("POST", "/v1/embeddings", b"x" * 40_000_000, BEARER)

    assert (answer.status, answer.json["error"]["code"]) == (413, "request_too_large")


def test_many_clients_at_once_get_their_own_vectors(server: Server, engine: Engine) -> None:
    """Forty requests of different lengths over eight connections: each is answered with its own text's vector."""
    texts = [f"text {number} " + "and more " * (number % 7) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda text: server.ask("POST", "/v1/embeddings", BODY | {"input": text}, BEARER), texts)
        )

    vectors = np.array([answer.json["data"][0]["embedding"] for answer in answers])
    assert ((vectors * engine.embed(texts).vectors).sum(axis=1) > 0.999999).all()


def test_a_stop_lets_what_is_under_way_finish(model_dir: Path) -> None:
    """SIGTERM in the middle of an upload: new connections are refused, the upload is answered, status 0, within 8 s."""
    body = json.dumps(BODY).encode()
    with Server(model_dir) as server:
        server.wait_until_ready()
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            head = f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            client.sendall(head + body[:10])
            server.ask("GET", "/ping")  # what was sent before has been read
            server.terminate()
            began = time.monotonic()
            wait_until_refused(server.port)
            client.sendall(body[10:])
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        status = server.ended()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.count(b'"object":"embedding"') == 1
    assert (status, time.monotonic() - began < 8) == (0, True)


def test_an_idle_server_stops_at_once(model_dir: Path) -> None:
    """SIGTERM with an idle kept-alive connection: status 0."""
    with Server(model_dir, ACCESS_LOG="off") as server:
        server.wait_until_ready()
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
            server.terminate()
            assert server.ended() == 0


def test_no_model_no_start(tmp_path: Path) -> None:
    """An empty model directory: one sentence on stderr that says what to do, status 1."""
    done = serve("--port", "0", MODEL_DIR=str(tmp_path))

    assert done.returncode == 1
    assert done.stderr == (
        f"gpu_service: There is no model in {tmp_path}: run `python -m gpu_service build --force --out {tmp_path}`.\n"
    )


def test_a_model_that_turns_out_broken_ends_the_server(model_dir: Path, tmp_path: Path) -> None:
    """A manifest without its files: the reason in one sentence, status 1, though the server already listened."""
    (tmp_path / "manifest.json").write_bytes((model_dir / "manifest.json").read_bytes())
    done = serve("--port", "0", MODEL_DIR=str(tmp_path))

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "model.onnx cannot be read: run `python -m gpu_service build" in done.stderr


def test_a_port_that_is_taken_is_told(server: Server) -> None:
    """The address and the reason in one sentence, status 1."""
    done = serve("--port", str(server.port))

    assert (done.returncode, done.stderr) == (
        1,
        f"gpu_service: 127.0.0.1:{server.port} cannot be listened on: Address already in use.\n",
    )


@pytest.mark.parametrize("ways", [["--host", "0.0.0.0"], []])  # noqa: S104 - it is refused
def test_the_world_is_not_let_in_unasked(ways: list[str], model_dir: Path) -> None:
    """On every interface without a token or a platform that checks: one sentence with every remedy, status 1."""
    done = serve(*ways, "--port", "0", MODEL_DIR=str(model_dir), GPU_SERVICE_HOST="0.0.0.0")  # noqa: S104 - as above

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert all(way in done.stderr for way in ("set GPU_SERVICE_TOKEN", "AUTH=identity", "AUTH=platform"))


def test_sagemaker_serves_where_it_is_told(model_dir: Path) -> None:
    """Its variables: SAGEMAKER_BIND_TO_PORT before PORT, the platform checks callers; /ping, then /invocations."""
    port = free_port()
    given = {"SAGEMAKER_BIND_TO_PORT": str(port), "PORT": "1", "GPU_SERVICE_AUTH": "platform"}
    command = [sys.executable, "-m", "gpu_service", "serve"]
    with Server(model_dir, command=command, port=port, GPU_SERVICE_HOST="0.0.0.0", **given) as server:  # noqa: S104 - as in its container
        server.wait_until_ready()
        answer = server.ask("POST", "/invocations", {"input": "hello world"})
        server.terminate()

        assert (answer.status, len(answer.json["data"][0]["embedding"])) == (200, 384)
        assert server.ended() == 0


def test_a_senseless_environment_is_told() -> None:
    """The variable and its value in one sentence, status 1."""
    done = serve(PORT="http")

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("gpu_service: PORT=http is not ")


def wait_until_refused(port: int) -> None:
    """Return as soon as nobody listens on `port`."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)
    raise AssertionError(f"Port {port} still takes connections.")


def test_what_is_loaded_is_out_of_the_collectors_sight() -> None:
    """A collection would look at a hundred thousand objects of libraries; and a worker gets the GIL at once."""
    told = "import gc, sys; from gpu_service import server; server.settle(); "
    told += "print(gc.get_freeze_count() > 10_000, len(gc.get_objects()) < 100, sys.getswitchinterval())"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True", "True", "0.0005"]
