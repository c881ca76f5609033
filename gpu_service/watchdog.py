"""Looks for runs that never return, and ends the process that cannot get rid of one: its platform starts another.

From the moment that a run counts as stuck the service is neither ready nor live. Its requests hear of it at their
deadline, nothing new is taken for that model, and other workers finish what they have. A run that ends after all makes
the service ready again; one that does not ends the process, as SIGTERM would, and by force if even that gets stuck.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from gpu_service.log import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpu_service.batching.limits import Patience
    from gpu_service.fleet import Fleet

_LOOKS: Final = 8  # within the shortest time that a run may take
_OFTEN: Final = 1.0  # seconds between two looks, at most
_STOOD: Final = 2.0  # seconds that a look comes late, beyond which the process was stopped or frozen
_FORCE: Final = 5.0  # seconds that the process has to end after it has drained
STATUS: Final = 1  # of a process that ended itself


class Watchdog:
    """Asks a fleet, again and again, whether a run is stuck, and calls `leave` if one stays so."""

    def __init__(self, fleet: Fleet, patience: Patience, leave: Callable[[], None]) -> None:
        self._fleet = fleet
        self._grace = patience.grace
        self._pause = min(_OFTEN, patience.least / _LOOKS)
        self._leave = leave
        self._looked = time.perf_counter()
        self._since: float | None = None
        self.left = False

    async def watch(self) -> None:
        """Look until the process ends."""
        self._looked = time.perf_counter()
        while not self.left:
            await asyncio.sleep(self._pause)
            self.look(time.perf_counter())

    def look(self, now: float) -> None:
        """Look once."""
        late, self._looked = now - self._looked - self._pause, now
        if late > _STOOD:
            self._fleet.forgive(late)
        stuck = self._fleet.stuck(now)
        if stuck and self._since is None:
            self._since = now
            event("stuck", models=stuck)
        elif not stuck and self._since is not None:
            self._since = None
            event("recovered")
        if self._since is not None and now - self._since >= self._grace:
            self.left = True
            event("leaving", models=stuck)
            self._fleet.abandon(stuck)
            self._leave()


def leave(drain: float) -> None:
    """End this process as SIGTERM does, within `drain` seconds and a few; else at once, telling where it hangs."""
    faulthandler.dump_traceback_later(drain + _FORCE, exit=True, file=2)
    os.kill(os.getpid(), signal.SIGTERM)


def force() -> None:
    """End this process now: its interpreter would wait for libraries that wait for the run that is stuck."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(STATUS)
