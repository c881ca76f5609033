"""What was served while the store was away is booked once, however often it is looked for and whatever dies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.books.loss import LOG_MS, agreed, keeper, reopen
from tests.books.rig import ORG, Death, Paper, always, deaths, mortal
from tests.books.till import COST, LEASE, WORST

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from functions.books import Books
    from shared.edge.ledger import Ledger
    from tests.books.till import Till

SERVES = {"sk": f"organization#{ORG}", "on_store_loss": "serve"}
CHOSEN_AGAIN = {**SERVES, "on_store_loss": "refuse"}


class Counting(Paper):
    """A log that counts how often it is searched for what the store did not hear of."""

    searched = 0

    def unstored(self, org: str, since: int) -> Iterator[Any]:
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


def reserved(store: redis.Redis) -> int:
    """What the team has reserved."""
    return int(str(store.hget(f"{{{ORG}}}:spend:team:red", "r:t") or 0))


@pytest.mark.parametrize("late", [False, True])
def test_who_died_in_the_midst_of_it_is_charged_at_worst(
    store: redis.Redis, ledger: Ledger, till: Till, *, late: bool
) -> None:
    """When its time has run out, once; until then the budget holds it like any other."""
    kept = keeping(store, ledger, till, SERVES)
    for _ in range(2):
        till.unstored(dies=True)
        till.unstored()
    if late:
        time.sleep(LEASE + 0.01)
    kept.keep(ORG, always)
    assert reserved(store) == (0 if late else 2 * WORST)
    for _ in range(3):
        time.sleep(LEASE / 2)
        kept.keep(ORG, always)
    assert agreed(kept, store) == 3 * COST + 2 * WORST
    [charged] = [line for line in kept.say.__self__ if line.get("reaped")]  # type: ignore[attr-defined]
    assert charged["reaped"] == 2


def test_nothing_is_called_whole_while_such_a_charge_is_due(store: redis.Redis, ledger: Ledger, till: Till) -> None:
    """Or a flush between the two would have it forgotten: the log is not read for what was long before."""
    kept = keeping(store, ledger, till, SERVES)
    till.unstored(dies=True)
    time.sleep(LEASE + LOG_MS / 1000 + 0.01)
    before = ledger.cursor(ORG)
    kept.keep(ORG, always)
    due = ledger.cursor(ORG)
    kept.keep(ORG, always)
    done = ledger.cursor(ORG)
    assert before is not None
    assert due is not None
    assert done is not None
    assert before.whole == due.whole < done.whole
    assert agreed(kept, store) == COST + WORST


def test_one_that_had_not_died_is_charged_what_it_cost(store: redis.Redis, ledger: Ledger, till: Till) -> None:
    """The log was late with it, and it was charged at worst meanwhile: corrected."""
    kept = keeping(store, ledger, till, SERVES)
    till.unstored()
    line = till.paper.written.pop()
    kept.keep(ORG, always)
    time.sleep(LEASE + 0.01)
    kept.keep(ORG, always)
    assert agreed(kept, store) == COST + WORST
    till.paper.written.append(line)
    kept.keep(ORG, always)
    assert agreed(kept, store) == 2 * COST


def test_one_that_goes_on_settles_what_is_held_for_it(store: redis.Redis, ledger: Ledger, till: Till) -> None:
    """The store is back before it ends, and the books have found that it was begun."""
    kept = keeping(store, ledger, till, SERVES)
    kept.keep(ORG, always)

    class Slow(Paper):
        def unstored(self, org: str, since: int) -> Iterator[Any]:
            return (line for line in till.paper.unstored(org, since) if not hasattr(line, "cost"))

    settle = till.admission.settle
    held: list[int] = []

    def late(*how: Any) -> bool:
        kept._replace(log=Slow()).keep(ORG, always)
        held.append(reserved(store))
        return settle(*how)

    till.admission.settle = late  # type: ignore[method-assign,assignment]
    till.unstored(settled=True)
    assert held == [WORST]
    kept.keep(ORG, always)
    assert agreed(kept, store) == 2 * COST


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_flush_loses_nothing_of_it(store: redis.Redis, ledger: Ledger, till: Till, when: str) -> None:
    """Before it is found, and after it."""
    kept = keeping(store, ledger, till, SERVES)
    till.unstored()
    till.unstored(dies=True)
    if when == "after":
        kept.keep(ORG, always)
    store.flushall()
    reopen(kept)
    time.sleep(LEASE + 0.01)
    for _ in range(2):
        kept.keep(ORG, always)
        assert agreed(kept, store) == 2 * COST + WORST


def test_whatever_dies_it_is_booked_once(store: redis.Redis, ledger: Ledger, till: Till) -> None:
    """At every call of the store and the ledger."""
    kept = keeping(store, ledger, till, SERVES)
    till.unstored(dies=True)
    served = 0

    def attempt(death: Death) -> None:
        nonlocal served
        till.unstored()
        served += 1
        dying = kept._replace(counters=mortal(kept.counters, death), ledger=mortal(kept.ledger, death), looks={})
        dying.keep(ORG, always)

    for _ in deaths(attempt):
        kept.keep(ORG, always)
    time.sleep(LEASE + 0.01)
    kept.keep(ORG, always)
    assert agreed(kept, store) == (1 + served) * COST + WORST


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
