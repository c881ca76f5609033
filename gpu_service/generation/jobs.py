"""The requests of a generating model, and what every way to answer them has in common.

One thread computes and decides; the event loop never computes, and hears of a whole step at once. What fails takes only
the answers with it that were in the run.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from gpu_service.batching.cost import Cost
from gpu_service.errors import NotReady, Overloaded, Stuck
from gpu_service.generation.sampling import Sampler
from gpu_service.generation.scheduler import Sequence
from gpu_service.generation.text import Text
from gpu_service.runs import Runs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from collections.abc import Sequence as Listed

    from gpu_service.generation.template import Template
    from gpu_service.model import Manifest
    from gpu_service.specs import Spec
    from gpu_service.telemetry import Telemetry

T = TypeVar("T")

ENDING: Final = "The service is shutting down."
_FAREWELL: Final = 2.0  # seconds that `close` waits for the step under way


class Model(Protocol):
    """A loaded model that generates; `context` tokens are read and written together, `ends` end an answer."""

    tokenizer: Any
    manifest: Manifest
    spec: Spec
    template: Template | None
    context: int
    ends: frozenset[int]

    @property
    def provider(self) -> str:
        """The execution provider that it runs on."""

    def interrupt(self, thread: int) -> None:
        """Let the run that `thread` waits for end with an error, if there is a way."""

    def generator(self, *, places: int, telemetry: Telemetry, runs: Runs) -> Jobs:
        """Make what answers requests with it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be generated: at most `limit` tokens behind `prompt`, until one of `stops`."""

    prompt: Listed[int]
    limit: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stops: Listed[str] = ()


class Piece(NamedTuple):
    """Text, and at the end why there is no more: `stop` or `length`; `tokens` are those generated so far."""

    text: str
    finish: str | None
    tokens: int


@dataclass(eq=False, slots=True)
class Job:
    """A wish at work. `pieces` belongs to the event loop, the rest to the thread."""

    wish: Wish
    sequence: Sequence
    sampler: Sampler
    text: Text
    pieces: asyncio.Queue[Piece | Exception] = field(default_factory=asyncio.Queue)
    came: float = field(default_factory=time.perf_counter)

    def cancel(self) -> None:
        """Give up: the slot is free with the next step."""
        self.sequence.is_over = True

    def abandon(self) -> None:
        """Give up, and wake whoever waits for a piece: nobody listens any more."""
        self.cancel()
        self.pieces.put_nowait(Piece("", "stop", len(self.sequence.tokens)))

    def fail(self, error: Exception) -> None:
        """Give up, and tell why."""
        self.cancel()
        self.pieces.put_nowait(error)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """Give the pieces as they come, up to the one with `finish`; whoever leaves early cancels."""
        try:
            while True:
                piece = await self.pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
                if piece.finish:
                    return
        finally:
            self.cancel()


class Jobs:
    """Answers at most `places` requests at a time. The thread begins with the first of them."""

    def __init__(self, model: Model, *, places: int, telemetry: Telemetry, runs: Runs | None = None) -> None:
        self._model = model
        self._runs = runs or Runs(None, model.interrupt)
        self._cost = Cost()
        self._telemetry = telemetry
        self._places = places
        self._jobs: dict[Sequence, Job] = {}
        self._turn = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: list[tuple[Job, Piece | Exception]] = []
        self._firsts: list[float] = []
        self._written = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        """Requests that nothing is computed for yet."""
        raise NotImplementedError

    @property
    def inside(self) -> int:
        """Requests that are being answered."""
        raise NotImplementedError

    def submit(self, wish: Wish) -> Job:
        """Begin to generate; call it on the event loop.

        Raises:
            Overloaded: as many requests are inside as may be.
            NotReady: the service is shutting down, or a run does not end.
        """
        if self._runs.stuck(time.perf_counter()):
            raise NotReady("A run of the model does not end; nothing was generated for this request.", retry_after=5)
        text = Text(self._model.tokenizer.decode, wish.stops)
        sampler = Sampler(temperature=wish.temperature, top_p=wish.top_p, seed=wish.seed)
        job = Job(wish, Sequence(wish.prompt), sampler, text)
        with self._turn:
            if self._closed:
                raise NotReady(ENDING)
            if len(self._jobs) >= self._places:
                raise Overloaded(f"{len(self._jobs)} answers are being generated or waiting.", retry_after=1)
            self._loop = asyncio.get_running_loop()
            self._jobs[job.sequence] = job
            self._enter(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="generate", daemon=True)
                self._thread.start()
            self._turn.notify()
        return job

    def stuck(self, now: float) -> bool:
        """Ask a run that is stuck to end, and tell who is in it; call it on the event loop."""
        found = self._runs.interrupt(now)
        for job in [job for run in found for job in run.requests if not job.sequence.is_over]:
            job.fail(_stuck())
        return bool(found)

    def abandon(self, error: Exception) -> None:
        """Give up all requests; call it on the event loop."""
        with self._turn:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.fail(error)

    def stop(self) -> None:
        """End all answers after the step under way: whoever waits is told that the service is shutting down."""
        with self._turn:
            self._closed = True
            self._turn.notify()

    def close(self) -> None:
        """Stop, and wait for the thread."""
        self.stop()
        if self._thread is not None:
            self._thread.join(_FAREWELL)

    def _enter(self, job: Job) -> None:
        """Take a request into the line."""
        raise NotImplementedError

    def _work(self) -> None:
        """Answer, until it is closed."""
        raise NotImplementedError

    def _drop(self, error: Exception) -> None:
        """Give up all requests, on the thread."""
        raise NotImplementedError

    def _serve(self) -> None:
        """Work; a thread that fails tells everybody, and the next request starts another one."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody shall wait for a thread that is no more
            with self._turn:
                self._drop(error)
                self._forget()
                self._thread = None
            self._tell()

    def _run(self, sequences: list[Sequence], tokens: int, work: Callable[[], T]) -> T | None:
        """Do the `work` for `sequences`; if it fails they hear why, and nothing is returned."""
        jobs, run, began = [self._jobs[sequence] for sequence in sequences], None, time.perf_counter()
        try:
            with self._runs.of(jobs, self._cost, tokens) as run:
                found = work()
        except Exception as error:  # noqa: BLE001 - whatever it is, its requests hear of it
            self._fail(sequences, _stuck() if run is not None and run.interrupted else error)
            return None
        self._cost.learn(tokens, time.perf_counter() - began)
        return found

    def _accept(self, job: Job, token: int) -> None:
        """Take the next token of an answer, and see whether it is the last."""
        sequence = job.sequence
        sequence.tokens.append(token)
        self._written += 1
        if len(sequence.tokens) == 1:
            self._firsts.append(time.perf_counter() - job.came)
        ended = token in self._model.ends
        text = "" if ended else job.text.push(token)
        finish = "stop" if ended or job.text.stopped else None
        if finish is None and len(sequence.tokens) >= job.wish.limit:
            finish = "length"
        if finish:
            text += job.text.rest()
            sequence.is_over = True
        if text or finish:
            self._news.append((job, Piece(text, finish, len(sequence.tokens))))

    def _fail(self, sequences: Iterable[Sequence], error: Exception) -> None:
        for sequence in sequences:
            sequence.is_over = True
            if job := self._jobs.get(sequence):
                self._news.append((job, error))

    def _forget(self) -> None:
        for sequence in [one for one in self._jobs if one.is_over]:
            del self._jobs[sequence]

    def _tell(self) -> None:
        self._telemetry.wrote(self._model.manifest.name, self._written, self._firsts)
        self._written, self._firsts = 0, []
        news, self._news = self._news, []
        if news and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_deliver, news)


def _stuck() -> Stuck:
    return Stuck("The run of the model that this answer is in does not end.")


def _deliver(news: list[tuple[Job, Piece | Exception]]) -> None:
    for job, piece in news:
        job.pieces.put_nowait(piece)
