"""The processes of all functions: as many as there are requests at once, up to a bound; then a line, then no more."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from cdk.local.invocation import InitError, Invocation, PayloadTooLarge, Throttled, payload_of
from cdk.local.worker import Credentials, FunctionSpec, Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    CredentialsProvider = Callable[[str], Awaitable[Credentials]]
    LogSink = Callable[[str, str], None]  # (function, line)

__all__ = ["Credentials", "FunctionSpec", "Pool"]

MAX_EVENT = 6 * 1024 * 1024  # bytes of JSON, as Lambda measures them
MAX_WAITING = 256  # callers of one function that wait for a process beyond its last one
IDLE_SECONDS = 300.0
_REAP_SECONDS = 15.0


class Pool:
    """Invokes functions by name. Use it as an async context manager, or call `close`."""

    def __init__(
        self,
        specs: Iterable[FunctionSpec],
        *,
        log: LogSink,
        credentials: CredentialsProvider | None = None,
        idle_s: float = IDLE_SECONDS,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """Prepare; no process is started yet.

        Args:
            specs: The functions.
            log: Takes what functions write, line by line; must not block.
            credentials: Gives the credentials of a function's role each time a process is started.
            idle_s: A function's processes but one end when they have had nothing to do for so long, in seconds.
            max_waiting: Callers per function that may wait while every process is busy.
        """
        self._fleets = {
            spec.name: Fleet(spec, log=log, credentials=credentials, max_waiting=max_waiting) for spec in specs
        }
        self._idle_s = idle_s
        self._reaper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reaper = asyncio.create_task(self._reap())
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    async def invoke(
        self, name: str, event: Mapping[str, Any] | bytes, *, trace_id: str = "", within_s: float = math.inf
    ) -> Invocation:
        """Start `name` on `event` once it has a free process; the answer is read from what this returns.

        It is told to end `within_s`, where its own timeout is longer.

        Raises:
            Throttled: too many callers are waiting for a process already.
            PayloadTooLarge: the event takes more than 6 MB as JSON.
            InitError: the function cannot be loaded.
            KeyError: there is no such function.
        """
        encoded = event if isinstance(event, bytes) else encode(event)
        if len(encoded) > MAX_EVENT:
            raise PayloadTooLarge(f"The event takes {len(encoded)} bytes; Lambda accepts {MAX_EVENT}.")
        invocation = Invocation(encoded, trace_id=trace_id, within_s=within_s)
        await self._fleets[name].run(invocation)
        return invocation

    async def call(self, name: str, event: Mapping[str, Any], *, within_s: float = math.inf) -> Any:  # noqa: ANN401 - any JSON
        """Invoke `name` as `invoke` does, and return its whole answer, decoded.

        Raises:
            FunctionError: it failed, or answered with something else than JSON.
            Throttled: see `invoke`, and so for the others there.
        """
        return payload_of(await (await self.invoke(name, event, within_s=within_s)).read())

    async def prewarm(self, *names: str) -> None:
        """Have one idle process of each function (of all, without names), started at the same time.

        Raises:
            InitError: one of them cannot be loaded.
        """
        await asyncio.gather(*(self._fleets[name].prewarm() for name in names or self._fleets))

    async def close(self) -> None:
        """End every process: SIGTERM, and SIGKILL two seconds later."""
        if self._reaper:
            self._reaper.cancel()
        await asyncio.gather(*(fleet.close() for fleet in self._fleets.values()))

    def pids(self, name: str) -> list[int]:
        """Process ids of the running processes of `name`."""
        return self._fleets[name].pids()

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(min(_REAP_SECONDS, self._idle_s))
            for fleet in self._fleets.values():
                fleet.reap(self._idle_s)


class Fleet:
    """The processes of one function."""

    def __init__(
        self, spec: FunctionSpec, *, log: LogSink, credentials: CredentialsProvider | None, max_waiting: int
    ) -> None:
        self._spec = spec
        self._log = log
        self._credentials = credentials
        self._max_waiting = max_waiting
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []  # the last to finish is the next to work, so that the others grow old
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def run(self, invocation: Invocation) -> None:
        """Hand `invocation` to a process, as soon as one is free."""
        (await self._acquire()).run(invocation)

    async def prewarm(self) -> None:
        """Have an idle process."""
        if not self._workers:
            self._release(await self._acquire())

    def pids(self) -> list[int]:
        """Process ids, oldest first."""
        return sorted(worker.pid for worker in self._workers if worker.pid is not None)

    def reap(self, idle_s: float) -> None:
        """End processes that have idled for `idle_s` seconds, but not the last one."""
        now = time.monotonic()
        old = [worker for worker in self._idle if now - worker.idle_since > idle_s]
        for worker in old[: max(0, len(self._idle) - 1)]:
            self._retire(worker)

    async def close(self) -> None:
        """End all processes, and fail whoever waits for one."""
        self._closing = True
        while self._waiting:
            self._fail_first(InitError("Runtime.Shutdown", "The local run is ending."))
        await asyncio.gather(*tuple(self._tasks), return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in tuple(self._workers)))

    async def _acquire(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            if not worker.expiring:
                return worker
            self._retire(worker)
        if self._closing or self._full():
            raise Throttled(f"{self._spec.name}: {len(self._workers)} processes are busy, {len(self._waiting)} wait.")
        turn: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._grow()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._release(turn.result())
            raise

    def _full(self) -> bool:
        starting = sum(not worker.ready for worker in self._workers)
        grown = len(self._workers) >= self._spec.max_processes
        return grown and len(self._waiting) - starting >= self._max_waiting

    def _grow(self) -> None:
        """Start as many processes as callers wait for, within the bound."""
        starting = sum(not worker.ready for worker in self._workers)
        while starting < len(self._waiting) and len(self._workers) < self._spec.max_processes and not self._closing:
            worker = Worker(self._spec, log=self._log, on_ready=self._release, on_gone=self._gone)
            self._workers.add(worker)
            self._background(self._start(worker))
            starting += 1

    async def _start(self, worker: Worker) -> None:
        try:
            await worker.start(await self._credentials(self._spec.name) if self._credentials else None)
        except Exception as error:  # noqa: BLE001 - a provider of credentials may raise anything; the caller hears it
            self._log(self._spec.name, f"The process could not be started: {error!r}")
            self._gone(worker, InitError("Sandbox.StartFailed", str(error)))

    def _release(self, worker: Worker) -> None:
        """A process is free: it goes to the first in the line, or idles."""
        if worker.expiring:
            self._retire(worker)
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(worker)
                return
        worker.idle_since = time.monotonic()
        self._idle.append(worker)

    def _retire(self, worker: Worker) -> None:
        self._workers.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        self._background(worker.stop())
        self._grow()

    def _gone(self, worker: Worker, error: InitError) -> None:
        """A process has ended: one that never was ready fails the caller it was started for."""
        self._workers.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        if not worker.ready:
            self._fail_first(error)
        self._grow()

    def _fail_first(self, error: InitError) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)
                return

    def _background(self, work: Any) -> None:  # noqa: ANN401 - any coroutine
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def encode(event: Mapping[str, Any]) -> bytes:
    """Write `event` as the compact UTF-8 JSON that Lambda measures; unpaired surrogates stay escaped."""
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(event, separators=(",", ":")).encode()
