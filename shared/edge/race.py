"""Waiting for several answers at once."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST = 60.0  # seconds of one wait


class Coming(Protocol):
    """Something that arrives piece by piece."""

    def advanced(self) -> bool:
        """Take in what has come, without waiting; tell whether that is worth to be told."""

    def fileno(self) -> int:
        """Return what can be waited on for something to come."""


T = TypeVar("T", bound=Coming)


def first_of(answers: Sequence[T], end: float) -> T | None:
    """Return the first of which something has come, or that has failed; None if nothing has until `end`, monotonic."""
    poll = select.poll()
    for answer in answers:
        poll.register(answer, select.POLLIN)
    while True:
        for answer in answers:
            if answer.advanced():
                return answer
        left = end - time.monotonic()
        if left <= 0:
            return None
        poll.poll(min(left, _LONGEST) * 1000)
