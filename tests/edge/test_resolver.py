"""Names are looked up under a deadline, once for all who wait, and what is found is kept for a moment."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from shared.edge.resolver import KEPT_SECONDS, Resolver

PLACES: list[tuple[Any, ...]] = [
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 80)),
]


class Names:
    """A lookup that can be held up, or fail."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.flows = threading.Event()
        self.flows.set()
        self.error: Exception | None = None
        self.now = 0.0
        self.resolver = Resolver(self.look, lambda: self.now)

    def look(self, host: str, port: int) -> list[tuple[Any, ...]]:
        """Answer as `getaddrinfo` does, sooner or later."""
        self.asked.append((host, port))
        assert self.flows.wait(20)
        if self.error:
            raise self.error
        return list(PLACES)


def test_what_is_found_is_kept_for_a_moment() -> None:
    """Names may be pointed elsewhere."""
    names = Names()
    for step, asked in ((0, 1), (KEPT_SECONDS - 1, 1), (2, 2)):
        names.now += step
        assert names.resolver.addresses("a", 80, 5) == PLACES
        assert len(names.asked) == asked


def test_nobody_waits_past_the_deadline() -> None:
    """A lookup that hangs holds its own thread; those who come later wait for the same one, and have what it finds."""
    names = Names()
    names.flows.clear()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            names.resolver.addresses("a", 80, 0.05)
        assert time.monotonic() - began < 5
    assert names.asked == [("a", 80)]
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(names.resolver.addresses("a", 80, 20)))
    thread.start()
    names.flows.set()
    thread.join(20)
    assert (found, len(names.asked)) == ([PLACES], 1)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")])
def test_a_failure_is_told_and_not_kept(error: Exception) -> None:
    """A name may be there a moment later."""
    names = Names()
    names.error = error
    with pytest.raises(type(error)):
        names.resolver.addresses("a", 80, 5)
    names.error = None
    assert names.resolver.addresses("a", 80, 5) == PLACES


def test_the_address_that_was_good_is_the_first() -> None:
    """Until none is: then the name is looked up again."""
    names = Names()
    names.resolver.learn("a", 80, PLACES[1])  # nothing is known of it
    names.resolver.addresses("a", 80, 5)
    names.resolver.learn("a", 80, PLACES[1])
    assert names.resolver.addresses("a", 80, 5) == PLACES[::-1]
    names.resolver.learn("a", 80, None)
    assert names.resolver.addresses("a", 80, 5) == PLACES
    assert len(names.asked) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_is_an_address_needs_no_lookup(host: str) -> None:
    """Nor a thread."""
    names = Names()
    [(*_, place)] = names.resolver.addresses(host, 80, 5)
    assert (place[0], names.asked) == (host, [])
