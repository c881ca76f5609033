"""One function process: started clean, listened to, and never left behind.

It is started in a session of its own, so that its whole group can be ended. Should this process be killed outright,
Linux ends the child (PR_SET_PDEATHSIG, bound to the thread that started it: the event loop's); elsewhere the runtime
loop ends itself, because the Runtime API it polls is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
COMMAND = (sys.executable, "-S", "-m", "functions.runtime")  # -S: nothing is importable but the zip's own content
MAX_LINE = 256 * 1024  # bytes of one log line, as in CloudWatch
TERM_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1


class FunctionProcess:
    """A running `functions.runtime`; its output goes line by line to `log`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Callable[[str], None]) -> None:
        self._process = process
        self._output = asyncio.create_task(self._read(log))

    @classmethod
    async def start(
        cls, task_root: Path, environment: Mapping[str, str], log: Callable[[str], None]
    ) -> FunctionProcess:
        """Start it in `task_root` with `environment` and, of our own, only what PASSED_ON names.

        Raises:
            OSError: it cannot be started, for instance because `task_root` is not there.
        """
        inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=task_root,
            env={**inherited, **environment, "PYTHONPATH": str(task_root), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            preexec_fn=_DIE_WITH_PARENT,  # one system call, which takes no lock
        )
        return cls(process, log)

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._process.pid

    async def ended(self) -> int:
        """Return the exit status (negative: the signal), once nothing of the process is left."""
        status = await self._process.wait()
        self.kill()
        await asyncio.wait([self._output], timeout=1)  # a grandchild that left the group could hold the pipe open
        self._output.cancel()
        return status

    def kill(self) -> None:
        """End the whole group at once."""
        self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask it to end, and kill it where it has not after two seconds."""
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), TERM_SECONDS)
        self.kill()
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses a group of zombies
            os.killpg(self.pid, number)

    async def _read(self, log: Callable[[str], None]) -> None:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 - asked for above
        rest = b""
        while data := await stream.read(1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > MAX_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                log(line.decode("utf-8", "replace"))
        if rest:
            log(rest.decode("utf-8", "replace"))


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_DIE_WITH_PARENT = _die_with_parent()
