"""What a target that is asked beside another has said so far: enough to tell who was first to say something.

A role, an empty block, a ping or a head come at once from servers that are far from an answer, so none of them decides.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from shared.core.errors import UpstreamFailed
from shared.dialects.dialect import speaks
from shared.edge.race import first_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.call import Call
    from shared.edge.answer import Answer
    from shared.providers.adapter import Adapter


class Hearing:
    """An answer under way, taken in as it comes and told to nobody yet.

    `chunks` are those of a stream, `found` is a whole answer, `last` what ends a stream that ended without a word.
    `failure` is why it is no answer, in whatever way it says so; what was refused, its head tells.
    """

    def __init__(self, adapter: Adapter, answer: Answer, call: Call, hold: float) -> None:
        """Listen to the try of `call` that was sent last; `hold` as `Gateway` has it."""
        self.answer = answer
        self.sent = call.sent
        self.chunks: list[dict[str, Any]] = []
        self.found: dict[str, Any] | None = None
        self.last: list[dict[str, Any]] | None = None
        self.leaves = 0.0  # when the start of a stream should leave, in monotonic seconds; 0: it has not begun
        self.spoken = False
        self.failure: UpstreamFailed | None = None
        self._adapter = adapter
        self._stream = call.event.stream
        self._hold = hold
        self._body = b""

    def advanced(self) -> bool:
        """Take in what has come, without waiting; tell whether that is anything."""
        answer = self.answer
        if not answer.advanced():
            return False
        self.failure = answer.failure
        if not (self.failure or answer.refused):
            try:
                self._take(answer.opened().read())
            except UpstreamFailed as error:
                self.failure = error
        return True

    def begin(self) -> None:
        """Note that a stream has begun."""
        self.leaves = self.leaves or time.monotonic() + self._hold

    def body(self) -> bytes:
        """Wait for the rest of a whole answer; returns all of it, raises as `Answer.read` does, or what has failed."""
        if self.failure:
            raise self.failure
        return self._body + self.answer.whole()

    def ending(self) -> list[dict[str, Any]]:
        """Return what ends a stream; raises as `Adapter.end` does, or what has failed."""
        if self.failure:
            raise self.failure
        return self._adapter.end() if self.last is None else self.last

    def fileno(self) -> int:
        """Return what can be waited on for something to come."""
        return self.answer.fileno()

    @property
    def failed(self) -> bool:
        """Whether it is no answer."""
        return bool(self.failure or self.answer.refused)

    def _take(self, data: bytes) -> None:
        adapter = self._adapter
        adapter.check(self.answer.head)
        if not self._stream:
            self._body += data
            if not data:
                self.found = adapter.reply(self._body)
            return
        self.begin()
        if data:
            told = adapter.chunk(data)
            self.chunks += told
            self.spoken = any(map(speaks, told))
        if not self.spoken and (adapter.done or not data):
            self.last = adapter.end()

    @property
    def decided(self) -> bool:
        """Whether there is a word, an end or a failure."""
        return self.spoken or self.failed or self.found is not None or self.last is not None


def first_heard(hearings: Sequence[Hearing], end: float) -> Hearing | None:
    """Return the first that is decided, or whose start should leave; None if there is none until `end`, monotonic.

    Nor is there one any more when all of them have had their time.
    """
    waiting = list(hearings)
    while True:
        leaves = min(one.leaves or math.inf for one in waiting)
        over = min(end, max(one.answer.until for one in waiting))
        came = first_of(waiting, min(over, leaves))
        if came is None:
            return min(waiting, key=lambda one: one.leaves or math.inf) if leaves <= over else None
        if came.decided:
            return came
        waiting.remove(came)  # who sends much is asked last
        waiting.append(came)
