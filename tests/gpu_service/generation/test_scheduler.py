"""Whatever comes, ends or leaves when: every sequence is read and continued as if it were alone, first come first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from gpu_service.generation.scheduler import Scheduler, Sequence

if TYPE_CHECKING:
    from gpu_service.generation.scheduler import Step


@dataclass(eq=False)
class Wanted:
    """A sequence that comes at a step, wants some tokens, and may leave at a step."""

    comes: int
    prompt: list[int]
    tokens: int
    leaves: int | None
    sequence: Sequence = field(init=False)
    began: int | None = None

    def __post_init__(self) -> None:
        """A prompt of its own."""
        self.sequence = Sequence(self.prompt)


@dataclass
class Slots:
    """A decoder without a model: a slot holds the tokens that were put there, and their sum is the next token."""

    held: list[list[int]]

    def obey(self, step: Step, scheduler: Scheduler) -> None:
        """Do what the loop does, and check that each slot holds what its sequence is made of."""
        for source, target in step.moves:
            self.held[target] = list(self.held[source])
            self.held[source] = [-1]
        if step.reading:
            sequence, slot, chunk = step.reading
            before = self.held[slot] if sequence.read else []
            assert before == list(sequence.prompt[: sequence.read])
            self.held[slot] = [*before, *chunk]
            if scheduler.has_read(step.reading):
                sequence.tokens.append(sum(self.held[slot]) % 97)
        for slot, sequence in enumerate(step.continued):
            assert len(self.held[slot]) == sequence.held
            self.held[slot].append(sequence.tokens[-1])
            assert self.held[slot] == [*sequence.prompt, *sequence.tokens]
            sequence.tokens.append(sum(self.held[slot]) % 97)


def alone(prompt: list[int], count: int) -> list[int]:
    """What the made-up model says to `prompt`."""
    text = list(prompt)
    for _ in range(count):
        text.append(sum(text) % 97)
    return text[len(prompt) :]


WANTED = st.builds(
    Wanted,
    comes=st.integers(0, 12),
    prompt=st.lists(st.integers(0, 96), min_size=1, max_size=9),
    tokens=st.integers(1, 8),
    leaves=st.none() | st.integers(0, 20),
)


@given(wanted=st.lists(WANTED, max_size=10), slots=st.integers(1, 4), chunk=st.integers(1, 5))
def test_together_is_as_alone(wanted: list[Wanted], slots: int, chunk: int) -> None:
    """Tokens are those of a solo run, slots never exceed their number, the first to come begin first, all get done."""
    scheduler = Scheduler(slots=slots, chunk=chunk)
    decoder = Slots([[] for _ in range(slots)])
    for now in range(300):
        for one in (one for one in wanted if one.comes == now):
            scheduler.add(one.sequence)
        for one in wanted:
            one.sequence.is_over |= one.leaves == now or len(one.sequence.tokens) >= one.tokens
        step = scheduler.step()
        assert len(step.continued) + (step.reading is not None) <= slots
        assert step.reading is None or len(step.reading.chunk) <= chunk
        decoder.obey(step, scheduler)
        for one in wanted:
            one.began = now if one.began is None and one.sequence.read else one.began

    for one in wanted:
        assert one.sequence.tokens == alone(one.prompt, len(one.sequence.tokens))
        assert one.leaves is not None or len(one.sequence.tokens) == one.tokens
    stayed = sorted((one for one in wanted if one.leaves is None), key=lambda one: one.comes)
    begins = [one.began for one in stayed if one.began is not None]
    assert begins == sorted(begins)
    assert (scheduler.inside, scheduler.waiting) == (0, 0)


def test_a_late_one_does_not_wait_for_the_early_ones() -> None:
    """With two slots a sequence that comes while another is continued is read and continued beside it at once."""
    scheduler, decoder = Scheduler(slots=2, chunk=8), Slots([[], []])
    early, late = Sequence([1, 2, 3]), Sequence([4, 5])
    scheduler.add(early)
    for _ in range(3):
        decoder.obey(scheduler.step(), scheduler)
    scheduler.add(late)
    decoder.obey(scheduler.step(), scheduler)

    assert (len(early.tokens), len(late.tokens)) == (4, 1)


def test_a_long_prompt_does_not_hold_up_the_others() -> None:
    """While a prompt of eight chunks is read, the other sequence gets a token with every chunk."""
    scheduler, decoder = Scheduler(slots=2, chunk=4), Slots([[], []])
    early, long = Sequence([1]), Sequence([7] * 32)
    scheduler.add(early)
    decoder.obey(scheduler.step(), scheduler)
    scheduler.add(long)
    for _ in range(8):
        decoder.obey(scheduler.step(), scheduler)

    assert (len(early.tokens), len(long.tokens)) == (9, 1)


def test_what_is_dropped_is_told() -> None:
    """At the end all that were not over are named, wherever they were."""
    scheduler = Scheduler(slots=1, chunk=1)
    inside, waiting, over = Sequence([1, 2]), Sequence([1]), Sequence([1], is_over=True)
    for one in (inside, over, waiting):
        scheduler.add(one)
    scheduler.step()

    assert scheduler.drop() == [inside, waiting]
    assert scheduler.step() == ([], None, [])
