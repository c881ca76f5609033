"""A step that never returns: who is in it hears of it, nobody comes in, and it goes on once the step has ended."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from gpu_service.batching.limits import Patience
from gpu_service.errors import NotReady, Stuck
from gpu_service.generation.jobs import Wish
from gpu_service.generation.loop import Generator
from gpu_service.generation.scheduler import Scheduler, Step
from gpu_service.runs import Runs
from gpu_service.telemetry import Telemetry
from tests.gpu_service.generation.test_loop import Held, heard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_service.generation.decoder import Decoder

WISH = Wish([75, 72], 5, temperature=0)


def test_a_stuck_step_is_told_and_survived(decoder: Decoder) -> None:
    """The one in its slot gets 504, a new one 503; when the step returns after all, the next one is served."""

    async def situation() -> tuple[object, object, int]:
        held, asked = Held(decoder), list[int]()
        runs = Runs(Patience(least=0.05, most=0.05), asked.append)
        generator = Generator(held, places=9, telemetry=Telemetry(), runs=runs)  # type: ignore[arg-type]
        try:
            job = generator.submit(WISH)
            while not generator.stuck(time.perf_counter()):  # noqa: ASYNC110 - the time passes on another thread
                await asyncio.sleep(0.01)
            with pytest.raises(NotReady):
                generator.submit(WISH)
            first = (await asyncio.gather(heard(job), return_exceptions=True))[0]
            held.turns.release(1000)
            while generator.stuck(time.perf_counter()):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            return first, await heard(generator.submit(WISH)), len(asked)
        finally:
            held.turns.release(1000)
            generator.close()

    first, second, asked = asyncio.run(situation())
    assert isinstance(first, Stuck)
    assert isinstance(second, tuple)
    assert asked == 1


def test_all_are_told_when_it_is_given_up(decoder: Decoder) -> None:
    """Those in slots and those in the line, without the thread that is stuck."""

    async def situation() -> list[object]:
        held = Held(decoder)
        generator = Generator(held, places=9, telemetry=Telemetry())  # type: ignore[arg-type]
        try:
            jobs = [generator.submit(WISH) for _ in range(5)]
            generator.abandon(NotReady("gone"))
            return list(await asyncio.gather(*map(heard, jobs), return_exceptions=True))
        finally:
            held.turns.release(1000)
            generator.close()

    assert [type(one) for one in asyncio.run(situation())] == [NotReady] * 5


class Broken(Scheduler):
    """Fails at its first step, as only a mistake in it could make it."""

    steps = 0

    def step(self) -> Step:
        """Fail once."""
        self.steps += 1
        if self.steps == 2:
            raise RuntimeError("a mistake")
        return super().step()


def test_a_thread_that_fails_leaves_nobody_waiting(decoder: Decoder) -> None:
    """All hear of it, and the next request is served by another thread."""

    async def situation() -> tuple[Sequence[object], object]:
        broken = Broken(slots=3, chunk=5)
        generator = Generator(decoder, places=9, telemetry=Telemetry(), scheduler=broken)
        try:
            jobs = [generator.submit(WISH) for _ in range(2)]
            found = await asyncio.gather(*map(heard, jobs), return_exceptions=True)
            return found, await heard(generator.submit(WISH))
        finally:
            generator.close()

    found, following = asyncio.run(situation())
    assert RuntimeError in {type(one) for one in found}
    assert isinstance(following, tuple)
