"""A run that never returns, for real: its requests are told, the service is no more ready, and it recovers or ends."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.gpu_service import hanging
from tests.gpu_service.process import Answer, Server
from tests.gpu_service.test_functions_framework import free_port

if TYPE_CHECKING:
    from pathlib import Path

SOON: dict[str, Any] = {"STUCK_MIN_MS": "1000", "DEADLINE_MS": "1200", "CACHE_MB": "0"}
PROBES = ("/ping", "/health", "/health/ready", "/health/live")


def embed(server: Server, text: str) -> Answer:
    """Ask for the vector of `text`."""
    return server.ask("POST", "/v1/embeddings", {"model": hanging.MODEL, "input": text})


def statuses(server: Server) -> set[int]:
    """What the probes say."""
    return {server.ask("GET", path).status for path in PROBES}


def test_a_run_that_heeds_its_end_costs_its_request_alone(tmp_path: Path) -> None:
    """504 for who was in it, the others on other workers get their vectors, and the service is ready again."""
    models = hanging.models_toml(tmp_path, heeds=True)
    with Server(None, MODELS=str(models), INFERENCE_WORKERS="2", **SOON) as server, ThreadPoolExecutor() as others:
        server.wait_until_ready()
        stuck = others.submit(embed, server, hanging.HANGS)
        before = [embed(server, hanging.RUNS).status for _ in range(3)]
        answer = stuck.result()
        told = [server.event("stuck")["models"], server.event("recovered")["event"]]
        server.wait_until_ready()

        assert (answer.status, answer.json["error"]["code"]) == (504, "run_timeout")
        assert before == [200] * 3
        assert told == [[hanging.MODEL], "recovered"]
        assert statuses(server) == {200}
        assert embed(server, hanging.RUNS).status == 200


def test_a_run_that_never_ends_ends_the_process(tmp_path: Path) -> None:
    """Probes fail, live and ready alike, its request gets 504 and new ones 503, and the platform sees status 1."""
    models = hanging.models_toml(tmp_path, heeds=False)
    with Server(None, MODELS=str(models), STUCK_GRACE_MS="1500", DRAIN_SECONDS="2", **SOON) as server:
        server.wait_until_ready()
        began = time.monotonic()
        with ThreadPoolExecutor() as others:
            stuck = others.submit(embed, server, hanging.HANGS)
            assert server.event("stuck")["models"] == [hanging.MODEL]
            probed, refused = statuses(server), embed(server, hanging.RUNS)
            counted = f'gpu_service_stuck_runs{{model="{hanging.MODEL}"}} 1'
            assert counted in server.ask("GET", "/metrics").body.decode().splitlines()
            answer = stuck.result()

        assert probed == {503}
        assert (refused.status, refused.json["error"]["code"]) == (503, "not_ready")
        assert int(refused.headers["retry-after"]) > 0
        assert (answer.status, answer.json["error"]["code"]) == (504, "run_timeout")
        assert server.event("leaving")["models"] == [hanging.MODEL]
        assert server.ended() == 1
        assert time.monotonic() - began < 30


@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn needs a POSIX system")
def test_functions_framework_gets_a_new_worker(tmp_path: Path) -> None:
    """Its worker ends itself, gunicorn starts another one, and that one serves."""
    models, port = hanging.models_toml(tmp_path, heeds=False), free_port()
    command = [sys.executable, "-m", "functions_framework", "--target", "gpu_service"]
    command += ["--source", "gpu_service/main.py", "--host", "127.0.0.1", "--port", str(port)]
    environment = {"MODELS": str(models), "STUCK_GRACE_MS": "500", "DRAIN_SECONDS": "2", **SOON}
    with Server(None, command=command, port=port, **environment) as server:
        try:
            server.wait_until_ready()
            assert embed(server, hanging.HANGS).status == 504
            server.event("leaving")
            deadline = time.monotonic() + 60
            while not _serves(server) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert _serves(server)
        finally:
            server.process.terminate()
            try:
                server.process.wait(20)
            except subprocess.TimeoutExpired:
                server.process.kill()


def _serves(server: Server) -> bool:
    try:
        return embed(server, hanging.RUNS).status == 200
    except OSError:
        return False
