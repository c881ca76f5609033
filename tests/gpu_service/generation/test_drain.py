"""SIGTERM in the middle of a stream: it finishes, or says that it cannot, and the process ends in time."""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.gpu_service import tiny
from tests.gpu_service.generation import llama
from tests.gpu_service.process import Server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models.toml with a Llama that writes for long."""
    root = tmp_path_factory.mktemp("patient")
    size = llama.TINY._replace(hidden=256, layers=4, wide=1024)
    sums = llama.write(root / "m", context=16_384, size=size)
    entry = {"task": "generation", "source": "m", "sha256": sums, "eos": [llama.END], "max_tokens": 16_384, "slots": 1}
    return tiny.models_toml(root / "models.toml", patient=entry)


def streamed(server: Server, tokens: int) -> tuple[list[Any], float]:
    """Begin a stream, send SIGTERM behind its first piece; gives its events and the seconds until the end."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    body = {"model": "patient", "prompt": "a", "max_tokens": tokens, "temperature": 0, "stream": True}
    connection.request("POST", "/v1/completions", json.dumps(body))
    answer = connection.getresponse()
    first = answer.readline()
    server.terminate()
    began = time.monotonic()
    lines = [line.removeprefix(b"data: ").strip() for line in (first + answer.read()).split(b"\n\n") if line.strip()]
    assert server.ended() == 0
    connection.close()
    return lines, time.monotonic() - began


def test_a_stream_finishes_after_the_signal(patient: Path) -> None:
    """Every token comes, then the end, and the exit status is 0."""
    with Server(None, MODELS=str(patient)) as server:
        server.wait_until_ready()
        lines, _ = streamed(server, 200)

    assert lines[-1] == b"[DONE]"
    assert json.loads(lines[-2])["choices"][0]["finish_reason"] == "length"


def test_a_stream_that_would_take_too_long_is_told(patient: Path) -> None:
    """With two seconds to drain, sixteen thousand tokens end in an error event and [DONE] after one."""
    with Server(None, MODELS=str(patient), DRAIN_SECONDS="2") as server:
        server.wait_until_ready()
        lines, seconds = streamed(server, 16_000)

    assert lines[-1] == b"[DONE]"
    assert json.loads(lines[-2])["error"]["code"] == "not_ready"
    assert seconds < 8
