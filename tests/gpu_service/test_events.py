"""A file of requests that lands in a bucket is answered into another one, once, behind functions-framework."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from gpu_service import events
from gpu_service.events import FINALIZED
from gpu_service.fleet import Fleet
from gpu_service.telemetry import Telemetry
from tests.gpu_service.process import Server
from tests.gpu_service.test_functions_framework import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

LINES = [
    {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/embeddings",
        "body": {"model": "all-MiniLM-L6-v2", "input": "hello world"},
    },
    {"custom_id": "b", "method": "POST", "url": "/v1/embeddings", "body": {"model": "other", "input": "x"}},
    {"custom_id": "c", "method": "POST", "url": "/v1/nothing", "body": {}},
    {"custom_id": "d", "method": "POST", "url": "/v1/embeddings"},
]


@contextmanager
def bucket(files: dict[str, bytes]) -> Iterator[str]:
    """A bucket of Google Cloud Storage that holds `files`; gives host:port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = unquote(urlsplit(self.path).path.rpartition("/o/")[2])
            self._answer(200 if name in files else 404, files.get(name, b""))

        def do_POST(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            content = self.rfile.read(int(self.headers["content-length"]))
            assert query["ifGenerationMatch"] == ["0"]
            is_new = query["name"][0] not in files
            files.setdefault(query["name"][0], content)
            self._answer(200 if is_new else 412, b"{}")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_that_lands_is_answered_once(model_dir: Path) -> None:
    """Every line has an answer or its own error, in order; a second event and other files change nothing."""
    content = b"".join(json.dumps(line).encode() + b"\n" for line in LINES) + b"no json\n\n"
    files = {"batch-input/day 1.jsonl": content, "elsewhere/x.jsonl": content}
    port = free_port()
    program = str(Path(sys.executable).with_name("functions-framework"))
    options = ["--target", "on_object", "--signature-type", "cloudevent", "--source", "gpu_service/main.py"]
    command = [program, *options, "--host", "127.0.0.1", "--port", str(port)]
    with (
        bucket(files) as address,
        Server(model_dir, command=command, port=port, STORAGE_EMULATOR_HOST=address) as server,
    ):
        first = happen(server, "batch-input/day 1.jsonl")
        answers = [json.loads(line) for line in files["batch-output/day 1.jsonl"].splitlines()]
        files["batch-output/day 1.jsonl"] = b"left alone"
        others = [
            happen(server, name) for name in ("batch-input/day 1.jsonl", "elsewhere/x.jsonl", "batch-input/y.csv")
        ]
        server.terminate()
        assert server.ended() == 0

    assert [first, *others] == [200] * 4
    assert [answer["custom_id"] for answer in answers] == ["a", "b", "c", "d", None]
    assert [answer["response"]["status_code"] for answer in answers] == [200, 404, 404, 400, 400]
    assert round(answers[0]["response"]["body"]["data"][0]["embedding"][0], 4) == -0.0345
    assert answers[3]["response"]["body"]["error"]["param"] == "body"
    assert sorted(files) == ["batch-input/day 1.jsonl", "batch-output/day 1.jsonl", "elsewhere/x.jsonl"]
    assert files["batch-output/day 1.jsonl"] == b"left alone"


def test_a_file_that_is_too_large_is_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not read to its end, nothing is written, and the log says so."""
    files = {"batch-input/x.jsonl": b"{}\n" * 100}
    monkeypatch.setattr(events, "MOST_BYTES", 90)
    with bucket(files) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        data = {"bucket": "b", "name": "batch-input/x.jsonl"}
        assert not asyncio.run(events.landed(Fleet({}, Telemetry()), FINALIZED, data))

    assert list(files) == ["batch-input/x.jsonl"]
    assert json.loads(capsys.readouterr().out)["event"] == "batch_refused"


def happen(server: Server, name: str) -> int:
    """Tell of a file as Eventarc does."""
    headers = {
        "ce-id": "1",
        "ce-source": "//storage.googleapis.com/projects/_/buckets/b",
        "ce-specversion": "1.0",
        "ce-type": FINALIZED,
        "content-type": "application/json",
    }
    body: dict[str, Any] = {"bucket": "b", "name": name}
    for _ in range(300):
        try:
            return server.ask("POST", "/", body, headers).status
        except ConnectionError:
            threading.Event().wait(0.05)  # it does not listen yet
    raise AssertionError("The server did not start.")
