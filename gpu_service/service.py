"""One model at work: loaded in the background, warmed up, then answering requests for vectors."""

from __future__ import annotations

import asyncio
import binascii
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gpu_service.batching.batcher import Batcher
from gpu_service.errors import NotReady
from gpu_service.model import ModelError
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from gpu_service.engine import Engine
    from gpu_service.settings import Settings
    from gpu_service.tokens import Row
    from shared.core import embeddings

_INLINE: Final = 2_000  # characters and ids that are tokenized at once: sooner done than handed to a thread
_START: Final = 30.0  # seconds that a request waits for the model to be loaded

_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """A response body, and what it took: seconds per phase, rows and tokens."""

    body: bytes
    phases: dict[str, float]
    rows: int
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

    async def embed(self, request: embeddings.Embeddings) -> Answer:
        """Answer an OpenAI embeddings request.

        Raises:
            GatewayError: what the client is told instead.
        """
        with self._batcher.admit(self._guess(request.inputs)):
            engine = await self.engine()
            _check(request, engine)
            arrived = time.perf_counter()
            rows = await self._rows(engine, request.inputs)
            tokenized = time.perf_counter()
            done = await self._batcher.run(rows)
            ended = time.perf_counter()
        phases = {"queue": done.began - tokenized, "tokenize": tokenized - arrived, "inference": ended - done.began}
        tokens = sum(map(len, rows))
        return Answer(_rendered(request, engine.manifest.name, done.results, tokens), phases, len(rows), tokens)

    def close(self) -> None:
        """Stop what has not begun."""
        self._aside.shutdown(wait=False, cancel_futures=True)
        self._batcher.close()

    async def _loaded(self) -> Engine:
        return await asyncio.get_running_loop().run_in_executor(self._aside, self._load)

    async def _rows(self, engine: Engine, inputs: Sequence[str | Row]) -> list[Row]:
        if sum(map(len, inputs)) <= _INLINE:
            return engine.rows(inputs)
        return await asyncio.get_running_loop().run_in_executor(self._aside, engine.rows, inputs)

    def _run(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        return self.start().result().run(rows)

    def _guess(self, inputs: Sequence[str | Row]) -> int:
        """Guess the tokens of the longest input before it is tokenized: four characters make one."""
        guess = max(len(item) // 4 if isinstance(item, str) else len(item) for item in inputs) + 2
        return min(guess, self.start().result().manifest.max_tokens) if self.state == "ready" else guess


def _check(request: embeddings.Embeddings, engine: Engine) -> None:
    name, size = engine.manifest.name, engine.manifest.dimensions
    if request.dimensions not in {None, size}:
        raise BadRequest(
            f"The model '{name}' gives vectors of {size} dimensions, and was not trained to be cut shorter.",
            param="dimensions",
        )


def _rendered(request: embeddings.Embeddings, model: str, vectors: list[NDArray[np.float32]], tokens: int) -> bytes:
    wanted = _base64 if request.encoding_format == "base64" else _floats
    data = [{"object": "embedding", "index": index, "embedding": wanted(row)} for index, row in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encode({"object": "list", "data": data, "model": model, "usage": usage})


def _base64(vector: NDArray[np.float32]) -> str:
    return binascii.b2a_base64(vector.astype("<f4", copy=False).tobytes(), newline=False).decode("ascii")


def _floats(vector: NDArray[np.float32]) -> list[float]:
    floats: list[float] = vector.tolist()
    return floats
