"""Who gets the next token: the pure half of continuous batching. It knows no model, no thread and no clock.

Slots 0 to n-1 hold the n sequences that are being continued, and slot n the one whose prompt is being read, if there is
one: a run over the first n slots computes nothing in vain. When a sequence ends, the last one moves into its slot. Each
step reads at most one chunk of one prompt, so a long prompt does not hold up those that are being continued.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence as Listed


@dataclass(eq=False, slots=True)
class Sequence:
    """A prompt and what follows it, in token ids; `read` are the prompt's tokens that its slot holds."""

    prompt: Listed[int]
    tokens: list[int] = field(default_factory=list)
    read: int = 0
    is_over: bool = False

    @property
    def held(self) -> int:
        """Tokens in the slot: the newest token goes there with the next run."""
        return self.read + max(0, len(self.tokens) - 1)


class Reading(NamedTuple):
    """A chunk of a prompt to be read into `slot`, behind the tokens that are there."""

    sequence: Sequence
    slot: int
    chunk: Listed[int]


class Step(NamedTuple):
    """What to do next: first the moves, each from slot to slot, then the reading, then one token for each sequence."""

    moves: list[tuple[int, int]]
    reading: Reading | None
    continued: list[Sequence]


class Scheduler:
    """Keeps at most `slots` sequences in slots; all others wait in the order they came."""

    def __init__(self, *, slots: int, chunk: int) -> None:
        self._slots = slots
        self._chunk = chunk
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._reading: Sequence | None = None

    @property
    def waiting(self) -> int:
        """Sequences that have no slot."""
        return len(self._waiting)

    @property
    def inside(self) -> int:
        """Sequences in slots."""
        return len(self._running) + (self._reading is not None)

    def add(self, sequence: Sequence) -> None:
        """Take `sequence` into the line."""
        self._waiting.append(sequence)

    def step(self) -> Step:
        """Say what to do next; sequences that are over leave, and the next in line comes in."""
        moves = self._leave()
        if self._reading is None and self._may_enter():
            self._reading = self._waiting.popleft()
        return Step(moves, self._next_chunk(), list(self._running))

    def has_read(self, reading: Reading) -> bool:
        """Take note that a chunk was read; returns whether the prompt is whole, and its first token is due."""
        sequence = reading.sequence
        sequence.read += len(reading.chunk)
        if sequence.read < len(sequence.prompt):
            return False
        self._running.append(sequence)
        self._reading = None
        return True

    def drop(self) -> list[Sequence]:
        """Forget all sequences; returns those that were not over."""
        reading = [self._reading] if self._reading else []
        found = [one for one in (*self._running, *reading, *self._waiting) if not one.is_over]
        self._waiting.clear()
        self._running.clear()
        self._reading = None
        return found

    def _may_enter(self) -> bool:
        return bool(self._waiting) and len(self._running) < self._slots

    def _next_chunk(self) -> Reading | None:
        if self._reading is None:
            return None
        read = self._reading.read
        return Reading(self._reading, len(self._running), self._reading.prompt[read : read + self._chunk])

    def _leave(self) -> list[tuple[int, int]]:
        self._waiting = deque(one for one in self._waiting if not one.is_over)
        before = len(self._running)
        moves: list[tuple[int, int]] = []
        for slot in reversed(range(before)):
            if self._running[slot].is_over:
                last = len(self._running) - 1
                if slot != last:
                    moves.append((last, slot))
                    self._running[slot] = self._running[last]
                self._running.pop()
        if self._reading is not None and self._reading.is_over:
            self._reading = None
        if self._reading is not None and self._reading.read and len(self._running) != before:
            moves.append((before, len(self._running)))
        return moves
