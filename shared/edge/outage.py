"""While the store cannot be reached a thread tries to, so that no request waits for it in vain: one wait is a second.

The connection is the thread's for that time. It gives it back open and sound, as soon as the store answers.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WAITED_SECONDS = 0.6  # for nothing, from failure to failure, until it is one; what is refused at once costs nothing
PAUSE_SECONDS = 0.5  # between two tries
GRACE_SECONDS = 0.05  # that a request waits for a try: Lambda lets the thread run only as long as there is a request


class Outage:
    """One of them, until the store has been reached."""

    def __init__(self, reach: Callable[[], object]) -> None:
        """`reach` makes one try; it raises where that fails."""
        self._over = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(reach,), name="outage", daemon=True)
        self._thread.start()

    def is_over(self) -> bool:
        """Tell whether the store answers again."""
        return self._over.wait(GRACE_SECONDS)

    def end(self) -> None:
        """Try no more; the one that is under way comes to its end before."""
        self._ended.set()
        self._thread.join()

    def _run(self, reach: Callable[[], object]) -> None:
        while not self._ended.is_set():
            try:
                reach()
            except Exception:  # noqa: BLE001 - whatever it was, the store is not reached; requests have told of it
                self._ended.wait(PAUSE_SECONDS)
            else:
                self._over.set()
                return
