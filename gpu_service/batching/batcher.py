"""The thin loop around the policy: it adds a clock, a lock, threads that run the model, and an event loop that waits.

A worker asks for a batch when it has nothing to do, so requests join until the very moment a run begins. The event loop
never computes, and hears of a whole batch at once. A run that fails is split in two until the row that makes it fail
stands alone: its request gets the error, all others their results. A run that does not end is no row's fault: who is in
it is told at his deadline, and nothing new is taken until it has ended.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, cast

from gpu_service.batching.policy import FOREVER, Policy
from gpu_service.batching.ticket import Batch, Row, Ticket
from gpu_service.errors import NotReady, Overloaded, Stuck
from gpu_service.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence, Sized

    from gpu_service.batching.limits import Limits, Patience

R = TypeVar("R", bound="Sized")
T = TypeVar("T")

_FAREWELL: Final = 2.0  # seconds that `close` waits for the runs under way


@dataclass(eq=False, slots=True)
class Job(Ticket, Generic[R, T]):
    """A request with its rows and what became of them."""

    rows: Sequence[R] = ()
    results: list[Any] = field(default_factory=list)
    left: int = 0
    began: float = 0.0
    future: asyncio.Future[Done[T]] | None = None


class Done(NamedTuple, Generic[T]):
    """One result per row, and when the first of them began, on the clock of `time.perf_counter`."""

    results: list[T]
    began: float


class Batcher(Generic[R, T]):
    """Runs rows of many requests together on `workers` threads, for at most `places` requests at a time.

    `work` computes one result per row; several threads call it at once. A row is as long as `len` says. Threads begin
    with the first request, so that a process may fork before. `meter` is the clock that tells what a run costs: that of
    the thread, where the work is done on it, knows nothing of what neighbours on the machine take. `interrupt` asks the
    run of a thread to end, after it has tried the `patience`. Workers that `share` a device have `work` hold a `turn`
    while that computes; two of them keep it busy.
    """

    def __init__(
        self,
        work: Callable[[Sequence[R]], Collection[T]],
        limits: Limits,
        *,
        workers: int = 1,
        places: int = 256,
        meter: Callable[[], float] = time.perf_counter,
        patience: Patience | None = None,
        interrupt: Callable[[int], None] = lambda _thread: None,
        share: bool = False,
    ) -> None:
        self.policy = Policy(limits, workers=workers, share=share)
        self._share = share
        self._device = threading.Lock()
        self._mine = threading.local()
        self.runs = Runs(patience, interrupt)
        self._jobs: set[Job[R, T]] = set()
        self._work = work
        self._meter = meter
        self._places = places
        self._inside = 0
        self._turn = threading.Condition()
        self._threads: list[threading.Thread | None] = [None] * workers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @contextmanager
    def admit(self, tokens: int = 0) -> Iterator[None]:
        """Hold a place for a request; if it is known what to run, its longest row having about `tokens` tokens.

        Raises:
            Overloaded: it would wait past the target; `retry_after` is when it would not.
            NotReady: a run does not end.
        """
        if self.runs.stuck(time.perf_counter()):
            raise NotReady("A run of the model does not end; nothing was computed for this request.", retry_after=5)
        with self._turn:
            if tokens:
                self._refuse_late(tokens)
            if self._inside >= self._places:
                raise _overloaded(self.policy.wait(time.perf_counter()))
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def run(self, rows: Sequence[R]) -> Done[T]:
        """Compute `rows`; a caller that is cancelled takes out of the line what no worker has begun.

        Raises:
            Overloaded: it would wait past the target, or nothing of it had begun by the deadline.
            Stuck: it had begun, and its run does not end.
            Exception: what `work` raised for one of the rows alone.
        """
        loop = self._loop = asyncio.get_running_loop()
        now, deadline = time.perf_counter(), self.policy.limits.deadline
        job: Job[R, T] = Job([len(row) for row in rows], now + deadline, rows=rows, results=[None] * len(rows))
        job.left, job.future = len(rows), loop.create_future()
        with self._turn:
            self._refuse_late(max(job.sizes))
            self._employ()
            self.policy.offer(job, now)
            self._turn.notify()
        timer = loop.call_later(deadline, self._expire)
        self._jobs.add(job)
        try:
            return await job.future
        finally:
            self._jobs.discard(job)
            timer.cancel()
            if not job.over:
                with self._turn:
                    self.policy.drop(job)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the device, for a run of this worker: its batch counts as begun when it has the device."""
        if not self._share:
            yield
            return
        batch: Batch = self._mine.batch
        self.policy.prepared(time.perf_counter() - batch.began)
        with self._device:
            batch.began = time.perf_counter()
            yield

    def stuck(self, now: float) -> bool:
        """Ask runs that are stuck to end, and give up their requests at their deadline; call it on the event loop."""
        found = self.runs.interrupt(now)
        for job in {job for run in found for job in run.requests if job.expires <= now}:
            self._give_up(job, Stuck("The run of the model that this request is in does not end."))
        return bool(found)

    def abandon(self, error: Exception) -> None:
        """Give up all requests; call it on the event loop."""
        for job in tuple(self._jobs):
            self._give_up(job, error)

    def close(self) -> None:
        """Let the threads end after the runs under way; what waits is never begun."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()
        for thread in self._threads:
            if thread is not None:
                thread.join(_FAREWELL)

    def _refuse_late(self, tokens: int) -> None:
        if (late := self.policy.excess(time.perf_counter(), tokens)) > 0:
            raise _overloaded(late)

    def _employ(self) -> None:
        """Start the threads that do not run: all of them at first, and one that was killed later."""
        for place, thread in enumerate(self._threads):
            if thread is None or not thread.is_alive():
                self._threads[place] = started = threading.Thread(
                    target=self._serve, name=f"batch-{place}", daemon=True
                )
                started.start()

    def _serve(self) -> None:
        while batch := self._next():
            before, self._mine.batch = self._meter(), batch
            outcomes = self._attempt(batch.rows)
            busy = None if self._share else self._meter() - before  # or the wait for the device would count
            broken = {row.ticket for row, outcome in zip(batch.rows, outcomes, strict=True) if _is_error(outcome)}
            with self._turn:
                self.policy.done(batch, time.perf_counter(), ran=not broken, busy=busy)
                for ticket in broken:
                    self.policy.drop(ticket)
            self._tell(self._deliver, batch, outcomes)

    def _next(self) -> Batch | None:
        """Wait for work; None if there will be none any more."""
        with self._turn:
            while not self._closed:
                now = time.perf_counter()
                for late in self.policy.expired(now):
                    self._tell(_fail, late, _overloaded(self.policy.wait(now)))
                found = self.policy.take(now)
                if isinstance(found, Batch):
                    if len(self.policy):
                        self._turn.notify()
                    return found
                self._turn.wait(None if found == FOREVER else found)
        return None

    def _attempt(self, rows: Sequence[Row]) -> list[Any]:
        """Give a result or an exception per row."""
        run, padded = None, len(rows) * max(row.size for row in rows)
        try:
            with self.runs.of({row.ticket for row in rows}, self.policy.cost, padded) as run:
                results = self._work([cast("Job[R, T]", row.ticket).rows[row.place] for row in rows])
            if len(results) != len(rows):
                raise RuntimeError(f"The model gave {len(results)} results for {len(rows)} rows.")  # noqa: TRY301
            return list(results)
        except BaseException as error:  # noqa: BLE001 - whatever a row does to the model, the thread serves on
            if _is_memory(error):
                with self._turn:
                    self.policy.shrink()
            if run is not None and run.interrupted:
                return [Stuck("The run of the model that this request was in took far too long.")] * len(rows)
            if len(rows) == 1:
                return [error if isinstance(error, Exception) else RuntimeError(f"The run ended with {error!r}.")]
        half = len(rows) // 2
        return self._attempt(rows[:half]) + self._attempt(rows[half:])

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the event loop has ended, and with it whoever waited
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call, *arguments)

    def _deliver(self, batch: Batch, outcomes: list[Any]) -> None:
        for row, outcome in zip(batch.rows, outcomes, strict=True):
            job = cast("Job[R, T]", row.ticket)
            if _is_error(outcome):
                _fail(job, outcome)
            if job.over:
                continue
            job.began = job.began or batch.began
            job.results[row.place] = outcome
            job.left -= 1
            if not job.left:
                job.over = True
                _settle(job)

    def _give_up(self, job: Job[R, T], error: Exception) -> None:
        with self._turn:
            self.policy.drop(job)
        _fail(job, error)

    def _expire(self) -> None:
        """Give up who has waited too long, even if no worker ever asks again."""
        with self._turn:
            for late in self.policy.expired(time.perf_counter()):
                _fail(late, _overloaded(self.policy.wait(time.perf_counter())))


def _settle(job: Job[Any, Any]) -> None:
    if job.future is not None and not job.future.done():
        job.future.set_result(Done(job.results, job.began))


def _fail(job: Ticket, error: BaseException) -> None:
    if isinstance(job, Job) and job.future is not None and not job.future.done():
        job.future.set_exception(error)


def _overloaded(seconds: float) -> Overloaded:
    return Overloaded(
        "More is waiting than can be computed in time; nothing was computed for this request.",
        retry_after=max(1, math.ceil(seconds)),
        headers={"retry-after-ms": str(max(1, math.ceil(seconds * 1000)))},
    )


def _is_error(outcome: object) -> bool:
    return isinstance(outcome, BaseException)


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "llocate memory" in str(error) or "out of memory" in str(error)
