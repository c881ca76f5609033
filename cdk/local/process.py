"""One function process: started clean, listened to, and never left behind.

It is started in a session of its own, so that its whole group can be ended. Should this process be killed outright,
Linux ends the child (PR_SET_PDEATHSIG, bound to the thread that started it: the event loop's); elsewhere the runtime
loop ends itself, because the Runtime API it polls is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from cdk.local.child import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
COMMAND = (sys.executable, "-S", "-m", "functions.runtime")  # -S: nothing is importable but the zip's own content
MAX_LINE = 256 * 1024  # bytes of one log line, as in CloudWatch
TERM_SECONDS = 2.0


class FunctionProcess:
    """A running `functions.runtime`; its output goes line by line to `log`."""

    def __init__(self, process: asyncio.subprocess.Process, output: Lines) -> None:
        self._process = process
        self._output = output

    @classmethod
    async def start(
        cls, task_root: Path, environment: Mapping[str, str], log: Callable[[str], None]
    ) -> FunctionProcess:
        """Start it in `task_root` with `environment` and, of our own, only what PASSED_ON names.

        Raises:
            OSError: it cannot be started, for instance because `task_root` is not there.
        """
        inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        reading, writing = os.pipe()  # not asyncio's: with one of those, `wait` waits for grandchildren too
        output = Lines(log)
        await asyncio.get_running_loop().connect_read_pipe(lambda: output, os.fdopen(reading, "rb", buffering=0))
        try:
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=task_root,
                env={**inherited, **environment, "PYTHONPATH": str(task_root), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                preexec_fn=_DIE_WITH_PARENT,  # one system call, which takes no lock
            )
        finally:
            os.close(writing)
        return cls(process, output)

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._process.pid

    async def ended(self) -> int:
        """Return the exit status (negative: the signal), once nothing of the process is left."""
        status = await self._process.wait()
        self.kill()
        await self._output.close(1.0)  # a grandchild that left the group could hold the pipe open
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


class Lines(asyncio.Protocol):
    """Cuts a pipe's bytes into lines of text."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None
        self._closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to close it."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Log what is complete, and what is too long to be waited for."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._log(line.decode("utf-8", "replace"))

    def connection_lost(self, _exc: Exception | None) -> None:
        """Log what never got its line's end."""
        if self._rest:
            self._log(self._rest.decode("utf-8", "replace"))
        self._closed.set_result(None)

    async def close(self, seconds: float) -> None:
        """Wait for the end of the pipe, and close it after `seconds`."""
        await asyncio.wait([self._closed], timeout=seconds)
        if self._transport:
            self._transport.close()


_DIE_WITH_PARENT = die_with_parent()
