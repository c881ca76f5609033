"""Requests that share the slots get what they would get alone, and one that fails or leaves takes nobody with it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from gpu_service.errors import Overloaded
from gpu_service.generation.jobs import Job, Wish
from gpu_service.generation.loop import Generator
from gpu_service.generation.scheduler import Scheduler, Step
from gpu_service.runs import Runs
from gpu_service.telemetry import Telemetry
from shared.core.errors import BadRequest
from tests.gpu_service.generation import llama

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from gpu_service.generation.decoder import Decoder
    from gpu_service.generation.jobs import Model

PROMPTS = ["hello world", "a", "the quick brown fox jumps over the lazy dog", "0123456789", "x = [1, 2]", "Zürich 🎉"]


def tokens_of(decoder: Model, text: str) -> list[int]:
    """The prompt's tokens."""
    ids: list[int] = decoder.tokenizer.encode(text).ids
    return ids


async def heard(job: Job) -> tuple[str, str | None, list[int]]:
    """The whole text, why it ended, and the tokens."""
    text, finish = "", None
    async for piece in job:
        text, finish = text + piece.text, piece.finish
    return text, finish, list(job.sequence.tokens)


def watched(decoder: Model) -> Runs:
    """What looks after its runs."""
    return Runs(None, decoder.interrupt)


def alone(decoder: Model, wish: Wish) -> tuple[str, str | None, list[int]]:
    """What one request gets of a generator of its own."""

    async def situation() -> tuple[str, str | None, list[int]]:
        generator = decoder.generator(places=1, telemetry=Telemetry(), runs=watched(decoder))
        try:
            return await heard(generator.submit(wish))
        finally:
            generator.close()

    return asyncio.run(situation())


def test_the_tokens_are_those_of_the_formulae(model: Model, weights: llama.Weights) -> None:
    """Greedy, the whole text computed again for every token in float64: the same twenty tokens."""
    for prompt in PROMPTS:
        ids = tokens_of(model, prompt)
        found = alone(model, Wish(ids, 20, temperature=0))[2]
        expected = llama.continued(weights, ids, 20)

        assert found == (expected[: expected.index(llama.END) + 1] if llama.END in expected else expected)


def test_the_token_that_ends_an_answer_is_not_shown(decoder: Decoder, weights: llama.Weights) -> None:
    """The fourth likeliest token made the end: three tokens' text, `stop`, four tokens counted."""
    expected = llama.continued(weights, [75, 72], 4)
    held = Held(decoder)
    held.ends = frozenset(expected[3:])
    held.turns.release(100)

    text, finish, tokens = alone(held, Wish([75, 72], 20, temperature=0))  # type: ignore[arg-type]
    assert (text, finish, tokens) == (decoder.tokenizer.decode(expected[:3]), "stop", expected)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_staggered_requests_get_what_they_get_alone(temperature: float, engine: str, model: Model) -> None:
    """Six requests over three slots, each coming when another has some tokens: token for token as alone."""
    if engine == "genai" and temperature:
        with pytest.raises(BadRequest, match="takes no 'seed' here"):
            alone(model, Wish([75], 1, temperature=temperature, seed=1))
        return
    wishes = [
        Wish(tokens_of(model, prompt), 10 + 7 * place, temperature=temperature, seed=place)
        for place, prompt in enumerate(PROMPTS)
    ]
    expected = [alone(model, wish) for wish in wishes]

    async def situation() -> list[tuple[str, str | None, list[int]]]:
        generator = model.generator(places=9, telemetry=Telemetry(), runs=watched(model))
        found: list[asyncio.Task[tuple[str, str | None, list[int]]]] = []
        try:
            for wish in wishes:
                job = generator.submit(wish)
                if len(found) % 2:  # the next comes when this one has some text
                    first = await job.pieces.get()
                    job.pieces._queue.appendleft(first)  # type: ignore[attr-defined]
                found.append(asyncio.create_task(heard(job)))
            return list(await asyncio.gather(*found))
        finally:
            generator.close()

    assert asyncio.run(situation()) == expected


class Held:
    """A decoder that waits before each run, fails on command, and counts."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.tokenizer, self.spec, self.ends = decoder.tokenizer, decoder.spec, decoder.ends
        self.manifest = decoder.manifest
        self.turns, self.begun = threading.Semaphore(0), threading.Semaphore(0)
        self.poison: list[int] = []
        self.batches: list[int] = []

    def read(self, slot: int, ids: Sequence[int], held: int) -> NDArray[np.floating]:
        """Read, unless it is the poison."""
        if list(ids) == self.poison:
            raise RuntimeError("poison")
        return self._decoder.read(slot, ids, held)

    def proceed(self, tokens: Sequence[int], held: Sequence[int]) -> NDArray[np.floating]:
        """Proceed when there is a turn."""
        assert self.turns.acquire(timeout=30)
        self.batches.append(len(tokens))
        self.begun.release()
        return self._decoder.proceed(tokens, held)

    def generator(self, *, places: int, telemetry: Telemetry, runs: Runs) -> Generator:
        """Its own."""
        return Generator(self, places=places, telemetry=telemetry, runs=runs)  # type: ignore[arg-type]

    def interrupt(self, _thread: int) -> None:
        """It heeds nothing."""

    def reaches(self, count: int) -> None:
        """Wait until `count` runs have begun."""
        for _ in range(count):
            assert self.begun.acquire(timeout=30)

    def move(self, source: int, target: int) -> None:
        """As it is."""
        self._decoder.move(source, target)


class Parting(Scheduler):
    """Has the client of `leaver` hang up just when a step is decided on that it is in, read or continued."""

    leaver: Job | None = None

    def step(self) -> Step:
        """Decide, and let it leave."""
        found = super().step()
        if self.leaver and (found.reading is None or found.reading.sequence is self.leaver.sequence):
            self.leaver.cancel()
        return found


def test_who_leaves_while_a_step_is_decided_on_takes_nobody_with_it(decoder: Decoder) -> None:
    """Ten times, while its prompt is read and while it is answered: the one beside it gets all of its tokens."""
    wish = Wish([75, 72], 20, temperature=0)

    async def situation() -> list[tuple[str, str | None, list[int]]]:
        scheduler = Parting(slots=3, chunk=5)
        generator = Generator(decoder, places=9, telemetry=Telemetry(), scheduler=scheduler)
        found = []
        try:
            for number in range(10):
                stayer, leaver = (generator.submit(one) for one in (wish, Wish([80], 100, temperature=0)))
                if number % 2:
                    await leaver.pieces.get()
                scheduler.leaver = leaver
                found.append(await heard(stayer))
            return found
        finally:
            generator.close()

    assert asyncio.run(situation()) == [alone(decoder, wish)] * 10


def test_a_poisoned_prompt_fails_alone(decoder: Decoder) -> None:
    """The others get their tokens."""

    async def situation() -> list[object]:
        held = Held(decoder)
        held.poison = [7, 7]
        held.turns.release(1000)
        generator = Generator(held, places=9, telemetry=Telemetry())  # type: ignore[arg-type]
        try:
            jobs = [generator.submit(Wish(ids, 5, temperature=0)) for ids in ([75, 72], [7, 7], [80])]
            return list(await asyncio.gather(*map(heard, jobs), return_exceptions=True))
        finally:
            generator.close()

    first, poisoned, last = asyncio.run(situation())
    assert isinstance(poisoned, RuntimeError)
    assert first == alone(decoder, Wish([75, 72], 5, temperature=0))
    assert last == alone(decoder, Wish([80], 5, temperature=0))


def test_who_leaves_frees_the_slot_and_too_many_are_sent_away(decoder: Decoder) -> None:
    """Of two places one is left early: after that step nothing more is computed for it, and there is a place again."""

    async def situation() -> tuple[list[int], bool]:
        held = Held(decoder)
        generator = Generator(held, places=2, telemetry=Telemetry())  # type: ignore[arg-type]
        try:
            leaver, stayer = (generator.submit(Wish([75, 72], 100, temperature=1, seed=3)) for _ in range(2))
            with pytest.raises(Overloaded):
                generator.submit(Wish([75], 1))
            held.turns.release(3)
            await asyncio.to_thread(held.reaches, 3)
            leaver.cancel()
            held.turns.release(1000)
            await heard(stayer)
            generator.submit(Wish([75], 1)).cancel()
            return held.batches, leaver.sequence.is_over
        finally:
            held.turns.release(1000)
            generator.close()

    batches, is_over = asyncio.run(situation())
    assert batches[2] == 2
    assert set(batches[5:]) == {1}
    assert is_over


def test_what_is_not_done_at_the_end_is_told(model: Model) -> None:
    """A request under way when the service stops gets an error, not silence."""

    async def situation() -> object:
        generator = model.generator(places=1, telemetry=Telemetry(), runs=watched(model))
        job = generator.submit(Wish([75], 100, temperature=0))
        await job.pieces.get()
        await asyncio.to_thread(generator.close)
        return (await asyncio.gather(heard(job), return_exceptions=True))[0]

    assert isinstance(asyncio.run(situation()), Exception)
