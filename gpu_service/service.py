"""One model at work: loaded in the background, warmed up, then computing rows of many requests together."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from gpu_service.batching.batcher import Batcher
from gpu_service.engine import Engine
from gpu_service.loading import Loading

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from gpu_service.settings import Settings
    from gpu_service.tokens import Row

_INLINE: Final = 2_000  # characters and ids that are tokenized at once: sooner done than handed to a thread


class Computed(NamedTuple):
    """One result per row, and what they took: seconds per phase, tokens of all rows."""

    results: list[NDArray[np.float32]]
    phases: dict[str, float]
    tokens: int


class Service(Loading[Engine]):
    """Owns the engine and the threads that run it."""

    def __init__(self, settings: Settings, *, load: Callable[[], Engine]) -> None:
        super().__init__(load)
        self._batcher: Batcher[Row, NDArray[np.float32]] = Batcher(
            self._run, settings.batching, workers=settings.workers, places=settings.places
        )

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
        super().close()
        self._batcher.close()

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
