"""One model at work: loaded in the background, warmed up, then computing rows of many requests together."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

from gpu_service.batching.batcher import Batcher
from gpu_service.errors import NotReady
from gpu_service.model import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from gpu_service.engine import Engine
    from gpu_service.settings import Settings
    from gpu_service.tokens import Row

_INLINE: Final = 2_000  # characters and ids that are tokenized at once: sooner done than handed to a thread
_START: Final = 30.0  # seconds that a request waits for the model to be loaded


class Computed(NamedTuple):
    """One result per row, and what they took: seconds per phase, tokens of all rows."""

    results: list[NDArray[np.float32]]
    phases: dict[str, float]
    tokens: int


class Service:
    """Owns the engine and the threads. Nothing is loaded before `start`, so that a process may fork first."""

    def __init__(self, settings: Settings, *, load: Callable[[], Engine]) -> None:
        self._load = load
        self._batcher: Batcher[Row, NDArray[np.float32]] = Batcher(
            self._run, settings.batching, workers=settings.workers, places=settings.places
        )
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._loading: asyncio.Task[Engine] | None = None

    def start(self) -> asyncio.Task[Engine]:
        """Begin to load the model, once; the task raises `ModelError` if it cannot be served."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._loaded())
        return self._loading

    @property
    def state(self) -> str:
        """`starting`, `ready` or `failed`."""
        if self._loading is None or not self._loading.done():
            return "starting"
        return "failed" if self._loading.cancelled() or self._loading.exception() else "ready"

    async def engine(self) -> Engine:
        """Wait for the model.

        Raises:
            NotReady: it takes too long, or cannot be loaded.
        """
        try:
            return await asyncio.wait_for(asyncio.shield(self.start()), _START)
        except TimeoutError as error:
            raise NotReady("The model is still being loaded.", retry_after=5) from error
        except ModelError as error:
            raise NotReady("The model could not be loaded; the service's log says why.") from error

    async def compute(
        self, inputs: Sequence[Collection[object]], rows: Callable[[Engine], list[Row]], *, beside: int = 0
    ) -> Computed:
        """Compute the rows that `rows` makes of `inputs`, together with those of other requests.

        `beside` are the characters that go into every row besides its input.

        Raises:
            GatewayError: what the client is told instead.
        """
        with self._batcher.admit(self._guess(inputs, beside)):
            engine = await self.engine()
            arrived = time.perf_counter()
            made = await self._rows(engine, rows, size=sum(map(len, inputs)) + beside)
            tokenized = time.perf_counter()
            done = await self._batcher.run(made)
            ended = time.perf_counter()
        phases = {"queue": done.began - tokenized, "tokenize": tokenized - arrived, "inference": ended - done.began}
        return Computed(done.results, phases, sum(map(len, made)))

    def close(self) -> None:
        """Stop what has not begun."""
        self._aside.shutdown(wait=False, cancel_futures=True)
        self._batcher.close()

    async def _loaded(self) -> Engine:
        return await asyncio.get_running_loop().run_in_executor(self._aside, self._load)

    async def _rows(self, engine: Engine, rows: Callable[[Engine], list[Row]], *, size: int) -> list[Row]:
        if size <= _INLINE:
            return rows(engine)
        return await asyncio.get_running_loop().run_in_executor(self._aside, rows, engine)

    def _run(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        return self.start().result().run(rows)

    def _guess(self, inputs: Sequence[Collection[object]], beside: int) -> int:
        """Guess the tokens of the longest input before it is tokenized: four characters make one."""
        guess = max((len(item) // 4 if isinstance(item, str) else len(item)) for item in inputs) + beside // 4 + 2
        return min(guess, self.start().result().manifest.max_tokens) if self.state == "ready" else guess
