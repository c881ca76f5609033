"""After a loss of the store an organization is open again within a minute, however it lies in the schedule's minute."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from functions.budgets import Clerk
from shared.core.errors import StoreRebuilding
from shared.edge.counters import Counters
from shared.edge.directory import Directory
from shared.edge.telemetry import Telemetry
from shared.manifest import FUNCTIONS, LOG_DELAY
from tests.books.loss import EARLIER, LOG_MS, agreed, reopen, settle_down
from tests.books.rig import CLOSURE, ORG
from tests.books.till import COST, WORST

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from functions.books import Books
    from tests.books.till import Till
    from tests.fakes.books import Tables

    Second = Callable[[int, Callable[[], None]], None]  # its number, and what notes that a closure was seen

MINUTE = 60_000
PROMISED = 60  # seconds until it is open again, where no request is under way
SOON = 40  # where it was in use; what is left is for the function's own time, which stands still here
SWITCH = FUNCTIONS["budgets"]


class Ahead(Counters):
    """The store by a clock that a test moves: `ahead` are milliseconds."""

    ahead = 0

    def now(self) -> int:
        """Return the time by that clock."""
        return super().now() + self.ahead


class Minutes:
    """The schedule, second by second: `second` is called in each, while the function works as well as in between."""

    def __init__(self, kept: Books, store: redis.Redis, tables: Tables, second: Second) -> None:
        self._clock = Ahead(store)
        self._store = store
        self._second = second
        self._began = 0
        listed = {"pk": {"S": "default"}, "sk": {"S": f"organization#{ORG}"}}
        tables.client.put_item(TableName=tables.name, Item=listed)
        directory = Directory(tables.aws(), tables.name)
        books = kept._replace(counters=self._clock, log_ms=LOG_DELAY * 1000)
        self._clerk = Clerk(books, directory, Telemetry("test", lambda _line: None), [], self._pause)

    def run(self, minutes: int) -> None:
        """Start the function as often, each time at the beginning of a minute."""
        assert SWITCH.every_minutes == 1
        for number in range(minutes):
            self._began = number * MINUTE
            self._clerk.work(lambda: SWITCH.timeout_s * 1000 - (self._clock.ahead - self._began), "r")
            self._pause((self._began + MINUTE - self._clock.ahead) / 1000)

    def _pause(self, seconds: float) -> None:
        end = self._clock.ahead + round(seconds * 1000)
        while self._clock.ahead < end:
            self._second(self._clock.ahead // 1000, self._seen)
            self._clock.ahead = min(end, self._clock.ahead - self._clock.ahead % 1000 + 1000)

    def _seen(self) -> None:
        """Bring a mark that the gateway has made just now, by the store's own clock, to the clock of the test."""
        self._store.set(CLOSURE, int(str(self._store.get(CLOSURE))) + self._clock.ahead)


@pytest.fixture
def schedule(kept: Books, store: redis.Redis, tables: Tables) -> Callable[[Second], Minutes]:
    """The schedule of an organization that is open."""
    return partial(Minutes, kept, store, tables)


class Clients:
    """Ask once in each second that `asks` names; the store is flushed in the second `lost`."""

    def __init__(self, till: Till, store: redis.Redis, lost: int, asks: Callable[[int], bool]) -> None:
        self._till = till
        self._store = store
        self._lost = lost
        self._asks = asks
        self.refused: list[int] = []
        self.served: list[int] = []  # after the loss

    def second(self, number: int, seen: Callable[[], None]) -> None:
        """Let one pass; `seen` is called where a closure was seen for the first time."""
        if number == self._lost:
            self._store.flushall()
        if self.served or not self._asks(number):
            return
        marked = self._store.exists(CLOSURE)
        try:
            self._till.request()
        except StoreRebuilding:
            self.refused.append(number)
            if not marked:
                seen()
        else:
            self.served.extend([number] if number >= self._lost else [])


@pytest.mark.parametrize("before", [True, False], ids=["in use", "idle before"])
@pytest.mark.parametrize("flush", [1, 10, 29, 31, 45, 58])
def test_it_is_open_again_within_a_minute(
    schedule: Callable[[Second], Minutes], store: redis.Redis, till: Till, flush: int, *, before: bool
) -> None:
    """By the cadence that is deployed, wherever in a minute the store is lost."""
    lost = 60 + flush
    clients = Clients(till, store, lost, lambda second: second >= lost or (before and second % 7 == 0))
    schedule(clients.second).run(4)
    assert clients.refused[0] == lost
    assert clients.served[0] - lost <= (SOON if before else PROMISED)


@pytest.mark.parametrize("flush", [1, 29, 58])
@pytest.mark.parametrize("later", [20, 40, 59, 61, 89])
def test_nobody_waits_for_longer_than_a_minute(
    schedule: Callable[[Second], Minutes], store: redis.Redis, till: Till, flush: int, later: int
) -> None:
    """Nor those who come late, to an organization that nobody has used for long."""
    first = 60 + flush + later
    clients = Clients(till, store, 60 + flush, lambda second: second >= first)
    schedule(clients.second).run(5)
    assert clients.served[0] - first <= PROMISED


def test_it_opens_when_the_log_shows_what_was_written(kept: Books, store: redis.Redis, till: Till) -> None:
    """Not before, and not so late as the lease of a request under way: what that has reserved is reserved again."""
    seen: list[int] = []

    def meanwhile(step: str) -> None:
        if step == "called":
            store.flushall()
            began = time.monotonic()
            reopen(kept)
            seen.append(round((time.monotonic() - began) * 1000))
            assert int(str(store.hget(f"{{{ORG}}}:spend:team:red", "r:t"))) == WORST

    till.request(meanwhile, lease=600)
    assert LOG_MS <= seen[0] < 60_000
    settle_down(kept)
    assert agreed(kept, store) == (EARLIER + 1) * COST
