"""Names to addresses, with a deadline: `getaddrinfo` has none, and holds whoever calls it for as long as it likes.

So it is called on a thread of its own. What it finds is kept for a moment, the address that was good last first: one
that swallows connections costs its share of the time once, and not for each of them.
"""

from __future__ import annotations

import socket
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_SECONDS = 30.0  # no longer than most names' own time to live
_MOST = 256  # names that are kept; a catalog has a dozen
_Found = list[tuple[Any, ...]]  # as `getaddrinfo` lists them
_Name = tuple[str, int]


class _Known(NamedTuple):
    addresses: _Found
    until: float


class _Lookup:
    """One that is under way: whoever wants the same name waits for it."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.found: _Found = []
        self.error: Exception | None = None


class Resolver:
    """For any number of threads; `lookup` takes host and port, `clock` is monotonic."""

    def __init__(
        self, lookup: Callable[[str, int], _Found] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lookup = lookup or _listed
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[_Name, _Known] = {}
        self._under_way: dict[_Name, _Lookup] = {}

    def addresses(self, host: str, port: int, seconds: float) -> _Found:
        """List what `host` may be reached at, the best first, within `seconds`.

        Raises:
            TimeoutError: nobody has said it by then.
            OSError, ValueError: there is no such name, or it can be none.
        """
        if plain := _numeric(host, port):
            return plain
        name = (host, port)
        with self._lock:
            known = self._known.get(name)
            if known and self._clock() < known.until:
                return known.addresses
            lookup = self._under_way.get(name)
            if lookup is None:
                lookup = self._under_way[name] = _Lookup()
                threading.Thread(target=self._look, args=(name, lookup), daemon=True).start()
        if not lookup.over.wait(seconds):
            raise TimeoutError(f"{host} was not looked up in time.")
        if lookup.error:
            raise lookup.error.with_traceback(None)
        return lookup.found

    def learn(self, host: str, port: int, good: tuple[Any, ...] | None) -> None:
        """Put the address that was `good` first; forget all of them if none was."""
        with self._lock:
            known = self._known.get((host, port))
            if known and good is None:
                del self._known[host, port]
            elif known and known.addresses[0] != good:
                others = [address for address in known.addresses if address != good]
                self._known[host, port] = known._replace(addresses=[good, *others] if good else others)

    def _look(self, name: _Name, lookup: _Lookup) -> None:
        try:
            lookup.found = self._lookup(*name)
        except (OSError, ValueError) as error:
            lookup.error = error
        with self._lock:
            del self._under_way[name]
            if lookup.found:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[name] = _Known(lookup.found, self._clock() + KEPT_SECONDS)
        lookup.over.set()


def _numeric(host: str, port: int) -> _Found:
    """Read an address that is written as one: nobody is asked."""
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except (OSError, ValueError):
        return []


def _listed(host: str, port: int) -> _Found:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


@cache
def resolver() -> Resolver:
    """Return the process's own."""
    return Resolver()
