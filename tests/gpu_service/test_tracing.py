"""Spans go to a collector where one is named: the caller's trace goes on, nothing of what was asked is in it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gpu_service.tracing import PHASES, Tracing
from shared.edge.settings import SettingsError
from tests.gpu_service import tiny
from tests.gpu_service.collector import Collector, attributes, collecting
from tests.gpu_service.generation import llama
from tests.gpu_service.process import Server

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "all-MiniLM-L6-v2"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {
    "traceparent": f"00-{TRACE}-{PARENT}-01",
    "tracestate": "vendor=1",
    "baggage": "user=ada-lovelace",
    "x-request-id": "mine",
    "authorization": "Bearer a-shared-secret",
    "user-agent": "ada-lovelace/1",
}
SECRETS = (b"confidential", b"a-shared-secret", b"ada-lovelace")
UNUSED = """
import os, sys
import gpu_service.server
from gpu_service.main import application
assert application()
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def trace(model_dir: Path | None, collector: Collector, *asked: tuple[str, Any], **environment: Any) -> list[int]:
    """Have a process answer what is `asked`, stop it, and give the statuses; what was not sent yet is, at the end."""
    with Server(model_dir, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **environment) as server:
        server.wait_until_ready()
        statuses = [server.ask("POST", path, body, HEADERS).status for path, body in asked]
        server.terminate()
        assert server.ended() == 0
    return statuses


def test_a_request_is_told_with_its_phases(model_dir: Path) -> None:
    """One span of the server's below the caller's, its phases below that in order, the conventions' names."""
    body = {"model": MODEL, "input": ["confidential words", "confidential words"], "user": "ada-lovelace"}
    with collecting() as collector:
        statuses = trace(model_dir, collector, ("/v1/embeddings", body), GPU_SERVICE_TOKEN="a-shared-secret")

    spans = {span.name: span for span in collector.spans}
    whole = spans.pop("POST /v1/embeddings")
    assert (statuses, len(collector.spans), tuple(spans)) == ([200], 4, PHASES)
    assert (whole.trace_id.hex(), whole.parent_span_id.hex(), whole.kind) == (TRACE, PARENT, Span.SPAN_KIND_SERVER)
    assert whole.trace_state == "vendor=1"
    assert {(span.trace_id, span.parent_span_id) for span in spans.values()} == {(whole.trace_id, whole.span_id)}
    times = [time for span in spans.values() for time in (span.start_time_unix_nano, span.end_time_unix_nano)]
    assert [whole.start_time_unix_nano, *times, whole.end_time_unix_nano] == sorted(
        [whole.start_time_unix_nano, *times, whole.end_time_unix_nano]
    )
    assert abs(whole.end_time_unix_nano / 1e9 - time.time()) < 60
    assert attributes(whole.attributes) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.request.header.x-request-id": ["mine"],
        "http.route": "/v1/embeddings",
        "url.path": "/v1/embeddings",
        "url.scheme": "http",
    }
    assert attributes(spans["inference"].attributes) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "gpu_service",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
        "gen_ai.usage.input_tokens": 8,
        "gpu_service.rows": 2,
        "gpu_service.cached": 1,
    }
    assert collector.resources[0]["service.name"] == "gpu_service"
    assert not any(secret in sent for secret in SECRETS for sent in collector.bodies)


def test_refusals_and_strangers_paths_are_told_without_their_words(model_dir: Path) -> None:
    """A 404 has no route; a 400 is no error of the server's; probes are not told; the environment names the service."""
    with collecting() as collector:
        asked = [("/confidential", b""), ("/v1/embeddings", b"{confidential")]
        named = {"OTEL_SERVICE_NAME": "embedder", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
        assert trace(model_dir, collector, *asked, **named) == [404, 400]

    assert [span.name for span in collector.spans] == ["POST", "POST /v1/embeddings"]
    assert {span.status.code for span in collector.spans} == {Status.STATUS_CODE_UNSET}
    assert collector.resources[0]["service.name"] == "embedder"
    assert not any(secret in sent for secret in SECRETS for sent in collector.bodies)


def test_generated_answers_are_told_whole_and_streamed(tmp_path: Path) -> None:
    """One phase each, with the tokens read and written, however the answer came."""
    entry = {"task": "generation", "source": "m", "sha256": llama.write(tmp_path / "m"), "max_tokens": 128}
    models = tiny.models_toml(tmp_path / "models.toml", m=entry)
    body = {"model": "m", "prompt": "a b", "max_tokens": 4}
    asked = [("/v1/completions", body), ("/v1/completions", body | {"stream": True}), ("/invocations", body)]
    with collecting() as collector:
        assert trace(None, collector, *asked, MODELS=str(models)) == [200, 200, 200]

    told = [attributes(span.attributes) for span in collector.spans if span.name == "inference"]
    assert [span.name for span in collector.spans].count("POST /v1/completions") == 2
    assert [one["gen_ai.operation.name"] for one in told] == ["text_completion"] * 3
    used = [(one["gen_ai.usage.input_tokens"], one["gen_ai.usage.output_tokens"]) for one in told]
    assert used == [(used[0][0], 4)] * 3
    assert [one["gpu_service.rows"] for one in told] == [1] * 3


@pytest.mark.parametrize(("status", "answers"), [(400, True), (200, False)], ids=["refuses", "never answers"])
def test_a_collector_that_is_away_touches_no_request(status: int, *, answers: bool, model_dir: Path) -> None:
    """Requests are answered, and the end waits for it a moment at most; a refusal is told to the log."""
    body = {"model": MODEL, "input": "words"}
    with (
        collecting(status=status, answers=answers) as collector,
        Server(model_dir, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="1") as server,
    ):
        server.wait_until_ready()
        assert [server.ask("POST", "/v1/embeddings", body).status for _ in range(5)] == [200] * 5
        if answers:
            assert "400" in server.event("tracing_lost")["reason"]
        server.terminate()
        began = time.monotonic()
        assert server.ended() == 0
        assert time.monotonic() - began < 8


def test_nothing_is_loaded_unasked(model_dir: Path) -> None:
    """Without the variables, or switched off, not one module of OpenTelemetry is imported."""
    for environment in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}):
        done = subprocess.run(
            [sys.executable, "-c", UNUSED],
            env={"MODEL_DIR": str(model_dir), **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc is not spoken"),
        ({}, "OpenTelemetry is not installed: run `pip install"),
    ],
)
def test_what_cannot_be_done_is_told(environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another protocol, or packages that are not there: one sentence with the remedy."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=said):
        Tracing.of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", **environment})
