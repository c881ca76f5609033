"""How often somebody may try to log in: per user from one address, per user in all, and per address."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from shared.core.errors import RateLimited
from shared.edge.store import Script

if TYPE_CHECKING:
    from shared.edge.store import Store

WINDOW_SECONDS = 300
MOST_OF_USER_FROM_ADDRESS = 10
MOST_OF_USER = 100  # a botnet's guesses; somebody else's guesses seldom shut a user out
MOST_FROM_ADDRESS = 300  # one office may come from one address
_NAME = 32  # characters of a digest: neither users nor addresses stand in the store


class Attempts:
    """Counters that are forgotten after five minutes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._script = Script("attempts")

    def count(self, org: str, user: str, address: str) -> None:
        """Count an attempt, before it is known whether it is a good one.

        Raises:
            RateLimited: there were too many.
            StoreUnavailable: nobody can tell.
        """
        most = [MOST_OF_USER_FROM_ADDRESS, MOST_OF_USER, MOST_FROM_ADDRESS]
        wait = self._store.run(self._script, _names(org, user, address), [WINDOW_SECONDS, *most])
        if wait:
            raise RateLimited("There were too many attempts to log in. Please wait.", retry_after=wait)

    def forget(self, org: str, user: str, address: str) -> None:
        """Forget the attempts of a user who has logged in, from that address.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        self._store.call("DEL", _names(org, user, address)[0])


def _names(org: str, user: str, address: str) -> list[str]:
    parts = (f"{user}\0{address}", user, f"\0{address}")
    return [f"{{{org}}}:attempts:{hashlib.sha256(part.encode()).hexdigest()[:_NAME]}" for part in parts]
