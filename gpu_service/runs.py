"""The runs of one model that are under way: how long each may take, and which of them takes far longer.

A kernel or a driver that hangs never returns, and no exception tells of it. ONNX Runtime is asked to end such a run, as
it does between two kernels; what does not end even so is left to `gpu_service.watchdog`.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gpu_service.batching.limits import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from gpu_service.batching.cost import Cost

_KNOWN: Final = 3  # runs after which a prediction is more than a guess


@dataclass(eq=False, slots=True)
class Run:
    """A run, the time by which it has to be over, the thread that waits for it, and whom it is for."""

    until: float
    thread: int
    requests: Collection[Any]
    interrupted: bool = False


class Runs:
    """The runs under way. Threads may share it; times are those of `time.perf_counter`."""

    def __init__(self, patience: Patience | None, interrupt: Callable[[int], None]) -> None:
        """Have `interrupt` called with the thread whose run is stuck, once."""
        self._patience = patience or Patience()
        self._interrupt = interrupt
        self._under_way: set[Run] = set()

    @contextmanager
    def of(self, requests: Collection[Any], cost: Cost, padded: int) -> Iterator[Run]:
        """Watch over what this thread does for `requests`: a run of so many `padded` tokens."""
        bound = self._patience.bound(cost.seconds(padded), known=cost.runs >= _KNOWN)
        run = Run(time.perf_counter() + bound, threading.get_ident(), requests)
        self._under_way.add(run)
        try:
            yield run
        finally:
            self._under_way.discard(run)

    def stuck(self, now: float) -> list[Run]:
        """Give the runs that should be over by `now`."""
        return [run for run in tuple(self._under_way) if run.until < now]

    def interrupt(self, now: float) -> list[Run]:
        """Ask those that are stuck to end, each once; gives all of them."""
        found = self.stuck(now)
        for run in found:
            if not run.interrupted:
                run.interrupted = True
                self._interrupt(run.thread)
        return found

    def forgive(self, seconds: float) -> None:
        """Allow all of them so much more: the process itself stood still."""
        for run in tuple(self._under_way):
            run.until += seconds
