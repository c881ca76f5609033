"""A child process that is watched while it starts, named when it fails, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

POLL_SECONDS = 0.02
WATCH_SECONDS = 0.25
_TAKEN = "already in use"  # however each program begins that sentence
_PR_SET_PDEATHSIG = 1


class LocalError(Exception):
    """Something a person can put right; its message is one sentence that says what and how."""


class PortTakenError(LocalError):
    """A child could not have the port that was free when it was chosen."""


class Child:
    """One process in a session of its own, with its output in a log file, from its byte `begin` on."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path, begin: int = 0) -> None:
        self.name = name
        self.process = process
        self.log = log
        self._begin = begin

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
            begin = output.tell()
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
        return cls(name, process, log, begin)

    async def until(self, ready: Callable[[], bool], *, seconds: float, hint: str = "") -> None:
        """Wait until `ready`; a child that ends or dawdles is a LocalError with the last line of its log.

        Raises:
            PortTakenError: it ended because somebody else has its port.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None and not ready():  # it may have been its last act
                kind = PortTakenError if _TAKEN in self._said().lower() else LocalError
                raise kind(f"{self.name} ended while starting ({self.last_words()}).{hint and ' ' + hint}")
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
        words = next((line.strip() for line in reversed(self._said().split("\n")) if line.strip()), "")
        return words[-300:] or f"exit status {self.process.poll()}"

    def _said(self) -> str:
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(self._begin)
            return file.read().decode(errors="replace")
        return ""


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


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses a group of zombies
        os.killpg(process.pid, number)


def die_with_parent() -> Callable[[], None] | None:
    """Make Linux end the child when this process is killed and can no longer do it itself."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
