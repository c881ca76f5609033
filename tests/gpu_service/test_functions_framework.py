"""functions-framework's own command serves the same application."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.gpu_service.process import Server

if TYPE_CHECKING:
    import pytest

    from tests.gpu_service.process import Answer

IMPORT = """
import sys, threading
import gpu_service.main
assert gpu_service.main.application.cache_info().currsize == 0
print(threading.active_count())
"""


def test_the_command_of_functions_framework_serves_it(model_dir: Path) -> None:
    """`functions-framework --target gpu_service`: the first probe starts the loading, then vectors come; SIGTERM, 0."""
    port = free_port()
    with Server(model_dir, command=command(port), port=port) as server:
        server.wait_until_ready()
        answer = server.ask("POST", "/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": "hello world"})
        refused = server.ask("GET", "/v1/embeddings")
        server.terminate()
        assert server.ended() == 0

    assert round(answer.json["data"][0]["embedding"][0], 4) == -0.0345
    assert (refused.status, refused.json["error"]["code"]) == (405, "method_not_allowed")


def test_importing_the_entry_point_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is imported before the fork: no settings are read, no thread is started, a wrong environment does no harm."""
    monkeypatch.setenv("PORT", "nonsense")

    done = subprocess.run([sys.executable, "-c", IMPORT], env=os.environ, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "1"


def test_a_wrong_environment_is_told_to_the_log(tmp_path: Path) -> None:
    """Each request gets 503 in the usual envelope, and no traceback; the reason, which names paths, is in the log."""
    port = free_port()
    with Server(None, command=command(port), port=port, MODELS=str(tmp_path / "none.toml")) as server:
        answer = asked(server)
        assert (answer.status, answer.json["error"]["code"]) == (503, "not_ready")
        told = server.event("not_ready")
        server.terminate()
        server.ended()

    assert "none.toml" not in answer.body.decode()
    assert "none.toml cannot be read" in told["error"]


def asked(server: Server) -> Answer:
    """Ask `/ping` once it listens."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            return server.ask("GET", "/ping")
        except ConnectionError:
            time.sleep(0.02)
    raise AssertionError("Nobody listens.")


def command(port: int) -> list[str]:
    """Give the command that serves every path on `port`."""
    program = str(Path(sys.executable).with_name("functions-framework"))
    options = ["--target", "gpu_service", "--source", "gpu_service/main.py", "--host", "127.0.0.1", "--port", str(port)]
    return [program, *options]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
