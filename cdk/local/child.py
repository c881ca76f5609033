"""A child process that is watched while it starts, named when it fails, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

POLL_SECONDS = 0.02
WATCH_SECONDS = 0.25
_PR_SET_PDEATHSIG = 1


class LocalError(Exception):
    """Something a person can put right; its message is one sentence that says what and how."""


class Child:
    """One process in a session of its own, with its output in a log file."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> Child:
        """Start `command`; a signal typed at the terminal does not reach it, the end of this process does."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=None if environment is None else dict(environment),
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call, which takes no lock
            )
        return cls(name, process, log)

    async def until(self, ready: Callable[[], bool], *, seconds: float, hint: str = "") -> None:
        """Wait until `ready`; a child that ends or dawdles is a LocalError with the last line of its log."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None and not ready():  # it may have been its last act
                raise LocalError(f"{self.name} ended while starting ({self.last_words()}).{hint and ' ' + hint}")
            if time.monotonic() > deadline:
                raise LocalError(f"{self.name} was not ready after {seconds:.0f} s; its log is {self.log}.")
            await asyncio.sleep(POLL_SECONDS)

    async def ended(self) -> int:
        """Return the exit status once the process has ended."""
        while (status := self.process.poll()) is None:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(WATCH_SECONDS)
        return status

    def stop(self, grace: float = 4.0) -> None:
        """End this child and everything it started."""
        stop_all([self], grace)

    def last_words(self) -> str:
        """Return the last line of the log, or the exit status when it said nothing."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").split("\n")
            if words := next((line.strip() for line in reversed(lines) if line.strip()), ""):
                return words[-300:]
        return f"exit status {self.process.poll()}"


def stop_all(children: Iterable[Child], grace: float = 4.0) -> None:
    """Ask all of them to end at once, wait together, and kill what is left after `grace` seconds."""
    alive = [child.process for child in children if child.process.poll() is None]
    for process in alive:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + grace
    for process in alive:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.01, deadline - time.monotonic()))
    for process in alive:
        _signal(process, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """Return a loopback port nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses a group of zombies
        os.killpg(process.pid, number)


def die_with_parent() -> Callable[[], None] | None:
    """Make Linux end the child when this process is killed and can no longer do it itself."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
