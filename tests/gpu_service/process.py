"""The service as a process of its own, and plain HTTP to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
_PATIENCE = 60.0  # seconds; nothing here should take one


class Answer(NamedTuple):
    """Status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Server:
    """`python -m gpu_service serve`, or another `command` that serves on `port`; ended when the `with` ends."""

    def __init__(
        self, model_dir: Path | None, *, command: list[str] | None = None, port: int = 0, **environment: str
    ) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COV_CORE")}
        self.process = subprocess.Popen(
            command or [sys.executable, "-m", "gpu_service", "serve", "--port", str(port)],
            cwd=ROOT,
            env={**inherited, **({"MODEL_DIR": str(model_dir)} if model_dir else {}), **environment},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port = port or self.event("listening")["port"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):  # it has ended in order
            os.killpg(self.process.pid, signal.SIGKILL)  # functions-framework's workers outlive it, and hold the pipe
        self.process.communicate()

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def event(self, name: str) -> dict[str, Any]:
        """Read the log up to the next line that tells of `name`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told: dict[str, Any] = json.loads(line)
            if told["event"] == name:
                return told
        raise AssertionError(f"The server ended ({self.process.wait()}) without telling of {name}.")

    def wait_until_ready(self) -> None:
        """Ask `/ping` until it says yes."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            try:
                if self.ask("GET", "/ping").status == 200:
                    return
            except ConnectionError:
                pass  # it does not listen yet
            time.sleep(0.02)
        raise AssertionError("The server did not become ready.")

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Make one request on a connection of its own; a body that is no bytes is sent as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        try:
            connection.request(method, path, data, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def terminate(self) -> None:
        """Ask it to stop, as both clouds do."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for its end; returns the exit status."""
        self.process.communicate(timeout=_PATIENCE)
        return self.process.returncode
