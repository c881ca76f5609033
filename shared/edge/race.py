"""Waiting for several answers at once."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.edge.answer import Answer

_LONGEST = 60.0  # seconds of one wait


def first_of(answers: Sequence[Answer], end: float) -> Answer | None:
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
