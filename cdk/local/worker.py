"""An execution environment: one function process with its Runtime API, serving one invocation at a time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cdk.local.invocation import FunctionError, FunctionTimeout, InitError
from cdk.local.process import FunctionProcess
from cdk.local.runtime_api import RuntimeApi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cdk.local.invocation import Invocation

INIT_SECONDS = 30.0  # Lambda allows 10; a busy laptop is given more
_EXPIRY_MARGIN = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """A Lambda function as the template defines it.

    Attributes:
        name: What it is invoked by, usually its logical id.
        handler: Import path of the handler, `package.module.function`.
        task_root: The unpacked zip.
        environment: Its variables, intrinsics resolved.
        timeout_s: Of one invocation, in seconds.
        max_processes: Its concurrency here.
        function_name: Its physical name, for ARNs and AWS_LAMBDA_FUNCTION_NAME; `name` where empty.
        arn: Told to the function with each event.
    """

    name: str
    handler: str
    task_root: Path
    environment: Mapping[str, str]
    timeout_s: float
    memory_mb: int = 128
    max_processes: int = 4
    function_name: str = ""
    arn: str = ""


class Credentials(NamedTuple):
    """What STS gives for the function's role; `expires_at` in seconds since the epoch."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires_at: float = float("inf")


class Worker:
    """One process; `on_ready(worker)` each time it asks for an event, `on_gone(worker, error)` once at its end."""

    def __init__(
        self,
        spec: FunctionSpec,
        *,
        log: Callable[[str, str], None],
        on_ready: Callable[[Worker], None],
        on_gone: Callable[[Worker, InitError], None],
    ) -> None:
        self.ready = False
        self.idle_since = 0.0
        self._spec = spec
        self._log = log
        self._on_ready = on_ready
        self._on_gone = on_gone
        self._api = RuntimeApi(timeout_s=spec.timeout_s, on_ready=self._polled, on_init_error=self._init_failed)
        self._process: FunctionProcess | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._error: InitError | None = None
        self._replace_at = float("inf")

    @property
    def pid(self) -> int | None:
        """The process id, once it runs."""
        return self._process.pid if self._process else None

    @property
    def expiring(self) -> bool:
        """Whether its credentials might not last for another invocation."""
        return time.time() > self._replace_at

    async def start(self, credentials: Credentials | None) -> None:
        """Start the process; `on_ready` or `on_gone` tell how that went.

        Raises:
            OSError: it cannot be started at all.
        """
        address = await self._api.open()
        if credentials:
            self._replace_at = _replace_at(credentials, self._spec.timeout_s)
        environment = _environment(self._spec, address, credentials)
        try:
            self._process = await FunctionProcess.start(self._spec.task_root, environment, self._say)
        except OSError:
            await self._api.close()
            raise
        self._timer = asyncio.get_running_loop().call_later(INIT_SECONDS, self._init_timed_out)
        self._watcher = asyncio.create_task(self._watch(self._process))

    def run(self, invocation: Invocation) -> None:
        """Hand `invocation` over; the deadline starts to run."""
        invocation.arn = self._spec.arn
        invocation.on_done = self._done
        self._timer = asyncio.get_running_loop().call_later(self._spec.timeout_s, self._timed_out, invocation)
        self._api.hand(invocation)

    async def stop(self) -> None:
        """End the process; what it was doing fails."""
        if self._process:
            await self._process.stop()
        if self._watcher:
            await self._watcher

    def _polled(self) -> None:
        if not self.ready:
            self._cancel_timer()
            self.ready = True
        self._on_ready(self)

    def _done(self) -> None:
        self._cancel_timer()

    def _init_failed(self, error: InitError) -> None:
        self._error = error
        self._say(f"INIT_REPORT {error}")

    def _init_timed_out(self) -> None:
        self._init_failed(InitError("Sandbox.Timedout", f"It asked for no event within {INIT_SECONDS:.0f} s."))
        self._kill()

    def _timed_out(self, invocation: Invocation) -> None:
        message = f"{invocation.request_id} Task timed out after {self._spec.timeout_s:.2f} seconds"
        self._say(message)
        invocation.end(FunctionTimeout("Sandbox.Timedout", message))
        self._kill()

    def _kill(self) -> None:
        if self._process:
            self._process.kill()

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _say(self, line: str) -> None:
        self._log(self._spec.name, line)

    async def _watch(self, process: FunctionProcess) -> None:
        """See the process end, let what it still sent arrive, and account for what it left undone."""
        status = await process.ended()
        self._cancel_timer()
        await self._api.quiet()
        message = f"The process ended with status {status}."
        if self._api.current:
            self._api.current.end(FunctionError("Runtime.ExitError", message))
        await self._api.close()
        self._on_gone(self, self._error or InitError("Runtime.ExitError", message))


def _replace_at(credentials: Credentials, timeout_s: float) -> float:
    """Leave time for one more invocation, but use no credentials for less than half of their life."""
    left = credentials.expires_at - time.time()
    return credentials.expires_at - min(timeout_s + _EXPIRY_MARGIN, left / 2)


def _environment(spec: FunctionSpec, address: str, credentials: Credentials | None) -> dict[str, str]:
    name = spec.function_name or spec.name
    environment = {
        **spec.environment,
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"local/{address}",
        "AWS_LAMBDA_RUNTIME_API": address,
        "LAMBDA_TASK_ROOT": str(spec.task_root),
        "_HANDLER": spec.handler,
    }
    if credentials:
        environment["AWS_ACCESS_KEY_ID"] = credentials.access_key_id
        environment["AWS_SECRET_ACCESS_KEY"] = credentials.secret_access_key
        environment["AWS_SESSION_TOKEN"] = credentials.session_token
    return environment
