"""Starts `nexus local` for the tests, and the provider that it takes for OpenAI."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.trace import descendants

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
NEXUS = str(Path(sys.executable).with_name("nexus"))
UPSTREAM_KEY = "sk-upstream-canary-4242"
CHAT = "gpt-5-mini"  # served by the provider that the tests start
SLASHED = "acme/chat-1"
DOWN = "nobody-home"
THRICE = "three-targets"  # each try goes to another target, so that no pause is made between them
PRICED = "three-prices"  # the same, each has another price, and a second one is asked where the first is slow
EMBEDDING = "all-MiniLM-L6-v2"
OWN = {"tiny-ranker": "rerank", "tiny-moderator": "moderation", "tiny-llama": "chat"}  # by the GPU service, for real
START_SECONDS = 90.0
PATIENT = "[resilience]\nbreaker_failures = 1000\n"  # tests of single faults do not shut one another out

_MORE_MODELS = f"""
[providers.nobody]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"

[models."{SLASHED}"]
kind = "chat"
targets = ["openai"]
owned_by = "acme"

[models.{THRICE}]
kind = "chat"
targets = ["openai", "openai:second", "openai:third"]
owned_by = "acme"

[models.{PRICED}]
kind = "chat"
targets = ["openai:gpt-5.4-mini", "openai:gpt-5.4-nano", "openai:gpt-5.6-luna"]
owned_by = "acme"
hedge_seconds = 0.3

[models.{DOWN}]
kind = "chat"
targets = ["nobody"]
owned_by = "acme"
"""


_OWN = "".join(
    f"""
[models.{name}]
kind = "{kind}"
targets = ["gpu_service"]
owned_by = "acme"
"""
    for name, kind in OWN.items()
)


class Keeper(subprocess.Popen[bytes]):
    """A process that may outlive the one that started it: another test process may be the one to `end` it."""

    def __del__(self) -> None:
        """Complain of nothing."""


_started: dict[int, Keeper] = {}


@dataclass(frozen=True)
class Stack:
    """A running stack: what its ready file says, and where its provider listens (the root, without `/v1`)."""

    base_url: str
    admin_key: str
    client_key: str
    models: list[str]
    upstream: str
    process: int
    state: str

    @property
    def logs(self) -> Path:
        """Return the folder of its logs."""
        return Path(self.state, "logs")


def catalog(folder: Path, more: str = "") -> Path:
    """Write the shipped catalog, with `more` and some models: one's name has a slash, another's provider is down."""
    path = folder / "catalog.toml"
    path.write_text((ROOT / "shared/data/catalog.toml").read_text() + _MORE_MODELS + _OWN + more)
    return path


def environment(upstream: str | None) -> dict[str, str]:
    """Return the surroundings of a stack: the provider's own variables only if there is an `upstream`."""
    own = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    return {**own, "OPENAI_API_KEY": UPSTREAM_KEY, "OPENAI_BASE_URL": f"{upstream}/v1"} if upstream else own


def start_provider(folder: Path, guarded: int) -> tuple[str, int]:
    """Start the simulated provider; returns its root and its keeper."""
    port = free_port()
    process = keep([sys.executable, "-m", "cdk.local.simulated", "--port", str(port)], guarded, folder / "provider.log")
    until(lambda: listens(port), process, folder / "provider.log")
    return f"http://127.0.0.1:{port}", process.pid


def start(
    folder: Path,
    state: Path,
    guarded: int,
    upstream: str | None,
    *,
    more: Mapping[str, str] | None = None,
    lines: str = PATIENT,
) -> Stack:
    """Start a stack on a free port and wait until it is ready; `guarded` is the process it must not outlive.

    `more` is added to its environment, and `lines` to its catalog.

    Raises:
        RuntimeError: it ended, or is not ready in time; the message has its last words.
    """
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    command = [NEXUS, "local", "--port", "0", "--state-dir", str(state), "--ready-file", str(ready)]
    if upstream:
        command += ["--catalog", str(catalog(folder, lines))]
    process = keep(command, guarded, folder / "nexus.log", environment(upstream) | dict(more or {}))
    until(ready.exists, process, folder / "nexus.log")
    told = json.loads(ready.read_text())
    shown = {name: told[name] for name in ("base_url", "admin_key", "client_key", "models")}
    return Stack(**shown, upstream=upstream or "", process=process.pid, state=str(state))


def keep(command: list[str], guarded: int, log: Path, environment: Mapping[str, str] | None = None) -> Keeper:
    """Run `command` under a keeper, with its output in `log`."""
    kept = [sys.executable, "-m", "tests.e2e.keeper", str(guarded), *command]
    with log.open("ab") as output:
        process = Keeper(
            kept,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )
    _started[process.pid] = process
    return process


def end(keeper: int) -> None:
    """Stop what `keeper` keeps and wait until it is gone; another test process may have started it."""
    os.kill(keeper, signal.SIGTERM)
    if keeper in _started:
        _started.pop(keeper).wait()
    while descendants(keeper):
        time.sleep(0.05)


def free_port() -> int:
    """Return a loopback port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Tell whether somebody listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(done: object, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until `done()`.

    Raises:
        RuntimeError: the process ended, or it takes too long; the message has the last words of `log`.
    """
    deadline = time.monotonic() + START_SECONDS
    while not done():  # type: ignore[operator]
        if process.poll() is not None or time.monotonic() > deadline:
            words = log.read_text(errors="replace")[-2000:]
            process.terminate()
            process.wait()
            raise RuntimeError(f"not ready: {process.args!r}\n{words}")
        time.sleep(0.05)
