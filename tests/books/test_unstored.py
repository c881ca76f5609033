"""What was served while the store was away is booked once, however often it is looked for and whatever dies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.books.loss import agreed, keeper, reopen
from tests.books.rig import ORG, Death, Paper, always, deaths, mortal
from tests.books.till import COST, LEASE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from functions.books import Books
    from shared.core.events import Usage
    from shared.edge.ledger import Ledger
    from tests.books.till import Till

SERVES = {"sk": f"organization#{ORG}", "on_store_loss": "serve"}
CHOSEN_AGAIN = {**SERVES, "on_store_loss": "refuse"}


class Counting(Paper):
    """A log that counts how often it is searched for what the store did not hear of."""

    searched = 0

    def unstored(self, org: str, since: int) -> Iterator[Usage]:
        """Search it."""
        self.searched += 1
        return super().unstored(org, since)


@pytest.fixture(autouse=True)
def _each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.books.WHOLE_MS", 0)


@pytest.fixture
def paper() -> Paper:
    """An empty log."""
    return Counting()


def keeping(store: redis.Redis, ledger: Ledger, till: Till, *records: Any) -> Books:
    """The books of an open organization with one request."""
    made = keeper(store, ledger, till, *records)
    made.keep(ORG, always)
    till.request()
    made.keep(ORG, always)
    return made


@pytest.mark.parametrize("record", [SERVES, CHOSEN_AGAIN], ids=["serves", "did serve"])
def test_it_is_booked_once(store: redis.Redis, ledger: Ledger, till: Till, record: Any) -> None:
    """By user, team and all other scopes; also where the organization has chosen otherwise meanwhile."""
    kept = keeping(store, ledger, till, record)
    for _ in range(3):
        till.unstored()
    for _ in range(3):
        kept.keep(ORG, always)
        assert agreed(kept, store) == 4 * COST
    [told] = [line for line in kept.say.__self__ if line.get("unstored")]  # type: ignore[attr-defined]
    assert told["unstored"] == 3


def test_nobody_looks_for_what_cannot_be(store: redis.Redis, ledger: Ledger, till: Till) -> None:
    """An organization that has never chosen costs no search; neither does one whose id begins like the other's."""
    kept = keeping(store, ledger, till, {**SERVES, "sk": f"organization#{ORG}2"}, {"sk": f"organization#{ORG}"})
    kept.keep(ORG, always)
    assert isinstance(till.paper, Counting)
    assert till.paper.searched == 0
    cursor = ledger.cursor(ORG)
    assert cursor is not None
    assert cursor.whole > 0


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("how", ["admitted", "settled"])
def test_what_the_store_knows_of_it_counts_once(
    store: redis.Redis, ledger: Ledger, till: Till, how: str, *, late: bool
) -> None:
    """It admitted the request and nobody heard, or was back when it ended; looked for at once, or when it is due."""
    kept = keeping(store, ledger, till, SERVES)
    till.unstored(**{how: True})
    if late:
        time.sleep(LEASE + 0.01)
    for _ in range(2):
        kept.keep(ORG, always)
        assert agreed(kept, store) == 2 * COST


def test_a_line_that_comes_late_is_found(store: redis.Redis, ledger: Ledger, till: Till) -> None:
    """The ledger is never called whole for times that the log does not show yet, nor for what is not booked."""
    kept = keeping(store, ledger, till, SERVES)._replace(log_ms=60_000)
    kept.keep(ORG, always)
    cursor = ledger.cursor(ORG)
    assert cursor is not None
    assert cursor.whole <= kept.counters.now() - 60_000
    till.unstored()
    kept.keep(ORG, always)
    assert agreed(kept, store) == 2 * COST


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_flush_loses_nothing_of_it(store: redis.Redis, ledger: Ledger, till: Till, when: str) -> None:
    """Before it is found, and after it."""
    kept = keeping(store, ledger, till, SERVES)
    till.unstored()
    if when == "after":
        kept.keep(ORG, always)
    store.flushall()
    reopen(kept)
    for _ in range(2):
        kept.keep(ORG, always)
        assert agreed(kept, store) == 2 * COST


def test_whatever_dies_it_is_booked_once(store: redis.Redis, ledger: Ledger, till: Till) -> None:
    """At every call of the store and the ledger."""
    kept = keeping(store, ledger, till, SERVES)
    served = 0

    def attempt(death: Death) -> None:
        nonlocal served
        till.unstored()
        served += 1
        dying = kept._replace(counters=mortal(kept.counters, death), ledger=mortal(kept.ledger, death), looks={})
        dying.keep(ORG, always)

    for _ in deaths(attempt):
        kept.keep(ORG, always)
        assert agreed(kept, store) == (1 + served) * COST


def test_a_search_goes_on_where_time_was_up(store: redis.Redis, ledger: Ledger, till: Till) -> None:
    """The ledger is called whole when it has come to its end, and what was found is not found again."""
    kept = keeping(store, ledger, till, SERVES)
    for _ in range(150):
        till.unstored()
    before = ledger.cursor(ORG)
    chances = iter([*[True] * 3, False])
    kept.keep(ORG, lambda: next(chances, False))
    assert ledger.cursor(ORG)._replace(last="", due=frozenset()) == before._replace(last="", due=frozenset())  # type: ignore[union-attr]
    assert isinstance(till.paper, Counting)
    searched = till.paper.searched
    kept.keep(ORG, always)
    assert till.paper.searched == searched
    assert agreed(kept, store) == 151 * COST
    assert ledger.cursor(ORG).whole > before.whole  # type: ignore[union-attr]
