"""Eight processes that ask for admission as eight gateways do: `python -m tests.edge.crowd ORDERS`, a JSON object.

Each has a clock of its own, wrong by another amount, and begins a little later than the one before. First they ask
steadily; then all at once, each time that a window begins by their clocks. The windows are shortened to seconds: they
are arguments of the script. Prints how many were admitted and how many were refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.core.errors import RateLimited
from shared.edge.admission import Admission, Ask, connect
from shared.edge.store import Script, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SCOPE: Final = "key:default-crowded"
HOST: Final = "127.0.0.1"
PROCESSES: Final = 8
MICRO: Final = 1_000_000
BURST: Final = 12  # requests of one process at once
PATIENCE: Final = 20.0  # seconds: a slow machine is not what is tried here
_LATER: Final = 0.1  # seconds, each process after the one before


class Orders(NamedTuple):
    """Where the store is; the short and the long window, the length of either half and the clocks' errors in seconds.

    `right` in the script is replaced by `wrong`, to see that it is found out.
    """

    port: int
    short: float
    long: float
    seconds: float
    skews: Sequence[float]
    right: str = ""
    wrong: str = ""


class Hasty(Store):
    """Shortens the windows of an admission."""

    windows: tuple[int, int]

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int], *, again: bool = False) -> Any:
        """Run it."""
        return super().run(script, keys, [*arguments[:2], *self.windows, *arguments[4:]], again=again)


def main() -> None:
    """Fork the processes, wait for them, and print the sums."""
    orders = Orders(**json.loads(sys.argv[1]))
    script = Script("admit")
    assert orders.right.encode() in script.source
    script.source = script.source.replace(orders.right.encode(), orders.wrong.encode())
    script.digest = hashlib.sha1(script.source, usedforsecurity=False).hexdigest()
    store = Store(connect(HOST, orders.port))
    store.call("SCRIPT", "LOAD", script.source)
    store.drop()
    began = time.time()
    readers = [_forked(orders, script, number, began) for number in range(PROCESSES)]
    told = [[int(word) for word in os.fdopen(reader).read().split()] for reader in readers]
    for _ in readers:
        assert os.wait()[1] == 0
    print(json.dumps({"admitted": sum(one for one, _ in told), "refused": sum(other for _, other in told)}))  # noqa: T201


def _forked(orders: Orders, script: Script, number: int, began: float) -> int:
    """Start one process; returns where it tells its numbers."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return reader
    skew = orders.skews[number]
    admitted, refused = _asked(orders, script, number, began, lambda: time.time() + skew)
    os.write(writer, f"{admitted} {refused}".encode())
    os._exit(0)


def _asked(orders: Orders, script: Script, number: int, began: float, clock: Callable[[], float]) -> tuple[int, int]:
    connection = connect(HOST, orders.port)
    connection.socket_timeout = PATIENCE
    admission = Admission(connection)
    admission._store = store = Hasty(connection, clock)
    store.windows = (round(orders.short * MICRO), round(orders.long * MICRO))
    admission._admit = script
    admitted = refused = 0
    for at in _moments(orders, random.Random(number), began + number * _LATER, clock):
        time.sleep(max(0.0, at - time.time()))
        try:
            admission.admit(Ask("default", (SCOPE,), f"{number}-{admitted + refused}@{round(clock() * MICRO)}", 5))
            admitted += 1
        except RateLimited:
            refused += 1
    return admitted, refused


def _moments(orders: Orders, rng: random.Random, began: float, clock: Callable[[], float]) -> Iterator[float]:
    """Yield when to ask, by the true clock: for a while about every 10 ms, then in bursts at the edges of windows."""
    at = began
    while at < began + orders.seconds:
        yield at
        at += rng.expovariate(100)
    end = at + orders.seconds
    while at < end:
        edge = (clock() // orders.short + 1) * orders.short
        at = time.time() + edge - clock()
        for _ in range(BURST):
            yield at


if __name__ == "__main__":
    main()
