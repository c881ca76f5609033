"""The firewall on this machine: who is blocked, looked up in the Directory, from where the deployed one is told."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from shared.core import addresses
from shared.edge.directory import FIRST_ORG

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.edge.directory import Directory

REMEMBERED_SECONDS: Final = 2.0  # so long a new block may go unnoticed, and one that was ended hold


class Blocked:
    """Tells whether an address is in a network that the first organization blocks now."""

    def __init__(
        self,
        directory: Directory,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._now = now
        self._monotonic = monotonic
        self._known: list[str] = []
        self._until = 0.0
        self._looking = asyncio.Lock()

    async def __call__(self, address: str) -> bool:
        """Return whether to refuse `address`.

        Raises:
            AwsError: the Directory cannot be asked.
        """
        async with self._looking:
            if self._until <= self._monotonic():
                self._known = await asyncio.to_thread(self._look_up)
                self._until = self._monotonic() + REMEMBERED_SECONDS
        return addresses.within(address, self._known)

    def _look_up(self) -> list[str]:
        return addresses.held(self._directory.item(FIRST_ORG, "org"), self._now())
