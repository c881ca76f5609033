"""The whole local stack as a benchmark's subject, and the processor time of its function processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.e2e.trace import environments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NEXUS = Path(sys.executable).with_name("nexus")
START_SECONDS = 180


class Stack(NamedTuple):
    """A running stack: what its ready file says, its process, and the seconds it took to start."""

    base_url: str
    client_key: str
    pid: int
    seconds: float

    def processes(self, handler: str) -> dict[int, dict[str, str]]:
        """Process ids of those that serve `handler` now, each with its environment."""
        return {pid: env for pid, env in environments(self.pid) if env.get("_HANDLER") == handler}

    def environment(self, handler: str) -> dict[str, str]:
        """What the function that `handler` serves was told."""
        return next(iter(self.processes(handler).values()))


@contextmanager
def running(state: Path) -> Iterator[Stack]:
    """Start `nexus local` on a free port with the state folder `state`, and end it."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready.json")
        command = [str(NEXUS), "local", "--port", "0", "--state-dir", str(state), "--ready-file", str(ready)]
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            facts = _wait(ready, process)
            yield Stack(facts["base_url"], facts["client_key"], process.pid, time.monotonic() - began)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Seconds that all threads of `pids` have spent on a processor so far."""
    threads = (path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


def _wait(ready: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    for _ in range(START_SECONDS * 20):
        if ready.exists():
            facts: dict[str, Any] = json.loads(ready.read_text())
            return facts
        if process.poll() is not None:
            assert process.stderr is not None
            raise RuntimeError(f"The stack did not start: {process.stderr.read().decode()}")
        time.sleep(0.05)
    raise TimeoutError("The stack did not become ready.")
