"""A model that is loaded in the background, once, however many wait for it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from gpu_service.errors import NotReady
from gpu_service.model import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

E = TypeVar("E")

_WAITERS: Final = 256  # requests that wait for it
_START: Final = 30.0  # seconds that a request waits for the model to be loaded


class Loading(Generic[E]):
    """Owns what `load` gives. Nothing is loaded before `start`, so that a process may fork first."""

    def __init__(self, load: Callable[[], E]) -> None:
        self._load = load
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._loading: asyncio.Task[E] | None = None
        self._waiting = 0
        self._loaded: E | None = None

    def start(self) -> asyncio.Task[E]:
        """Begin to load the model, once; the task raises `ModelError` if it cannot be served."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._load_aside())
        return self._loading

    @property
    def state(self) -> str:
        """`starting`, `ready` or `failed`."""
        if self._loading is None or not self._loading.done():
            return "starting"
        return "failed" if self._loading.cancelled() or self._loading.exception() else "ready"

    async def engine(self) -> E:
        """Wait for the model.

        Raises:
            NotReady: it takes too long, too many wait already, or it cannot be loaded.
        """
        if self._loaded is not None:
            return self._loaded
        loading = self.start()
        if not loading.done() and self._waiting >= _WAITERS:
            raise NotReady("The model is still being loaded.", retry_after=5)
        self._waiting += 1
        try:
            return await asyncio.wait_for(asyncio.shield(loading), _START)
        except TimeoutError as error:
            raise NotReady("The model is still being loaded.", retry_after=5) from error
        except ModelError as error:
            raise NotReady("The model could not be loaded; the service's log says why.") from error
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Stop what has not begun."""
        self._aside.shutdown(wait=False, cancel_futures=True)

    async def _load_aside(self) -> E:
        try:
            self._loaded = await asyncio.get_running_loop().run_in_executor(self._aside, self._load)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"The model cannot be loaded ({type(error).__name__}: {error}).") from error
        return self._loaded
