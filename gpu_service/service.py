"""One model at work: loaded in the background, warmed up, then computing rows of many requests together."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from gpu_service.batching.batcher import Batcher
from gpu_service.cache import Found
from gpu_service.engine import Engine
from gpu_service.errors import NotReady
from gpu_service.loading import Loading

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from gpu_service.cache import Cache, Caches
    from gpu_service.runs import Runs
    from gpu_service.settings import Settings
    from gpu_service.telemetry import Telemetry
    from gpu_service.tokens import Row

_INLINE: Final = 2_000  # characters and ids that are tokenized at once: sooner done than handed to a thread


class Computed(NamedTuple):
    """One result per row, and what they took: seconds per phase, tokens of all rows, rows that were known before.

    `engine` computed them, and `began` is when that began, on the clock of `time.perf_counter`.
    """

    results: list[NDArray[np.float32]]
    phases: dict[str, float]
    tokens: int
    hits: int
    engine: Engine
    began: float


class Service(Loading[Engine]):
    """Owns the engine and the threads that run it."""

    def __init__(
        self, settings: Settings, *, load: Callable[[], Engine], telemetry: Telemetry, caches: Caches | None = None
    ) -> None:
        super().__init__(load)
        self._telemetry = telemetry
        self._caches = caches
        self._cache: Cache | None = None
        self._batcher: Batcher[Row, NDArray[np.float32]] = Batcher(
            self._run,
            settings.batching,
            workers=settings.workers,
            places=settings.places,
            meter=self._meter,
            patience=settings.patience,
            interrupt=self._interrupt,
            share=settings.device == "cuda",
        )

    @property
    def waiting(self) -> int:
        """Rows in the line."""
        return len(self._batcher.policy)

    async def compute(
        self, inputs: Sequence[Collection[object]], rows: Callable[[Engine], list[Row]], *, beside: int = 0
    ) -> Computed:
        """Compute the rows that `rows` makes of `inputs`, together with those of other requests.

        `beside` are the characters that go into every row besides its input.

        Raises:
            GatewayError: what the client is told instead.
        """
        size = sum(map(len, inputs)) + beside
        with self._batcher.admit(self._guess(inputs, beside) if size > _INLINE else 0):
            engine = await self.engine()
            arrived = time.perf_counter()
            made = await self._rows(engine, rows, size)
            tokenized = time.perf_counter()
            found = await self._found(engine, made)
            ended = time.perf_counter()
        began = found.began or ended
        phases = {"queue": began - tokenized, "tokenize": tokenized - arrived, "inference": ended - began}
        return Computed(found.results, phases, sum(map(len, made)), found.hits, engine, arrived)

    @property
    def runs(self) -> Runs:
        """What is under way."""
        return self._batcher.runs

    def stuck(self, now: float) -> bool:
        """Deal with runs that do not end; tells whether there are any."""
        return self._batcher.stuck(now)

    def abandon(self, error: Exception) -> None:
        """Give up all requests."""
        self._batcher.abandon(error)

    def stop(self) -> None:
        """Give up what is left: the process is about to end."""
        self._batcher.abandon(NotReady("The service is shutting down."))

    def close(self) -> None:
        """Stop what has not begun."""
        super().close()
        self._batcher.close()

    async def _rows(self, engine: Engine, rows: Callable[[Engine], list[Row]], size: int) -> list[Row]:
        if size <= _INLINE:
            return rows(engine)
        return await asyncio.get_running_loop().run_in_executor(self._aside, rows, engine)

    async def _found(self, engine: Engine, rows: list[Row]) -> Found:
        if self._caches is None:
            return Found(*await self._batcher.run(rows), hits=0)
        self._cache = self._cache or self._caches.model(engine)
        return await self._cache.through(rows, self._batcher.run)

    def _run(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        engine = self.start().result()

        @contextmanager
        def turn() -> Iterator[None]:
            with self._batcher.turn():
                began = time.perf_counter()
                yield
                seconds = time.perf_counter() - began
            self._telemetry.ran(engine.manifest.name, [len(row) for row in rows], seconds)

        return engine.run(rows, turn)

    def _interrupt(self, thread: int) -> None:
        self.start().result().interrupt(thread)

    def _meter(self) -> float:
        """On a CPU the worker's own thread computes, and its clock stands still while others have the core."""
        return time.thread_time() if self.start().result().on_cpu else time.perf_counter()

    def _guess(self, inputs: Sequence[Collection[object]], beside: int) -> int:
        """Guess the tokens of the longest input before it is tokenized: four characters make one."""
        guess = max((len(item) // 4 if isinstance(item, str) else len(item)) for item in inputs) + beside // 4 + 2
        return min(guess, self.start().result().manifest.max_tokens) if self.state == "ready" else guess
