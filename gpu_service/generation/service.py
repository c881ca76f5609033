"""One generating model at work: loaded in the background, then answering wishes."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from gpu_service.generation.jobs import Model
from gpu_service.loading import Loading
from gpu_service.runs import Runs
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpu_service.generation.jobs import Job, Jobs, Wish
    from gpu_service.settings import Settings
    from gpu_service.telemetry import Telemetry

_INLINE: Final = 2_000  # characters that are tokenized at once: sooner done than handed to a thread
_CHARACTERS: Final = 32  # of a token, in the mean over a whole prompt: far more than any text has


class Generation(Loading[Model]):
    """Owns the model and the thread that runs it."""

    def __init__(self, settings: Settings, *, load: Callable[[], Model], telemetry: Telemetry) -> None:
        super().__init__(load)
        self._places = settings.places
        self.runs = Runs(settings.patience, lambda thread: self.start().result().interrupt(thread))
        self._telemetry = telemetry
        self._generator: Jobs | None = None

    @property
    def waiting(self) -> int:
        """Requests without a slot."""
        return self._generator.waiting if self._generator else 0

    @property
    def inside(self) -> int:
        """Requests in slots."""
        return self._generator.inside if self._generator else 0

    async def tokens(self, text: str, *, special: bool, param: str) -> list[int]:
        """Read a prompt, aside if it is long; `special` puts the model's own tokens around it.

        Raises:
            BadRequest: it is so long that it cannot fit, and is not read.
        """
        decoder = await self.engine()
        if len(text) > (most := _CHARACTERS * decoder.context):
            raise BadRequest(
                f"'{param}' has {len(text)} characters; more than {most} are not read, as the model reads and writes "
                f"{decoder.context} tokens together.",
                param=param,
            )
        read = partial(decoder.tokenizer.encode, text, add_special_tokens=special)
        if len(text) <= _INLINE:
            return list(read().ids)
        return list((await asyncio.get_running_loop().run_in_executor(self._aside, read)).ids)

    async def submit(self, wish: Wish) -> Job:
        """Begin to generate.

        Raises:
            NotReady: the model is not loaded.
            Overloaded: as many requests are inside as may be.
        """
        decoder = await self.engine()
        if self._generator is None:
            self._generator = decoder.generator(places=self._places, telemetry=self._telemetry, runs=self.runs)
        return self._generator.submit(wish)

    def stuck(self, now: float) -> bool:
        """Deal with runs that do not end; tells whether there are any."""
        return self._generator is not None and self._generator.stuck(now)

    def abandon(self, error: Exception) -> None:
        """Give up all requests."""
        if self._generator is not None:
            self._generator.abandon(error)

    def stop(self) -> None:
        """End the answers that are being generated; each is told why."""
        if self._generator is not None:
            self._generator.stop()

    def close(self) -> None:
        """Stop after the token under way."""
        super().close()
        if self._generator is not None:
            self._generator.close()
